/* The server's settings. */
#include <stdlib.h>

#include "cmd/config.h"
#include "support/test_support.h"

static enum plinth_status parse(struct config *config, const char *const *words, struct plinth_error *error) {
    static char *argv[16];
    int argc = 1;
    argv[0] = (char *)"plinthd";
    for (; words[argc - 1]; argc++) argv[argc] = (char *)words[argc - 1];
    argv[argc] = NULL;
    return config_parse(config, argc, argv, error);
}

static void the_defaults_are_local(void **state) {
    (void)state;
    static struct config config;
    struct plinth_error error;
    const char *const none[] = {NULL};
    assert_ok(parse(&config, none, &error), &error);
    assert_int_equal(config.action, CONFIG_RUN);
    assert_string_equal(config.service.data_directory, "./plinth-data");
    assert_string_equal(config.service.listen, "127.0.0.1:50051");
    assert_string_equal(config.service.http_listen, "127.0.0.1:8080");
    assert_int_equal(config.service.engine.durability, PLINTH_DURABILITY_SYNCED);
    assert_int_equal(config.service.engine.memory_limit_bytes, 0); /* the engine's own default, as of its parts */
    assert_int_equal(config.service.engine.memtable_bytes, 0);
    assert_int_equal(config.service.drain_timeout_ms, 30000);
    assert_null(config.ports_file);
}

static void options_win_over_the_environment(void **state) {
    (void)state;
    static struct config config;
    struct plinth_error error;
    const char *const words[] = {"--memory-limit", "1GiB", "--cache-size",         "32MiB",
                                 "--log-format",   "json", "--durability=written", NULL};
    setenv("PLINTH_CACHE_SIZE", "64MiB", 1);
    setenv("PLINTH_LISTEN", "0.0.0.0:7000", 1);
    assert_ok(parse(&config, words, &error), &error);
    unsetenv("PLINTH_CACHE_SIZE");
    unsetenv("PLINTH_LISTEN");
    assert_int_equal(config.service.engine.cache_bytes, 32u << 20);
    assert_int_equal(config.service.engine.memory_limit_bytes, 1u << 30);
    assert_int_equal(config.service.engine.durability, PLINTH_DURABILITY_WRITTEN);
    assert_string_equal(config.service.listen, "0.0.0.0:7000");
    assert_true(config.log_json);
}

static void wrong_settings_are_named(void **state) {
    (void)state;
    static const struct {
        const char *const words[4];
        const char *named;
    } samples[] = {
        {{"--listen", "50051"}, "--listen: '50051' is not of the form HOST:PORT"},
        {{"--listen", "host:"}, "--listen"},
        {{"--http-listen", "host:65536"}, "--http-listen"},
        {{"--http-listen", ":80"}, "--http-listen"},
        {{"--memtable-size", "big"}, "--memtable-size: 'big' is not a size"},
        {{"--memtable-size", "1KiB"}, "--memtable-size"},
        {{"--cache-size", "10"}, "--cache-size"},
        {{"--memory-limit", "1MiB"}, "--memory-limit: 1MiB is too small, at least 192MiB"},
        {{"--loops", "1000"}, "--loops"},
        {{"--workers", "0"}, "--workers"},
        {{"--durability", "maybe"}, "--durability: 'maybe' is none of buffered, written, synced"},
        {{"--log-level", "loud"}, "--log-level"},
        {{"--drain-timeout", "soon"}, "--drain-timeout"},
        {{"--data-dir", ""}, "--data-dir"},
        {{"--data-dri", "x"}, "did you mean '--data-dir'?"},
        {{"start"}, "unexpected argument 'start'"},
    };
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        static struct config config;
        struct plinth_error error;
        assert_status(parse(&config, samples[i].words, &error), PLINTH_INVALID_ARGUMENT, &error);
        assert_error_names(&error, samples[i].named);
    }
}

static void help_and_version_need_nothing_else(void **state) {
    (void)state;
    static struct config config;
    struct plinth_error error;
    const char *const help[] = {"--help", "--listen", "wrong", NULL}, *const version[] = {"-V", NULL};
    assert_ok(parse(&config, help, &error), &error);
    assert_int_equal(config.action, CONFIG_HELP);
    assert_ok(parse(&config, version, &error), &error);
    assert_int_equal(config.action, CONFIG_VERSION);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_local),
        cmocka_unit_test(options_win_over_the_environment),
        cmocka_unit_test(wrong_settings_are_named),
        cmocka_unit_test(help_and_version_need_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
