#include "tests/ring3.h"

#include "kernel/fpu.h"
#include "kernel/gdt.h"
#include "kernel/thread.h"
#include "lib/context.h"
#include "lib/string.h"
#include "mm/frame.h"
#include "mm/kmap.h"
#include "mm/layout.h"

void ring3_go(struct trap_frame *f, u64 *rsp);
NORETURN void ring3_back(u64 rsp);

/* On which ring 3 enters the kernel meanwhile: this thread's own is in use. */
static u8 kernel_stack[KSTACK_SIZE] __attribute__((aligned(16)));

static struct {
    struct ring3 *r;
    struct trap_frame *result; /* NULL: not in ring 3 */
    u64 rsp;
    cpu_t cpu;
    bool (*hook_before)(struct trap_frame *f, vaddr_t address);
} run;

/* THREAD context, on the stack above or, for a copy, on the caller's. */
static bool on_fault(struct trap_frame *f, vaddr_t address)
{
    if (cpu_self() != run.cpu)
        return run.hook_before && run.hook_before(f, address);
    run.r->frames++;
    run.r->address = address;
    if (run.r->explain && run.r->explain(run.r, f, address))
        return true;
    if (!trap_is_user(f))
        return false;
    *run.result = *f;
    run.result = NULL;
    ring3_back(run.rsp);
}

void ring3_watch(struct ring3 *r, bool on)
{
    if (on) {
        run.r = r;
        run.cpu = cpu_self();
        run.hook_before = trap_user_fault_hook;
        trap_user_fault_hook = on_fault;
    } else {
        trap_user_fault_hook = run.hook_before;
        run.r = NULL;
    }
}

static void *kernel_view(struct space *s, vaddr_t va)
{
    return phys_to_virt(space_query(s, va).pa);
}

bool ring3_open(struct test *t, struct ring3 *r)
{
    memset(r, 0, sizeof(*r));
    r->stack_top = (u64)(kernel_stack + sizeof(kernel_stack));
    if (!CHECK(t, space_create(&r->space) == ERR_OK, "no memory for a space"))
        return false;
    err_t e = space_map_fresh(r->space, RING3_VA, 1, PT_EXEC | PT_USER, FRAME_OWNER_TEST);
    if (e == ERR_OK)
        e = space_map_fresh(r->space, RING3_DATA, 2, PT_WRITE | PT_USER, FRAME_OWNER_TEST);
    if (!CHECK(t, e == ERR_OK, "mapping failed: %s", err_name(e)))
        return false;
    r->code = kernel_view(r->space, RING3_VA);
    r->data = kernel_view(r->space, RING3_DATA);
    memcpy(r->code, ring3_code, (size_t)(ring3_code_end - ring3_code));
    space_load(r->space);
    return true;
}

void ring3_close(struct ring3 *r)
{
    if (!r->space)
        return;
    space_load(NULL);
    space_destroy(r->space);
}

struct trap_frame ring3_frame(const struct ring3 *r, vaddr_t entry)
{
    (void)r;
    return (struct trap_frame){
        .rip = entry, .cs = SEL_USER_CODE, .rflags = RFLAGS_IF, .rsp = RING3_STACK, .ss = SEL_USER_DATA};
}

/* A switch of threads on the way back to ring 3 must find that this thread runs in the space, and on which stack. */
static void become(struct thread *t, u64 stack_top, struct space *s)
{
    t->stack_top = stack_top;
    t->space = s;
    trap_set_kernel_stack(stack_top);
}

void ring3_run(struct ring3 *r, struct trap_frame *f)
{
    struct trap_frame *start = (struct trap_frame *)r->stack_top - 1;
    struct thread *t = thread_self();
    u64 stack_before = t->stack_top;
    struct space *space_before = t->space;
    ring3_watch(r, true);
    run.result = f;
    *start = *f;
    irq_disable();
    become(t, r->stack_top, r->space);
    this_cpu(fpu_owner) = NULL; /* whose registers are about to be used */
    ring3_go(start, &run.rsp);
    irq_disable();
    become(t, stack_before, space_before);
    irq_enable();
    ring3_watch(r, false);
}
