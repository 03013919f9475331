/* Every allocation of Arrow IPC fails once: each time the call says so, and nothing leaks (AddressSanitizer's build
 * sees that). The linker replaces the allocator's names in the library. */
#include <stdio.h>
#include <stdlib.h>

#include "column/arrow_ipc.h"
#include "support/test_support.h"

/* How many more allocations succeed; the one after that fails. Negative: all succeed. */
static int64_t allocations_left = -1;

static bool may_allocate(void) {
    if (allocations_left < 0) return true;
    return allocations_left-- > 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size) { return may_allocate() ? __real_malloc(size) : NULL; }
void *__wrap_calloc(size_t count, size_t size) { return may_allocate() ? __real_calloc(count, size) : NULL; }
void *__wrap_realloc(void *memory, size_t size) { return may_allocate() ? __real_realloc(memory, size) : NULL; }
void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    return may_allocate() ? __real_aligned_alloc(alignment, size) : NULL;
}

/* Writes every batch that is read, as a stream and as a file. */
struct copy {
    struct buffer stream;
    struct buffer file;
    struct arrow_file_writer *writer;
    bool has_begun;
};

static enum plinth_status copy_batch(void *context, const struct arrow_schema *schema, struct batch *batch,
                                     struct plinth_error *error) {
    struct copy *copy = context;
    enum plinth_status st = PLINTH_OK;
    if (!copy->has_begun) st = arrow_write_schema(&copy->stream, schema, error);
    if (!st && !copy->has_begun) st = arrow_file_begin(&copy->file, schema, &copy->writer, error);
    copy->has_begun = true;
    if (!st) st = arrow_write_batch(&copy->stream, batch, ARROW_ZSTD, error);
    if (!st) st = arrow_file_write(copy->writer, &copy->file, batch, ARROW_LZ4_FRAME, error);
    return st;
}

static enum plinth_status copy_all(struct slice bytes, struct plinth_error *error) {
    struct copy copy = {0};
    enum plinth_status st = arrow_read_all(bytes, NULL, copy_batch, &copy, error);
    if (!st) {
        st = arrow_file_end(copy.writer, &copy.file, error);
        copy.writer = NULL;
    }
    arrow_file_abort(copy.writer);
    buffer_deinit(&copy.stream);
    buffer_deinit(&copy.file);
    return st;
}

static struct buffer read_file(const char *name) {
    struct buffer bytes = BUFFER_INIT;
    char path[512];
    uint8_t piece[4096];
    size_t size;
    snprintf(path, sizeof path, "%s/%s", ARROW_CORPUS, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    while ((size = fread(piece, 1, sizeof piece, file)) > 0) assert_true(buffer_append(&bytes, piece, size));
    fclose(file);
    return bytes;
}

static void every_failed_allocation_is_a_status(void **state) {
    static const char *const names[] = {"dictionaries.stream", "lists.stream", "strings.stream", "deltas.stream",
                                        "lz4.stream",          "zstd.file",    "times.file"};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct buffer bytes = read_file(names[i]);
        struct plinth_error error = {0};
        enum plinth_status st = PLINTH_OUT_OF_MEMORY;
        int64_t n = 0;
        for (; st; n++) {
            allocations_left = n;
            st = copy_all(buffer_slice(&bytes), &error);
            allocations_left = -1;
            if (st) assert_status(st, PLINTH_OUT_OF_MEMORY, &error);
        }
        assert_true(n > 5);
        buffer_deinit(&bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
