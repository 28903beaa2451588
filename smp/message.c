/* The inboxes: where they lie, and who knows where. */
#include "smp/message.h"

#include "lib/assert.h"

u32 msg_cpus;
struct msg_inbox *msg_inbox[MAX_CPUS];
PERCPU(struct msg_self, msg_self);

COUNTER(msg_sent, "messages posted");

/* A whole number of pages for each receiver, so that a machine with memory on several nodes can place an inbox near its
 * receiver, and no two inboxes share a page. */
static size_t inbox_bytes(u32 cpus)
{
    return ALIGN_UP(sizeof(struct msg_inbox) + cpus * sizeof(struct msg_slot), PAGE_SIZE);
}

size_t msg_memory_size(void)
{
    return cpu_count() * inbox_bytes(cpu_count());
}

void msg_init(void *memory)
{
    u32 n = cpu_count();
    ASSERT(IS_ALIGNED((u64)memory, PAGE_SIZE), "inboxes are page aligned");
    for (cpu_t c = 0; c < n; c++) {
        struct msg_inbox *box = (struct msg_inbox *)((char *)memory + c * inbox_bytes(n));
        *box = (struct msg_inbox){0};
        for (cpu_t from = 0; from < n; from++)
            slot_init_closed(&box->slot[from]);
        msg_inbox[c] = box;

#ifndef VOLLEY_HOST
        ASSERT(percpu_base[c], "every CPU's per-CPU block is prepared before the messages are");
#endif
        per_cpu(msg_self, c) = (struct msg_self){
            .slot_offset = offsetof(struct msg_inbox, slot) + c * sizeof(struct msg_slot),
            .pending_offset = c / 64 * sizeof(u64),
            .bit = 1ull << c % 64,
            .inbox = box,
        };
    }
    msg_cpus = n;
    msg_delivery_set(msg_delivery_get()); /* the set that the shorthand reaches is known now */
}

bool msg_nmi_is_quiet(void)
{
    for (cpu_t c = 0; c < msg_cpus; c++) {
        for (u32 w = 0; w < cpumask_words; w++)
            if (atomic_load_relaxed(&msg_inbox[c]->pending[MSG_CLASS_NMI].word[w]))
                return false;
#ifndef VOLLEY_HOST
        /* Taken, and being served. The word is looked at first: it is taken inside the handler. */
        if (atomic_load_relaxed(&per_cpu(percpu_head.nmi_depth, c)))
            return false;
#endif
    }
    return true;
}

const struct msg_kind *msg_current(cpu_t cpu)
{
    return cpu < msg_cpus ? atomic_load_relaxed(&msg_inbox[cpu]->own.running) : NULL;
}
