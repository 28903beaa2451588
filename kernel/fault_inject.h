/* Faults on purpose, from the command line: fault=NAME[:N]. For the boot matrix, which checks that each ends as it
 * should. */
#pragma once

/* Does what fault= asked for; returns at once if nothing was. THREAD on CPU 0, after boot. */
void fault_inject_run(void);
