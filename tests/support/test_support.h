/* What the unit tests share: reproducible randomness, a scratch directory, and assertions that print the
 * error's text. Include it instead of cmocka.h. */
#ifndef PLINTH_TESTS_SUPPORT_TEST_SUPPORT_H
#define PLINTH_TESTS_SUPPORT_TEST_SUPPORT_H

/* cmocka wants these before itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "plinth_status.h"

/* splitmix64: the same seed gives the same numbers everywhere. */
struct test_random {
    uint64_t state;
};
struct test_random test_random_of(uint64_t seed);
uint64_t test_random_u64(struct test_random *random);
/* 0 to limit - 1; limit > 0. */
uint64_t test_random_below(struct test_random *random, uint64_t limit);
void test_random_bytes(struct test_random *random, void *into, size_t size);

enum { TEST_PATH_MAX = 256 };
/* Makes an empty directory under $TMPDIR or /tmp and puts its path into `path`. */
void test_directory_create(char path[TEST_PATH_MAX]);
/* Removes the directory and everything in it. */
void test_directory_remove(const char *path);

void test_assert_status(enum plinth_status got, enum plinth_status wanted, const struct plinth_error *error,
                        const char *expression, const char *file, int line);
/* Fails the test, with the error's text, unless the call gives PLINTH_OK (or `wanted`). */
#define assert_ok(call, error) test_assert_status((call), PLINTH_OK, (error), #call, __FILE__, __LINE__)
#define assert_status(call, wanted, error) test_assert_status((call), (wanted), (error), #call, __FILE__, __LINE__)
/* Fails unless the error's text contains `part`. */
#define assert_error_names(error, part) test_assert_contains((error)->text, (part), __FILE__, __LINE__)
void test_assert_contains(const char *text, const char *part, const char *file, int line);

#endif
