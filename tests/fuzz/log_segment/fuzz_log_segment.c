/* Any bytes as the one file of a log: opening and reading it ends in a status, and a log that was opened for writing
 * can be appended to and is the same after it was closed.
 *
 * Random bytes never pass the checksums, so the first input byte chooses whether they are put right before: 1 the
 * header's, 2 those of everything that looks like a block. */
#include <stdlib.h>

#include "base/crc32c.h"
#include "log/local_log.h"
#include "log/log_segment.h"
#include "support/sim_env.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char path[] = "/log/00000000000000000001.log";

static void header_put_right(uint8_t *bytes) {
    store_u64(bytes, UINT64_C(0x474c48544e494c50));
    store_u32(bytes + 8, LOG_FORMAT_VERSION);
    store_u64(bytes + 48, 1); /* as the name says */
    store_u32(bytes + 12, crc32c(0, bytes + 16, LOG_SEGMENT_HEADER_BYTES - 16));
}

static void blocks_put_right(uint8_t *bytes, size_t size) {
    uint32_t seed = crc32c(0, bytes + 16, LOG_ID_BYTES);
    for (size_t at = LOG_SEGMENT_HEADER_BYTES; at + LOG_BLOCK_HEADER_BYTES <= size; at += 8) {
        if (load_u32(bytes + at) != 0x4b424c50) continue;
        uint64_t body = load_u32(bytes + at + 12);
        if (body <= size - at - LOG_BLOCK_HEADER_BYTES) {
            store_u32(bytes + at + 8, crc32c(seed, bytes + at + LOG_BLOCK_HEADER_BYTES, body));
        }
        store_u32(bytes + at + 4, crc32c(seed, bytes + at + 8, LOG_BLOCK_HEADER_BYTES - 8));
    }
}

/* Reads all there is; -1 when that fails. */
static int64_t count_records(struct log *log) {
    struct log_reader *reader = NULL;
    struct record record;
    bool found = true;
    int64_t count = 0;
    if (log_read(log, 0, &reader, NULL)) return -1;
    while (found) {
        if (log_next(reader, &record, &found, NULL)) {
            log_reader_close(reader);
            return -1;
        }
        count += found;
    }
    log_reader_close(reader);
    return count;
}

static void open_append_reopen(struct env *env) {
    const struct local_log_options options = {.segment_bytes = 16 * 1024, .no_preparation = true};
    struct log *log = NULL;
    if (local_log_open(env, "/log", &options, &log, NULL)) return;
    int64_t before = count_records(log);
    struct record_header header = {.kind = 1};
    uint64_t lsn = 0;
    if (log_append(log, &header, NULL, 0, 0, &lsn, NULL) || log_wait(log, lsn, RECORD_SYNCED, LOG_WAIT_FOREVER, NULL)) {
        abort();
    }
    if (before >= 0 && count_records(log) != before + 1) abort();
    if (log_close(log, NULL)) abort();
    if (local_log_open(env, "/log", &options, &log, NULL)) abort();
    if (before >= 0 && count_records(log) != before + 1) abort();
    if (log_next_lsn(log) != lsn + 1) abort();
    log_close(log, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    uint8_t mode = data[0];
    uint8_t *bytes = malloc(size);
    if (!bytes) return 0;
    memcpy(bytes, data + 1, --size);
    if ((mode & 1) && size >= LOG_SEGMENT_HEADER_BYTES) header_put_right(bytes);
    if ((mode & 2) && size >= LOG_SEGMENT_HEADER_BYTES) blocks_put_right(bytes, size);
    struct sim_env *sim = sim_env_create(1);
    struct env *env = sim_env_base(sim);
    if (env_make_directory(env, "/log", NULL)) abort();
    sim_env_put_file(sim, path, slice_of(bytes, size));
    const struct local_log_options look = {.read_only = true};
    struct log *log = NULL;
    if (local_log_open(env, "/log", &look, &log, NULL) == PLINTH_OK) {
        (void)count_records(log);
        log_close(log, NULL);
    }
    open_append_reopen(env);
    sim_env_destroy(sim);
    free(bytes);
    return 0;
}
