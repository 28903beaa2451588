/* \_S5: the two numbers that PM1a_CNT and PM1b_CNT take to switch the machine off (ACPI 6.5, sections 7.3.4.6, 20.2).
 *
 * Every firmware defines it as Name (\_S5, Package () {a, b, ...}) with constants, so that its bytes can be recognised
 * without an AML interpreter:
 *
 *     NameOp ['\'] "_S5_" PackageOp PkgLength NumElements constant constant ... */
#include "kernel/acpi_table.h"

enum aml {
    AML_ZERO = 0x00,
    AML_ONE = 0x01,
    AML_NAME = 0x08,
    AML_BYTE = 0x0a,
    AML_WORD = 0x0b,
    AML_DWORD = 0x0c,
    AML_QWORD = 0x0e,
    AML_PACKAGE = 0x12,
    AML_ROOT = '\\',
};

/* SLP_TYP is a field of three bits (ACPI 6.5, table 4.21). */
#define SLP_TYP_MAX 7u

/* An integer constant at *at, which moves behind it. False: something else stands there, or the package ends in it. */
static bool take_constant(const struct acpi_table *package, u64 *at, u64 *value)
{
    u64 bytes;
    switch (acpi_u8(package, *at)) {
    case AML_ZERO:
    case AML_ONE:
        *value = acpi_u8(package, *at);
        bytes = 0;
        break;
    case AML_BYTE:
        bytes = 1;
        break;
    case AML_WORD:
        bytes = 2;
        break;
    case AML_DWORD:
        bytes = 4;
        break;
    case AML_QWORD:
        bytes = 8;
        break;
    default:
        return false;
    }
    if (*at >= package->len || package->len - *at - 1 < bytes)
        return false;
    if (bytes)
        *value = acpi_field(package, *at + 1, (u32)bytes);
    *at += 1 + bytes;
    return true;
}

/* What follows PackageOp, at `at`: PkgLength (1 to 4 bytes, counts itself), NumElements, elements. */
static bool parse_package(const struct acpi_table *dsdt, u64 at, u8 *a, u8 *b)
{
    u8 lead = acpi_u8(dsdt, at);
    u32 more = lead >> 6; /* bytes of length after the lead byte */
    u64 length = more ? (u64)(lead & 0xf) | acpi_field(dsdt, at + 1, more) << 4 : (u64)(lead & 0x3f);
    if (at >= dsdt->len || length > dsdt->len - at || length < 1 + more + 1)
        return false;

    const struct acpi_table package = {dsdt->bytes + at, length};
    u64 in = 1 + more, first, second;
    if (acpi_u8(&package, in) < 2) /* NumElements */
        return false;
    in++;
    if (!take_constant(&package, &in, &first) || !take_constant(&package, &in, &second))
        return false;
    if (first > SLP_TYP_MAX || second > SLP_TYP_MAX)
        return false;
    *a = (u8)first;
    *b = (u8)second;
    return true;
}

bool acpi_find_s5(const struct acpi_table *dsdt, u8 *slp_typ_a, u8 *slp_typ_b)
{
    /* The name may also occur in methods that refer to it, so the search goes on until the whole pattern fits. */
    for (u64 at = ACPI_HEADER_BYTES + 1; at + 5 < dsdt->len; at++) {
        if (!acpi_signature_is(dsdt->bytes + at, "_S5_") || dsdt->bytes[at + 4] != AML_PACKAGE)
            continue;
        u64 before = at - 1;
        if (dsdt->bytes[before] == AML_ROOT)
            before--;
        if (dsdt->bytes[before] == AML_NAME && parse_package(dsdt, at + 5, slp_typ_a, slp_typ_b))
            return true;
    }
    return false;
}
