#include "tests/duration.h"

#include "lib/param.h"

#define SECONDS_MAX 1000000u /* eleven days */

static u64 asked_ms, seed = 1; /* 0: nothing was asked for */

static const char *set_seconds(const char *value)
{
    u64 n;
    if (!parse_u64(value, &n) || n > SECONDS_MAX)
        return "a number from 0 to 1000000; 0: until a key is pressed";
    asked_ms = n ? n * 1000 : TEST_FOR_EVER;
    return NULL;
}
PARAM(seconds, "seconds",
      "seconds=N  how long test=storm and test=fuzz last, 0 .. 1000000; 0: until a key is pressed (default: "
      "some "
      "400 ms each)",
      set_seconds);

static const char *set_seed(const char *value)
{
    return parse_u64(value, &seed) ? NULL : "a number";
}
PARAM(seed, "seed", "seed=N  of the choices of test=storm, and of the first game of test=fuzz (default: 1)",
      set_seed);

u64 test_duration_ms(u64 usual)
{
    return asked_ms ? asked_ms : usual;
}

u64 test_seed(void)
{
    return seed;
}
