#include "cmd/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static const struct option_spec config_table[] = {
    {"data-dir", 'd', "DIR", "PLINTH_DATA_DIR", "./plinth-data",
     "the directory that holds everything; made when missing"},
    {"listen", 'l', "HOST:PORT", "PLINTH_LISTEN", "127.0.0.1:50051", "where gRPC is served; port 0 takes any free one"},
    {"http-listen", 0, "HOST:PORT", "PLINTH_HTTP_LISTEN", "127.0.0.1:8080",
     "where /healthz, /readyz and /metrics are; port 0 takes any free one"},
    {"ports-file", 0, "FILE", "PLINTH_PORTS_FILE", NULL,
     "written once the server is ready: {\"grpc\":port,\"http\":port}"},
    {"loops", 0, "N", "PLINTH_LOOPS", "0", "event loops (threads) for connections; 0: one a CPU"},
    {"workers", 0, "N", "PLINTH_WORKERS", "16", "threads for what may wait: disk reads, scans, conditional writes"},
    {"memory-limit", 0, "SIZE", "PLINTH_MEMORY_LIMIT", NULL,
     "all memory of the engine; half of what the machine or container has when not given"},
    {"memtable-size", 0, "SIZE", "PLINTH_MEMTABLE_SIZE", NULL,
     "a memtable is written out at this size; a 16th of the limit, at most 64MiB, when not given"},
    {"cache-size", 0, "SIZE", "PLINTH_CACHE_SIZE", NULL,
     "memory for pages read from segments; what the limit leaves when not given, without a limit 256MiB"},
    {"durability", 0, "LEVEL", "PLINTH_DURABILITY", "synced",
     "when writes that do not say are acknowledged: buffered, written or synced"},
    {"drain-timeout", 0, "TIME", "PLINTH_DRAIN_TIMEOUT", "30s",
     "how long calls in flight may take to finish at the end"},
    {"log-level", 0, "LEVEL", "PLINTH_LOG_LEVEL", "info", "debug, info, warn, error or off"},
    {"log-format", 0, "FORMAT", "PLINTH_LOG_FORMAT", "text", "text or json, on standard error"},
    {"print-config", 0, NULL, NULL, NULL, "print the settings as they would be used, and exit"},
    {"help", 'h', NULL, NULL, NULL, "print this, and exit"},
    {"version", 'V', NULL, NULL, NULL, "print the version, and exit"},
    {0},
};

static const char *const durability_words[] = {"buffered", "written", "synced", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error", "off", NULL};
static const char *const format_words[] = {"text", "json", NULL};

static const struct option_spec *spec_named(const char *name) {
    const struct option_spec *spec = config_table;
    while (strcmp(spec->name, name) != 0) spec++;
    return spec;
}

static const char *setting(const struct config *config, const char *name) {
    return options_value_of(&config->options, spec_named(name));
}

#define MEMORY_LIMIT_MIN (192ull << 20)

/* A size of at least `least`; 0 when it is not given. */
static enum plinth_status read_memory(struct config *config, const char *name, uint64_t least, uint64_t *bytes,
                                      struct plinth_error *error) {
    const char *text = setting(config, name);
    *bytes = 0;
    if (!text || !*text) return PLINTH_OK;
    enum plinth_status st = options_parse_size(name, text, bytes, error);
    if (!st && *bytes < least)
        st = error_set(error, PLINTH_INVALID_ARGUMENT, "--%s: %s is too small, at least %lluMiB", name, text,
                       (unsigned long long)(least >> 20));
    return st;
}

static enum plinth_status read_sizes(struct config *config, struct plinth_error *error) {
    struct service_options *service = &config->service;
    uint64_t loops = 0, workers = 0, drain_ms = 0;
    enum plinth_status st = options_parse_number("loops", setting(config, "loops"), 0, 256, &loops, error);
    if (!st) st = options_parse_number("workers", setting(config, "workers"), 1, 1024, &workers, error);
    if (!st) st = read_memory(config, "memory-limit", MEMORY_LIMIT_MIN, &service->engine.memory_limit_bytes, error);
    if (!st) st = read_memory(config, "memtable-size", 1 << 20, &service->engine.memtable_bytes, error);
    if (!st) st = read_memory(config, "cache-size", 1 << 20, &service->engine.cache_bytes, error);
    if (!st) st = options_parse_duration("drain-timeout", setting(config, "drain-timeout"), &drain_ms, error);
    if (st) return st;
    service->loops = (unsigned)loops;
    service->workers = (unsigned)workers;
    service->drain_timeout_ms = (uint32_t)drain_ms;
    return PLINTH_OK;
}

static enum plinth_status read_words(struct config *config, struct plinth_error *error) {
    unsigned durability = 0, level = 0, format = 0;
    enum plinth_status st =
        options_parse_word("durability", setting(config, "durability"), durability_words, &durability, error);
    if (!st) st = options_parse_word("log-level", setting(config, "log-level"), level_words, &level, error);
    if (!st) st = options_parse_word("log-format", setting(config, "log-format"), format_words, &format, error);
    config->service.engine.durability = (enum plinth_durability)(PLINTH_DURABILITY_BUFFERED + durability);
    config->log_level = (enum log_level)(LOG_DEBUG + level);
    config->log_json = format == 1;
    return st;
}

enum plinth_status config_parse(struct config *config, int argc, char **argv, struct plinth_error *error) {
    memset(config, 0, sizeof *config);
    const struct option_spec *tables[] = {config_table, NULL};
    enum plinth_status st = options_parse(&config->options, tables, argc, argv, false, error);
    if (st) return st;
    if (options_value(&config->options, "help")) {
        config->action = CONFIG_HELP;
        return PLINTH_OK;
    }
    if (options_value(&config->options, "version")) {
        config->action = CONFIG_VERSION;
        return PLINTH_OK;
    }
    if (config->options.operand_count)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unexpected argument '%s'; plinthd takes options only",
                         config->options.operands[0]);
    if (options_value(&config->options, "print-config")) config->action = CONFIG_PRINT;
    config->service.data_directory = setting(config, "data-dir");
    config->service.listen = setting(config, "listen");
    config->service.http_listen = setting(config, "http-listen");
    config->ports_file = setting(config, "ports-file");
    if (!*config->service.data_directory)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "--data-dir: must not be empty");
    st = options_check_address("listen", config->service.listen, error);
    if (!st) st = options_check_address("http-listen", config->service.http_listen, error);
    if (!st) st = read_sizes(config, error);
    if (!st) st = read_words(config, error);
    return st;
}

void config_print_help(FILE *out) {
    fputs("plinthd: the Plinth server\n\n"
          "Usage: plinthd [OPTION...]\n\n"
          "Serves one data directory by gRPC, and its health and metrics by HTTP, until SIGTERM or SIGINT; a second\n"
          "signal ends it at once. Every option can be given by an environment variable too; the option wins.\n\n",
          out);
    options_print(out, config_table);
    fputs("\nExit codes: 0 stopped as asked, 1 failure (one line on standard error says what), 2 wrong usage.\n\n"
          "Examples:\n"
          "  plinthd\n"
          "  plinthd --data-dir /var/lib/plinth --listen 0.0.0.0:50051 --log-format json\n"
          "  plinthd --listen 127.0.0.1:0 --http-listen 127.0.0.1:0 --ports-file ports.json\n",
          out);
}

void config_print(FILE *out, const struct config *config) {
    for (const struct option_spec *spec = config_table; spec->name; spec++) {
        if (!spec->argument) continue;
        const char *value = options_value_of(&config->options, spec);
        const char *origin = "default";
        if (options_value(&config->options, spec->name))
            origin = "option";
        else if (spec->environment && getenv(spec->environment) && *getenv(spec->environment))
            origin = spec->environment;
        fprintf(out, "%-14s = %-20s # %s\n", spec->name, value ? value : "", origin);
    }
}
