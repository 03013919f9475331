#include "table/range_set.h"

#include <stdatomic.h>
#include <stdlib.h>

/* A range with what is known of the subtree whose root it is. */
struct node {
    struct deleted_range range;
    struct slice upper_max; /* empty: no end */
    uint64_t lsn_max, lsn_min;
};

struct range_set {
    atomic_uint references;
    size_t count, bytes;
    struct node nodes[]; /* then the bounds' bytes */
};

static bool ends_later(struct slice a, struct slice b) { return b.size && (!a.size || slice_compare(a, b) > 0); }

/* The subtree over nodes [low, high) has its root in the middle. */
static const struct node *build(struct node *nodes, size_t low, size_t high) {
    if (low == high) return NULL;
    size_t middle = low + (high - low) / 2;
    struct node *root = &nodes[middle];
    root->upper_max = root->range.upper;
    root->lsn_max = root->lsn_min = root->range.lsn;
    const struct node *sides[] = {build(nodes, low, middle), build(nodes, middle + 1, high)};
    for (int i = 0; i < 2; i++) {
        if (!sides[i]) continue;
        if (ends_later(sides[i]->upper_max, root->upper_max)) root->upper_max = sides[i]->upper_max;
        if (sides[i]->lsn_max > root->lsn_max) root->lsn_max = sides[i]->lsn_max;
        if (sides[i]->lsn_min < root->lsn_min) root->lsn_min = sides[i]->lsn_min;
    }
    return root;
}

static int node_compare(const void *a, const void *b) {
    const struct node *left = a, *right = b;
    int order = slice_compare(left->range.lower, right->range.lower);
    return order ? order : (left->range.lsn > right->range.lsn) - (left->range.lsn < right->range.lsn);
}

static struct range_set *set_alloc(size_t count, size_t bytes) {
    size_t size = sizeof(struct range_set) + count * sizeof(struct node) + bytes;
    struct range_set *set = malloc(size);
    if (!set) return NULL;
    atomic_init(&set->references, 1);
    set->count = 0;
    set->bytes = size;
    return set;
}

static struct slice put(uint8_t **at, struct slice bytes) {
    struct slice copy = slice_of(*at, bytes.size);
    if (bytes.size) memcpy(*at, bytes.data, bytes.size);
    *at += bytes.size;
    return copy;
}

static void set_add(struct range_set *set, const struct deleted_range *range, uint8_t **at) {
    set->nodes[set->count++].range = (struct deleted_range){put(at, range->lower), put(at, range->upper), range->lsn};
}

static struct range_set *set_finish(struct range_set *set) {
    qsort(set->nodes, set->count, sizeof *set->nodes, node_compare);
    build(set->nodes, 0, set->count);
    return set;
}

struct range_set *range_set_create(const struct deleted_range *ranges, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += ranges[i].lower.size + ranges[i].upper.size;
    struct range_set *set = set_alloc(count, bytes);
    if (!set) return NULL;
    uint8_t *at = (uint8_t *)&set->nodes[count];
    for (size_t i = 0; i < count; i++) set_add(set, &ranges[i], &at);
    return set_finish(set);
}

struct range_set *range_set_merge(struct range_set *const *sets, size_t count) {
    size_t total = 0, bytes = 0;
    for (size_t s = 0; s < count; s++) {
        total += sets[s]->count;
        bytes += sets[s]->bytes; /* a little too much */
    }
    struct range_set *merged = set_alloc(total, bytes);
    if (!merged) return NULL;
    uint8_t *at = (uint8_t *)&merged->nodes[total];
    for (size_t s = 0; s < count; s++)
        for (size_t i = 0; i < sets[s]->count; i++) set_add(merged, &sets[s]->nodes[i].range, &at);
    return set_finish(merged);
}

struct range_set *range_set_ref(struct range_set *set) {
    if (set) atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

void range_set_unref(struct range_set *set) {
    if (set && atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) == 1) free(set);
}

size_t range_set_count(const struct range_set *set) { return set ? set->count : 0; }
const struct deleted_range *range_set_at(const struct range_set *set, size_t index) { return &set->nodes[index].range; }
size_t range_set_bytes(const struct range_set *set) { return set->bytes; }

static void find(const struct node *nodes, size_t low, size_t high, struct slice key, uint64_t lsn_max,
                 const struct deleted_range **best) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct node *root = &nodes[middle];
        if (root->lsn_min > lsn_max || (*best && root->lsn_max <= (*best)->lsn)) return;
        if (root->upper_max.size && slice_compare(root->upper_max, key) <= 0) return;
        find(nodes, low, middle, key, lsn_max, best);
        if (slice_compare(root->range.lower, key) > 0) return;
        bool newer = root->range.lsn <= lsn_max && (!*best || root->range.lsn > (*best)->lsn);
        if (newer && deleted_range_covers(&root->range, key)) *best = &root->range;
        low = middle + 1;
    }
}

void range_set_find(const struct range_set *set, struct slice key, uint64_t lsn_max,
                    const struct deleted_range **best) {
    find(set->nodes, 0, set->count, key, lsn_max, best);
}

bool range_set_next(const struct range_set *set, struct slice key, struct slice *lower) {
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(set->nodes[middle].range.lower, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == set->count) return false;
    *lower = set->nodes[low].range.lower;
    return true;
}

bool range_view_add(struct range_view *view, const struct range_set *set) {
    if (!set || !set->count) return true;
    const struct range_set **grown = realloc(view->sets, (view->count + 1) * sizeof *grown);
    if (!grown) return false;
    view->sets = grown;
    grown[view->count++] = set;
    return true;
}

void range_view_deinit(struct range_view *view) {
    free(view->sets);
    *view = (struct range_view){0};
}

const struct deleted_range *range_view_find(const struct range_view *view, struct slice key) {
    const struct deleted_range *best = NULL;
    for (size_t i = 0; i < view->count; i++) range_set_find(view->sets[i], key, view->lsn_max, &best);
    return best;
}
