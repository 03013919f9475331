#include "support/test_support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log_event.h"

/* Runs `emit` with standard error going to a file and gives back what was written. */
static void capture(void (*emit)(void), char *into, size_t size) {
    FILE *file = tmpfile();
    assert_non_null(file);
    int saved = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    emit();
    dup2(saved, STDERR_FILENO);
    close(saved);
    rewind(file);
    size_t used = fread(into, 1, size - 1, file);
    into[used] = '\0';
    fclose(file);
}

static void emit_one(void) {
    log_event(LOG_INFO, "memtable_flushed", "rows=%d ms=%.1f path=\"%s\" id=%s", 7, 1.5, "/a b", "007");
}

static void emit_newline(void) { log_event(LOG_ERROR, "broken", "text=\"%s\"", "one\ntwo\"three"); }

static void text_lines_hold_time_level_event_and_pairs(void **state) {
    (void)state;
    char line[4096];
    log_event_configure(LOG_INFO, false);
    capture(emit_one, line, sizeof line);
    test_assert_contains(line, "Z info memtable_flushed rows=7 ms=1.5 path=\"/a b\" id=007\n", __FILE__, __LINE__);
}

static void json_lines_keep_numbers_and_quote_the_rest(void **state) {
    (void)state;
    char line[4096];
    log_event_configure(LOG_INFO, true);
    capture(emit_one, line, sizeof line);
    test_assert_contains(line,
                         "\"level\":\"info\",\"event\":\"memtable_flushed\",\"rows\":7,\"ms\":1.5,\"path\":\"/a "
                         "b\",\"id\":\"007\"}\n",
                         __FILE__, __LINE__);
}

static void one_event_is_one_line(void **state) {
    (void)state;
    char line[4096];
    for (int json = 0; json < 2; json++) {
        log_event_configure(LOG_INFO, json);
        capture(emit_newline, line, sizeof line);
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    }
}

static void levels_below_the_least_are_silent(void **state) {
    (void)state;
    char line[4096];
    log_event_configure(LOG_WARN, false);
    assert_false(log_event_enabled(LOG_INFO));
    assert_true(log_event_enabled(LOG_WARN));
    capture(emit_one, line, sizeof line);
    assert_string_equal(line, "");
    log_event_configure(LOG_OFF, false);
    assert_false(log_event_enabled(LOG_ERROR));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines_hold_time_level_event_and_pairs),
        cmocka_unit_test(json_lines_keep_numbers_and_quote_the_rest),
        cmocka_unit_test(one_event_is_one_line),
        cmocka_unit_test(levels_below_the_least_are_silent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
