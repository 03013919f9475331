/* Command-line options as tables, for plinthd and plinth: parsing (by getopt_long), help, and the values that people
 * write: sizes, durations, numbers. */
#ifndef PLINTH_CMD_OPTIONS_H
#define PLINTH_CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "plinth_status.h"

struct option_spec {
    const char *name;        /* "data-dir", given as --data-dir */
    char letter;             /* 'h' for -h; 0: none */
    const char *argument;    /* what the help calls it, "DIR"; null: a flag without argument */
    const char *environment; /* read when the option is not given; null: none */
    const char *fallback;    /* the default, shown in the help; null: none */
    const char *help;
};

/* One option as it was given. `value` is null for a flag. */
struct option_given {
    const struct option_spec *spec;
    const char *value;
};

enum { OPTIONS_MAX = 64, OPTIONS_GIVEN_MAX = 256 };

struct options {
    struct option_given given[OPTIONS_GIVEN_MAX];
    size_t given_count;
    char **operands; /* what is not an option, in argv */
    int operand_count;
};

/* Parses argv[1..]. With `stop_at_operand` everything from the first operand on is left alone. Errors are usage errors:
 * PLINTH_INVALID_ARGUMENT naming the option, with the nearest one there is. argv is reordered. */
PLINTH_MUST_CHECK enum plinth_status options_parse(struct options *options, const struct option_spec *const *tables,
                                                   int argc, char **argv, bool stop_at_operand,
                                                   struct plinth_error *error);
/* Null when it was not given; for a flag "" when it was. The last one wins. */
const char *options_value(const struct options *options, const char *name);
/* The value given, else of the environment, else the fallback (which may be null). */
const char *options_value_of(const struct options *options, const struct option_spec *spec);

/* One line an option, wrapped to 100 columns. */
void options_print(FILE *out, const struct option_spec *table);

/* "4096", "64KiB", "64 MiB", "1GiB" */
PLINTH_MUST_CHECK enum plinth_status options_parse_size(const char *name, const char *text, uint64_t *bytes,
                                                        struct plinth_error *error);
/* "500ms", "30s", "2m"; a plain number is seconds. */
PLINTH_MUST_CHECK enum plinth_status options_parse_duration(const char *name, const char *text, uint64_t *ms,
                                                            struct plinth_error *error);
/* HOST:PORT by its form; what the host is, the resolver decides. */
PLINTH_MUST_CHECK enum plinth_status options_check_address(const char *name, const char *text,
                                                           struct plinth_error *error);
/* A decimal number of min..max. */
PLINTH_MUST_CHECK enum plinth_status options_parse_number(const char *name, const char *text, uint64_t min,
                                                          uint64_t max, uint64_t *number, struct plinth_error *error);
/* One of `words` (null at the end); its place. */
PLINTH_MUST_CHECK enum plinth_status options_parse_word(const char *name, const char *text, const char *const *words,
                                                        unsigned *which, struct plinth_error *error);

/* The word of `words` (null at the end) that is nearest to `text`, or null when none is near enough to be a typo. */
const char *suggest_nearest(const char *text, const char *const *words);

#endif
