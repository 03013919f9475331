#include "log/log_recover.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/path.h"
#include "base/status.h"

void log_recovery_deinit(struct log_recovery *recovery) {
    for (size_t i = 0; i < recovery->file_count; i++) log_file_unref(recovery->files[i]);
    free(recovery->files);
    *recovery = (struct log_recovery){0};
}

/* ---- the directory ---- */

struct listing {
    uint64_t *first_lsns;
    size_t count;
    size_t capacity;
    bool out_of_memory;
};

static bool listing_visit(void *context, const char *name, bool is_directory) {
    struct listing *listing = context;
    uint64_t first_lsn = 0;
    if (is_directory || !log_file_name_parse(name, &first_lsn)) return true;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? listing->capacity * 2 : 16;
        uint64_t *grown = realloc(listing->first_lsns, capacity * sizeof grown[0]);
        listing->out_of_memory = !grown;
        if (!grown) return false;
        listing->first_lsns = grown;
        listing->capacity = capacity;
    }
    listing->first_lsns[listing->count++] = first_lsn;
    return true;
}

static int lsn_order(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* ---- one file ---- */

/* Reads a whole file into `bytes`. */
static enum plinth_status file_load(struct env_file *file, struct buffer *bytes, struct plinth_error *error) {
    uint64_t size = 0;
    enum plinth_status st = file_size(file, &size, error);
    if (st) return st;
    buffer_clear(bytes);
    if (!buffer_reserve(bytes, size)) return error_no_memory(error, "log segment");
    st = size ? file_read_exact(file, 0, bytes->data, size, error) : PLINTH_OK;
    if (!st) bytes->size = size;
    return st;
}

static void mark_visit(void *context, uint64_t offset, const struct log_block *block) {
    log_file_mark(context, block->first_lsn, offset);
}

static enum plinth_status damage(const char *path, const struct log_scan *scan, uint64_t durable_lsn,
                                 struct plinth_error *error) {
    return error_set(error, PLINTH_CORRUPT,
                     "%s: damaged at offset %" PRIu64 ": record %" PRIu64 " is missing, but records up to %" PRIu64
                     " were durable (%s)",
                     path, scan->end_offset, scan->next_lsn, durable_lsn,
                     scan->reason[0] ? scan->reason : "the file ends here");
}

/* Opens, checks and scans one file; adds it to the list. `bytes` is scratch. */
static enum plinth_status file_scan(struct env *env, const char *directory, uint64_t first_lsn, struct buffer *bytes,
                                    struct log_recovery *recovery, struct plinth_error *error) {
    char name[LOG_FILE_NAME_BYTES];
    log_file_name(first_lsn, name);
    struct env_file *file = NULL;
    char *path = path_join(directory, name);
    enum plinth_status st = path ? PLINTH_OK : error_no_memory(error, "log segment path");
    if (!st) st = env_open(env, path, ENV_READ | ENV_WRITE, &file, error);
    if (st == PLINTH_READ_ONLY) st = env_open(env, path, ENV_READ, &file, error);
    if (!st) st = file_load(file, bytes, error);
    if (!st) st = log_segment_header_decode(buffer_slice(bytes), path, &recovery->newest, error);
    if (!st && recovery->newest.first_lsn != first_lsn) {
        st = error_set(error, PLINTH_CORRUPT, "%s: offset 0: the header names LSN %" PRIu64 " as the first", path,
                       recovery->newest.first_lsn);
    }
    if (st) {
        file_close(file);
        goto done;
    }
    struct log_file *added = NULL;
    st = log_file_create(file, path, &recovery->newest, &added, error);
    if (st) goto done;
    recovery->files[recovery->file_count++] = added;
    log_segment_scan(buffer_slice(bytes), &recovery->newest, mark_visit, added, &recovery->end);
    added->capacity = bytes->size;
    atomic_store_explicit(&added->end_offset, recovery->end.end_offset, memory_order_release);
    recovery->bytes += recovery->end.end_offset;
    if (recovery->end.unsupported) {
        st = error_set(error, PLINTH_UNSUPPORTED, "%s: a block has flags of a newer version; this one is %d", path,
                       LOG_FORMAT_VERSION);
    }
done:
    free(path);
    return st;
}

/* ---- the chain of files ---- */

/* Checks that the file just scanned (recovery->newest) goes on where the one before it, `former`, ended. */
static enum plinth_status chain_check(const struct log_recovery *recovery, const struct log_segment_header *former,
                                      const struct log_scan *former_end, struct plinth_error *error) {
    const struct log_file *before = recovery->files[recovery->file_count - 2];
    const struct log_file *after = recovery->files[recovery->file_count - 1];
    if (memcmp(former->id, recovery->newest.id, LOG_ID_BYTES) != 0) {
        return error_set(error, PLINTH_CORRUPT, "%s belongs to another log than %s", after->path, before->path);
    }
    if (log_segment_epoch(&recovery->newest)->number < log_segment_epoch(former)->number) {
        return error_set(error, PLINTH_CORRUPT, "%s is of an older epoch than %s before it", after->path, before->path);
    }
    if (former_end->last_lsn < recovery->newest.previous_last_lsn) {
        return damage(before->path, former_end, recovery->newest.previous_last_lsn, error);
    }
    if (former_end->last_lsn > recovery->newest.previous_last_lsn) {
        return error_set(error, PLINTH_CORRUPT,
                         "%s: holds records up to %" PRIu64 ", but %s says that they ended at %" PRIu64, before->path,
                         former_end->last_lsn, after->path, recovery->newest.previous_last_lsn);
    }
    return PLINTH_OK;
}

enum plinth_status log_recovery_scan(struct env *env, const char *directory, struct log_recovery *recovery,
                                     struct plinth_error *error) {
    *recovery = (struct log_recovery){0};
    struct listing listing = {0};
    struct buffer bytes = BUFFER_INIT;
    enum plinth_status st = env_list(env, directory, listing_visit, &listing, error);
    if (!st && listing.out_of_memory) st = error_no_memory(error, "log directory");
    if (st || !listing.count) goto done;
    qsort(listing.first_lsns, listing.count, sizeof listing.first_lsns[0], lsn_order);
    recovery->files = calloc(listing.count, sizeof recovery->files[0]);
    if (!recovery->files) {
        st = error_no_memory(error, "log directory");
        goto done;
    }
    for (size_t i = 0; i < listing.count && !st; i++) {
        struct log_segment_header former = recovery->newest;
        struct log_scan former_end = recovery->end;
        st = file_scan(env, directory, listing.first_lsns[i], &bytes, recovery, error);
        if (!st && i > 0) st = chain_check(recovery, &former, &former_end, error);
    }
    if (!st && recovery->end.next_lsn <= recovery->end.synced_lsn) {
        st = damage(recovery->files[recovery->file_count - 1]->path, &recovery->end, recovery->end.synced_lsn, error);
    }
done:
    buffer_deinit(&bytes);
    free(listing.first_lsns);
    if (st) log_recovery_deinit(recovery);
    return st;
}

/* ---- repair ---- */

struct cleaning {
    struct env *env;
    const char *directory;
    enum plinth_status status;
    struct plinth_error *error;
};

static bool cleaning_visit(void *context, const char *name, bool is_directory) {
    struct cleaning *cleaning = context;
    size_t size = strlen(name);
    if (is_directory || size < 4 || strcmp(name + size - 4, ".tmp") != 0) return true;
    char *path = path_join(cleaning->directory, name);
    cleaning->status =
        path ? env_remove(cleaning->env, path, cleaning->error) : error_no_memory(cleaning->error, "log segment path");
    free(path);
    return !cleaning->status;
}

/* Writes [from, to) of the file over itself, so that a sync covers it whatever became of it in the page cache. */
static enum plinth_status rewrite(struct env_file *file, uint64_t from, uint64_t to, struct plinth_error *error) {
    enum { CHUNK = 1 << 20 };
    uint8_t *chunk = malloc(CHUNK);
    if (!chunk) return error_no_memory(error, "log recovery");
    enum plinth_status st = PLINTH_OK;
    while (from < to && !st) {
        size_t size = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
        st = file_read_exact(file, from, chunk, size, error);
        if (!st) st = file_write(file, from, chunk, size, error);
        from += size;
    }
    free(chunk);
    return st;
}

enum plinth_status log_recovery_repair(struct env *env, const char *directory, struct log_recovery *recovery,
                                       struct plinth_error *error) {
    struct cleaning cleaning = {env, directory, PLINTH_OK, error};
    enum plinth_status st = env_list(env, directory, cleaning_visit, &cleaning, error);
    if (!st) st = cleaning.status;
    /* A trim may have been cut off before its sync: its removal must not be undone when the next one is not. */
    if (!st) st = env_sync_directory(env, directory, error);
    if (st || !recovery->file_count) return st;
    struct log_file *last = recovery->files[recovery->file_count - 1];
    uint64_t unproven = log_file_seek(last, recovery->end.synced_lsn + 1);
    bool cut = !recovery->end.clean; /* a clean end keeps the space behind it, but its own sync may have failed */
    st = rewrite(last->file, unproven, recovery->end.end_offset, error);
    if (!st && cut) st = file_truncate(last->file, recovery->end.end_offset, error);
    if (!st) st = file_sync(last->file, error);
    if (!st && cut) last->capacity = recovery->end.end_offset;
    return st;
}

uint64_t log_recovery_next_base(const struct log_recovery *recovery) {
    uint64_t highest = log_segment_epoch(&recovery->newest)->base - 1;
    if (recovery->end.last_lsn > highest) highest = recovery->end.last_lsn;
    if (recovery->end.seen_lsn > highest) highest = recovery->end.seen_lsn;
    if (recovery->end.synced_lsn > highest) highest = recovery->end.synced_lsn;
    /* Far below the end of the range, so that nothing above need think of it. */
    if (highest > UINT64_MAX / 2) return 0;
    return highest + LOG_UNSYNCED_RECORDS_MAX + 1;
}
