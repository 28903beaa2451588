#include "dev/keyboard.h"

#include "dev/keymap.h"
#include "dev/screen.h"
#include "lib/log.h"
#include "lib/param.h"
#include "lib/string.h"
#include "lib/wait.h"
#include "lib/x86/cpu.h"

/* 8042: IBM PC/AT technical reference; the bits of the status port. */
#define PORT_DATA      0x60u
#define PORT_STATUS    0x64u
#define PORT_COMMAND   0x64u
#define STATUS_FULL    0x01u /* a byte for us */
#define STATUS_BUSY    0x02u /* our last byte has not been taken */
#define STATUS_MOUSE   0x20u /* the byte for us comes from the second port */
#define COMMAND_READ   0x20u
#define COMMAND_WRITE  0x60u
#define COMMAND_ENABLE 0xaeu
#define CONFIG_IRQS    0x03u
#define CONFIG_OFF     0x10u /* the first port's clock is stopped */
#define CONFIG_SET1    0x40u /* scan codes are translated to set 1 */
#define KEYBOARD_SCAN  0xf4u /* to the keyboard: send what is typed */
#define LIMIT_MS       50u
#define DRAIN_MAX      64u /* more bytes than any buffer holds: then it is no 8042 */

static bool present;
static struct keymap map;
static struct keymap_out ready; /* of which `taken` bytes have been given out */
static u32 taken;

static bool wait_status(u8 bits, u8 value)
{
    struct wait w = WAIT("the keyboard controller", wait_ms(LIMIT_MS));
    while ((in8(PORT_STATUS) & bits) != value)
        if (!wait_spin(&w))
            return (in8(PORT_STATUS) & bits) == value;
    return true;
}

static bool send(u16 port, u8 byte)
{
    if (!wait_status(STATUS_BUSY, 0))
        return false;
    out8(port, byte);
    return true;
}

static bool drain(void)
{
    for (u32 i = 0; i < DRAIN_MAX; i++) {
        if (!(in8(PORT_STATUS) & STATUS_FULL))
            return true;
        (void)in8(PORT_DATA);
    }
    return false;
}

bool keyboard_init(void)
{
    /* Where there is no controller the port reads as all ones. */
    if (in8(PORT_STATUS) == 0xff || !drain() || !send(PORT_COMMAND, COMMAND_READ) ||
        !wait_status(STATUS_FULL, STATUS_FULL))
        return false;
    u8 config = (u8)((in8(PORT_DATA) | CONFIG_SET1) & ~(CONFIG_IRQS | CONFIG_OFF));
    present = send(PORT_COMMAND, COMMAND_WRITE) && send(PORT_DATA, config) &&
              send(PORT_COMMAND, COMMAND_ENABLE) && send(PORT_DATA, KEYBOARD_SCAN);
    /* Its answer, 0xfa, would be taken for a key that was released; a keyboard that is absent gives none. */
    if (present && wait_status(STATUS_FULL, STATUS_FULL))
        (void)in8(PORT_DATA);
    return present;
}

int keyboard_poll(void)
{
    while (present && taken == ready.length) {
        u8 status = in8(PORT_STATUS);
        if (!(status & STATUS_FULL))
            return -1;
        u8 scan = in8(PORT_DATA);
        taken = 0;
        ready = (struct keymap_out){0};
        if (!(status & STATUS_MOUSE))
            ready = keymap_scan(&map, scan);
        if (ready.page)
            screen_page(ready.page);
    }
    return taken < ready.length ? (u8)ready.text[taken++] : -1;
}

static const char *set_layout(const char *value)
{
    for (u8 i = 0; i < KEYMAP_LAYOUTS; i++)
        if (strcmp(value, keymap_name[i]) == 0) {
            map.layout = i;
            return NULL;
        }
    return "keyboard=us, uk or de";
}
PARAM(keyboard, "keyboard",
      "keyboard=us|uk|de  layout of a PS/2 keyboard, or one that firmware shows as such (default us)",
      set_layout);
