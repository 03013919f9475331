/* Metadata encodings, message framing, status codes and the timer heap: pure functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rpc/grpc_status.h"
#include "rpc/message.h"
#include "rpc/metadata.h"
#include "rpc/method_table.h"
#include "rpc/timer_heap.h"

static void assert_text(struct slice is, const char *expected) {
    assert_int_equal(is.size, strlen(expected));
    assert_memory_equal(is.data, expected, is.size);
}

static void base64_follows_rfc_4648_without_padding(void **state) {
    (void)state;
    static const char *const pairs[][2] = {
        {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
        {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct buffer text = BUFFER_INIT, bytes = BUFFER_INIT;
        assert_true(base64_encode(&text, slice_of_string(pairs[i][0])));
        assert_text(buffer_slice(&text), pairs[i][1]);
        assert_int_equal(base64_decode(&bytes, buffer_slice(&text)), PLINTH_OK);
        assert_text(buffer_slice(&bytes), pairs[i][0]);
        buffer_deinit(&text);
        buffer_deinit(&bytes);
    }
}

static void base64_accepts_padding_and_refuses_what_is_not_base64(void **state) {
    (void)state;
    struct buffer bytes = BUFFER_INIT;
    assert_int_equal(base64_decode(&bytes, slice_of_string("Zm9vYg==")), PLINTH_OK);
    assert_text(buffer_slice(&bytes), "foob");
    static const char *const bad[] = {"Z", "Zm9vY", "Z===", "Zg=", "Zm 9", "Z=9v", "====", "Zm9v=", "-_-_"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(base64_decode(&bytes, slice_of_string(bad[i])), PLINTH_INVALID_ARGUMENT);
    buffer_deinit(&bytes);
}

static void percent_encoding_keeps_any_text(void **state) {
    (void)state;
    struct buffer sent = BUFFER_INIT, received = BUFFER_INIT;
    const char *text = "\t100% \xc3\xbc\n~";
    assert_true(percent_encode(&sent, slice_of_string(text)));
    assert_text(buffer_slice(&sent), "%09100%25 %C3%BC%0A~");
    assert_true(percent_decode(&received, buffer_slice(&sent)));
    assert_text(buffer_slice(&received), text);
    buffer_clear(&received);
    assert_true(percent_decode(&received, slice_of_string("50% %zz %4 %41 %")));
    assert_text(buffer_slice(&received), "50% %zz %4 A %");
    buffer_deinit(&sent);
    buffer_deinit(&received);
}

static void grpc_timeout_is_read_in_every_unit_and_refused_when_malformed(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"1n", 1},
                {"2u", 2000},
                {"3m", 3000000},
                {"4S", 4000000000},
                {"5M", 300000000000},
                {"1H", 3600000000000},
                {"99999999H", UINT64_MAX},
                {"0S", 0}};
    static const char *const bad[] = {"", "1", "S", "123456789S", "-1S", "1s", "1.5S", " 1S", "1S "};
    uint64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(grpc_timeout_parse(slice_of_string(good[i].text), &ns));
        assert_true(ns == good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(grpc_timeout_parse(slice_of_string(bad[i]), &ns));
}

static void grpc_timeout_is_written_in_at_most_eight_digits_and_never_shortened(void **state) {
    (void)state;
    static const uint64_t values[] = {0, 1, 99999999, 100000000, 123456789123, UINT64_C(1) << 50, UINT64_C(1) << 62};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char text[GRPC_TIMEOUT_TEXT_MAX];
        size_t size = grpc_timeout_format(values[i], text);
        uint64_t back;
        assert_true(size <= 9);
        assert_true(grpc_timeout_parse(slice_of(text, size), &back));
        assert_true(back >= values[i] && back - values[i] <= values[i] / 100000);
    }
}

static void binary_metadata_is_decoded_and_split_at_commas(void **state) {
    (void)state;
    struct metadata metadata = {0};
    assert_int_equal(metadata_add_received(&metadata, slice_of_string("a-bin"), slice_of_string("Zm9v,YmFy")),
                     PLINTH_OK);
    assert_int_equal(metadata_add_received(&metadata, slice_of_string("b"), slice_of_string("x,y")), PLINTH_OK);
    assert_int_equal(metadata_add_received(&metadata, slice_of_string("c-bin"), slice_of_string("!")),
                     PLINTH_INVALID_ARGUMENT);
    assert_int_equal(metadata.count, 3);
    assert_text(metadata_at(&metadata, 0).value, "foo");
    assert_text(metadata_at(&metadata, 1).value, "bar");
    struct slice value;
    assert_true(metadata_find(&metadata, slice_of_string("b"), &value));
    assert_text(value, "x,y");
    assert_false(metadata_find(&metadata, slice_of_string("c-bin"), &value));
    metadata_deinit(&metadata);
}

static void metadata_that_http2_forbids_is_not_sent(void **state) {
    (void)state;
    struct metadata metadata = {0};
    static const char *const names[] = {"",   "Upper",     "sp ace", ":path", "grpc-status", "content-type",
                                        "te", "connection"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(metadata_add_to_send(&metadata, slice_of_string(names[i]), slice_of_string("v")),
                         PLINTH_INVALID_ARGUMENT);
    assert_int_equal(metadata_add_to_send(&metadata, slice_of_string("a"), slice_of_string("new\nline")),
                     PLINTH_INVALID_ARGUMENT);
    assert_int_equal(metadata.count, 0);
    for (int i = 0; i < METADATA_ENTRIES_MAX; i++)
        assert_int_equal(metadata_add_to_send(&metadata, slice_of_string("a-bin"), slice_of("\n", 1)), PLINTH_OK);
    assert_int_equal(metadata_add_to_send(&metadata, slice_of_string("a"), slice_of_string("v")),
                     PLINTH_INVALID_ARGUMENT);
    metadata_deinit(&metadata);
}

/* Feeds `wire` in pieces of `step` bytes and checks that the messages are "", "abc" and 1000 times 'x'. */
static void feed_in_steps(const struct buffer *wire, size_t step) {
    struct message_reader reader = {.bytes_max = 1000};
    unsigned count = 0;
    for (size_t at = 0; at < wire->size; at += step) {
        struct slice input = slice_of(wire->data + at, wire->size - at < step ? wire->size - at : step);
        struct slice message;
        enum message_result result;
        while ((result = message_reader_next(&reader, &input, &message)) == MESSAGE_READY) {
            if (count == 0) assert_int_equal(message.size, 0);
            if (count == 1) assert_text(message, "abc");
            if (count == 2) assert_true(message.size == 1000 && message.data[0] == 'x' && message.data[999] == 'x');
            count++;
        }
        assert_int_equal(result, MESSAGE_NONE);
        assert_int_equal(input.size, 0);
    }
    assert_int_equal(count, 3);
    assert_true(message_reader_is_idle(&reader));
    message_reader_deinit(&reader);
}

static void messages_may_be_cut_anywhere(void **state) {
    (void)state;
    struct buffer wire = BUFFER_INIT;
    uint8_t header[MESSAGE_HEADER_BYTES];
    char xs[1000];
    memset(xs, 'x', sizeof xs);
    message_header_write(header, false, 0);
    assert_true(buffer_append(&wire, header, sizeof header));
    message_header_write(header, false, 3);
    assert_true(buffer_append(&wire, header, sizeof header) && buffer_append(&wire, "abc", 3));
    message_header_write(header, false, 1000);
    assert_true(buffer_append(&wire, header, sizeof header) && buffer_append(&wire, xs, sizeof xs));
    for (size_t step = 1; step <= wire.size; step++) feed_in_steps(&wire, step);
    buffer_deinit(&wire);
}

static enum message_result read_one(struct message_reader *reader, const void *bytes, size_t size) {
    struct slice input = slice_of(bytes, size), message;
    return message_reader_next(reader, &input, &message);
}

static void a_message_over_the_limit_is_refused_from_its_header_alone(void **state) {
    (void)state;
    struct message_reader reader = {.bytes_max = 10};
    assert_int_equal(read_one(&reader, "\0\0\0\0\x0b", 5), MESSAGE_TOO_LARGE);
    message_reader_reset(&reader, 10, 0);
    assert_int_equal(read_one(&reader, "\2\0\0\0\1", 5), MESSAGE_MALFORMED);
    message_reader_reset(&reader, 10, 0);
    assert_int_equal(read_one(&reader, "\1\0\0\0\1x", 6), MESSAGE_MALFORMED); /* compressed without an encoding */
    message_reader_deinit(&reader);
}

static void gzip_is_inflated_up_to_the_limit_and_damage_is_noticed(void **state) {
    (void)state;
    struct buffer packed = BUFFER_INIT, plain = BUFFER_INIT;
    static char zeros[100000];
    assert_true(gzip_deflate(&packed, slice_of(zeros, sizeof zeros)));
    assert_true(packed.size < 1000);
    assert_int_equal(gzip_inflate(&plain, buffer_slice(&packed), sizeof zeros), MESSAGE_READY);
    assert_int_equal(plain.size, sizeof zeros);
    assert_memory_equal(plain.data, zeros, sizeof zeros);
    buffer_clear(&plain);
    assert_int_equal(gzip_inflate(&plain, buffer_slice(&packed), sizeof zeros - 1), MESSAGE_TOO_LARGE);
    for (size_t cut = 0; cut < packed.size; cut++) {
        buffer_clear(&plain);
        assert_int_equal(gzip_inflate(&plain, slice_of(packed.data, cut), sizeof zeros), MESSAGE_MALFORMED);
    }
    packed.data[packed.size - 8] ^= 1; /* the CRC */
    buffer_clear(&plain);
    assert_int_equal(gzip_inflate(&plain, buffer_slice(&packed), sizeof zeros), MESSAGE_MALFORMED);
    buffer_deinit(&packed);
    buffer_deinit(&plain);
}

static void timers_come_out_in_order_whatever_is_removed_or_moved(void **state) {
    (void)state;
    enum { COUNT = 500 };
    static struct rpc_timer timers[COUNT];
    struct timer_heap heap = {0};
    uint32_t random = 12345;
    memset(timers, 0, sizeof timers);
    for (int round = 0; round < 20000; round++) {
        random = random * 1664525 + 1013904223;
        struct rpc_timer *timer = &timers[(random >> 8) % COUNT];
        if ((random >> 28) < 5)
            timer_heap_remove(&heap, timer);
        else
            assert_true(timer_heap_put(&heap, timer, random >> 12));
        for (size_t slot = 1; slot <= heap.count; slot++) assert_int_equal(heap.slots[slot]->heap_slot, slot);
    }
    uint64_t last = 0;
    size_t count = heap.count;
    for (struct rpc_timer *first; (first = timer_heap_first(&heap)); count--) {
        assert_true(first->due_ns >= last);
        last = first->due_ns;
        timer_heap_remove(&heap, first);
        assert_int_equal(first->heap_slot, 0);
    }
    assert_int_equal(count, 0);
    timer_heap_deinit(&heap);
}

static void every_plinth_status_has_a_grpc_code(void **state) {
    (void)state;
    assert_int_equal(grpc_status_from_plinth(PLINTH_OK), GRPC_OK);
    for (int status = 1; status < PLINTH_STATUS_COUNT; status++) {
        enum grpc_status code = grpc_status_from_plinth((enum plinth_status)status);
        assert_true(code > GRPC_OK && code < GRPC_STATUS_COUNT);
        assert_int_not_equal(grpc_status_to_plinth(code), PLINTH_OK);
    }
    assert_int_equal(grpc_status_from_plinth(PLINTH_OUTCOME_UNKNOWN), GRPC_UNKNOWN);
    assert_string_equal(grpc_status_name(GRPC_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(grpc_status_name((enum grpc_status)99), "UNKNOWN");
}

static void a_method_table_finds_all_and_refuses_duplicates(void **state) {
    (void)state;
    static const struct rpc_call_ops ops;
    struct rpc_method methods[] = {{.path = "/a.B/C", .ops = &ops}, {.path = "/a.B/D", .ops = &ops}};
    struct method_table table;
    struct plinth_error error;
    assert_int_equal(method_table_init(&table, methods, 2, &error), PLINTH_OK);
    assert_ptr_equal(method_table_find(&table, slice_of_string("/a.B/D")), &methods[1]);
    assert_null(method_table_find(&table, slice_of_string("/a.B/E")));
    assert_null(method_table_find(&table, slice_of_string("/a.B/")));
    method_table_deinit(&table);
    methods[1].path = "/a.B/C";
    assert_int_equal(method_table_init(&table, methods, 2, &error), PLINTH_INVALID_ARGUMENT);
    assert_non_null(strstr(error.text, "/a.B/C"));
    method_table_deinit(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_follows_rfc_4648_without_padding),
        cmocka_unit_test(base64_accepts_padding_and_refuses_what_is_not_base64),
        cmocka_unit_test(percent_encoding_keeps_any_text),
        cmocka_unit_test(grpc_timeout_is_read_in_every_unit_and_refused_when_malformed),
        cmocka_unit_test(grpc_timeout_is_written_in_at_most_eight_digits_and_never_shortened),
        cmocka_unit_test(binary_metadata_is_decoded_and_split_at_commas),
        cmocka_unit_test(metadata_that_http2_forbids_is_not_sent),
        cmocka_unit_test(messages_may_be_cut_anywhere),
        cmocka_unit_test(a_message_over_the_limit_is_refused_from_its_header_alone),
        cmocka_unit_test(gzip_is_inflated_up_to_the_limit_and_damage_is_noticed),
        cmocka_unit_test(timers_come_out_in_order_whatever_is_removed_or_moved),
        cmocka_unit_test(every_plinth_status_has_a_grpc_code),
        cmocka_unit_test(a_method_table_finds_all_and_refuses_duplicates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
