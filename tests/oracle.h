/* Can a stale translation be observed on this machine, now? A test that would pass without any flush proves nothing, and on
 * some machines (shadow paging below another hypervisor) no missing flush is ever visible. So the boot tries: it caches a
 * translation, changes the entry behind everyone's back, and looks whether the old content can still be reached. Tests ask
 * here, and report SKIP-BLIND instead of PASS where they could not have failed. */
#pragma once

#include "lib/types.h"

enum oracle_power {
    ORACLE_SEES_STALE, /* at least stale reads are visible: the coherence tests mean something */
    ORACLE_BLIND,
};

/* What was seen after a change without a flush; each was gone after INVLPG. Write-once, by oracle_init. */
struct oracle {
    bool read, write, execute; /* on the boot CPU, in a user half */
    bool global;               /* a global kernel page, after a reload of CR3 */
    bool remote;               /* a read on another CPU; false on a machine of one */
};
extern struct oracle oracle;

/* Boot CPU, once, THREAD, when the other CPUs are up and idle. Takes well under a millisecond on hardware. */
void oracle_init(void);
enum oracle_power oracle_power(void);
/* "stale leaf entries visible: read, write, execute, remote", or that none is. For the `machine` record. */
const char *oracle_summary(void);
