/* Records for programs: JSON Lines among the text, one object a line, each beginning {"volley":1,"type":"...".
 *
 *   struct json j;
 *   json_begin(&j, "bench");
 *   json_str(&j, "policy", policy->name);
 *   json_u64(&j, "p50", p50);
 *   json_end(&j);                      prints the line, whole, whatever other CPUs print
 *
 * A record is plain ASCII whatever the strings hold: a byte above 0x7e is written as \u00XX. A record that grows past
 * JSON_MAX is not printed; in its place comes {"volley":1,"type":"error",...}, which names it, and json_end returns
 * false. Contexts as for print(): THREAD, IRQ-OFF, IPI. */
#pragma once

#include "lib/types.h"

/* Half as much again as the longest record there can be (`machine`, about 2 KiB). It lives on the caller's stack. */
#define JSON_MAX 3072u

struct json {
    const char *type;
    size_t length; /* without the final 0; what it would be, if that is more than fits */
    char text[JSON_MAX];
};

void json_begin(struct json *j, const char *type);
void json_str(struct json *j, const char *key, const char *value); /* NULL becomes null */
void json_u64(struct json *j, const char *key, u64 value);
void json_s64(struct json *j, const char *key, s64 value);
void json_bool(struct json *j, const char *key, bool value);
/* [1,2,3] */
void json_u64_list(struct json *j, const char *key, const u64 *values, u32 count);
bool json_end(struct json *j);

/* Gets each record that is printed, without a line feed, in json_end's context; NULL: nobody keeps them. Set once, by the boot CPU. */
extern void (*json_keep)(const char *text, size_t n);
