#include "support/list_history.h"

#include <stdlib.h>
#include <string.h>

void list_history_init(struct list_history *history, uint32_t capacity) {
    *history = (struct list_history){.events = calloc(capacity, sizeof *history->events), .capacity = capacity};
    assert_non_null(history->events);
}

void list_history_deinit(struct list_history *history) { free(history->events); }

uint32_t list_history_begin(struct list_history *history) {
    uint32_t element = atomic_fetch_add(&history->count, 1) + 1;
    if (element <= history->capacity) return element;
    atomic_fetch_sub(&history->count, 1);
    return 0;
}

struct list_event *list_history_event(struct list_history *history, uint32_t element) {
    if (!element || element > history->count) fail_msg("element %u was never written", element);
    return &history->events[element - 1];
}

void list_event_restart(struct list_event *event) { memset(event, 0, sizeof *event); }

void list_event_read(struct list_event *event, uint32_t list, uint32_t length) {
    if (event->read_count == LIST_READS_MAX) abort();
    event->reads[event->read_count++] = (struct list_seen){list, length};
}

void list_event_append(struct list_event *event, uint32_t list) { event->appends |= 1u << list; }

void list_history_settle(struct list_history *history, const struct list_elements *lists, uint32_t list_count) {
    for (uint32_t list = 0; list < list_count; list++)
        for (uint32_t i = 0; i < lists[list].count; i++) {
            struct list_event *event = list_history_event(history, lists[list].elements[i]);
            if (event->outcome == LIST_UNKNOWN) event->outcome = LIST_COMMITTED;
        }
    for (uint32_t i = 0; i < history->count; i++)
        if (history->events[i].outcome == LIST_UNKNOWN) history->events[i].outcome = LIST_REFUSED;
}

/* ---- what is there ---- */

static void check_presence(struct list_history *history, const struct list_elements *lists, uint32_t list_count) {
    uint32_t *there = calloc(history->capacity + 1, sizeof *there);
    assert_non_null(there);
    for (uint32_t list = 0; list < list_count; list++)
        for (uint32_t i = 0; i < lists[list].count; i++) {
            uint32_t element = lists[list].elements[i], bit = 1u << list;
            const struct list_event *event = list_history_event(history, element);
            if (event->outcome == LIST_REFUSED) fail_msg("element %u was refused, and is in list %u", element, list);
            if (!(event->appends & bit)) fail_msg("element %u was never appended to list %u", element, list);
            if (there[element] & bit) fail_msg("element %u is in list %u twice", element, list);
            there[element] |= bit;
        }
    for (uint32_t i = 0; i < history->count; i++)
        if (history->events[i].outcome == LIST_COMMITTED && there[i + 1] != history->events[i].appends)
            fail_msg("element %u was committed, and is not in all of its lists", i + 1);
    free(there);
}

/* ---- the order ---- */

/* Who has to come after whom: few for each, so they are kept as lists. */
struct edge {
    uint32_t to, next; /* next: position + 1 */
};
struct graph {
    struct edge *edges;
    uint32_t *first; /* by element; position + 1 */
    uint32_t count;
    uint8_t *marks; /* 1: on the way, 2: done */
};

static void add_edge(struct graph *graph, uint32_t from, uint32_t to) {
    if (from == to) return;
    graph->edges[graph->count++] = (struct edge){to, graph->first[from]};
    graph->first[from] = graph->count;
}

static void walk(struct graph *graph, uint32_t from) {
    graph->marks[from] = 1;
    for (uint32_t at = graph->first[from]; at; at = graph->edges[at - 1].next) {
        uint32_t to = graph->edges[at - 1].to;
        if (graph->marks[to] == 1) fail_msg("elements %u and %u come before each other", from, to);
        if (!graph->marks[to]) walk(graph, to);
    }
    graph->marks[from] = 2;
}

static void add_edges(struct graph *graph, const struct list_history *history, const struct list_elements *lists) {
    for (uint32_t i = 0; i < history->count; i++) {
        const struct list_event *event = &history->events[i];
        if (event->outcome != LIST_COMMITTED) continue;
        for (uint32_t r = 0; r < event->read_count; r++) {
            const struct list_elements *list = &lists[event->reads[r].list];
            uint32_t length = event->reads[r].length;
            if (length > list->count)
                fail_msg("element %u saw %u elements of list %u, which has %u", i + 1, length, event->reads[r].list,
                         list->count);
            if (length) add_edge(graph, list->elements[length - 1], i + 1);
            if (length < list->count) add_edge(graph, i + 1, list->elements[length]);
        }
    }
}

void list_history_check(struct list_history *history, const struct list_elements *lists, uint32_t list_count) {
    check_presence(history, lists, list_count);
    uint32_t edges = history->count * (2 * LIST_READS_MAX + 1) + 1;
    struct graph graph = {.edges = malloc(edges * sizeof *graph.edges),
                          .first = calloc(history->capacity + 1, sizeof *graph.first),
                          .marks = calloc(history->capacity + 1, 1)};
    assert_true(graph.edges && graph.first && graph.marks);
    for (uint32_t list = 0; list < list_count; list++)
        for (uint32_t i = 1; i < lists[list].count; i++)
            add_edge(&graph, lists[list].elements[i - 1], lists[list].elements[i]);
    add_edges(&graph, history, lists);
    for (uint32_t element = 1; element <= history->count; element++)
        if (!graph.marks[element]) walk(&graph, element);
    free(graph.edges);
    free(graph.first);
    free(graph.marks);
}
