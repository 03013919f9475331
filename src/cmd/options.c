#include "cmd/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

/* ---- typos ---- */

enum { WORD_MAX = 48 };

static size_t min3(size_t a, size_t b, size_t c) {
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* Edits (insert, remove, replace, swap of neighbours) that lead from one word to the other. */
static size_t distance(const char *from, const char *to) {
    size_t rows[3][WORD_MAX + 1];
    size_t from_size = strlen(from), to_size = strlen(to);
    if (from_size > WORD_MAX || to_size > WORD_MAX) return SIZE_MAX;
    for (size_t j = 0; j <= to_size; j++) rows[0][j] = j;
    for (size_t i = 1; i <= from_size; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= to_size; j++) {
            row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + (from[i - 1] != to[j - 1]));
            bool swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
            if (swapped && above2[j - 2] + 1 < row[j]) row[j] = above2[j - 2] + 1;
        }
    }
    return rows[from_size % 3][to_size];
}

const char *suggest_nearest(const char *text, const char *const *words) {
    const char *nearest = NULL;
    size_t best = strlen(text) / 3 + 2; /* further away is another word, not a typo */
    for (; *words; words++) {
        size_t edits = distance(text, *words);
        if (edits >= best || edits >= strlen(*words)) continue;
        best = edits;
        nearest = *words;
    }
    return nearest;
}

/* ---- parsing ---- */

enum { LONG_OPTION_BASE = 1000 };

/* What getopt_long wants, from the tables. */
struct getopt_tables {
    const struct option_spec *specs[OPTIONS_MAX];
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 3];
    const char *names[OPTIONS_MAX + 1];
    size_t count;
};

static void gather(struct getopt_tables *tables, const struct option_spec *const *given, bool stop_at_operand) {
    memset(tables, 0, sizeof *tables);
    char *shorts = tables->shorts;
    if (stop_at_operand) *shorts++ = '+';
    *shorts++ = ':';
    for (; *given; given++) {
        for (const struct option_spec *spec = *given; spec->name && tables->count < OPTIONS_MAX; spec++) {
            size_t i = tables->count++;
            tables->specs[i] = spec;
            tables->names[i] = spec->name;
            tables->longs[i] = (struct option){spec->name, spec->argument ? required_argument : no_argument, NULL,
                                               LONG_OPTION_BASE + (int)i};
            if (!spec->letter) continue;
            *shorts++ = spec->letter;
            if (spec->argument) *shorts++ = ':';
        }
    }
}

static const struct option_spec *spec_of(const struct getopt_tables *tables, int code) {
    if (code >= LONG_OPTION_BASE) return tables->specs[code - LONG_OPTION_BASE];
    for (size_t i = 0; code && i < tables->count; i++) {
        if (tables->specs[i]->letter == code) return tables->specs[i];
    }
    return NULL;
}

static enum plinth_status complain(const struct getopt_tables *tables, int code, char **argv,
                                   struct plinth_error *error) {
    const struct option_spec *spec = spec_of(tables, optopt);
    const char *word = argv[optind - 1];
    if (code == ':' && spec)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "option --%s needs %s", spec->name, spec->argument);
    if (spec) return error_set(error, PLINTH_INVALID_ARGUMENT, "option --%s takes no value", spec->name);
    if (optopt && optopt < LONG_OPTION_BASE)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown option '-%c'", optopt);
    char name[WORD_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    const char *nearest = strncmp(name, "--", 2) == 0 ? suggest_nearest(name + 2, tables->names) : NULL;
    if (nearest)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown option '%s', did you mean '--%s'?", name, nearest);
    return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown option '%s'", name);
}

enum plinth_status options_parse(struct options *options, const struct option_spec *const *tables, int argc,
                                 char **argv, bool stop_at_operand, struct plinth_error *error) {
    struct getopt_tables gathered;
    gather(&gathered, tables, stop_at_operand);
    optind = 0; /* GNU: start over */
    opterr = 0;
    int code;
    while ((code = getopt_long(argc, argv, gathered.shorts, gathered.longs, NULL)) != -1) {
        if (code == '?' || code == ':') return complain(&gathered, code, argv, error);
        if (options->given_count == OPTIONS_GIVEN_MAX)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "more than %d options", OPTIONS_GIVEN_MAX);
        options->given[options->given_count++] = (struct option_given){spec_of(&gathered, code), optarg};
    }
    options->operands = argv + optind;
    options->operand_count = argc - optind;
    return PLINTH_OK;
}

const char *options_value(const struct options *options, const char *name) {
    for (size_t i = options->given_count; i-- > 0;) {
        const struct option_given *given = &options->given[i];
        if (strcmp(given->spec->name, name) == 0) return given->value ? given->value : "";
    }
    return NULL;
}

const char *options_value_of(const struct options *options, const struct option_spec *spec) {
    const char *value = options_value(options, spec->name);
    if (!value && spec->environment) value = getenv(spec->environment);
    if (value && !*value && spec->argument && !options_value(options, spec->name)) value = NULL; /* set but empty */
    return value ? value : spec->fallback;
}

/* ---- help ---- */

enum { HELP_INDENT = 28, HELP_WIDTH = 100 };

static void print_wrapped(FILE *out, const char *text, int column) {
    while (*text) {
        const char *word = text + strspn(text, " ");
        size_t size = strcspn(word, " ");
        if (column > HELP_INDENT && column + 1 + (int)size > HELP_WIDTH) {
            fprintf(out, "\n%*s", HELP_INDENT, "");
            column = HELP_INDENT;
        } else if (column > HELP_INDENT) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", (int)size, word);
        column += (int)size;
        text = word + size;
    }
    fputc('\n', out);
}

void options_print(FILE *out, const struct option_spec *table) {
    for (const struct option_spec *spec = table; spec->name; spec++) {
        char head[64], tail[256] = "";
        char letter[8] = "    ";
        if (spec->letter) snprintf(letter, sizeof letter, "-%c, ", spec->letter);
        int used = snprintf(head, sizeof head, "  %s--%s%s%s", letter, spec->name, spec->argument ? " " : "",
                            spec->argument ? spec->argument : "");
        fputs(head, out);
        if (used >= HELP_INDENT) {
            fputc('\n', out);
            used = 0;
        }
        fprintf(out, "%*s", HELP_INDENT - used, "");
        if (spec->fallback && *spec->fallback)
            snprintf(tail, sizeof tail, " (default %s%s%s)", spec->fallback, spec->environment ? ", or $" : "",
                     spec->environment ? spec->environment : "");
        else if (spec->environment)
            snprintf(tail, sizeof tail, " (or $%s)", spec->environment);
        char text[1024];
        snprintf(text, sizeof text, "%s%s", spec->help, tail);
        print_wrapped(out, text, HELP_INDENT);
    }
}

/* ---- values ---- */

struct unit {
    const char *name;
    uint64_t factor;
};

/* A decimal number and a unit out of `units` (null at the end). */
static bool parse_scaled(const char *text, const struct unit *units, uint64_t *scaled) {
    char *end;
    if (!isdigit((unsigned char)*text)) return false;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno) return false;
    while (*end == ' ') end++;
    for (; units->name; units++) {
        if (strcasecmp(end, units->name) != 0) continue;
        return !__builtin_mul_overflow(number, units->factor, scaled);
    }
    return false;
}

enum plinth_status options_parse_size(const char *name, const char *text, uint64_t *bytes, struct plinth_error *error) {
    static const struct unit units[] = {
        {"", 1},        {"B", 1},         {"K", 1 << 10},    {"KiB", 1 << 10},    {"M", 1 << 20}, {"MiB", 1 << 20},
        {"G", 1 << 30}, {"GiB", 1 << 30}, {"T", 1ULL << 40}, {"TiB", 1ULL << 40}, {NULL, 0}};
    if (parse_scaled(text, units, bytes)) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT,
                     "--%s: '%s' is not a size; write bytes, or a number with KiB, MiB or GiB, such as 64MiB", name,
                     text);
}

enum plinth_status options_parse_duration(const char *name, const char *text, uint64_t *ms,
                                          struct plinth_error *error) {
    static const struct unit units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0}};
    if (parse_scaled(text, units, ms) && *ms <= UINT32_MAX) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT,
                     "--%s: '%s' is not a duration; write seconds, or a number with ms, s, m or h, such as 500ms", name,
                     text);
}

enum plinth_status options_check_address(const char *name, const char *address, struct plinth_error *error) {
    const char *colon = strrchr(address, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    if (colon && colon != address && digits >= 1 && digits <= 5 && !colon[1 + digits] && atoi(colon + 1) <= 65535)
        return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "--%s: '%s' is not of the form HOST:PORT", name, address);
}

enum plinth_status options_parse_number(const char *name, const char *text, uint64_t min, uint64_t max,
                                        uint64_t *number, struct plinth_error *error) {
    static const struct unit units[] = {{"", 1}, {NULL, 0}};
    if (parse_scaled(text, units, number) && *number >= min && *number <= max) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "--%s: '%s' is not a number from %llu to %llu", name, text,
                     (unsigned long long)min, (unsigned long long)max);
}

enum plinth_status options_parse_word(const char *name, const char *text, const char *const *words, unsigned *which,
                                      struct plinth_error *error) {
    for (unsigned i = 0; words[i]; i++) {
        *which = i;
        if (strcmp(text, words[i]) == 0) return PLINTH_OK;
    }
    *which = 0;
    char choices[256] = "";
    for (unsigned i = 0; words[i]; i++) {
        size_t used = strlen(choices);
        snprintf(choices + used, sizeof choices - used, "%s%s", i ? ", " : "", words[i]);
    }
    return error_set(error, PLINTH_INVALID_ARGUMENT, "--%s: '%s' is none of %s", name, text, choices);
}
