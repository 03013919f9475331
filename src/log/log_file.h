/* One open file of the local log: counted references (the log's list, readers), how far it is written, and a sparse
 * index from LSN to offset so that a reader need not begin at the start. */
#ifndef PLINTH_LOG_LOG_FILE_H
#define PLINTH_LOG_LOG_FILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/env.h"
#include "log/log_segment.h"

struct log_file_mark {
    uint64_t lsn;
    uint64_t offset;
};

struct log_file {
    atomic_uint refs;
    struct env_file *file;
    char *path;
    uint64_t first_lsn;
    uint64_t previous_last_lsn;
    uint64_t epoch;
    uint64_t capacity;               /* bytes of the file that may be written */
    bool recycled;                   /* what is written is followed by zeros */
    bool reusable;                   /* made in this life of the log: its space is known to be reserved */
    uint64_t zeroed_offset;          /* with the write role, when recycled: zeros from end_offset up to here */
    atomic_uint_fast64_t end_offset; /* written up to here; the store releases the bytes before it to readers */
    pthread_mutex_t mutex;           /* guards what follows */
    struct log_file_mark *marks;     /* ascending, at least LOG_FILE_MARK_BYTES apart */
    size_t mark_count;
    size_t mark_capacity;
};

enum { LOG_FILE_MARK_BYTES = 64 * 1024, LOG_FILE_NAME_BYTES = 32 };

/* Takes `file` over, also on failure; the one reference is the caller's. */
PLINTH_MUST_CHECK enum plinth_status log_file_create(struct env_file *file, const char *path,
                                                     const struct log_segment_header *header, struct log_file **created,
                                                     struct plinth_error *error);
struct log_file *log_file_ref(struct log_file *file);
/* Closes the file with the last reference. Null is allowed. */
void log_file_unref(struct log_file *file);

/* Tells the index of a block. When memory is out the index only gets coarser. */
void log_file_mark(struct log_file *file, uint64_t lsn, uint64_t offset);
/* The offset of a block that begins at or below `lsn`: the last one the index knows. */
uint64_t log_file_seek(struct log_file *file, uint64_t lsn);

/* "<20 digits>.log" */
void log_file_name(uint64_t first_lsn, char name[LOG_FILE_NAME_BYTES]);
/* False when `name` is not such a name. */
bool log_file_name_parse(const char *name, uint64_t *first_lsn);
#endif
