/* Transactions that append to lists, and whether they were serializable.
 *
 * Every transaction has a number of its own, its element, which it appends to one list or more; what it reads is noted
 * by length. As lists are only appended to, the final ones tell the order in which their transactions ran, and
 * a read tells between which of them its reader ran. A circle in these orders is an anomaly (Kingsbury and Alvaro,
 * "Elle", VLDB 2020). Elements are 1, 2, 3 ... in the order in which they are handed out. */
#ifndef PLINTH_TESTS_SUPPORT_LIST_HISTORY_H
#define PLINTH_TESTS_SUPPORT_LIST_HISTORY_H

#include <stdatomic.h>

#include "support/test_support.h"

enum { LIST_READS_MAX = 4 };

enum list_outcome { LIST_UNKNOWN, LIST_COMMITTED, LIST_REFUSED };

struct list_event {
    _Atomic enum list_outcome outcome;
    uint32_t appends; /* to these lists: a bit each */
    struct list_seen {
        uint32_t list, length;
    } reads[LIST_READS_MAX];
    uint32_t read_count;
};

struct list_history {
    struct list_event *events; /* of element n: events[n - 1] */
    _Atomic uint32_t count;
    uint32_t capacity;
};

/* What a list holds. */
struct list_elements {
    const uint32_t *elements;
    uint32_t count;
};

void list_history_init(struct list_history *history, uint32_t capacity);
void list_history_deinit(struct list_history *history);
/* The next element, whose event is the caller's until it is judged; any thread. 0: there is no more room. */
uint32_t list_history_begin(struct list_history *history);
struct list_event *list_history_event(struct list_history *history, uint32_t element);
/* What is appended and read counts for the next attempt to commit; a refused one may be made again. */
void list_event_restart(struct list_event *event);
void list_event_read(struct list_event *event, uint32_t list, uint32_t length);
void list_event_append(struct list_event *event, uint32_t list);

/* The lists as they are decide what became of the elements whose outcome is not known. */
void list_history_settle(struct list_history *history, const struct list_elements *lists, uint32_t list_count);
/* Fails the test unless everything committed is in its lists, once, and nothing else; and all of it is as if it had
 * been done one after the other. */
void list_history_check(struct list_history *history, const struct list_elements *lists, uint32_t list_count);

#endif
