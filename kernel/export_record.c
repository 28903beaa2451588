#include "kernel/export_record.h"

#include "lib/string.h"

/* What a level leaves out first, in the order of what a reader can spare. */
struct rule {
    const char *name;
    u32 level;
};
static const struct rule fields[] = {
    {"p999", 1},
    {"overhead", 1},
    {"lines", 1},
    {"shootdowns", 1},
    {"tlb_flush_pages", 1},
    {"tlb_flush_space", 1},
    {"tlb_flush_all", 1},
    {"shootdown_routed", 1},
    {"msg_sent", 1},
    {"msg_rings", 1},
    {"mean", 3},
    {"p90", 3},
    {"max", 3},
    {"p50_low", 4},
    {"p50_high", 4},
    {"p99", 6},
};
static const struct rule metrics[] = {{"phase.", 2}, {"release", 5}};
/* Records of results and of what they are results of. */
static const char *const types[] = {"machine", "conditions", "bench", "seed"};

struct span {
    const char *at;
    size_t n;
};

static bool is(struct span s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.at, text, s.n) == 0;
}

/* From the opening quote to behind the closing one. */
static const char *string_end(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\';
    return MIN(at + 1, end);
}

static const char *value_end(const char *at, const char *end)
{
    if (at < end && *at == '"')
        return string_end(at, end);
    while (at < end && *at != ',' && *at != '}')
        if (*at == '[')
            while (at < end && *at != ']')
                at++;
        else
            at++;
    return at;
}

/* The next member of the object at *at, which stands on the brace or comma before it. False: there is none. */
static bool next(const char **at, const char *end, struct span *key, struct span *value)
{
    const char *from = *at + 1;
    if (from >= end || *from != '"')
        return false;
    const char *colon = string_end(from, end);
    *key = (struct span){from + 1, (size_t)(colon - from) - 2};
    if (colon >= end || *colon != ':')
        return false;
    *at = value_end(colon + 1, end);
    *value = (struct span){colon + 1, (size_t)(*at - colon) - 1};
    return *at < end;
}

static bool wanted(struct span key, struct span value, u32 level)
{
    if (is(key, "type")) {
        for (size_t i = 0; i < ARRAY_SIZE(types); i++)
            if (value.n == strlen(types[i]) + 2 && memcmp(value.at + 1, types[i], value.n - 2) == 0)
                return true;
        return false;
    }
    if (is(key, "metric"))
        for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
            size_t n = strlen(metrics[i].name);
            if (metrics[i].level <= level && value.n > n && memcmp(value.at + 1, metrics[i].name, n) == 0)
                return false;
        }
    return true;
}

static bool has_field(struct span key, u32 level)
{
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        if (fields[i].level <= level && is(key, fields[i].name))
            return false;
    return true;
}

size_t export_record(const char *line, size_t n, u32 level, char *out)
{
    const char *at = line, *end = line + n;
    struct span key, value;
    size_t written = 0;
    while (next(&at, end, &key, &value)) {
        if (!wanted(key, value, level))
            return 0;
        if (!has_field(key, level))
            continue;
        const char *from = key.at - 1;
        out[written] = written ? ',' : '{';
        written++;
        memcpy(out + written, from, (size_t)(at - from));
        written += (size_t)(at - from);
    }
    if (!written)
        return 0;
    out[written++] = '}';
    return written;
}
