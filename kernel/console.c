#include "kernel/console.h"

#include <stdarg.h>

#include "dev/keyboard.h"
#include "kernel/cmdline.h"
#include "kernel/idle.h"
#include "kernel/serial.h"
#include "lib/atomic.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/x86/cpu.h"

/* Bochs and QEMU (-debugcon) print what is written here, and read back 0xe9; without them nothing is there. */
#define DEBUG_PORT      0xe9u
#define DEBUG_PORT_ECHO 0xe9u

static bool have_serial, have_keyboard;
static u32 failures;
static bool ended;

static void debug_port_write(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out8(DEBUG_PORT, (u8)text[i]);
}

void console_init(void)
{
    static struct log_sink serial_sink = {.write = serial_write},
                           debug_port_sink = {.write = debug_port_write};
    have_serial = serial_init();
    if (have_serial)
        log_add_sink(&serial_sink);
    if (in8(DEBUG_PORT) == DEBUG_PORT_ECHO)
        log_add_sink(&debug_port_sink);
}

void console_init_keyboard(void)
{
    have_keyboard = keyboard_init();
}

bool console_has_serial(void)
{
    return have_serial;
}

bool console_can_read(void)
{
    return have_serial || have_keyboard;
}

int console_poll(void)
{
    int c = have_serial ? serial_read() : -1;
    return c < 0 && have_keyboard ? keyboard_poll() : c;
}

u8 console_read(void)
{
    for (;;) {
        int c = console_poll();
        if (c >= 0)
            return (u8)c;
        idle_for_a_tick();
    }
}

void console_flush(void)
{
    if (have_serial)
        serial_flush();
}

void console_fail(const char *fmt, ...)
{
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    vformat(what, sizeof(what), fmt, ap);
    va_end(ap);
    log_error("%s", what);
    atomic_fetch_add(&failures, 1);
}

bool console_end(bool ok)
{
    ok = ok && !atomic_load_relaxed(&failures) && !cmdline_errors();
    if (!atomic_xchg(&ended, true)) {
        struct json j;
        json_begin(&j, "end");
        json_bool(&j, "ok", ok);
        json_u64(&j, "failures", atomic_load_relaxed(&failures));
        json_u64(&j, "cmdline_errors", cmdline_errors());
        (void)json_end(&j);
    }
    console_flush();
    return ok;
}
