/* Reading the local log, up to what is written at the moment.
 *
 * A file's end_offset only moves past whole blocks, after they were written; so everything below it is there to be
 * read, and what does not check out is damage. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "log/local_log_private.h"

enum { READ_AHEAD_BYTES = 256 * 1024 };

struct local_reader {
    struct log_reader base;
    struct local_log *log;
    struct log_file *file; /* referenced */
    uint64_t from_lsn;
    uint64_t offset;       /* of the next block */
    uint64_t expected_lsn; /* its first; 0 when not known yet (after a seek) */
    uint64_t last_lsn;     /* of the last record passed in any file; 0 when none was */

    struct buffer ahead; /* file bytes from ahead_offset on */
    uint64_t ahead_offset;

    struct reader block; /* records of the current block, within `ahead` */
    struct record_context context;
    uint64_t block_offset;
    uint64_t block_lsn; /* of its next record */
    uint32_t block_left;
};

static enum plinth_status reader_damage(const struct local_reader *reader, uint64_t offset, uint64_t lsn,
                                        const char *what, struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT, "%s: damaged at offset %" PRIu64 ", record %" PRIu64 ": %s",
                     reader->file->path, offset, lsn, what);
}

/* ---- blocks ---- */

/* The bytes from `offset` on, at least `wanted` of them unless the written part ends before. */
static enum plinth_status ahead_fill(struct local_reader *reader, uint64_t offset, uint64_t wanted, uint64_t end_offset,
                                     struct slice *bytes, struct plinth_error *error) {
    uint64_t have_end = reader->ahead_offset + reader->ahead.size;
    uint64_t want_end = offset + wanted < end_offset ? offset + wanted : end_offset;
    if (offset < reader->ahead_offset || want_end > have_end) {
        uint64_t size = end_offset - offset;
        if (size > READ_AHEAD_BYTES) size = wanted > READ_AHEAD_BYTES ? want_end - offset : READ_AHEAD_BYTES;
        buffer_clear(&reader->ahead);
        if (!buffer_reserve(&reader->ahead, size)) return error_no_memory(error, "log reader");
        enum plinth_status st = file_read_exact(reader->file->file, offset, reader->ahead.data, size, error);
        if (st) return st;
        reader->ahead_offset = offset;
        reader->ahead.size = size;
    }
    size_t skip = offset - reader->ahead_offset;
    *bytes = slice_of(reader->ahead.data + skip, reader->ahead.size - skip);
    return PLINTH_OK;
}

/* Makes the block at reader->offset, which is below `end_offset`, the current one. */
static enum plinth_status block_open(struct local_reader *reader, uint64_t end_offset, struct plinth_error *error) {
    uint64_t offset = reader->offset, size = 0;
    struct slice bytes;
    struct log_block block;
    enum plinth_status st = ahead_fill(reader, offset, LOG_BLOCK_HEADER_BYTES, end_offset, &bytes, error);
    if (st) return st;
    enum log_block_state state = log_block_parse(reader->log->seed, bytes, &block, &size);
    if (state == LOG_BLOCK_TORN && size > bytes.size && size <= end_offset - offset) {
        st = ahead_fill(reader, offset, size, end_offset, &bytes, error);
        if (st) return st;
        state = log_block_parse(reader->log->seed, bytes, &block, &size);
    }
    if (state != LOG_BLOCK_GOOD || block.epoch != reader->file->epoch) {
        return reader_damage(reader, offset, reader->expected_lsn, "no valid block", error);
    }
    if (reader->expected_lsn && block.first_lsn != reader->expected_lsn) {
        return reader_damage(reader, offset, reader->expected_lsn, "another record stands here", error);
    }
    reader->block = reader_of(block.body);
    reader->context = (struct record_context){.time_us = block.time_us};
    reader->block_offset = offset;
    reader->block_lsn = block.first_lsn;
    reader->block_left = block.record_count;
    reader->offset = offset + size;
    reader->expected_lsn = block.first_lsn + block.record_count;
    return PLINTH_OK;
}

static enum plinth_status block_record(struct local_reader *reader, struct record *record, struct plinth_error *error) {
    struct plinth_error cause = {0};
    enum plinth_status st = record_decode(&reader->context, &reader->block, record, &cause);
    if (st == PLINTH_CORRUPT) return reader_damage(reader, reader->block_offset, reader->block_lsn, cause.text, error);
    if (st)
        return error_set(error, st, "%s: record %" PRIu64 ": %s", reader->file->path, reader->block_lsn, cause.text);
    record->lsn = reader->block_lsn++;
    reader->block_left--;
    reader->last_lsn = record->lsn;
    return PLINTH_OK;
}

/* ---- files ---- */

/* The segment behind `file`, referenced; null when it is the last. Sets *overtaken when a trim removed what would
 * have come next. */
static struct log_file *successor(struct local_log *log, const struct log_file *file) {
    struct log_file *found = NULL;
    pthread_mutex_lock(&log->segments_mutex);
    for (size_t i = 0; i < log->segment_count && !found; i++) {
        if (log->segments[i] == file || log->segments[i]->first_lsn < file->first_lsn) continue;
        found = log_file_ref(log->segments[i]); /* at the same LSN when it has replaced an empty one */
    }
    pthread_mutex_unlock(&log->segments_mutex);
    return found;
}

static uint64_t written_end(const struct log_file *file) {
    return atomic_load_explicit(&file->end_offset, memory_order_acquire);
}

/* Goes on to the next file. `*moved` is false when there is none yet. */
static enum plinth_status file_advance(struct local_reader *reader, bool *moved, struct plinth_error *error) {
    *moved = false;
    struct log_file *next = successor(reader->log, reader->file);
    if (!next) return PLINTH_OK;
    if (reader->offset < written_end(reader->file)) { /* written just before the file was left */
        log_file_unref(next);
        *moved = true;
        return PLINTH_OK;
    }
    uint64_t last_lsn =
        reader->last_lsn > reader->file->previous_last_lsn ? reader->last_lsn : reader->file->previous_last_lsn;
    if (reader->expected_lsn && reader->expected_lsn - 1 > last_lsn) last_lsn = reader->expected_lsn - 1;
    if (next->previous_last_lsn > last_lsn && next->previous_last_lsn >= reader->from_lsn) {
        enum plinth_status st =
            error_set(error, PLINTH_TOO_OLD, "log %s: trimmed up to record %" PRIu64 ", wanted %" PRIu64,
                      reader->log->directory, next->previous_last_lsn, last_lsn + 1);
        log_file_unref(next);
        return st;
    }
    log_file_unref(reader->file);
    reader->file = next;
    reader->offset = LOG_SEGMENT_HEADER_BYTES;
    reader->expected_lsn = next->first_lsn;
    buffer_clear(&reader->ahead);
    reader->ahead_offset = 0;
    *moved = true;
    return PLINTH_OK;
}

static enum plinth_status local_reader_next(struct log_reader *base, struct record *record, bool *found,
                                            struct plinth_error *error) {
    struct local_reader *reader = (struct local_reader *)base;
    for (;;) {
        enum plinth_status st = PLINTH_OK;
        if (reader->block_left) {
            st = block_record(reader, record, error);
            if (st) return st;
            if (record->lsn < reader->from_lsn) continue;
            *found = true;
            return PLINTH_OK;
        }
        uint64_t end_offset = written_end(reader->file);
        if (reader->offset < end_offset) {
            st = block_open(reader, end_offset, error);
        } else {
            bool moved = false;
            st = file_advance(reader, &moved, error);
            if (!st && !moved) return PLINTH_OK;
        }
        if (st) return st;
    }
}

static void local_reader_close(struct log_reader *base) {
    struct local_reader *reader = (struct local_reader *)base;
    log_file_unref(reader->file);
    buffer_deinit(&reader->ahead);
    free(reader);
}

static const struct log_reader_ops local_reader_ops = {.next = local_reader_next, .close = local_reader_close};

/* The last segment that begins at or below `lsn`, or else the first one; referenced. */
static struct log_file *segment_find(struct local_log *log, uint64_t lsn) {
    pthread_mutex_lock(&log->segments_mutex);
    size_t i = log->segment_count - 1; /* there is always one */
    while (i > 0 && log->segments[i]->first_lsn > lsn) i--;
    struct log_file *found = log_file_ref(log->segments[i]);
    pthread_mutex_unlock(&log->segments_mutex);
    return found;
}

enum plinth_status local_log_read(struct log *base, uint64_t from_lsn, struct log_reader **opened,
                                  struct plinth_error *error) {
    struct local_log *log = local_log_of(base);
    if (from_lsn == 0) from_lsn = 1;
    struct log_file *file = segment_find(log, from_lsn);
    if (file->first_lsn > from_lsn && from_lsn <= file->previous_last_lsn) {
        enum plinth_status st =
            error_set(error, PLINTH_TOO_OLD, "log %s: record %" PRIu64 " was trimmed, up to %" PRIu64, log->directory,
                      from_lsn, file->previous_last_lsn);
        log_file_unref(file);
        return st;
    }
    struct local_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        log_file_unref(file);
        return error_no_memory(error, "log reader");
    }
    reader->base.ops = &local_reader_ops;
    reader->log = log;
    reader->file = file;
    reader->from_lsn = from_lsn;
    reader->offset = log_file_seek(file, from_lsn);
    if (reader->offset == LOG_SEGMENT_HEADER_BYTES) reader->expected_lsn = file->first_lsn;
    *opened = &reader->base;
    return PLINTH_OK;
}
