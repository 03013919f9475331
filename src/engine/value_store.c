#include "engine/value_store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32c.h"
#include "base/log_event.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/shard_hosts.h"

enum {
    SESSION_OBJECTS = 1024,
    OBJECT_BYTES_MAX = 64 << 20, /* no further value is put into an object of this size */
    COLLECT_MAX = 4096,          /* objects deleted with one record */
    PREFIX_BYTES = 32,
};

/* A job under which values are put. */
struct value_session {
    struct value_session *next;
    uint64_t job;
    uint32_t objects; /* named so far */
    uint32_t users;   /* between upload and record */
    uint32_t in_vain; /* uploads without a record, as far as known */
};

struct value_store {
    pthread_mutex_t mutex; /* held while a job begins (I/O) */
    struct value_session *current;
    struct value_session *retired; /* list */
};

enum plinth_status value_store_create(struct value_store **values, struct plinth_error *error) {
    *values = calloc(1, sizeof **values);
    if (!*values) return error_no_memory(error, "engine");
    pthread_mutex_init(&(*values)->mutex, NULL);
    return PLINTH_OK;
}

void value_store_destroy(struct value_store *values) {
    if (!values) return;
    free(values->current);
    while (values->retired) {
        struct value_session *next = values->retired->next;
        free(values->retired);
        values->retired = next;
    }
    pthread_mutex_destroy(&values->mutex);
    free(values);
}

size_t value_bytes_min(const struct plinth *db) {
    return db->sizes.value_bytes_min ? db->sizes.value_bytes_min : VALUE_BYTES_MIN;
}

/* ---- sessions ---- */

static enum plinth_status begin_session(struct plinth *db, struct value_session **session, struct plinth_error *error) {
    struct value_session *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "values");
    pthread_mutex_lock(&db->sequence_mutex);
    enum plinth_status st = engine_raise_feature_level(db, FEATURE_LEVEL_VALUES, error);
    pthread_mutex_unlock(&db->sequence_mutex);
    if (!st) st = engine_begin_job(db, JOB_VALUES, &made->job, error);
    if (st)
        free(made);
    else
        *session = made;
    return st;
}

/* With the mutex: no more uploads for the current session. */
static void retire(struct value_store *values) {
    values->current->next = values->retired;
    values->retired = values->current;
    values->current = NULL;
}

static enum plinth_status enter_session(struct plinth *db, struct value_session **session, struct plinth_error *error) {
    struct value_store *values = db->values;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&values->mutex);
    if (values->current && values->current->objects >= SESSION_OBJECTS) retire(values);
    if (!values->current) st = begin_session(db, &values->current, error);
    if (!st) values->current->users++;
    *session = st ? NULL : values->current;
    pthread_mutex_unlock(&values->mutex);
    return st;
}

static uint32_t name_object(struct value_store *values, struct value_session *session) {
    pthread_mutex_lock(&values->mutex);
    uint32_t number = ++session->objects;
    pthread_mutex_unlock(&values->mutex);
    return number;
}

void values_end(struct write_plan *plan) {
    if (!plan->session) return;
    pthread_mutex_lock(&plan->db->values->mutex);
    plan->session->users--;
    plan->session->in_vain += !plan->is_referred;
    pthread_mutex_unlock(&plan->db->values->mutex);
    plan->session = NULL;
}

/* ---- putting ---- */

static bool is_known_producer(struct plinth *db, const struct record_header *header) {
    uint64_t first_lsn;
    if (!header->producer) return false;
    pthread_mutex_lock(&db->sequence_mutex);
    enum producer_verdict verdict = shard_check_producer(&db->shard, header, (struct producer_part){0}, &first_lsn);
    pthread_mutex_unlock(&db->sequence_mutex);
    return verdict != PRODUCER_NEW;
}

static bool is_next(const struct write_plan *plan, size_t i, struct table_id table) {
    return plan->operations[i].kind == OPERATION_SET_REFERENCE &&
           table_id_compare(plan->operations[i].table, table) == 0;
}

/* Writes an object of the values from operation `*at` on that are of its table; moves `*at` behind them. */
static enum plinth_status put_object(struct plinth *db, struct write_plan *plan, size_t *at,
                                     struct plinth_error *error) {
    char name[ROW_OBJECT_NAME_BYTES];
    struct store_writer *writer;
    struct row_reference reference = {.job = plan->session->job, .number = name_object(db->values, plan->session)};
    const struct table_id table = plan->operations[*at].table;
    row_object_name(reference.job, reference.number, name);
    enum plinth_status st = store_create(db->store, name, &writer, error);
    if (st) return st;
    for (; !st && *at < plan->count && reference.offset < OBJECT_BYTES_MAX; ++*at) {
        struct operation *operation = &plan->operations[*at];
        if (operation->kind != OPERATION_SET_REFERENCE) continue;
        if (!is_next(plan, *at, table)) break;
        reference.length = (uint32_t)operation->value.size;
        reference.crc = crc32c(0, operation->value.data, operation->value.size);
        st = store_write(writer, operation->value, error);
        write_plan_set_reference(plan, *at, &reference);
        reference.offset += reference.length;
    }
    if (!st) return store_commit(writer, error);
    store_abort(writer);
    return st;
}

enum plinth_status values_put(struct plinth *db, const struct record_header *header, struct write_plan *plan,
                              bool no_wait, struct plinth_error *error) {
    if (!plan->reference_count) return PLINTH_OK;
    if (no_wait) return error_set(error, PLINTH_WOULD_BLOCK, "a large value has to be written first");
    if (is_known_producer(db, header)) return PLINTH_OK;
    plan->db = db;
    enum plinth_status st = enter_session(db, &plan->session, error);
    for (size_t i = 0; !st && i < plan->count;) {
        if (plan->operations[i].kind == OPERATION_SET_REFERENCE)
            st = put_object(db, plan, &i, error);
        else
            i++;
    }
    /* The write itself was not tried: its outcome is known. */
    if (st == PLINTH_OUTCOME_UNKNOWN) {
        st = PLINTH_UNAVAILABLE;
        if (error) error->status = st;
    }
    if (st) error_prefix(error, "large value");
    return st ? st : write_plan_encode(plan, error);
}

/* ---- reading ---- */

static enum plinth_status read_object(struct plinth *db, const char *name, const struct row_reference *reference,
                                      struct buffer *into, struct plinth_error *error) {
    struct store_object *object;
    enum plinth_status st = store_open(db->store, name, &object, error);
    if (st == PLINTH_NOT_FOUND) return error_set(error, PLINTH_CORRUPT, "the object is missing from the store");
    if (st) return st;
    uint64_t end = (uint64_t)reference->offset + reference->length;
    if (end > object->size)
        st = error_set(error, PLINTH_CORRUPT, "the object has %" PRIu64 " bytes; %" PRIu64 " are referred to",
                       object->size, end);
    else if (!buffer_reserve(into, reference->length))
        st = error_no_memory(error, "value");
    if (!st) st = object_read_at(object, reference->offset, into->data, reference->length, error);
    if (!st) into->size = reference->length;
    object_close(object);
    return st;
}

enum plinth_status values_read(struct plinth *db, const struct row_reference *reference, struct buffer *into,
                               struct plinth_error *error) {
    char name[ROW_OBJECT_NAME_BYTES];
    row_object_name(reference->job, reference->number, name);
    buffer_clear(into);
    enum plinth_status st = read_object(db, name, reference, into, error);
    if (!st) {
        uint32_t crc = crc32c(0, into->data, into->size);
        if (crc != reference->crc)
            st = error_set(error, PLINTH_CORRUPT, "its checksum is %08x, it should be %08x", crc, reference->crc);
    }
    if (st) {
        buffer_clear(into);
        error_prefix(error, "%s, offset %u, %u bytes", name, reference->offset, reference->length);
    }
    return st;
}

void values_name_key(struct slice key, struct plinth_error *error) {
    char text[2 * 24 + 1];
    size_t shown = key.size < 24 ? key.size : 24;
    for (size_t i = 0; i < shown; i++) snprintf(text + 2 * i, 3, "%02x", key.data[i]);
    text[2 * shown] = '\0';
    error_prefix(error, "value of key 0x%s%s", text, shown < key.size ? "..." : "");
}

enum plinth_status values_of_row(struct plinth *db, const struct row *row, bool memory_only, struct buffer *memory,
                                 struct slice *value, struct plinth_error *error) {
    struct row_reference reference;
    *value = row->value;
    if (!row_reference_decode(row->indexes, &reference)) return PLINTH_OK;
    if (memory_only) return error_set(error, PLINTH_WOULD_BLOCK, "the value lies in the store");
    enum plinth_status st = values_read(db, &reference, memory, error);
    *value = buffer_slice(memory);
    if (st) values_name_key(row->key, error);
    return st;
}

bool values_are_gone(struct plinth *db, const struct row *row) {
    struct row_reference reference;
    if (!row_reference_decode(row->indexes, &reference)) return false;
    pthread_mutex_lock(&db->sequence_mutex);
    bool gone = !value_objects_find(&db->shard.values, reference.job, reference.number);
    pthread_mutex_unlock(&db->sequence_mutex);
    return gone;
}

/* ---- collecting ---- */

void values_note_view(struct plinth *db, uint64_t lsn, uint64_t view_sequence) {
    struct value_objects *objects = &db->shard.values;
    for (uint64_t i = objects->dead_count; i > 0 && objects->dead[i - 1].since_lsn >= lsn; i--)
        if (objects->dead[i - 1].since_lsn == lsn) objects->dead[i - 1].view_sequence = view_sequence;
}

/* Takes dead objects that may go, in order. A feed may still show the record that refers to one. */
static uint64_t take_dead(struct plinth *db, uint64_t oldest_view, struct value_count *taken) {
    uint64_t count = 0, synced_lsn = log_synced_lsn(db->log);
    pthread_mutex_lock(&db->sequence_mutex);
    uint64_t feeds = engine_feeds_lsn(db), kept = history_log_lsn(&db->shard.history);
    uint64_t needed = feeds < kept ? feeds : kept, hosts = shard_needed_lsn(&db->shard, ENGINE_HOST_ID);
    for (uint64_t i = 0; i < db->shard.values.dead_count && count < COLLECT_MAX; i++) {
        struct dead_value *dead = &db->shard.values.dead[i];
        if (dead->is_taken || dead->view_sequence > oldest_view || dead->since_lsn > synced_lsn ||
            dead->lsn >= needed || dead->since_lsn > hosts)
            continue;
        dead->is_taken = true;
        taken[count++] = (struct value_count){dead->job, dead->number, 1};
    }
    pthread_mutex_unlock(&db->sequence_mutex);
    if (count) qsort(taken, count, sizeof *taken, value_count_compare);
    return count;
}

static void give_back(struct plinth *db, const struct value_count *taken, uint64_t count) {
    pthread_mutex_lock(&db->sequence_mutex);
    for (uint64_t i = 0; i < db->shard.values.dead_count; i++) {
        struct dead_value *dead = &db->shard.values.dead[i];
        struct value_count wanted = {.job = dead->job, .number = dead->number};
        if (bsearch(&wanted, taken, count, sizeof wanted, value_count_compare)) dead->is_taken = false;
    }
    pthread_mutex_unlock(&db->sequence_mutex);
}

static enum plinth_status append_gone(struct plinth *db, const struct value_count *gone, uint64_t count,
                                      struct plinth_error *error) {
    struct buffer payload = BUFFER_INIT;
    struct decision decision;
    uint64_t lsn;
    enum plinth_status st = values_gone_encode(&payload, gone, count)
                                ? engine_append(db, CHANGE_VALUES_GONE, buffer_slice(&payload), &lsn, &decision, error)
                                : error_no_memory(error, "log record");
    buffer_deinit(&payload);
    return st;
}

static enum plinth_status remove_object(struct plinth *db, uint64_t job, uint32_t number, struct plinth_error *error) {
    char name[ROW_OBJECT_NAME_BYTES];
    row_object_name(job, number, name);
    enum plinth_status st = store_remove(db->store, name, error);
    return st == PLINTH_NOT_FOUND ? PLINTH_OK : st;
}

static enum plinth_status collect_dead(struct plinth *db, uint64_t oldest_view, struct plinth_error *error) {
    struct value_count *taken = malloc(COLLECT_MAX * sizeof *taken);
    if (!taken) return error_no_memory(error, "values");
    enum plinth_status st = PLINTH_OK;
    uint64_t count = COLLECT_MAX;
    while (!st && count == COLLECT_MAX) {
        uint64_t removed = 0;
        count = take_dead(db, oldest_view, taken);
        while (removed < count && !(st = remove_object(db, taken[removed].job, taken[removed].number, error)))
            removed++;
        if (removed) {
            enum plinth_status logged = append_gone(db, taken, removed, st ? NULL : error);
            if (!st) st = logged;
            if (logged) removed = 0;
            log_event(LOG_INFO, "values_deleted", "count=%" PRIu64, removed);
        }
        if (removed < count) give_back(db, taken + removed, count - removed);
    }
    free(taken);
    return st;
}

/* A retired session that nobody uses; null when there is none. */
static struct value_session *take_ended(struct value_store *values) {
    struct value_session *found = NULL;
    pthread_mutex_lock(&values->mutex);
    if (values->current && values->current->in_vain && !values->current->users) retire(values);
    for (struct value_session **link = &values->retired; *link && !found; link = &(*link)->next) {
        if ((*link)->users) continue;
        found = *link;
        *link = found->next;
        break;
    }
    pthread_mutex_unlock(&values->mutex);
    return found;
}

enum plinth_status values_collect(struct plinth *db, struct plinth_error *error) {
    uint64_t oldest_view = view_list_oldest(&db->views);
    pthread_mutex_lock(&db->sequence_mutex);
    bool any = db->shard.values.dead_count != 0;
    pthread_mutex_unlock(&db->sequence_mutex);
    enum plinth_status st = any ? collect_dead(db, oldest_view, error) : PLINTH_OK;
    struct value_session *session;
    while (!st && (session = take_ended(db->values))) {
        st = engine_end_job(db, session->job, error);
        if (!st) {
            free(session);
            continue;
        }
        pthread_mutex_lock(&db->values->mutex);
        session->next = db->values->retired;
        db->values->retired = session;
        pthread_mutex_unlock(&db->values->mutex);
    }
    return st;
}

/* ---- what lies under a job's name ---- */

struct found_object {
    uint64_t job;
    uint32_t number;
    uint64_t bytes;
};

struct found_objects {
    struct found_object *all;
    uint64_t count;
    bool out_of_memory;
};

static bool note_object(void *context, const char *name, uint64_t size) {
    struct found_objects *found = context;
    struct found_object object = {.bytes = size};
    char *end;
    object.job = strtoull(name + strlen("values/"), &end, 16);
    if (*end != '/') return true;
    object.number = (uint32_t)strtoul(end + 1, &end, 16);
    if (strcmp(end, ".value") != 0) return true;
    found->out_of_memory = !ARRAY_PUSH(found->all, found->count, object);
    return !found->out_of_memory;
}

static int compare_objects(const void *a, const void *b) {
    const struct found_object *left = a, *right = b;
    if (left->job != right->job) return left->job < right->job ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

static enum plinth_status list_objects(struct plinth *db, const char *prefix, struct found_objects *found,
                                       struct plinth_error *error) {
    *found = (struct found_objects){0};
    enum plinth_status st = store_list(db->store, prefix, note_object, found, error);
    if (!st && found->out_of_memory) st = error_no_memory(error, "list of values");
    if (!st && found->count) qsort(found->all, found->count, sizeof *found->all, compare_objects);
    return st;
}

/* Forgets those that the log knows. */
static void leave_known(struct plinth *db, struct found_objects *found) {
    uint64_t kept = 0;
    pthread_mutex_lock(&db->sequence_mutex);
    const struct value_objects *objects = &db->shard.values;
    for (uint64_t i = 0; i < found->count; i++) {
        const struct found_object *object = &found->all[i];
        if (!value_objects_find(objects, object->job, object->number) &&
            !value_objects_is_dead(objects, object->job, object->number))
            found->all[kept++] = *object;
    }
    found->count = kept;
    pthread_mutex_unlock(&db->sequence_mutex);
}

enum plinth_status values_collect_job(struct plinth *db, uint64_t job, struct plinth_error *error) {
    char prefix[PREFIX_BYTES];
    struct found_objects found;
    snprintf(prefix, sizeof prefix, "values/%016" PRIx64 "/", job);
    enum plinth_status st = list_objects(db, prefix, &found, error);
    if (!st) leave_known(db, &found);
    for (uint64_t i = 0; !st && i < found.count; i++) st = remove_object(db, job, found.all[i].number, error);
    free(found.all);
    return st;
}

enum plinth_status values_check_objects(struct plinth *db, struct plinth_error *error) {
    struct found_objects found;
    char name[ROW_OBJECT_NAME_BYTES];
    const struct value_objects *objects = &db->shard.values;
    if (!objects->count) return PLINTH_OK;
    enum plinth_status st = list_objects(db, "values/", &found, error);
    for (uint64_t i = 0; !st && i < objects->count; i++) {
        const struct value_object *object = &objects->all[i];
        struct found_object wanted = {.job = object->job, .number = object->number};
        const struct found_object *there =
            found.count ? bsearch(&wanted, found.all, found.count, sizeof wanted, compare_objects) : NULL;
        row_object_name(object->job, object->number, name);
        if (!there)
            st = error_set(error, PLINTH_CORRUPT, "value %s: the object is missing from the store", name);
        else if (there->bytes != object->bytes)
            st = error_set(error, PLINTH_CORRUPT, "value %s: the object has %" PRIu64 " bytes, the log says %" PRIu64,
                           name, there->bytes, object->bytes);
    }
    free(found.all);
    return st;
}

/* Whether an upload under the job may be under way. */
static bool job_is_open(struct plinth *db, uint64_t id) {
    pthread_mutex_lock(&db->sequence_mutex);
    bool open = shard_find_job(&db->shard, id) != NULL;
    pthread_mutex_unlock(&db->sequence_mutex);
    return open;
}

enum plinth_status values_visit_strays(struct plinth *db, void (*visit)(void *, const char *name), void *context,
                                       struct plinth_error *error) {
    struct found_objects found;
    char name[ROW_OBJECT_NAME_BYTES];
    enum plinth_status st = list_objects(db, "values/", &found, error);
    if (!st) leave_known(db, &found);
    for (uint64_t i = 0; !st && i < found.count; i++) {
        if (job_is_open(db, found.all[i].job)) continue;
        row_object_name(found.all[i].job, found.all[i].number, name);
        struct store_object *object;
        st = store_open(db->store, name, &object, error);
        if (!st) {
            visit(context, name);
            object_close(object);
        }
        if (st == PLINTH_NOT_FOUND) { /* deleted since it was listed */
            error_clear(error);
            st = PLINTH_OK;
        }
    }
    free(found.all);
    return st;
}
