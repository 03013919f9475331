/* The workload of crash_features: accounts and lists that several threads write in transactions, half of them rows,
 * half of them keys; and a follower who knows of them only what the change feed says.
 *
 * A transaction (`lists_attempt`) reads three lists, appends an element of its own to one, moves money from that one to
 * another, replaces its writer's mark by a range delete and a set, sets a lease, a key that expires, and now and then
 * claims a number for its writer, which a unique index gives to one writer only. So
 *   - all the money together stays the same, in every state and behind every change;
 *   - lists say in which order the transactions ran (support/list_history.h);
 *   - each change that a feed gives of them has exactly one new element, at the end of a list;
 *   - no two writers have the same claim.
 *
 * The table also has rows that are only noise for flushes, merges and index builds, and expire by a column. Who alters
 * it keeps the columns of both. */
#ifndef PLINTH_TESTS_CRASH_LISTS_H
#define PLINTH_TESTS_CRASH_LISTS_H

#include "plinth.h"
#include "support/list_history.h"

enum {
    LISTS = 6, /* even ones are rows, odd ones keys */
    LIST_ELEMENTS_MAX = 1024,
    LISTS_WRITERS = 3,
    LEASES = 3, /* of a writer */
    CLAIMS = 4, /* for all writers */
    LISTS_COLUMNS = 4,
    LISTS_NOISE = 150,
    LIST_MONEY = 100,
};
#define LISTS_TABLE "lists"
#define CLAIMS_TABLE "claims"
#define CLAIMS_INDEX "one_claim"

struct list {
    int64_t money;
    uint32_t elements[LIST_ELEMENTS_MAX];
    uint32_t count;
};

/* What an engine shows, or what a follower has put together. */
struct lists_state {
    struct list lists[LISTS];
    uint32_t marks[LISTS_WRITERS]; /* 0: none */
    struct lease {
        uint32_t element;
        uint64_t expires_us; /* the follower's only */
    } leases[LISTS_WRITERS][LEASES];
    struct claim {
        uint32_t element; /* that claimed it; 0: none */
        int64_t number;
    } claims[LISTS_WRITERS];
    uint64_t noise_until_us[LISTS_NOISE]; /* 0: no such row */
};

/* Makes tables and first values, on a machine that does not fail. */
void lists_create(struct plinth *db, uint64_t now_us);

/* One transaction of writer `writer`; what it met is noted in the history. Any thread; `now_us` is the wall time. An
 * error ends the writer, but for a conflict and a claim that another writer has, which are PLINTH_OK here. */
enum plinth_status lists_attempt(struct plinth *db, struct list_history *history, uint32_t writer, uint64_t now_us,
                                 struct test_random *random, struct plinth_error *error);
/* Upserts some rows of noise. */
enum plinth_status lists_make_noise(struct plinth *db, uint64_t now_us, struct test_random *random,
                                    struct plinth_error *error);
/* All of one state. Fails the test when it makes no sense. */
enum plinth_status lists_read(struct plinth *db, struct lists_state *state, struct plinth_error *error);
/* Of the lists alone. */
void lists_elements(const struct lists_state *state, struct list_elements elements[LISTS]);
/* How many rows of the table have this (a condition as SQL; null: all). */
enum plinth_status lists_count_rows(struct plinth *db, const char *where, uint64_t *count, struct plinth_error *error);

/* ---- the follower ---- */

struct follower {
    struct lists_state state;
    struct plinth_position position;
    uint64_t changes; /* with an element */
};

/* A follower of what lists_create has made. */
void follower_init(struct follower *follower, struct plinth *db);
/* Takes what is new, up to now. Fails the test when a change is not what a transaction can have written. */
enum plinth_status follower_catch_up(struct follower *follower, struct plinth *db, struct plinth_error *error);
/* Says to the engine that it is done with what it has taken. */
enum plinth_status follower_move_snapshot(struct follower *follower, struct plinth *db, struct plinth_error *error);
/* Fails the test unless `shown` is what it has; leases and noise by their times, `now_us` being the wall time. */
void follower_check(const struct follower *follower, const struct lists_state *shown, uint64_t now_us);

#endif
