/* The layout of lines from before their consolidation: what a shootdown is without the switch `line` (mm/split.c). */
#pragma once

#include "mm/shootdown.h"

/* Is that the layout in force? Written by mm/opt.c. Under delivery=nmi requests travel in their messages all the same. */
extern bool split_layout;

/* As shootdown_send, in that layout. */
void split_send(struct tlb_ticket *t, enum tlb_level ack);
/* In the layout that is in force. */
void split_send_if_chosen(struct tlb_ticket *t, enum tlb_level ack);
