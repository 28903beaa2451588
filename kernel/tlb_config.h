/* The choice of boot among the ways to flush, as a word: "invpcid", "pcid" or "plain". */
#pragma once

const char *tlb_mode_name(void);
