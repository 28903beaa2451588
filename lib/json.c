#include "lib/json.h"

#include "lib/assert.h"
#include "lib/log.h"
#include "lib/string.h"

void (*json_keep)(const char *text, size_t n);

/* Counts on past the end, so that json_end knows how long the record would have been. */
static void add(struct json *j, const char *text, size_t n)
{
    if (j->length + n < JSON_MAX)
        memcpy(j->text + j->length, text, n);
    j->length += n;
}

static void add_string(struct json *j, const char *s)
{
    add(j, "\"", 1);
    for (; *s; s++) {
        u8 c = (u8)*s;
        char escape[8];
        if (c == '"' || c == '\\') {
            escape[0] = '\\';
            escape[1] = (char)c;
            add(j, escape, 2);
        } else if (c < 0x20 || c > 0x7e) {
            add(j, escape, (size_t)format(escape, sizeof(escape), "\\u%04x", c));
        } else {
            add(j, s, 1);
        }
    }
    add(j, "\"", 1);
}

static void add_key(struct json *j, const char *key)
{
    add(j, ",", 1);
    add_string(j, key);
    add(j, ":", 1);
}

static void add_u64(struct json *j, u64 value)
{
    char digits[24];
    add(j, digits, (size_t)format(digits, sizeof(digits), "%llu", (unsigned long long)value));
}

void json_begin(struct json *j, const char *type)
{
    static const char head[] = "{\"volley\":1";
    ASSERT(strlen(type) < 64,
           "the type of a record is a short word, so that the record about its failure fits");
    j->type = type;
    j->length = 0;
    add(j, head, sizeof(head) - 1);
    json_str(j, "type", type);
}

void json_str(struct json *j, const char *key, const char *value)
{
    add_key(j, key);
    if (value)
        add_string(j, value);
    else
        add(j, "null", 4);
}

void json_u64(struct json *j, const char *key, u64 value)
{
    add_key(j, key);
    add_u64(j, value);
}

void json_s64(struct json *j, const char *key, s64 value)
{
    add_key(j, key);
    if (value < 0)
        add(j, "-", 1);
    add_u64(j, value < 0 ? 0 - (u64)value : (u64)value);
}

void json_bool(struct json *j, const char *key, bool value)
{
    add_key(j, key);
    add(j, value ? "true" : "false", value ? 4 : 5);
}

void json_u64_list(struct json *j, const char *key, const u64 *values, u32 count)
{
    add_key(j, key);
    add(j, "[", 1);
    for (u32 i = 0; i < count; i++) {
        if (i)
            add(j, ",", 1);
        add_u64(j, values[i]);
    }
    add(j, "]", 1);
}

bool json_end(struct json *j)
{
    add(j, "}", 1);
    if (j->length < JSON_MAX) {
        j->text[j->length] = 0;
        print("%s\n", j->text);
        if (json_keep)
            json_keep(j->text, j->length);
        return true;
    }
    size_t length = j->length;
    const char *type = j->type;
    log_error("a %s record of %zu bytes was not printed: at most %u fit (lib/json.h: JSON_MAX)", type, length,
              JSON_MAX - 1);
    json_begin(j, "error");
    json_str(j, "what", "record too long");
    json_str(j, "record", type);
    json_u64(j, "bytes", length);
    (void)json_end(j);
    return false;
}
