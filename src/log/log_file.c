#include "log/log_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

enum plinth_status log_file_create(struct env_file *file, const char *path, const struct log_segment_header *header,
                                   struct log_file **created, struct plinth_error *error) {
    *created = NULL;
    struct log_file *made = calloc(1, sizeof *made);
    char *kept_path = strdup(path);
    if (!made || !kept_path) {
        free(made);
        free(kept_path);
        file_close(file);
        return error_no_memory(error, "log segment handle");
    }
    atomic_init(&made->refs, 1);
    made->file = file;
    made->path = kept_path;
    made->first_lsn = header->first_lsn;
    made->previous_last_lsn = header->previous_last_lsn;
    made->epoch = log_segment_epoch(header)->number;
    made->recycled = header->recycled;
    atomic_init(&made->end_offset, LOG_SEGMENT_HEADER_BYTES);
    pthread_mutex_init(&made->mutex, NULL);
    *created = made;
    return PLINTH_OK;
}

struct log_file *log_file_ref(struct log_file *file) {
    atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
    return file;
}

void log_file_unref(struct log_file *file) {
    if (!file || atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel) != 1) return;
    file_close(file->file);
    pthread_mutex_destroy(&file->mutex);
    free(file->marks);
    free(file->path);
    free(file);
}

static bool marks_reserve(struct log_file *file) {
    if (file->mark_count < file->mark_capacity) return true;
    size_t capacity = file->mark_capacity ? file->mark_capacity * 2 : 64;
    struct log_file_mark *marks = realloc(file->marks, capacity * sizeof marks[0]);
    if (!marks) return false;
    file->marks = marks;
    file->mark_capacity = capacity;
    return true;
}

void log_file_mark(struct log_file *file, uint64_t lsn, uint64_t offset) {
    pthread_mutex_lock(&file->mutex);
    uint64_t last = file->mark_count ? file->marks[file->mark_count - 1].offset : 0;
    if (offset - last >= LOG_FILE_MARK_BYTES && marks_reserve(file)) {
        file->marks[file->mark_count++] = (struct log_file_mark){lsn, offset};
    }
    pthread_mutex_unlock(&file->mutex);
}

uint64_t log_file_seek(struct log_file *file, uint64_t lsn) {
    pthread_mutex_lock(&file->mutex);
    size_t low = 0, high = file->mark_count; /* marks below `low` begin at or below lsn, those from `high` on above */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (file->marks[middle].lsn <= lsn) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    uint64_t offset = low ? file->marks[low - 1].offset : LOG_SEGMENT_HEADER_BYTES;
    pthread_mutex_unlock(&file->mutex);
    return offset;
}

void log_file_name(uint64_t first_lsn, char name[LOG_FILE_NAME_BYTES]) {
    snprintf(name, LOG_FILE_NAME_BYTES, "%020" PRIu64 ".log", first_lsn);
}

bool log_file_name_parse(const char *name, uint64_t *first_lsn) {
    *first_lsn = 0;
    if (strlen(name) != 24 || strcmp(name + 20, ".log") != 0) return false;
    uint64_t value = 0;
    for (int i = 0; i < 20; i++) {
        if (name[i] < '0' || name[i] > '9') return false;
        uint64_t digit = (uint64_t)(name[i] - '0');
        if (value > (UINT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *first_lsn = value;
    return true;
}
