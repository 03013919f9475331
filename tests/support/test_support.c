#include "support/test_support.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct test_random test_random_of(uint64_t seed) {
    return (struct test_random){seed};
}

uint64_t test_random_u64(struct test_random *random) {
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t test_random_below(struct test_random *random, uint64_t limit) { return test_random_u64(random) % limit; }

void test_random_bytes(struct test_random *random, void *into, size_t size) {
    uint8_t *at = into;
    for (size_t i = 0; i < size; i++) at[i] = (uint8_t)test_random_u64(random);
}

void test_directory_create(char path[TEST_PATH_MAX]) {
    const char *parent = getenv("TMPDIR");
    snprintf(path, TEST_PATH_MAX, "%s/plinth-test-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!mkdtemp(path)) fail_msg("mkdtemp(%s) failed", path);
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status, (void)type, (void)walk;
    return remove(path);
}

void test_directory_remove(const char *path) {
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS)) fail_msg("cannot remove %s", path);
}

void test_assert_status(enum plinth_status got, enum plinth_status wanted, const struct plinth_error *error,
                        const char *expression, const char *file, int line) {
    if (got == wanted) return;
    print_error("%s gave %s, not %s; \"%s\"\n", expression, plinth_status_name(got), plinth_status_name(wanted),
                error ? error->text : "");
    _fail(file, line);
}

void test_assert_contains(const char *text, const char *part, const char *file, int line) {
    if (strstr(text, part)) return;
    print_error("\"%s\" does not name \"%s\"\n", text, part);
    _fail(file, line);
}
