/* Trying encodings. See encoding_trial.h. */
#include "parquet/encoding_trial.h"

#include "parquet/page_write.h"

/* A dictionary is not gone on with when of ten values more than nine are new. */
enum { NEW_OF_TEN_MAX = 9 };

void encoding_trial_deinit(struct encoding_trial *trial) {
    column_writer_deinit(&trial->writer);
    *trial = (struct encoding_trial){0};
}

/* Writes the dictionary page to see its size, and takes it back. */
static enum plinth_status measure_dictionary(struct column_writer *writer, struct encode_scratch *scratch,
                                             uint64_t *bytes, struct plinth_error *error) {
    uint64_t uncompressed_bytes = writer->uncompressed_bytes;
    uint32_t encodings = writer->encodings;
    *bytes = 0;
    if (writer->dictionary_pages == 0) return PLINTH_OK;
    enum plinth_status st = page_write_dictionary(writer, scratch, error);
    *bytes = writer->dictionary_page.size;
    buffer_clear(&writer->dictionary_page);
    writer->uncompressed_bytes = uncompressed_bytes;
    writer->encodings = encodings;
    return st;
}

static bool is_worth_it(const struct column_writer *writer, uint64_t bytes_max) {
    uint64_t values = writer->slots - writer->null_count;
    if (writer->pages.size > bytes_max) return false;
    return !writer->options.dictionary ||
           (writer->uses_dictionary && (uint64_t)writer->dictionary.count * 10 <= values * NEW_OF_TEN_MAX);
}

enum plinth_status encoding_trial_run(struct encoding_trial *trial, const struct parquet_column *column,
                                      const struct parquet_column_options *options,
                                      const struct parquet_writer_options *file, const struct parquet_column_data *data,
                                      uint64_t rows, uint64_t bytes_max, struct encode_scratch *scratch,
                                      struct arena *index_arena, struct plinth_error *error) {
    struct column_writer *writer = &trial->writer;
    uint64_t dictionary = 0, at = 0;
    enum plinth_status st = column_writer_init(
        writer, column, options, file->data_page_version ? file->data_page_version : 2, !file->no_checksums, error);
    trial->bytes = UINT64_MAX;
    if (!st) st = column_writer_begin_batch(writer, data, rows, error);
    while (!st && at < rows && (at == 0 || is_worth_it(writer, bytes_max))) {
        uint64_t left = rows - at, take = left < file->stripe_rows ? left : file->stripe_rows;
        st = column_writer_write_page(writer, data, (uint32_t)take, scratch, index_arena, error);
        at += take;
    }
    if (st || !is_worth_it(writer, bytes_max)) return st;
    st = measure_dictionary(writer, scratch, &dictionary, error);
    if (!st) trial->bytes = writer->pages.size + dictionary;
    return st;
}
