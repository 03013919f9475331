#include "log/log.h"

#include "base/status.h"

static enum plinth_status parts_check(const struct slice *parts, int part_count, struct plinth_error *error) {
    size_t bytes = 0;
    for (int i = 0; i < part_count; i++) {
        if (parts[i].size > RECORD_PAYLOAD_BYTES_MAX - bytes) {
            return error_set(error, PLINTH_TOO_LARGE, "log record payload is over %d bytes", RECORD_PAYLOAD_BYTES_MAX);
        }
        bytes += parts[i].size;
    }
    return PLINTH_OK;
}

enum plinth_status log_append(struct log *log, const struct record_header *header, const struct slice *parts,
                              int part_count, unsigned flags, uint64_t *lsn, struct plinth_error *error) {
    *lsn = 0;
    enum plinth_status st = parts_check(parts, part_count, error);
    return st ? st : log->ops->append(log, header, parts, part_count, flags, lsn, error);
}

enum plinth_status log_wait(struct log *log, uint64_t lsn, enum record_durability level, uint64_t timeout_us,
                            struct plinth_error *error) {
    return log->ops->wait(log, lsn, level, timeout_us, error);
}

enum plinth_status log_wait_room(struct log *log, uint64_t timeout_us, struct plinth_error *error) {
    return log->ops->wait_room(log, timeout_us, error);
}

void log_request(struct log *log, uint64_t lsn, enum record_durability level) { log->ops->request(log, lsn, level); }
void log_listen(struct log *log, struct log_listener *listener) { log->ops->listen(log, listener); }
uint64_t log_next_lsn(struct log *log) { return log->ops->next_lsn(log); }
uint64_t log_written_lsn(struct log *log) { return log->ops->written_lsn(log); }
uint64_t log_synced_lsn(struct log *log) { return log->ops->synced_lsn(log); }

enum plinth_status log_read(struct log *log, uint64_t from_lsn, struct log_reader **reader,
                            struct plinth_error *error) {
    *reader = NULL;
    return log->ops->read(log, from_lsn, reader, error);
}

enum plinth_status log_next(struct log_reader *reader, struct record *record, bool *found, struct plinth_error *error) {
    *found = false;
    return reader->ops->next(reader, record, found, error);
}

void log_reader_close(struct log_reader *reader) {
    if (reader) reader->ops->close(reader);
}

enum plinth_status log_trim(struct log *log, uint64_t before_lsn, struct plinth_error *error) {
    return log->ops->trim(log, before_lsn, error);
}

size_t log_epochs(struct log *log, struct log_epoch *into, size_t capacity) {
    return log->ops->epochs(log, into, capacity);
}

enum plinth_status log_space(struct log *log, struct plinth_error *error) { return log->ops->space(log, error); }

void log_stats(struct log *log, struct log_stats *stats) {
    *stats = (struct log_stats){0};
    log->ops->stats(log, stats);
}

enum plinth_status log_close(struct log *log, struct plinth_error *error) {
    return log ? log->ops->close(log, error) : PLINTH_OK;
}
