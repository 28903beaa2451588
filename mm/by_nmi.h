/* delivery=nmi, between mm/initiate.c, mm/ticket_special.c and mm/by_nmi.c. */
#pragma once

#include "mm/shootdown.h"

/* As which a policy goes now: itself, or, while delivery=nmi is in force, its copy that takes the way of special policies. */
const struct shootdown_policy *by_nmi_path(const struct shootdown_policy *p);
/* Is this ticket's request, which goes by t->policy, delivered by NMI? Counts those that are and those that are not, while
 * delivery=nmi is in force. */
bool by_nmi_serves(const struct tlb_ticket *t);
/* After post_nmi: until every CPU of t->must has published the level, in either way. THREAD, preemption off since the post. */
void by_nmi_wait(const struct tlb_ticket *t, enum tlb_level until);
