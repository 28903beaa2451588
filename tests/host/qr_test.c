/* QR codes of every version and level, read back by zbar: full and nearly empty ones, and damaged ones.
 *
 *     sources: dev/qr.c dev/qr_place.c lib/base45.c
 *     sanitize: address,undefined
 */
#include "dev/qr.h"

#include <unistd.h>

#include "lib/base45.h"
#include "tests/host/host.h"

#define PIXELS    3u
#define CASES_MAX 400u
#define TEXT_MAX  1853u

static u64 seed = 0x13198a2e03707344ull;
static u32 random_below(u32 n)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return (u32)(seed >> 32) % n;
}

static struct qr qr;
static struct {
    char text[TEXT_MAX + 1];
    u32 version;
    enum qr_level level;
    bool read;
} cases[CASES_MAX];
static u32 count;
static char folder[64];

static void begin(void)
{
    count = 0;
    snprintf(folder, sizeof(folder), "build/host/qr.XXXXXX");
    HOST_CHECK(mkdtemp(folder) != NULL, "a folder for the pictures");
}

static void write_picture(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%03u.pgm", folder, count);
    FILE *f = fopen(path, "wb");
    u32 side = (qr.size + 2 * QR_QUIET) * PIXELS;
    fprintf(f, "P5 %u %u 255\n", side, side);
    for (u32 y = 0; y < side; y++)
        for (u32 x = 0; x < side; x++) {
            u32 mx = x / PIXELS - QR_QUIET, my = y / PIXELS - QR_QUIET;
            fputc(mx < qr.size && my < qr.size && qr_dark(&qr, mx, my) ? 0 : 255, f);
        }
    fclose(f);
}

/* n characters at random, of which the first three are the case's number. */
static void add(u32 version, enum qr_level level, u32 n)
{
    char *text = cases[count].text;
    for (u32 i = 0; i < n; i++)
        text[i] = base45_digit[random_below(45)];
    char number[4];
    snprintf(number, sizeof(number), "%03u", count);
    memcpy(text, number, 3);
    /* zbarimg ends each text by a line feed; a blank at the end would be told apart badly. */
    text[n - 1] = 'Z';
    text[n] = 0;
    cases[count].version = version;
    cases[count].level = level;
    cases[count].read = false;
    HOST_CHECK(qr_encode(&qr, version, level, text, n) == ERR_OK, "version %u, level %u, %u characters",
               version, level, n);
}

static void read_back(void)
{
    char command[256], line[TEXT_MAX + 16];
    snprintf(command, sizeof(command),
             "zbarimg -q --nodbus --raw -Sdisable -Sqrcode.enable %s/*.pgm 2>/dev/null", folder);
    FILE *zbar = popen(command, "r");
    while (zbar && fgets(line, sizeof(line), zbar)) {
        line[strcspn(line, "\n")] = 0;
        u32 i = (u32)strtoul((char[]){line[0], line[1], line[2], 0}, NULL, 10);
        HOST_CHECK(i < count && strcmp(line, cases[i].text) == 0, "zbar reads <%s>", line);
        if (i < count)
            cases[i].read = true;
    }
    if (zbar)
        pclose(zbar);
    for (u32 i = 0; i < count; i++)
        HOST_CHECK(cases[i].read, "version %u, level %u, %zu characters: zbar reads nothing",
                   cases[i].version, cases[i].level, strlen(cases[i].text));
    snprintf(command, sizeof(command), "rm -r %s", folder);
    HOST_CHECK(system(command) == 0, "the pictures are removed");
}

static bool have_zbar(void)
{
    if (system("command -v zbarimg >/dev/null 2>&1") == 0)
        return true;
    host_skip("zbarimg is not installed");
    return false;
}

HOST_TEST(every_version_and_level_is_read)
{
    if (!have_zbar())
        return;
    begin();
    for (u32 version = 1; version <= QR_VERSION_MAX; version++)
        for (enum qr_level level = 0; level < QR_LEVELS; level++) {
            u32 most = qr_capacity(version, level);
            add(version, level, most);
            write_picture();
            count++;
            u32 few = 4 + random_below(20);
            add(version, level, MIN(few, most - 1));
            write_picture();
            count++;
        }
    read_back();
}

/* A square of wrong data, of which each level mends more: the blocks share it evenly. */
HOST_TEST(damage_is_mended)
{
    static const u32 of_a_hundred[QR_LEVELS] = {2, 5, 9,
                                                12}; /* of modules; a wrong byte is one with a wrong module */
    if (!have_zbar())
        return;
    begin();
    for (u32 version = 5; version <= QR_VERSION_MAX; version += 5)
        for (enum qr_level level = 0; level < QR_LEVELS; level++) {
            add(version, level, qr_capacity(version, level));
            u32 wrong = qr.size * qr.size * of_a_hundred[level] / 100, side = 1;
            while ((side + 1) * (side + 1) <= wrong)
                side++;
            u32 left = 10 + random_below(qr.size - 18 - side), top = 10 + random_below(qr.size - 18 - side);
            for (u32 i = 0; i < side * side; i++)
                qr.module[(top + i / side) * qr.size + left + i % side] ^=
                    !(qr.module[(top + i / side) * qr.size + left + i % side] & 2);
            write_picture();
            count++;
        }
    read_back();
}

HOST_TEST(what_does_not_fit)
{
    static char text[TEXT_MAX + 2];
    memset(text, 'A', sizeof(text));
    for (u32 version = 1; version <= QR_VERSION_MAX; version++)
        for (enum qr_level level = 0; level < QR_LEVELS; level++)
            HOST_CHECK(qr_encode(&qr, version, level, text, qr_capacity(version, level) + 1) == ERR_RANGE,
                       "version %u", version);
    HOST_CHECK(qr_capacity(1, QR_L) == 25 && qr_capacity(10, QR_M) == 311 && qr_capacity(25, QR_L) == 1853,
               "as the standard's table 7");
    HOST_CHECK(qr_encode(&qr, 0, QR_L, text, 1) == ERR_RANGE &&
                   qr_encode(&qr, 26, QR_L, text, 1) == ERR_RANGE,
               "versions");
    HOST_CHECK(qr_encode(&qr, 1, QR_L, "a", 1) == ERR_INVAL && qr_encode(&qr, 1, QR_L, "0!", 2) == ERR_INVAL,
               "characters");
}

HOST_TEST(base_45)
{
    static const struct {
        const char *in, *out;
    } known[] = {
        {"", ""}, {"AB", "BB8"}, {"Hello!!", "%69 VD92EX0"}, {"base-45", "UJCLQE7W581"}, {"\xff\xff", "FGW"}};
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        char out[32] = {0};
        u64 n = strlen(known[i].in);
        base45_encode((const u8 *)known[i].in, n, out);
        HOST_CHECK(strcmp(out, known[i].out) == 0 && base45_length(n) == strlen(out), "%s: %s", known[i].in,
                   out);
    }
}
