/* The threads of a writer. See column_crew.h. */
#include "parquet/column_crew.h"

#include <stdlib.h>

#include "base/status.h"
#include "base/thread.h"

struct crew_member {
    struct pool_task task; /* unused by the caller's */
    struct column_crew *crew;
    struct encode_scratch scratch;
    struct arena arena;
    /* Of the run: */
    uint32_t failed_column; /* the lowest */
    enum plinth_status status;
    struct plinth_error error;
};

struct column_crew {
    struct pool *pool; /* null: the caller is alone */
    uint32_t member_count;
    pthread_mutex_t mutex;
    pthread_cond_t is_done;
    uint32_t busy; /* members of the pool that are not done; by the mutex */
    /* Of the run, set before the members begin: */
    column_work *work;
    void *context;
    uint32_t columns;
    atomic_uint next;
    struct crew_member members[]; /* the first is the caller */
};

static void work_on(struct crew_member *member) {
    struct column_crew *crew = member->crew;
    for (;;) {
        uint32_t column = atomic_fetch_add_explicit(&crew->next, 1, memory_order_relaxed);
        if (column >= crew->columns) return;
        struct plinth_error error = {0};
        enum plinth_status st = crew->work(crew->context, column, &member->scratch, &member->arena, &error);
        if (!st) continue;
        if (column < member->failed_column) {
            member->failed_column = column;
            member->status = st;
            member->error = error;
        }
        if (!crew->pool) return;
    }
}

static void run_member(struct pool_task *task) {
    struct crew_member *member = (struct crew_member *)(void *)task; /* its first member */
    struct column_crew *crew = member->crew;
    work_on(member);
    pthread_mutex_lock(&crew->mutex);
    if (--crew->busy == 0) pthread_cond_signal(&crew->is_done);
    pthread_mutex_unlock(&crew->mutex);
}

enum plinth_status column_crew_create(uint32_t threads, struct column_crew **crew_out, struct plinth_error *error) {
    *crew_out = NULL;
    if (threads == 0) threads = 1;
    if (threads > COLUMN_CREW_THREADS_MAX) threads = COLUMN_CREW_THREADS_MAX;
    struct column_crew *crew = calloc(1, sizeof *crew + threads * sizeof crew->members[0]);
    if (!crew) return error_no_memory(error, "Parquet writer");
    crew->member_count = threads;
    for (uint32_t i = 0; i < threads; i++) {
        crew->members[i].crew = crew;
        crew->members[i].task.run = run_member;
        arena_init(&crew->members[i].arena);
    }
    pthread_mutex_init(&crew->mutex, NULL);
    condition_init(&crew->is_done);
    enum plinth_status st = threads > 1 ? pool_create("plinth-parquet", threads - 1, &crew->pool, error) : PLINTH_OK;
    if (st)
        column_crew_destroy(crew);
    else
        *crew_out = crew;
    return st;
}

void column_crew_destroy(struct column_crew *crew) {
    if (!crew) return;
    if (crew->pool) pool_destroy(crew->pool);
    for (uint32_t i = 0; i < crew->member_count; i++) {
        encode_scratch_deinit(&crew->members[i].scratch);
        arena_deinit(&crew->members[i].arena);
    }
    pthread_cond_destroy(&crew->is_done);
    pthread_mutex_destroy(&crew->mutex);
    free(crew);
}

/* Starts as many members as there are columns beside the caller's. */
static void start_members(struct column_crew *crew) {
    uint32_t others = crew->member_count - 1;
    if (others >= crew->columns) others = crew->columns ? crew->columns - 1 : 0;
    crew->busy = others;
    for (uint32_t i = 1; i <= others; i++)
        if (!pool_submit(crew->pool, &crew->members[i].task)) run_member(&crew->members[i].task);
}

static void wait_for_members(struct column_crew *crew) {
    pthread_mutex_lock(&crew->mutex);
    while (crew->busy > 0) pthread_cond_wait(&crew->is_done, &crew->mutex);
    pthread_mutex_unlock(&crew->mutex);
}

enum plinth_status column_crew_run(struct column_crew *crew, uint32_t columns, column_work *work, void *context,
                                   struct plinth_error *error) {
    const struct crew_member *first = &crew->members[0];
    crew->work = work;
    crew->context = context;
    crew->columns = columns;
    atomic_store_explicit(&crew->next, 0, memory_order_relaxed);
    for (uint32_t i = 0; i < crew->member_count; i++) {
        crew->members[i].failed_column = UINT32_MAX;
        crew->members[i].status = PLINTH_OK;
    }
    if (crew->pool) start_members(crew);
    work_on(&crew->members[0]);
    if (crew->pool) wait_for_members(crew);
    for (uint32_t i = 1; i < crew->member_count; i++)
        if (crew->members[i].failed_column < first->failed_column) first = &crew->members[i];
    if (first->status && error) *error = first->error;
    return first->status;
}

struct encode_scratch *column_crew_scratch(struct column_crew *crew) {
    return &crew->members[0].scratch;
}

size_t column_crew_memory(const struct column_crew *crew) {
    size_t bytes = sizeof *crew + crew->member_count * sizeof crew->members[0];
    for (uint32_t i = 0; i < crew->member_count; i++)
        bytes += encode_scratch_memory(&crew->members[i].scratch) + crew->members[i].arena.used_bytes;
    return bytes;
}
