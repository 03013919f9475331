#include "engine/memory.h"

#include "base/machine.h"
#include "base/status.h"
#include "engine/engine.h"

#define MIB (1ull << 20)

enum {
    MEMTABLE_SHARE = 16, /* of the limit */
    QUERIES_SHARE = 16,
    ROW_GROUP_SHARE = 32,
    STEP_SHARE = 4,
    RESERVE_SHARE = 8,
    MERGES_PERCENT = 20,
    MERGE_INPUT_BYTES = 24 << 20, /* decoded blocks of what a merge reads */
    MERGE_WAIT_US = 100 * 1000,
    TRIM_PART = 3, /* freed memory is asked for when all but one in so many parts of the limit are resident */
};
#define BALANCE_NS (100ull * 1000 * 1000)
#define MACHINE_UNKNOWN (8ull << 30)
#define MEMTABLE_MOST (64 * MIB)
#define MEMTABLE_LEAST (4 * MIB)
#define CACHE_DEFAULT (256 * MIB)
#define CACHE_LEAST (4 * MIB)

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* ---- the plan ---- */

static enum plinth_status check_limit(const struct plinth_options *options, const struct memory_plan *plan,
                                      struct plinth_error *error) {
    uint64_t limit = plan->limit;
    if (limit < MEMORY_LIMIT_MIN)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a memory limit of %llu bytes is too small, at least %llu",
                         (unsigned long long)limit, MEMORY_LIMIT_MIN);
    uint64_t others = plan->reserve_bytes + plan->merges_bytes + plan->queries_bytes;
    uint64_t written = ENGINE_MEMTABLES_MAX * plan->memtable_bytes + plan->memtable_bytes + plan->flush_bytes;
    if (written + others + plan->cache_least > limit)
        return error_set(
            error, PLINTH_INVALID_ARGUMENT,
            "memtables of %llu bytes do not fit into the memory limit of %llu: at most %llu",
            (unsigned long long)plan->memtable_bytes, (unsigned long long)limit,
            (unsigned long long)((limit - least(others + plan->cache_least, limit)) / (ENGINE_MEMTABLES_MAX + 3)));
    if (written + others + options->cache_bytes > limit)
        return error_set(error, PLINTH_INVALID_ARGUMENT,
                         "a cache of %llu bytes does not fit into the memory limit of %llu beside the rest",
                         (unsigned long long)options->cache_bytes, (unsigned long long)limit);
    return PLINTH_OK;
}

/* Half of the processors, so that flushes, writers and readers find some; but two, as a merge of small runs must not
 * wait for a step of a large one. They run in the background, so the second takes only what nobody else wants. */
static unsigned threads_wanted(const struct plinth_options *options, unsigned processors) {
    uint64_t threads = options->compaction_threads ? options->compaction_threads : most(processors / 2, 2);
    return (unsigned)least(threads, ENGINE_COMPACT_THREADS_MAX);
}

enum plinth_status memory_plan_make(const struct plinth_options *options, uint64_t machine_bytes, unsigned processors,
                                    struct memory_plan *plan, struct plinth_error *error) {
    bool given = options->memory_limit_bytes;
    uint64_t limit = given ? options->memory_limit_bytes : (machine_bytes ? machine_bytes : MACHINE_UNKNOWN) / 2;
    if (!given && limit < MEMORY_LIMIT_MIN) limit = MEMORY_LIMIT_MIN;
    *plan = (struct memory_plan){.limit = limit};
    plan->reserve_bytes = 24 * MIB + least(limit / RESERVE_SHARE, 512 * MIB);
    plan->memtable_bytes = least(most(limit / MEMTABLE_SHARE, MEMTABLE_LEAST), MEMTABLE_MOST);
    if (options->memtable_bytes) plan->memtable_bytes = options->memtable_bytes;
    plan->flush_bytes = 2 * plan->memtable_bytes;
    plan->row_group_bytes = least(most(limit / ROW_GROUP_SHARE, 4 * MIB), 64 * MIB);
    plan->step_bytes = least(most(limit / STEP_SHARE, 32 * MIB), 256 * MIB);
    plan->queries_bytes = limit / QUERIES_SHARE;
    /* The row group: encoded, with its dictionaries and keys, and what waits for encodings to be chosen. */
    plan->merge_bytes = least(MERGE_INPUT_BYTES, limit / 16) + 2 * plan->row_group_bytes;
    plan->merges_max =
        (unsigned)least(most(limit * MERGES_PERCENT / 100 / plan->merge_bytes, 1), threads_wanted(options, processors));
    plan->merges_bytes = plan->merges_max * plan->merge_bytes;
    plan->cache_least = least(CACHE_LEAST, limit / 16);
    uint64_t others = plan->reserve_bytes + plan->memtable_bytes, left = limit > others ? limit - others : 0;
    others += plan->flush_bytes + plan->merges_bytes + plan->queries_bytes + plan->cache_least;
    /* What is left goes by halves to the cache and to memtables that only readers hold. */
    others += ENGINE_MEMTABLES_MAX * plan->memtable_bytes;
    plan->written_bytes = ENGINE_MEMTABLES_MAX * plan->memtable_bytes + (limit > others ? (limit - others) / 2 : 0);
    plan->cache_bytes = options->cache_bytes ? options->cache_bytes : given ? left : least(left, CACHE_DEFAULT);
    /* What nobody asked for is checked by nobody: a directory opens on any machine. */
    return given ? check_limit(options, plan, error) : PLINTH_OK;
}

/* ---- counting ---- */

void memory_use_init(struct memory_use *use) {
    pthread_mutex_init(&use->mutex, NULL);
    condition_init(&use->merge_ended);
}

void memory_use_deinit(struct memory_use *use) {
    pthread_mutex_destroy(&use->mutex);
    pthread_cond_destroy(&use->merge_ended);
}

static bool is_closing(struct plinth *db) {
    pthread_mutex_lock(&db->job_mutex);
    bool closing = db->closing;
    pthread_mutex_unlock(&db->job_mutex);
    return closing;
}

enum plinth_status engine_take_merge_memory(struct plinth *db, const atomic_bool *cancelled,
                                            struct plinth_error *error) {
    struct memory_use *use = &db->memory;
    enum plinth_status st = PLINTH_OK;
    pthread_mutex_lock(&use->mutex);
    while (!st && use->merges_bytes + use->plan.merge_bytes > use->plan.merges_bytes) {
        condition_wait_us(&use->merge_ended, &use->mutex, MERGE_WAIT_US);
        pthread_mutex_unlock(&use->mutex);
        if (is_closing(db) || (cancelled && atomic_load(cancelled)))
            st = error_set(error, PLINTH_CANCELLED, "the merge was cancelled while it waited for memory");
        pthread_mutex_lock(&use->mutex);
    }
    if (!st) use->merges_bytes += use->plan.merge_bytes;
    pthread_mutex_unlock(&use->mutex);
    if (!st) engine_balance_memory(db);
    return st;
}

void engine_give_merge_memory(struct plinth *db) {
    struct memory_use *use = &db->memory;
    pthread_mutex_lock(&use->mutex);
    use->merges_bytes -= use->plan.merge_bytes;
    pthread_cond_signal(&use->merge_ended);
    pthread_mutex_unlock(&use->mutex);
    engine_balance_memory(db);
}

enum plinth_status engine_take_query_memory(struct plinth *db, uint64_t bytes, struct plinth_error *error) {
    struct memory_use *use = &db->memory;
    uint64_t now = atomic_fetch_add_explicit(&use->query_bytes, bytes, memory_order_relaxed) + bytes;
    if ((int64_t)bytes <= 0 || now <= use->plan.queries_bytes) return PLINTH_OK;
    atomic_fetch_sub_explicit(&use->query_bytes, bytes, memory_order_relaxed);
    return error_set(
        error, PLINTH_RESOURCE_EXHAUSTED,
        "queries take the %llu bytes that the memory limit of %llu leaves them, and this one wants %llu more",
        (unsigned long long)use->plan.queries_bytes, (unsigned long long)use->plan.limit, (unsigned long long)bytes);
}

void engine_give_query_memory(struct plinth *db, uint64_t bytes) {
    atomic_fetch_sub_explicit(&db->memory.query_bytes, bytes, memory_order_relaxed);
}

/* ---- who has what ---- */

static uint64_t count_entries(struct plinth *db, const struct view *view) {
    uint64_t entries = 0;
    for (size_t i = 0; i < view->memtable_count; i++) entries += memtable_entries_bytes(view->memtables[i].memtable);
    atomic_store_explicit(&db->memory.entries_bytes, entries, memory_order_relaxed);
    return entries;
}

void engine_count_entries(struct plinth *db) {
    struct view *view = view_current(&db->views);
    (void)count_entries(db, view);
    view_unref(view);
}

static void read_use(struct plinth *db, struct plinth_memory *memory) {
    struct memory_use *use = &db->memory;
    struct page_cache_stats cache;
    struct view *view = view_current(&db->views);
    *memory = (struct plinth_memory){.limit_bytes = use->plan.limit};
    page_cache_stats(db->cache, &cache);
    memory->cache_bytes = cache.bytes;
    memory->memtable_bytes = atomic_load(&use->cut_bytes) + memtable_bytes(view->memtables[0].memtable);
    memory->memtable_bytes += count_entries(db, view);
    for (size_t t = 0; t < view->table_count; t++)
        for (size_t r = 0; r < view->tables[t].run_count; r++)
            memory->segment_bytes += run_memory_bytes(view->tables[t].runs[r].run);
    memory->flush_bytes = atomic_load(&use->flush_bytes);
    pthread_mutex_lock(&db->sequence_mutex);
    memory->window_bytes = db->shard.rows_window.bytes_held + db->shard.window.bytes_max;
    pthread_mutex_unlock(&db->sequence_mutex);
    memory->query_bytes = atomic_load(&use->query_bytes);
    pthread_mutex_lock(&use->mutex);
    memory->merge_bytes = use->merges_bytes;
    pthread_mutex_unlock(&use->mutex);
    view_unref(view);
    if (use->foreign_bytes) memory->resident_bytes = machine_resident_bytes(db->env);
}

/* What may be resident without anybody giving way. */
static uint64_t resident_target(const struct memory_plan *plan) { return plan->limit - plan->reserve_bytes / 2; }

/* What the cache may have: what the counted others leave of the limit, with as much as they may take until somebody
 * looks again; and no more than makes the resident memory fit, whatever it is. */
static uint64_t cache_bound(const struct memory_plan *plan, const struct plinth_memory *memory) {
    uint64_t others = memory->memtable_bytes + 2 * plan->memtable_bytes + memory->segment_bytes + memory->window_bytes +
                      most(memory->flush_bytes, plan->flush_bytes) + most(memory->merge_bytes, plan->merges_bytes) +
                      most(memory->query_bytes, plan->queries_bytes / 2);
    uint64_t counted = plan->reserve_bytes + others, bound = plan->limit > counted ? plan->limit - counted : 0;
    return most(least(bound, plan->cache_bytes), plan->cache_least);
}

/* How much of the cache has to go when too much is resident all the same. */
static uint64_t cache_bound_by_resident(const struct memory_plan *plan, const struct plinth_memory *memory,
                                        uint64_t bound) {
    uint64_t target = resident_target(plan),
             over = memory->resident_bytes > target ? memory->resident_bytes - target : 0;
    uint64_t cached = least(memory->cache_bytes, bound);
    return over ? most(cached > over ? cached - over : 0, plan->cache_least) : bound;
}

void engine_balance_memory(struct plinth *db) {
    struct plinth_memory memory;
    struct memory_use *use = &db->memory;
    const struct memory_plan *plan = &use->plan;
    atomic_store_explicit(&use->balanced_ns, env_monotonic_ns(db->env), memory_order_relaxed);
    read_use(db, &memory);
    uint64_t bound = cache_bound(plan, &memory);
    page_cache_set_bound(db->cache, bound);
    if (memory.resident_bytes > plan->limit / TRIM_PART * (TRIM_PART - 1)) {
        machine_trim_memory(); /* with what the cache has just dropped */
        memory.resident_bytes = machine_resident_bytes(db->env);
        page_cache_set_bound(db->cache, cache_bound_by_resident(plan, &memory, bound));
    }
    atomic_store_explicit(&use->is_pressed, memory.resident_bytes > resident_target(plan), memory_order_relaxed);
}

void engine_balance_memory_at_times(struct plinth *db) {
    uint64_t last = atomic_load_explicit(&db->memory.balanced_ns, memory_order_relaxed);
    uint64_t now = env_monotonic_ns(db->env);
    if (now - last < BALANCE_NS || !atomic_compare_exchange_strong(&db->memory.balanced_ns, &last, now)) return;
    engine_balance_memory(db);
}

void engine_memory_stats(struct plinth *db, struct plinth_stats *stats) { read_use(db, &stats->memory); }
