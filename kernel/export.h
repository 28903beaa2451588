/* Taking results home from a machine that has a screen and no serial port. The records of benchmarks are kept in memory, and made into one
 * file of JSON Lines, as much of each record as there is room for, deflated; `qr` shows it as QR codes (kernel/export_codes.c), and
 * `export` prints it. docs/usb-stick.md has the format of the codes; tools/collect reads them. Boot CPU, THREAD, but for what json_end calls. */
#pragma once

#include "lib/types.h"

struct export_file {
    const char *text; /* what the file holds, and its CRC-32 */
    u64 length;
    u32 crc;
    const u8 *packed; /* the same, deflated */
    u64 packed_length;
    u32 level; /* of kernel/export_record.h */
    u32 records,
        left_out; /* lines in it, the one that describes it not counted; and records that are not in it */
};

/* Once, after screen_init: keeps records from here on, if there is a framebuffer to show codes on and memory for them. */
void export_init(void);
bool export_has_records(void);
/* Makes the file: at the lowest level, and with as many of the first records, that it takes no more than `room` bytes deflated. It holds until
 * the next call. False: there is nothing to export. */
bool export_make(u64 room, struct export_file *f);
/* Says how to take home what there is, where no serial port has taken it already. */
void export_offer(bool serial);
