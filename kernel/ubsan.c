/* Undefined behaviour, found while it happens: what the checks that -fsanitize=undefined compiles in (make DEBUG=1) call. Each is a
 * panic with the place in the source and the kind. The interface is the compilers' own, as LLVM documents it beside
 * UndefinedBehaviorSanitizer; what follows the place in each record is not needed to say what happened and where. */
#include "lib/assert.h"
#include "lib/types.h"

struct ubsan_place {
    const char *file;
    u32 line, column;
};

/* Of a handler `name`, whose record begins with the place; the values stay in the registers that the panic prints. */
#define UBSAN_HANDLER(name, what)                                                                            \
    NORETURN COLD void __ubsan_handle_##name(const struct ubsan_place *p);                                   \
    NORETURN COLD void __ubsan_handle_##name(const struct ubsan_place *p)                                    \
    {                                                                                                        \
        panic("undefined behaviour: %s at %s:%u:%u", what, p->file, p->line, p->column);                     \
    }

UBSAN_HANDLER(add_overflow, "a signed sum overflows")
UBSAN_HANDLER(sub_overflow, "a signed difference overflows")
UBSAN_HANDLER(mul_overflow, "a signed product overflows")
UBSAN_HANDLER(negate_overflow, "a negated value overflows")
UBSAN_HANDLER(divrem_overflow, "a division by zero, or one that overflows")
UBSAN_HANDLER(shift_out_of_bounds, "a shift by as many bits as the type has, or by a negative number")
UBSAN_HANDLER(out_of_bounds, "an array index out of bounds")
UBSAN_HANDLER(alignment_assumption, "an address that is not aligned as was promised")
UBSAN_HANDLER(pointer_overflow, "pointer arithmetic that leaves the address space")
UBSAN_HANDLER(load_invalid_value, "a value that its type cannot have")
UBSAN_HANDLER(builtin_unreachable, "code that was called unreachable is reached")
UBSAN_HANDLER(missing_return, "a function ends without the value that it returns")
UBSAN_HANDLER(vla_bound_not_positive, "an array of no or negative size")
UBSAN_HANDLER(invalid_builtin, "a built-in function of a value that it does not take")

UBSAN_HANDLER(nonnull_arg, "a null pointer for an argument that must not be one")

struct ubsan_access {
    struct ubsan_place place;
    const void *type;
    u8 log2_alignment, kind;
};

/* An address that is not aligned for its type is no fault here: the CPU does it, no vector instruction is generated that would not, and the
 * hardware's packed structures lose that attribute where they are reached through GS. What is left is memory that is no object. */
COLD void __ubsan_handle_type_mismatch_v1(const struct ubsan_access *a, u64 address);
COLD void __ubsan_handle_type_mismatch_v1(const struct ubsan_access *a, u64 address)
{
    if (IS_ALIGNED(address, 1ull << a->log2_alignment))
        panic("undefined behaviour: an access to %llx, which is no object, at %s:%u:%u",
              (unsigned long long)address, a->place.file, a->place.line, a->place.column);
}
