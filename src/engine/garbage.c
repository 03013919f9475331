/* Garbage: files that the log has declared replaced. They are deleted once no view needs them, and then forgotten in
 * the log; a crash in between only deletes them again. */
#include <stdlib.h>

#include "base/log_event.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/value_store.h"

void engine_note_garbage(struct plinth *db, const char *name, uint64_t view_sequence) {
    struct engine_garbage garbage = {.view_sequence = view_sequence};
    memcpy(garbage.name, name, sizeof garbage.name);
    pthread_mutex_lock(&db->garbage_mutex);
    /* Without memory the file stays until the next open, which finds it in the shard's list. */
    (void)ARRAY_PUSH(db->garbage, db->garbage_count, garbage);
    pthread_mutex_unlock(&db->garbage_mutex);
}

/* Takes one file that may go; false when there is none. */
static bool take_deletable(struct plinth *db, uint64_t oldest_view, struct engine_garbage *taken) {
    bool found = false;
    pthread_mutex_lock(&db->garbage_mutex);
    for (uint64_t i = 0; !found && i < db->garbage_count; i++) {
        if (db->garbage[i].view_sequence > oldest_view) continue;
        *taken = db->garbage[i];
        db->garbage[i] = db->garbage[--db->garbage_count];
        found = true;
    }
    pthread_mutex_unlock(&db->garbage_mutex);
    return found;
}

enum plinth_status engine_collect_garbage(struct plinth *db, struct plinth_error *error) {
    uint64_t oldest_view = view_list_oldest(&db->views), deleted = 0, lsn;
    struct engine_garbage file;
    struct buffer names = BUFFER_INIT, payload = BUFFER_INIT;
    enum plinth_status st = PLINTH_OK;
    /* A record's worth at a time. */
    while (!st && names.size < PLINTH_RECORD_BYTES_MAX / 2 && take_deletable(db, oldest_view, &file)) {
        st = store_remove(db->store, file.name, error);
        if (st == PLINTH_NOT_FOUND) st = PLINTH_OK;
        if (st) {
            engine_note_garbage(db, file.name, file.view_sequence);
        } else {
            deleted++;
            if (!buffer_append_string(&names, slice_of_string(file.name))) st = error_no_memory(error, "garbage");
        }
    }
    if (deleted) {
        struct decision decision;
        bool encoded = buffer_append_varint(&payload, deleted) && buffer_append(&payload, names.data, names.size) &&
                       buffer_append_varint(&payload, 0);
        enum plinth_status logged =
            encoded ? engine_append(db, CHANGE_FILES_GONE, buffer_slice(&payload), &lsn, &decision, st ? NULL : error)
                    : error_no_memory(st ? NULL : error, "garbage");
        if (!st) st = logged;
        log_event(LOG_INFO, "files_deleted", "count=%llu", (unsigned long long)deleted);
    }
    buffer_deinit(&names);
    buffer_deinit(&payload);
    return st ? st : values_collect(db, error);
}
