/* What run= on the command line asks for. */
#pragma once

#include "lib/types.h"

/* Runs the programs, each to its end; true if there is none, or each ended with status 0. THREAD. */
bool process_run_requested(void);
