#include "kernel/console.h"

#include <stdarg.h>

#include "dev/keyboard.h"
#include "kernel/cmdline.h"
#include "kernel/idle.h"
#include "kernel/serial.h"
#include "lib/atomic.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/x86/cpu.h"

/* Bochs and QEMU (-debugcon) print what is written here, and read back 0xe9; without them nothing is there. */
#define DEBUG_PORT      0xe9u
#define DEBUG_PORT_ECHO 0xe9u

static bool have_serial, have_keyboard;
static bool serial_off; /* it is there, and not to be used */
static u32 failures;
static bool ended;

static void debug_port_write(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out8(DEBUG_PORT, (u8)text[i]);
}

static void serial_port_write(const char *text, size_t n)
{
    if (!serial_off)
        serial_write(text, n);
}

static const char *set_serial(const char *value)
{
    bool on;
    if (!parse_on_off(value, &on))
        return "serial=on or serial=off";
    serial_off = !on;
    return NULL;
}
PARAM(serial, "serial", "serial=on|off  text to and from the first serial port, if there is one (default on)",
      set_serial);

void console_init(void)
{
    static struct log_sink serial_sink = {.write = serial_port_write},
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
    return have_serial && !serial_off;
}

bool console_can_read(void)
{
    return console_has_serial() || have_keyboard;
}

int console_poll(void)
{
    int c = console_has_serial() ? serial_read() : -1;
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
    if (console_has_serial())
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
