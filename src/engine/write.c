/* The way of a write: check, encode, sequence (log and decision), insert, wait for the disk, acknowledge. */
#include "engine/write.h"

#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "engine/value_store.h"

/* ---- check and encode ----------------------------------------------------------------------------------------------
 */

struct index_pair {
    uint32_t table;
    struct slice value;
};

static int index_pair_compare(const void *a, const void *b) {
    const struct index_pair *left = a, *right = b;
    if (left->table != right->table) return left->table < right->table ? -1 : 1;
    return slice_compare(left->value, right->value);
}

/* Puts "operation N: " in front when there are several, so that the message names the culprit. */
static enum plinth_status name_operation(size_t number, size_t count, enum plinth_status st,
                                         struct plinth_error *error) {
    if (count > 1) error_prefix(error, "operation %zu", number);
    return st;
}

enum plinth_status write_check_space(struct plinth *db, struct plinth_space space, struct plinth_error *error) {
    pthread_rwlock_rdlock(&db->catalog_lock);
    const struct catalog_table *table = catalog_table_by_id(&db->shard.catalog, space.table);
    bool known = table && table->kind == CATALOG_SPACE && table_id_compare(table->id, table_in(space)) == 0;
    pthread_rwlock_unlock(&db->catalog_lock);
    if (known) return PLINTH_OK;
    return error_set(error, PLINTH_NOT_FOUND, "no key space with id %u", space.table);
}

static enum plinth_status check_operation(struct plinth *db, const struct plinth_operation *operation,
                                          struct plinth_error *error) {
    if (operation->kind < PLINTH_SET || operation->kind > PLINTH_DELETE_RANGE)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown operation kind %d", (int)operation->kind);
    bool range = operation->kind == PLINTH_DELETE_RANGE;
    if (range && operation->upper.size > PLINTH_KEY_BYTES_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "upper bound has %zu bytes; at most %d are allowed",
                         operation->upper.size, PLINTH_KEY_BYTES_MAX);
    if (range && operation->upper.size && slice_compare(slice_in(operation->upper), slice_in(operation->key)) <= 0)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "the range is empty: its upper bound is not above its lower");
    if (!range && operation->key.size == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "key is empty");
    if (operation->key.size > PLINTH_KEY_BYTES_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "key has %zu bytes; at most %d are allowed", operation->key.size,
                         PLINTH_KEY_BYTES_MAX);
    if (operation->kind == PLINTH_SET && operation->value.size > PLINTH_VALUE_BYTES_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "value has %zu bytes; at most %d are allowed", operation->value.size,
                         PLINTH_VALUE_BYTES_MAX);
    if (operation->expires_at_us && operation->ttl_us)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "only one of a time of expiry and a time to live can be given");
    if (operation->kind != PLINTH_SET && (operation->expires_at_us || operation->ttl_us))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "only what is set can expire");
    return write_check_space(db, operation->space, error);
}

/* When the operation's key expires; 0: never. */
static uint64_t expiry_of(struct plinth *db, const struct plinth_operation *operation) {
    uint64_t at_us = operation->expires_at_us;
    if (operation->ttl_us && __builtin_add_overflow(engine_time_us(db), operation->ttl_us, &at_us)) at_us = UINT64_MAX;
    return at_us;
}

/* Whether the value lies in the store, and the record only says where. */
static bool is_large(const struct plinth *db, const struct plinth_operation *operation) {
    return operation->kind == PLINTH_SET && operation->value.size >= value_bytes_min(db);
}

/* Encodes the index values of one set into `bytes`, which has room for them; in front of them its expiry, and a
 * reference that says nothing yet. */
static enum plinth_status encode_indexes(struct plinth *db, const struct plinth_operation *operation,
                                         struct buffer *bytes, struct slice *list, struct plinth_error *error) {
    *list = slice_of(NULL, 0);
    const uint64_t expires_us = expiry_of(db, operation);
    if (operation->kind != PLINTH_SET || (operation->index_count == 0 && !expires_us && !is_large(db, operation)))
        return PLINTH_OK;
    struct index_pair *pairs = malloc((operation->index_count + 1) * sizeof *pairs);
    if (!pairs) return error_no_memory(error, "index values");
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; !st && i < operation->index_count; i++) {
        struct slice name = slice_in(operation->indexes[i].name);
        pairs[i].value = slice_in(operation->indexes[i].value);
        if (pairs[i].value.size > PLINTH_INDEX_VALUE_BYTES_MAX)
            st = error_set(error, PLINTH_TOO_LARGE, "value of index \"%.*s\" has %zu bytes; at most %d are allowed",
                           (int)(name.size < 64 ? name.size : 64), name.data, pairs[i].value.size,
                           PLINTH_INDEX_VALUE_BYTES_MAX);
        else
            st = engine_ensure_index(db, table_in(operation->space), name, &pairs[i].table, error);
    }
    if (!st) {
        qsort(pairs, operation->index_count, sizeof *pairs, index_pair_compare);
        size_t start = bytes->size;
        if (expires_us) {
            row_expiry_encode(bytes->data + bytes->size, expires_us);
            bytes->size += ROW_EXPIRY_BYTES;
        }
        if (is_large(db, operation)) {
            row_reference_encode(bytes->data + bytes->size, &(struct row_reference){.job = 0});
            bytes->size += ROW_REFERENCE_BYTES;
        }
        for (size_t i = 0; i < operation->index_count; i++) {
            if (i && index_pair_compare(&pairs[i - 1], &pairs[i]) == 0) continue;
            bytes->size += varint_encode(bytes->data + bytes->size, pairs[i].table);
            bytes->size += varint_encode(bytes->data + bytes->size, pairs[i].value.size);
            if (pairs[i].value.size) memcpy(bytes->data + bytes->size, pairs[i].value.data, pairs[i].value.size);
            bytes->size += pairs[i].value.size;
        }
        *list = slice_of(bytes->data + start, bytes->size - start);
    }
    free(pairs);
    return st;
}

/* The most that keys and index lists of all operations take, so that slices into the buffer stay put. */
static size_t key_bytes_max(const struct plinth_operation *operations, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += TABLE_PREFIX_BYTES_MAX + operations[i].key.size + ROW_EXPIRY_BYTES + ROW_REFERENCE_BYTES;
        if (operations[i].kind == PLINTH_DELETE_RANGE) bytes += TABLE_PREFIX_BYTES_MAX + operations[i].upper.size;
        for (size_t k = 0; operations[i].kind == PLINTH_SET && k < operations[i].index_count; k++)
            bytes += 2 * VARINT_BYTES_MAX + operations[i].indexes[k].value.size;
    }
    return bytes;
}

struct key_place {
    struct slice key;
    size_t at;
};

static int key_place_compare(const void *a, const void *b) {
    const struct key_place *left = a, *right = b;
    int order = slice_compare(left->key, right->key);
    return order ? order : (left->at > right->at) - (left->at < right->at);
}

static bool is_range(const struct write_plan *plan, size_t at) { return plan->uppers && plan->uppers[at].data; }

/* Leaves out what a later range delete of the record deletes: of one LSN, rows count more than ranges. */
static enum plinth_status collapse_ranges(struct write_plan *plan, struct plinth_error *error) {
    struct deleted_range *ranges = malloc(plan->count * sizeof *ranges);
    size_t count = 0;
    for (size_t i = 0; ranges && i < plan->count; i++)
        if (is_range(plan, i)) ranges[count++] = (struct deleted_range){plan->keys[i], plan->uppers[i], i};
    struct range_set *set = ranges ? range_set_create(ranges, count) : NULL; /* an operation's number is its LSN */
    free(ranges);
    if (!set) return error_no_memory(error, "batch");
    for (size_t i = 0; i < plan->count; i++) {
        const struct deleted_range *last = NULL;
        if (is_range(plan, i)) continue;
        range_set_find(set, plan->keys[i], UINT64_MAX, &last);
        if (last && last->lsn > i) plan->keys[i].data = NULL;
    }
    range_set_unref(set);
    return PLINTH_OK;
}

/* A key twice in one record collapses to the last (a version is a key and an LSN). Keeps the order of the others. */
static enum plinth_status collapse(struct write_plan *plan, struct plinth_error *error) {
    if (plan->count < 2) return PLINTH_OK;
    struct key_place *places = malloc(plan->count * sizeof *places);
    if (!places) return error_no_memory(error, "batch");
    size_t count = 0;
    for (size_t i = 0; i < plan->count; i++)
        if (!is_range(plan, i)) places[count++] = (struct key_place){plan->keys[i], i};
    qsort(places, count, sizeof *places, key_place_compare);
    enum plinth_status st = plan->uppers ? collapse_ranges(plan, error) : PLINTH_OK;
    for (size_t i = 0; i + 1 < count; i++)
        if (slice_equal(places[i].key, places[i + 1].key)) plan->keys[places[i].at].data = NULL;
    free(places);
    size_t kept = 0;
    for (size_t i = 0; i < plan->count; i++) {
        if (!plan->keys[i].data) continue;
        plan->operations[kept] = plan->operations[i];
        plan->keys[kept] = plan->keys[i];
        if (plan->uppers) plan->uppers[kept] = plan->uppers[i];
        plan->hashes[kept++] = plan->hashes[i];
    }
    plan->count = kept;
    return st;
}

/* About what the payload takes, to be allocated at once; a record's limit when it takes more. */
static size_t payload_bytes_guess(const struct write_plan *plan) {
    size_t bytes = VARINT_BYTES_MAX;
    for (size_t i = 0; i < plan->count && bytes < PLINTH_RECORD_BYTES_MAX; i++)
        bytes += 32 + plan->operations[i].key.size + plan->operations[i].upper.size +
                 (plan->operations[i].kind == OPERATION_SET ? plan->operations[i].value.size : 0) +
                 plan->operations[i].indexes.size;
    return bytes < PLINTH_RECORD_BYTES_MAX ? bytes : PLINTH_RECORD_BYTES_MAX;
}

enum plinth_status write_plan_encode(struct write_plan *plan, struct plinth_error *error) {
    struct buffer *payload = &plan->operations_payload;
    buffer_clear(payload);
    bool ok = buffer_reserve(payload, payload_bytes_guess(plan)) && buffer_append_varint(payload, plan->count);
    for (size_t i = 0; ok && i < plan->count; i++)
        ok = operation_append(payload, &plan->operations[i], i ? &plan->operations[i - 1].table : NULL);
    if (!ok) return error_no_memory(error, "log record");
    if (payload->size > plan->bytes_max)
        return error_set(error, PLINTH_TOO_LARGE, "the write takes %zu bytes in the log; at most %zu are allowed",
                         payload->size, plan->bytes_max);
    return PLINTH_OK;
}

void write_plan_set_reference(struct write_plan *plan, size_t at, const struct row_reference *reference) {
    uint8_t *list = (uint8_t *)plan->operations[at].indexes.data; /* in the plan's own memory */
    row_reference_encode(list + (list[1] == 8 ? ROW_EXPIRY_BYTES : 0), reference);
}

static enum operation_kind kind_of(const struct plinth *db, const struct plinth_operation *operation) {
    if (operation->kind == PLINTH_DELETE_RANGE) return OPERATION_DELETE_RANGE;
    if (is_large(db, operation)) return OPERATION_SET_REFERENCE;
    return operation->kind == PLINTH_SET ? OPERATION_SET : OPERATION_DELETE;
}

/* The stored upper bound of a range delete in `bytes`, which has room for it; null for others. */
static enum plinth_status stored_upper(const struct operation *operation, struct buffer *bytes, struct slice *upper,
                                       struct plinth_error *error) {
    struct buffer stored = BUFFER_INIT;
    *upper = slice_of(NULL, 0);
    if (operation->kind != OPERATION_DELETE_RANGE) return PLINTH_OK;
    size_t start = bytes->size;
    bool ok = range_stored_upper(&stored, operation) && buffer_append(bytes, stored.data, stored.size);
    if (ok) *upper = slice_of(bytes->data + start, stored.size);
    buffer_deinit(&stored);
    return ok ? PLINTH_OK : error_no_memory(error, "write");
}

enum plinth_status write_plan_init(struct plinth *db, const struct plinth_operation *operations, size_t count,
                                   struct write_plan *plan, struct plinth_error *error) {
    return write_plan_init_large(db, operations, count, PLINTH_RECORD_BYTES_MAX, plan, error);
}

enum plinth_status write_plan_init_large(struct plinth *db, const struct plinth_operation *operations, size_t count,
                                         size_t bytes_max, struct write_plan *plan, struct plinth_error *error) {
    *plan = (struct write_plan){.bytes_max = bytes_max};
    if (count == 0) return error_set(error, PLINTH_INVALID_ARGUMENT, "a write needs at least one operation");
    if (count > bytes_max)
        return error_set(error, PLINTH_TOO_LARGE, "%zu operations do not fit into one log record", count);
    enum plinth_status st = PLINTH_OK;
    for (size_t i = 0; i < count; i++)
        if ((st = check_operation(db, &operations[i], error))) return name_operation(i, count, st, error);
    size_t keys_max = key_bytes_max(operations, count);
    bool has_ranges = false;
    for (size_t i = 0; i < count; i++) has_ranges |= operations[i].kind == PLINTH_DELETE_RANGE;
    size_t slices = has_ranges ? 2 * count : count;
    plan->memory =
        malloc(count * (sizeof *plan->operations + sizeof *plan->hashes) + slices * sizeof *plan->keys + keys_max);
    if (!plan->memory) return error_no_memory(error, "write");
    plan->operations = plan->memory;
    plan->keys = (struct slice *)(plan->operations + count);
    if (has_ranges) plan->uppers = plan->keys + count;
    plan->hashes = (uint64_t *)(plan->keys + slices);
    struct buffer bytes = {(uint8_t *)(plan->hashes + count), 0, keys_max}; /* never grows */
    for (; !st && plan->count < count; plan->count++) {
        const struct plinth_operation *given = &operations[plan->count];
        struct operation *operation = &plan->operations[plan->count];
        *operation = (struct operation){
            .kind = kind_of(db, given), .table = table_in(given->space), .key = slice_in(given->key)};
        if (given->kind == PLINTH_SET) operation->value = slice_in(given->value);
        if (given->kind == PLINTH_DELETE_RANGE) operation->upper = slice_in(given->upper);
        size_t start = bytes.size;
        if (!engine_stored_key(&bytes, operation->table, operation->key)) {
            st = error_no_memory(error, "write");
            break;
        }
        struct slice key = slice_of(bytes.data + start, bytes.size - start);
        plan->keys[plan->count] = key;
        plan->hashes[plan->count] = hash_stable(key.data, key.size);
        if (has_ranges) st = stored_upper(operation, &bytes, &plan->uppers[plan->count], error);
        if (st) break;
        st = encode_indexes(db, given, &bytes, &operation->indexes, error);
        plan->expires |= given->expires_at_us || given->ttl_us;
        if (st) name_operation(plan->count, count, st, error);
    }
    if (!st) st = collapse(plan, error);
    for (size_t i = 0; i < plan->count; i++)
        plan->reference_count += plan->operations[i].kind == OPERATION_SET_REFERENCE;
    if (!st) st = write_plan_encode(plan, error);
    if (st) write_plan_deinit(plan);
    return st;
}

void write_plan_deinit(struct write_plan *plan) {
    values_end(plan);
    buffer_deinit(&plan->operations_payload);
    free(plan->memory);
    *plan = (struct write_plan){0};
}

enum plinth_status write_header_init(struct plinth *db, const struct plinth_write_options *options,
                                     enum change_kind kind, struct record_header *header, struct plinth_error *error) {
    static const struct plinth_write_options defaults = {0};
    if (!options) options = &defaults;
    *header =
        (struct record_header){.kind = (uint8_t)kind, .producer = options->producer_id, .sequence = options->sequence};
    if (options->durability < PLINTH_DURABILITY_DEFAULT || options->durability > PLINTH_DURABILITY_SYNCED)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown durability %d", (int)options->durability);
    if (!options->producer_id != !options->sequence)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "producer id and sequence are given both or neither; %s is 0",
                         options->producer_id ? "the sequence" : "the producer id");
    enum plinth_durability durability = options->durability ? options->durability : db->options.durability;
    header->durability = (enum record_durability)durability;
    return PLINTH_OK;
}

/* ---- sequence and insert --------------------------------------------------------------------------------------------
 */

/* While flushing fails (a full disk), waiting would be without end: the write is refused for the same reason. */
static enum plinth_status check_flushing(struct plinth *db, struct plinth_error *error) {
    pthread_mutex_lock(&db->job_mutex);
    bool failing = db->flush_failing;
    struct plinth_error why = db->flush_error;
    pthread_mutex_unlock(&db->job_mutex);
    if (!failing) return PLINTH_OK;
    /* Whatever became of the flush: this write is not in the log. */
    enum plinth_status st = why.status == PLINTH_OUTCOME_UNKNOWN ? PLINTH_UNAVAILABLE : why.status;
    return error_set(error, st, "memory is full and cannot be flushed: %s", why.text);
}

enum { DELAY_US_MAX = 1000 * 1000 };

/* While merges are far behind, a write waits for its time; not longer than a second, so that each goes on. */
static enum plinth_status wait_for_budget(struct plinth *db, bool no_wait, struct plinth_error *error) {
    uint64_t began = env_monotonic_ns(db->env), now = began, wait_us;
    enum plinth_status st = PLINTH_OK;
    while (!st &&
           (wait_us = write_budget_wait_us(&db->write_budget, db->bytes_cut + memtable_bytes(db->active), now)) &&
           now - began < DELAY_US_MAX * 1000ull) {
        if (no_wait) return error_set(error, PLINTH_WOULD_BLOCK, "writes are slowed until merges have caught up");
        if (wait_us > DELAY_US_MAX / 10) wait_us = DELAY_US_MAX / 10;
        condition_wait_us(&db->memtable_flushed, &db->sequence_mutex, wait_us);
        now = env_monotonic_ns(db->env);
        st = engine_check(db, error);
    }
    if (now == began) return st;
    counter_add(&db->counters.write_delays, 1);
    counter_add(&db->counters.write_delay_us, (now - began) / 1000);
    return st;
}

#define READERS_WAIT_NS (60ull * 1000 * 1000 * 1000)

static uint64_t readers_wait_ns(const struct plinth *db) {
    return db->sizes.readers_wait_ns ? db->sizes.readers_wait_ns : READERS_WAIT_NS;
}

/* Whether rows may come in: not with all memtables full, nor while those that are full, or were flushed but are still
 * read, have all that the memory limit leaves them. */
static bool has_room(struct plinth *db) {
    if (db->memtables_cut && atomic_load_explicit(&db->memory.is_pressed, memory_order_relaxed)) return false;
    return db->memtables_cut < ENGINE_MEMTABLES_MAX &&
           atomic_load_explicit(&db->memory.cut_bytes, memory_order_relaxed) +
                   atomic_load_explicit(&db->memory.entries_bytes, memory_order_relaxed) <
               db->memory.plan.written_bytes;
}

/* Nothing is left to flush: a scan or snapshot that nobody ends would keep writers waiting for ever. */
static enum plinth_status held_by_readers(struct plinth *db, struct plinth_error *error) {
    return error_set(
        error, PLINTH_RESOURCE_EXHAUSTED,
        "open scans and queries hold %llu bytes of memtables, all that the memory limit of %llu leaves them",
        (unsigned long long)atomic_load(&db->memory.cut_bytes), (unsigned long long)db->memory.plan.limit);
}

/* Index entries that readers had made go with their memtable. If it is theirs that there is no room, and nothing is
 * left to flush, they may be those of the active one: it is cut. */
static enum plinth_status cut_entries(struct plinth *db, struct plinth_error *error) {
    uint64_t cut, cut_bytes = atomic_load_explicit(&db->memory.cut_bytes, memory_order_relaxed);
    if (db->memtables_cut || cut_bytes >= db->memory.plan.written_bytes) return PLINTH_OK;
    engine_count_entries(db); /* what was seen last may be gone */
    if (has_room(db)) return PLINTH_OK;
    enum plinth_status st = engine_cut_locked(db, &cut, error);
    if (!st) engine_want_flush(db);
    return st;
}

enum plinth_status write_wait_for_memory(struct plinth *db, bool no_wait, struct plinth_error *error) {
    if (db->write_budget.rate) {
        enum plinth_status st = wait_for_budget(db, no_wait, error);
        if (st) return st;
    }
    if (has_room(db)) return PLINTH_OK;
    enum plinth_status st = cut_entries(db, error);
    if (st || has_room(db)) return st;
    if (no_wait) return error_set(error, PLINTH_WOULD_BLOCK, "waiting for a memtable to be flushed");
    counter_add(&db->counters.write_stalls, 1);
    atomic_fetch_add(&db->waiting_for_memory, 1);
    uint64_t began = env_monotonic_ns(db->env);
    while (!st && !has_room(db)) {
        st = engine_check(db, error);
        if (!st) st = check_flushing(db, error);
        if (!st) st = cut_entries(db, error);
        if (!st && !db->memtables_cut && env_monotonic_ns(db->env) - began > readers_wait_ns(db))
            st = held_by_readers(db, error);
        if (!st) condition_wait_us(&db->memtable_flushed, &db->sequence_mutex, 100 * 1000);
    }
    atomic_fetch_sub(&db->waiting_for_memory, 1);
    counter_add(&db->counters.write_stall_us, (env_monotonic_ns(db->env) - began) / 1000);
    return st;
}

/* Of large values in the store, for each byte of a full memtable: those of versions that were overwritten or deleted go
 * only with a flush, and their rows alone would fill the memtable hardly ever. */
enum { VALUES_PART = 16 };

enum plinth_status write_cut_full(struct plinth *db, struct plinth_error *error) {
    if (memtable_bytes(db->active) < db->options.memtable_bytes &&
        memtable_value_bytes(db->active) / VALUES_PART < db->options.memtable_bytes)
        return PLINTH_OK;
    uint64_t cut;
    enum plinth_status st = engine_cut_locked(db, &cut, error);
    if (!st) engine_want_flush(db);
    return st;
}

/* A conditional record that would lose is not worth a place in the log; apply checks again all the same. */
static bool would_lose(struct plinth *db, struct slice payload, struct decision *decision) {
    struct condition condition;
    struct slice changed;
    if (!condition_decode(payload, &condition)) return false;
    decision->verdict = shard_check_condition(&db->shard, &condition, &changed);
    return decision->verdict != VERDICT_APPLIED;
}

/* Under the sequencing lock: the record's place in the log and what becomes of it. `*memtable` is referenced when its
 * rows are to be inserted. */
static enum plinth_status sequence_locked(struct plinth *db, const struct record_header *header, struct slice payload,
                                          const struct write_plan *plan, bool no_wait, uint64_t *lsn,
                                          struct decision *decision, struct memtable **memtable,
                                          struct plinth_error *error) {
    enum plinth_status st = write_wait_for_memory(db, no_wait, error);
    if (st) return st;
    switch (shard_check_producer(&db->shard, header, (struct producer_part){0}, &decision->first_lsn)) {
    case PRODUCER_NEW: break;
    case PRODUCER_DUPLICATE: decision->verdict = VERDICT_DUPLICATE; return PLINTH_OK;
    case PRODUCER_TOO_OLD: decision->verdict = VERDICT_TOO_OLD; return PLINTH_OK;
    case PRODUCER_OTHER: decision->verdict = VERDICT_VOID; return PLINTH_OK;
    }
    if (header->kind == CHANGE_CONDITIONAL && would_lose(db, payload, decision)) return PLINTH_OK;
    struct write_keys written = {.keys = plan->keys,
                                 .hashes = plan->hashes,
                                 .count = plan->count,
                                 .uppers = plan->uppers,
                                 .has_references = plan->reference_count != 0};
    st = write_cut_full(db, error);
    if (!st && plan->expires) st = engine_raise_feature_level(db, FEATURE_LEVEL_EXPIRY, error);
    if (!st && plan->uppers) st = engine_raise_feature_level(db, FEATURE_LEVEL_RANGES, error);
    if (!st) st = engine_append_locked(db, header, payload, &written, LOG_NO_WAIT, lsn, decision, error);
    if (st) return st;
    db->last_data_lsn = *lsn;
    *memtable = memtable_ref(db->active);
    return PLINTH_OK;
}

static enum plinth_status insert_all(struct plinth *db, struct memtable *memtable, const struct write_plan *plan,
                                     uint64_t lsn, struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (plan->expires) atomic_store(&db->may_expire, true);
    for (size_t i = 0; !st && i < plan->count; i++) {
        st = engine_insert(memtable, &plan->operations[i], plan->keys[i], lsn, error);
        bool sets = plan->operations[i].kind == OPERATION_SET || plan->operations[i].kind == OPERATION_SET_REFERENCE;
        counter_add(sets ? &db->counters.sets : &db->counters.deletes, 1);
    }
    return st;
}

enum plinth_status write_sequence(struct plinth *db, const struct record_header *header, struct slice payload,
                                  const struct write_plan *plan, bool no_wait, uint64_t *lsn, struct decision *decision,
                                  struct plinth_error *error) {
    struct memtable *memtable = NULL;
    enum plinth_status st;
    *lsn = 0;
    for (;;) {
        *decision = (struct decision){VERDICT_APPLIED, 0};
        pthread_mutex_lock(&db->sequence_mutex);
        st = sequence_locked(db, header, payload, plan, no_wait, lsn, decision, &memtable, error);
        pthread_mutex_unlock(&db->sequence_mutex);
        if (st != PLINTH_WOULD_BLOCK || no_wait) break;
        st = log_wait_room(db->log, LOG_WAIT_FOREVER, error);
        if (st) break;
    }
    if (st) return st;
    if (!memtable) { /* nothing was appended */
        if (decision->verdict == VERDICT_DUPLICATE) *lsn = decision->first_lsn;
        return PLINTH_OK;
    }
    if (decision->verdict == VERDICT_APPLIED) st = insert_all(db, memtable, plan, *lsn, error);
    memtable_unref(memtable);
    if (st) {
        /* The log has the write and the memtable has not: it must not become visible half. */
        error_prefix(error, "record %llu", (unsigned long long)*lsn);
        engine_fail(db, error);
        return error_set(error, PLINTH_OUTCOME_UNKNOWN, "out of memory after the write was logged");
    }
    engine_sequenced(db, *lsn);
    if (decision->verdict == VERDICT_DUPLICATE) *lsn = decision->first_lsn;
    return PLINTH_OK;
}

enum plinth_status write_check_verdict(const struct record_header *header, const struct decision *decision,
                                       struct plinth_error *error) {
    if (decision->verdict == VERDICT_TOO_OLD)
        return error_set(error, PLINTH_TOO_OLD, "sequence %llu of producer %llu is no longer remembered",
                         (unsigned long long)header->sequence, (unsigned long long)header->producer);
    if (decision->verdict == VERDICT_VOID && header->producer)
        return error_set(
            error, PLINTH_INVALID_ARGUMENT,
            "sequence %llu of producer %llu has begun as another write: the retry of a write must be equal",
            (unsigned long long)header->sequence, (unsigned long long)header->producer);
    if (decision->verdict == VERDICT_VOID && (header->kind == CHANGE_WRITE || header->kind == CHANGE_CONDITIONAL))
        return error_set(error, PLINTH_UNAVAILABLE,
                         "the upload of large values was given up before the log had the write: nothing was written");
    return PLINTH_OK;
}

enum plinth_status write_wait(struct plinth *db, const struct record_header *header, uint64_t lsn,
                              struct plinth_error *error) {
    if (header->durability > RECORD_BUFFERED) {
        enum plinth_status st = log_wait(db->log, lsn, header->durability, LOG_WAIT_FOREVER, error);
        if (st) return st;
    }
    if (sequencer_wait(&db->sequencer, lsn)) return PLINTH_OK;
    return error_set(error, PLINTH_OUTCOME_UNKNOWN, "writing stopped before the write was applied");
}

/* ---- the calls
 * --------------------------------------------------------------------------------------------------------- */

static enum plinth_status write_or_submit(struct plinth *db, const struct plinth_operation *operations, size_t count,
                                          const struct plinth_write_options *options, bool wait,
                                          struct plinth_position *position, struct plinth_error *error) {
    if (position) *position = (struct plinth_position){0, 0};
    error_clear(error);
    struct record_header header;
    struct write_plan plan;
    struct decision decision;
    uint64_t lsn;
    enum plinth_status st = write_header_init(db, options, CHANGE_WRITE, &header, error);
    if (!st) st = engine_check(db, error);
    if (!st) st = write_plan_init(db, operations, count, &plan, error);
    if (st) return st;
    const bool no_wait = options && options->no_wait;
    st = values_put(db, &header, &plan, no_wait, error);
    if (!st)
        st =
            write_sequence(db, &header, buffer_slice(&plan.operations_payload), &plan, no_wait, &lsn, &decision, error);
    plan.is_referred = !st && decision.verdict == VERDICT_APPLIED;
    write_plan_deinit(&plan);
    if (!st) st = write_check_verdict(&header, &decision, error);
    if (st) return st;
    if (wait)
        st = write_wait(db, &header, lsn, error);
    else
        log_request(db->log, lsn, header.durability);
    if (!st && position) *position = engine_position(db, lsn);
    return st;
}

enum plinth_status plinth_write(struct plinth *db, const struct plinth_operation *operations, size_t count,
                                const struct plinth_write_options *options, struct plinth_position *position,
                                struct plinth_error *error) {
    return write_or_submit(db, operations, count, options, true, position, error);
}

enum plinth_status plinth_submit(struct plinth *db, const struct plinth_operation *operations, size_t count,
                                 const struct plinth_write_options *options, struct plinth_position *position,
                                 struct plinth_error *error) {
    return write_or_submit(db, operations, count, options, false, position, error);
}

enum plinth_status plinth_set(struct plinth *db, struct plinth_space space, struct plinth_slice key,
                              struct plinth_slice value, const struct plinth_write_options *options,
                              struct plinth_position *position, struct plinth_error *error) {
    struct plinth_operation operation = {.kind = PLINTH_SET, .space = space, .key = key, .value = value};
    return plinth_write(db, &operation, 1, options, position, error);
}

enum plinth_status plinth_delete(struct plinth *db, struct plinth_space space, struct plinth_slice key,
                                 const struct plinth_write_options *options, struct plinth_position *position,
                                 struct plinth_error *error) {
    struct plinth_operation operation = {.kind = PLINTH_DELETE, .space = space, .key = key};
    return plinth_write(db, &operation, 1, options, position, error);
}

enum plinth_status plinth_delete_range(struct plinth *db, struct plinth_space space, struct plinth_slice lower,
                                       struct plinth_slice upper, const struct plinth_write_options *options,
                                       struct plinth_position *position, struct plinth_error *error) {
    struct plinth_operation operation = {.kind = PLINTH_DELETE_RANGE, .space = space, .key = lower, .upper = upper};
    return plinth_write(db, &operation, 1, options, position, error);
}

enum plinth_status plinth_delete_prefix(struct plinth *db, struct plinth_space space, struct plinth_slice prefix,
                                        const struct plinth_write_options *options, struct plinth_position *position,
                                        struct plinth_error *error) {
    if (position) *position = (struct plinth_position){0, 0};
    error_clear(error);
    if (!prefix.size) return error_set(error, PLINTH_INVALID_ARGUMENT, "the prefix is empty");
    struct buffer upper = BUFFER_INIT;
    enum plinth_status st = prefix_successor(&upper, slice_in(prefix)) ? PLINTH_OK : error_no_memory(error, "prefix");
    if (!st) st = plinth_delete_range(db, space, prefix, slice_out(buffer_slice(&upper)), options, position, error);
    buffer_deinit(&upper);
    return st;
}
