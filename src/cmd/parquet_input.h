/* Parquet files as the tool's commands read them: mapped into memory; standard input is first written to a file
 * without a name, as the footer stands at the end. */
#ifndef PLINTH_CMD_PARQUET_INPUT_H
#define PLINTH_CMD_PARQUET_INPUT_H

#include "base/env.h"
#include "parquet/reader.h"

struct parquet_input {
    const char *name; /* the path as given, "standard input" for "-" */
    struct parquet_source source;
    struct parquet_reader *reader;
    struct env_file *file; /* of a path */
    void *spooled;         /* standard input, mapped */
};

/* `input` is overwritten, and deinited also after a failure. Errors name the file. */
PLINTH_MUST_CHECK enum plinth_status parquet_input_open(struct parquet_input *input, const char *path,
                                                        const struct parquet_reader_options *options,
                                                        struct plinth_error *error);
void parquet_input_close(struct parquet_input *input);

/* Splits "a,b.c" at its commas into `words` (at most `words_max`), whose texts lie in `copy`, which the caller frees.
 * False when there are more, or an empty one. */
bool parquet_words_split(const char *text, char **copy, const char **words, uint32_t words_max, uint32_t *count);

#endif
