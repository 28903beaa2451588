#include "kernel/serial.h"

#include "lib/wait.h"
#include "lib/x86/cpu.h"

/* Registers, from the base port (PC16550D data sheet, table II). */
enum {
    BASE = 0x3f8,
    DATA = BASE + 0,       /* received byte, byte to send; divisor low while LCR_DIVISOR */
    INTERRUPTS = BASE + 1, /* interrupt enable; divisor high while LCR_DIVISOR */
    FIFO = BASE + 2,       /* writing: FIFO control; reading: interrupt identification */
    LINE = BASE + 3,
    MODEM = BASE + 4,
    LINE_STATUS = BASE + 5,
    SCRATCH = BASE + 7,
};

#define LCR_8N1           0x03u
#define LCR_DIVISOR       0x80u
#define FCR_ENABLE_CLEAR  0x07u /* enable both FIFOs, clear both */
#define IIR_FIFO_MASK     0xc0u /* both set: the FIFOs are there and work */
#define MCR_DTR_RTS       0x03u
#define LSR_DATA_READY    0x01u
#define LSR_HOLDING_EMPTY 0x20u /* with FIFOs: the whole transmit FIFO */
#define LSR_ALL_SENT      0x40u /* the shift register too */

#define DIVISOR_115200    1u /* of 1.8432 MHz / 16 */
/* 16 bytes of 10 bits at 115200 baud are gone in 1.4 ms; a port that needs 20 is not sending. */
#define ROOM_LIMIT_MS 20u

static u32 fifo_size = 1;
static bool stuck; /* the last wait for room was in vain: look, but wait no more until there is some */

static bool status_has(u8 bits)
{
    return (in8(LINE_STATUS) & bits) == bits;
}

static bool wait_status(const char *what, u8 bits)
{
    struct wait w = WAIT(what, wait_ms(ROOM_LIMIT_MS));
    while (!status_has(bits))
        if (!wait_spin(&w))
            return status_has(bits);
    return true;
}

static bool scratch_keeps(u8 v)
{
    out8(SCRATCH, v);
    return in8(SCRATCH) == v;
}

bool serial_init(void)
{
    /* Where there is no UART reads give 0xff, and no register keeps anything. */
    if (!scratch_keeps(0x5a) || !scratch_keeps(0xa5))
        return false;
    serial_flush(); /* of what the boot loader is still sending at its own speed */
    out8(INTERRUPTS, 0);
    out8(LINE, LCR_DIVISOR);
    out8(DATA, DIVISOR_115200);
    out8(INTERRUPTS, 0);
    out8(LINE, LCR_8N1);
    out8(FIFO, FCR_ENABLE_CLEAR);
    out8(MODEM, MCR_DTR_RTS);
    if ((in8(FIFO) & IIR_FIFO_MASK) == IIR_FIFO_MASK)
        fifo_size = 16;
    return true;
}

/* How many bytes can be written now: 0 or the whole FIFO. */
static u32 room(void)
{
    if (status_has(LSR_HOLDING_EMPTY) ||
        (!stuck && wait_status("the serial port to send", LSR_HOLDING_EMPTY))) {
        stuck = false;
        return fifo_size;
    }
    stuck = true;
    return 0;
}

void serial_write(const char *text, size_t n)
{
    u32 left = 0;
    for (size_t i = 0; i < n; i++) {
        /* A line feed may need two places, and with a FIFO of one the second is waited for. */
        for (u32 part = text[i] == '\n' ? 0 : 1; part < 2; part++) {
            if (!left && !(left = room()))
                return;
            out8(DATA, part == 0 ? '\r' : (u8)text[i]);
            left--;
        }
    }
}

int serial_read(void)
{
    return status_has(LSR_DATA_READY) ? in8(DATA) : -1;
}

void serial_flush(void)
{
    if (!stuck)
        (void)wait_status("the serial port to become empty", LSR_HOLDING_EMPTY | LSR_ALL_SENT);
}
