#include "cmd/parquet_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/status.h"
#include "cmd/file_source.h"

enum { SPOOL_BYTES = 1 << 20 };

static enum plinth_status copy_to(FILE *spool, struct file_source *source, uint64_t *size, struct plinth_error *error) {
    uint8_t *bytes = malloc(SPOOL_BYTES);
    enum plinth_status st = bytes ? PLINTH_OK : error_no_memory(error, "standard input");
    for (size_t got = 1; !st && got; *size += got) {
        st = file_source_read(source, bytes, SPOOL_BYTES, &got, error);
        if (!st && got && fwrite(bytes, 1, got, spool) != got)
            st = error_set_errno(error, errno, "cannot keep it in a temporary file");
    }
    free(bytes);
    if (!st && fflush(spool)) st = error_set_errno(error, errno, "cannot keep it in a temporary file");
    return st;
}

static enum plinth_status spool_input(struct parquet_input *input, struct plinth_error *error) {
    struct file_source *source;
    uint64_t size = 0;
    enum plinth_status st = file_source_open("-", &source, error);
    if (st) return st;
    FILE *spool = tmpfile();
    if (!spool) st = error_set_errno(error, errno, "cannot make a temporary file");
    if (!st) st = copy_to(spool, source, &size, error);
    file_source_close(source);
    input->source = (struct parquet_source){.size = size, .mapped = (const uint8_t *)""};
    if (!st && size) {
        void *mapped = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fileno(spool), 0);
        if (mapped == MAP_FAILED) {
            st = error_set_errno(error, errno, "cannot map the temporary file");
        } else {
            input->spooled = mapped;
            input->source.mapped = mapped;
        }
    }
    if (spool) fclose(spool);
    return st;
}

enum plinth_status parquet_input_open(struct parquet_input *input, const char *path,
                                      const struct parquet_reader_options *options, struct plinth_error *error) {
    bool is_stdin = strcmp(path, "-") == 0;
    *input = (struct parquet_input){.name = is_stdin ? "standard input" : path};
    enum plinth_status st;
    if (is_stdin) {
        st = spool_input(input, error);
    } else {
        st = env_open(env_posix(), path, ENV_READ, &input->file, error);
        if (!st) st = file_map(input->file, &input->source.mapped, &input->source.size, error);
        if (st) return st; /* names the path itself */
        if (!input->source.mapped) input->source.mapped = (const uint8_t *)"";
    }
    if (!st) st = parquet_reader_open(&input->source, options, &input->reader, error);
    if (st) error_prefix(error, "%.200s", input->name);
    return st;
}

void parquet_input_close(struct parquet_input *input) {
    parquet_reader_close(input->reader);
    file_close(input->file);
    if (input->spooled) munmap(input->spooled, (size_t)input->source.size);
    *input = (struct parquet_input){0};
}

bool parquet_words_split(const char *text, char **copy, const char **words, uint32_t words_max, uint32_t *count) {
    *count = 0;
    *copy = strdup(text);
    if (!*copy) return false;
    for (char *at = *copy;;) {
        char *comma = strchr(at, ',');
        if (comma) *comma = '\0';
        if (!*at || *count == words_max) return false;
        words[(*count)++] = at;
        if (!comma) return true;
        at = comma + 1;
    }
}
