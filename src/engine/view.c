#include "engine/view.h"

#include <stdlib.h>

void view_list_init(struct view_list *list) {
    *list = (struct view_list){.next_sequence = 1};
    pthread_mutex_init(&list->mutex, NULL);
}

void view_list_deinit(struct view_list *list) {
    if (list->current) view_unref(list->current);
    list->current = NULL;
    pthread_mutex_destroy(&list->mutex);
}

struct view *view_current(struct view_list *list) {
    pthread_mutex_lock(&list->mutex);
    struct view *view = list->current;
    atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    pthread_mutex_unlock(&list->mutex);
    return view;
}

static void view_free(struct view *view) {
    for (size_t i = 0; i < view->memtable_count; i++) memtable_unref(view->memtables[i].memtable);
    for (size_t t = 0; t < view->table_count; t++) {
        for (size_t r = 0; r < view->tables[t].run_count; r++) run_unref(view->tables[t].runs[r].run);
        free(view->tables[t].runs);
        range_set_unref(view->tables[t].ranges);
    }
    free(view->memtables);
    free(view->tables);
    free(view);
}

struct view *view_ref(struct view *view) {
    atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    return view;
}

void view_unref(struct view *view) {
    struct view_list *list = view->list;
    if (atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) != 1) return;
    pthread_mutex_lock(&list->mutex);
    if (view->newer) view->newer->older = view->older;
    if (view->older) view->older->newer = view->newer;
    if (list->oldest == view) list->oldest = view->newer;
    pthread_mutex_unlock(&list->mutex);
    view_free(view);
}

uint64_t view_list_oldest(struct view_list *list) {
    pthread_mutex_lock(&list->mutex);
    uint64_t sequence = list->oldest ? list->oldest->sequence : list->next_sequence;
    pthread_mutex_unlock(&list->mutex);
    return sequence;
}

/* Copies one table's list of runs with references; false when memory is out. */
static bool copy_table(struct view_table *to, const struct view_table *from) {
    *to = (struct view_table){.id = from->id};
    to->runs = malloc((from->run_count + 1) * sizeof *to->runs);
    if (!to->runs) return false;
    to->ranges = range_set_ref(from->ranges);
    for (; to->run_count < from->run_count; to->run_count++) {
        to->runs[to->run_count] = from->runs[to->run_count];
        run_ref(to->runs[to->run_count].run);
    }
    return true;
}

struct view *view_edit(struct view_list *list) {
    struct view *view = calloc(1, sizeof *view);
    if (!view) return NULL;
    view->list = list;
    atomic_init(&view->references, 1);
    const struct view *from = list->current;
    view->memtables = malloc(((from ? from->memtable_count : 0) + 1) * sizeof *view->memtables);
    view->tables = malloc(((from ? from->table_count : 0) + 1) * sizeof *view->tables);
    bool ok = view->memtables && view->tables;
    if (ok && from) {
        view->horizon_lsn = from->horizon_lsn;
        view->has_ranges = from->has_ranges;
        for (; view->memtable_count < from->memtable_count; view->memtable_count++) {
            view->memtables[view->memtable_count] = from->memtables[view->memtable_count];
            memtable_ref(view->memtables[view->memtable_count].memtable);
        }
        for (; ok && view->table_count < from->table_count; view->table_count += ok)
            ok = copy_table(&view->tables[view->table_count], &from->tables[view->table_count]);
    }
    if (ok) return view;
    view_free(view);
    return NULL;
}

uint64_t view_publish(struct view_list *list, struct view *edited) {
    pthread_mutex_lock(&list->mutex);
    struct view *former = list->current;
    edited->sequence = list->next_sequence++;
    edited->older = former;
    if (former) former->newer = edited;
    if (!list->oldest) list->oldest = edited;
    list->current = edited;
    pthread_mutex_unlock(&list->mutex);
    uint64_t sequence = edited->sequence;
    if (former) view_unref(former);
    return sequence;
}

void view_discard(struct view *edited) {
    if (edited) view_free(edited);
}

bool view_push_memtable(struct view *edited, struct memtable *memtable, uint64_t cut_lsn) {
    struct view_memtable *grown = realloc(edited->memtables, (edited->memtable_count + 1) * sizeof *grown);
    if (!grown) return false;
    edited->memtables = grown;
    if (edited->memtable_count) grown[0].cut_lsn = cut_lsn;
    memmove(&grown[1], &grown[0], edited->memtable_count++ * sizeof *grown);
    grown[0] = (struct view_memtable){.memtable = memtable};
    return true;
}

void view_drop_memtable(struct view *edited, uint64_t cut_lsn) {
    for (size_t i = 0; i < edited->memtable_count; i++) {
        if (edited->memtables[i].cut_lsn != cut_lsn) continue;
        memtable_unref(edited->memtables[i].memtable);
        memmove(&edited->memtables[i], &edited->memtables[i + 1],
                (--edited->memtable_count - i) * sizeof *edited->memtables);
        return;
    }
}

/* Where `id` is or belongs. */
static size_t table_position(const struct view *view, struct table_id id) {
    size_t low = 0, high = view->table_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table_id_compare(view->tables[middle].id, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const struct view_table *view_find_table(const struct view *view, struct table_id table) {
    size_t at = table_position(view, table);
    return at < view->table_count && table_id_compare(view->tables[at].id, table) == 0 ? &view->tables[at] : NULL;
}

size_t view_partition_begin(const struct view_table *table, bool has_partition, int64_t partition) {
    size_t at = 0;
    while (table && at < table->run_count &&
           partition_compare(table->runs[at].has_partition, table->runs[at].partition, has_partition, partition) < 0)
        at++;
    return at;
}

size_t view_partition_end(const struct view_table *table, size_t begin) {
    size_t end = begin + 1;
    while (end < table->run_count &&
           partition_compare(table->runs[end].has_partition, table->runs[end].partition,
                             table->runs[begin].has_partition, table->runs[begin].partition) == 0)
        end++;
    return end;
}

/* The table, made if it is new; null when memory is out. */
static struct view_table *table_make(struct view *edited, struct table_id id) {
    if (!view_find_table(edited, id)) {
        size_t at = table_position(edited, id);
        struct view_table *grown = realloc(edited->tables, (edited->table_count + 1) * sizeof *grown);
        if (!grown) return NULL;
        edited->tables = grown;
        memmove(&grown[at + 1], &grown[at], (edited->table_count++ - at) * sizeof *grown);
        grown[at] = (struct view_table){.id = id};
    }
    return (struct view_table *)view_find_table(edited, id);
}

bool view_set_ranges(struct view *edited, struct table_id id, struct range_set *ranges) {
    struct view_table *table = table_make(edited, id);
    if (!table) return false;
    range_set_unref(table->ranges);
    table->ranges = ranges;
    edited->has_ranges |= ranges != NULL;
    return true;
}

bool view_insert_run(struct view *edited, struct table_id id, size_t position, struct view_run run) {
    struct view_table *table = table_make(edited, id);
    if (!table) return false;
    struct view_run *runs = realloc(table->runs, (table->run_count + 1) * sizeof *runs);
    if (!runs) return false;
    table->runs = runs;
    memmove(&runs[position + 1], &runs[position], (table->run_count++ - position) * sizeof *runs);
    runs[position] = run;
    return true;
}

void view_drop_runs(struct view *edited, struct table_id id, size_t position, size_t count) {
    struct view_table *table = (struct view_table *)view_find_table(edited, id);
    for (size_t i = position; i < position + count; i++) run_unref(table->runs[i].run);
    memmove(&table->runs[position], &table->runs[position + count],
            (table->run_count - position - count) * sizeof *table->runs);
    table->run_count -= count;
}

void view_drop_table(struct view *edited, struct table_id id) {
    struct view_table *table = (struct view_table *)view_find_table(edited, id);
    if (!table) return;
    view_drop_runs(edited, id, 0, table->run_count);
    free(table->runs);
    range_set_unref(table->ranges);
    size_t at = (size_t)(table - edited->tables);
    memmove(table, table + 1, (--edited->table_count - at) * sizeof *table);
}
