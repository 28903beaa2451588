/* The 8259s: initialised to vectors 0x20 .. 0x2f and masked. A masked 8259 can still raise its spurious interrupt:
 * line 7 of the chip whose request went away before it was acknowledged. Manual: Intel 8259A data sheet (ICW1-ICW4,
 * OCW1-OCW3, "Default IR7"). */
#include "kernel/pic.h"

#include "lib/counter.h"
#include "lib/log.h"
#include "lib/x86/cpu.h"

COUNTER(irq_pic_spurious, "spurious interrupts of the 8259s");

#define MASTER         0x20u
#define SLAVE          0xa0u
#define DATA           1u    /* offset of the data port */
#define ICW1_INIT_ICW4 0x11u /* edge triggered, cascaded, ICW4 follows */
#define ICW4_8086      0x01u
#define CASCADE_LINE   2u    /* of the master; the slave hangs there */
#define OCW2_EOI       0x20u /* ends the highest interrupt in service */
#define OCW3_READ_ISR  0x0bu
#define SPURIOUS_LINE  7u

/* The chips are slow on old buses, and a write to the POST port takes as long as they need. */
static void pic_out(u16 port, u32 v)
{
    out8(port, (u8)v);
    out8(0x80, 0);
}

static void pic_setup(u16 chip, u32 first_vector, u32 icw3)
{
    pic_out(chip, ICW1_INIT_ICW4);
    pic_out(chip + DATA, first_vector);
    pic_out(chip + DATA, icw3);
    pic_out(chip + DATA, ICW4_8086);
    pic_out(chip + DATA, 0xff); /* OCW1: all eight lines masked */
}

void pic_disable(void)
{
    pic_setup(MASTER, VECTOR_PIC_FIRST, 1u << CASCADE_LINE);
    pic_setup(SLAVE, VECTOR_PIC_FIRST + 8, CASCADE_LINE);
}

static bool in_service(u16 chip, u32 line)
{
    out8(chip, OCW3_READ_ISR);
    return (in8(chip) >> line & 1) != 0;
}

void pic_interrupt(vector_t v)
{
    u32 irq = v - VECTOR_PIC_FIRST;
    bool slave = irq >= 8;
    bool real = in_service(slave ? SLAVE : MASTER, irq % 8);

    /* A spurious interrupt is not in service and takes no EOI; one of the slave's is in service at the master all the
     * same, because the slave's request is an ordinary interrupt there. */
    if (real && slave)
        out8(SLAVE, OCW2_EOI);
    if (real || (slave && in_service(MASTER, CASCADE_LINE)))
        out8(MASTER, OCW2_EOI);
    if (!real && irq % 8 == SPURIOUS_LINE)
        counter_inc(irq_pic_spurious);
    else
        log_warn("interrupt on line %u of the 8259s, which are masked", irq);
}
