/* SMBIOS: who made this machine and its firmware (DSP0134 3.6). Pure parsers over a reader callback, as in kernel/acpi.h. */
#pragma once

#include "kernel/acpi.h"

#define SMBIOS_TEXT 48u

struct smbios {
    char bios_vendor[SMBIOS_TEXT], bios_version[SMBIOS_TEXT], bios_date[16];
    char maker[SMBIOS_TEXT], product[SMBIOS_TEXT], board[SMBIOS_TEXT];
    u8 major, minor; /* of the specification; 0.0: nothing was found */
};

/* Looks in the `bytes` bytes at `at`, which lie at a multiple of 16, for an entry point: what BIOSes put into f0000 .. fffff. */
bool smbios_scan(const u8 *at, u64 bytes, acpi_map_fn map, struct smbios *out);
/* By the EFI system table's list of configuration tables. */
bool smbios_find_efi(paddr_t system_table, acpi_map_fn map, struct smbios *out);
