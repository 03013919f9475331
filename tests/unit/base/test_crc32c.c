#include "support/test_support.h"

#include <stdlib.h>

#include "base/crc32c.h"

static void known_values(void **state) {
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa); /* RFC 3720, B.4 */
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++) bytes[i] = i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c(0, NULL, 0), 0);
}

/* Bit by bit, as the polynomial says. */
static uint32_t by_bits(uint32_t crc, const uint8_t *data, size_t size) {
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

static void all_versions_agree_at_every_length_and_alignment(void **state) {
    (void)state;
    enum { SIZE = 70000 };
    uint8_t *data = malloc(SIZE + 8);
    struct test_random random = test_random_of(1);
    test_random_bytes(&random, data, SIZE + 8);
    for (size_t size = 0; size < SIZE; size += size < 900 ? 1 : 1 + test_random_below(&random, 1500)) {
        const uint8_t *at = data + test_random_below(&random, 8);
        uint32_t begin = (uint32_t)test_random_u64(&random);
        uint32_t wanted = by_bits(begin, at, size);
        assert_int_equal(crc32c(begin, at, size), wanted);
        assert_int_equal(crc32c_portable(begin, at, size), wanted);
    }
    free(data);
}

static void pieces_give_the_same_as_the_whole(void **state) {
    (void)state;
    uint8_t data[30000];
    struct test_random random = test_random_of(2);
    test_random_bytes(&random, data, sizeof data);
    uint32_t whole = crc32c(0, data, sizeof data);
    for (int i = 0; i < 200; i++) {
        size_t cut = test_random_below(&random, sizeof data + 1);
        assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, sizeof data - cut), whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(all_versions_agree_at_every_length_and_alignment),
        cmocka_unit_test(pieces_give_the_same_as_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
