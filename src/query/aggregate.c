#include "query/aggregate.h"
#include "engine/engine.h"

#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"
#include "column/column_builder.h"
#include "column/row_key.h"
#include "query/group_codes.h"
#include "query/query.h"

typedef __int128 int128;

/* Of one function in one group. */
struct state {
    uint64_t count;
    int64_t wraps;      /* of `sum`, each of 2^128: decimals have 38 digits and an int128 few more */
    int128 sum;         /* integers, decimals; MIN/MAX: the value of a fixed-width type but floats */
    double real;        /* floats */
    struct slice bytes; /* MIN/MAX of STRING and BYTES, UUID; in the arena, with room for `capacity` */
    size_t capacity;
};

struct slot {
    uint32_t hash;
    uint32_t group; /* + 1; 0: free */
};

struct aggregator {
    const struct aggregate_spec *specs;
    uint32_t spec_count;
    const uint32_t *group_columns;
    struct column_type group_types[ROW_KEY_PARTS_MAX];
    uint32_t group_count;
    struct aggregate_budget *budget;
    uint64_t charged;     /* to the budget */
    uint64_t shared;      /* to the engine */
    struct arena arena;   /* keys and bytes of groups */
    struct arena scratch; /* of one call */
    struct slice *keys;   /* by group */
    struct state *states; /* by group, then function */
    uint32_t groups, capacity;
    struct slot *slots; /* a power of two of them */
    uint32_t slot_count;
    struct group_codes *codes; /* null: without groups */
    uint32_t *group_of_code;   /* + 1; 0: not known yet */
    uint32_t code_capacity;
};

/* ---- types ---- */

enum plinth_status aggregate_result_type(int kind, struct column_type type, struct column_type *result,
                                         struct plinth_error *error) {
    bool number = column_kind_is_integer(type.kind) || column_kind_is_float(type.kind) || type.kind == COLUMN_DECIMAL;
    char text[COLUMN_TYPE_TEXT_MAX];
    switch (kind) {
    case AGGREGATE_COUNT: *result = column_type_of(COLUMN_INT64); return PLINTH_OK;
    case AGGREGATE_MIN:
    case AGGREGATE_MAX:
        *result = type;
        if (type.kind != COLUMN_LIST) return PLINTH_OK;
        break;
    case AGGREGATE_SUM:
        *result = column_type_of(column_kind_is_float(type.kind)      ? COLUMN_FLOAT64
                                 : column_kind_is_unsigned(type.kind) ? COLUMN_UINT64
                                                                      : COLUMN_INT64);
        if (type.kind == COLUMN_DECIMAL) {
            *result = type;
            result->precision = DECIMAL_PRECISION_MAX;
        }
        if (number) return PLINTH_OK;
        break;
    case AGGREGATE_AVG:
        *result = column_type_of(COLUMN_FLOAT64);
        if (number) return PLINTH_OK;
        break;
    default: return error_set(error, PLINTH_INVALID_ARGUMENT, "unknown aggregate function %d", kind);
    }
    static const char *const words[] = {"?", "count", "min", "max", "sum", "avg"};
    return error_set(error, PLINTH_INVALID_ARGUMENT, "there is no %s of a %s", words[kind],
                     column_type_format(type, text));
}

/* ---- life ---- */

static bool grow_groups(struct aggregator *aggregator) {
    uint32_t larger = aggregator->capacity ? aggregator->capacity * 2 : 64;
    struct slice *keys = realloc(aggregator->keys, larger * sizeof *keys);
    if (!keys) return false;
    aggregator->keys = keys;
    size_t states = (size_t)(aggregator->spec_count + 1);
    struct state *grown = realloc(aggregator->states, larger * states * sizeof *grown);
    if (!grown) return false;
    memset(grown + aggregator->capacity * states, 0, (larger - aggregator->capacity) * states * sizeof *grown);
    aggregator->states = grown;
    aggregator->capacity = larger;
    return true;
}

enum plinth_status aggregator_create(const struct aggregate_spec *specs, uint32_t spec_count,
                                     const uint32_t *group_columns, const struct column_type *group_types,
                                     uint32_t group_count, struct aggregate_budget *budget,
                                     struct aggregator **aggregator, struct plinth_error *error) {
    *aggregator = NULL;
    struct aggregator *made = calloc(1, sizeof *made);
    if (!made) return error_no_memory(error, "aggregate");
    made->specs = specs;
    made->spec_count = spec_count;
    made->group_columns = group_columns;
    made->group_count = group_count;
    if (group_count) memcpy(made->group_types, group_types, group_count * sizeof *group_types);
    made->budget = budget;
    arena_init(&made->arena);
    arena_init(&made->scratch);
    made->slot_count = 256;
    made->slots = calloc(made->slot_count, sizeof *made->slots);
    if (group_count) made->codes = group_codes_create(group_count);
    bool ok = made->slots && (made->codes || !group_count) && grow_groups(made);
    if (ok && !group_count) made->groups = 1; /* one group, also of no rows */
    if (!ok) {
        aggregator_destroy(made);
        return error_no_memory(error, "aggregate");
    }
    *aggregator = made;
    return PLINTH_OK;
}

void aggregator_destroy(struct aggregator *aggregator) {
    if (!aggregator) return;
    if (aggregator->budget && aggregator->budget->db)
        engine_give_query_memory(aggregator->budget->db, aggregator->shared);
    if (aggregator->budget)
        atomic_fetch_sub_explicit(&aggregator->budget->bytes, aggregator->charged, memory_order_relaxed);
    arena_deinit(&aggregator->arena);
    arena_deinit(&aggregator->scratch);
    free(aggregator->keys);
    free(aggregator->states);
    free(aggregator->slots);
    group_codes_destroy(aggregator->codes);
    free(aggregator->group_of_code);
    free(aggregator);
}

static inline struct state *state_of(struct aggregator *aggregator, uint32_t group, uint32_t spec) {
    return &aggregator->states[(size_t)group * (aggregator->spec_count + 1) + spec];
}

/* ---- groups ---- */

static bool grow_slots(struct aggregator *aggregator) {
    uint32_t larger = aggregator->slot_count * 2;
    struct slot *slots = calloc(larger, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; i < aggregator->slot_count; i++) {
        struct slot slot = aggregator->slots[i];
        if (!slot.group) continue;
        uint32_t at = slot.hash & (larger - 1);
        while (slots[at].group) at = (at + 1) & (larger - 1);
        slots[at] = slot;
    }
    free(aggregator->slots);
    aggregator->slots = slots;
    aggregator->slot_count = larger;
    return true;
}

/* The number of a key's group, made when it is new; UINT32_MAX when memory is out. */
static uint32_t find_group(struct aggregator *aggregator, struct slice key) {
    uint32_t hash = (uint32_t)hash_fast(key.data, key.size);
    uint32_t at = hash & (aggregator->slot_count - 1);
    for (; aggregator->slots[at].group; at = (at + 1) & (aggregator->slot_count - 1)) {
        struct slot slot = aggregator->slots[at];
        if (slot.hash == hash && slice_equal(aggregator->keys[slot.group - 1], key)) return slot.group - 1;
    }
    if (aggregator->groups == aggregator->capacity && !grow_groups(aggregator)) return UINT32_MAX;
    uint8_t *copy = arena_copy(&aggregator->arena, key);
    if (!copy) return UINT32_MAX;
    aggregator->keys[aggregator->groups] = slice_of(copy, key.size);
    aggregator->slots[at] = (struct slot){hash, ++aggregator->groups};
    if (aggregator->groups * 2 > aggregator->slot_count && !grow_slots(aggregator)) return UINT32_MAX;
    return aggregator->groups - 1;
}

static enum plinth_status check_memory(struct aggregator *aggregator, struct plinth_error *error) {
    uint64_t bytes =
        aggregator->arena.used_bytes + aggregator->slot_count * sizeof(struct slot) +
        (aggregator->codes ? group_codes_bytes(aggregator->codes) : 0) +
        aggregator->code_capacity * sizeof *aggregator->group_of_code +
        (uint64_t)aggregator->capacity * (sizeof(struct slice) + (aggregator->spec_count + 1) * sizeof(struct state));
    struct aggregate_budget *budget = aggregator->budget;
    uint64_t more = bytes - aggregator->charged; /* modulo 2^64, as the total is */
    aggregator->charged = bytes;
    if (atomic_fetch_add_explicit(&budget->bytes, more, memory_order_relaxed) + more > budget->bytes_max)
        return error_set(error, PLINTH_RESOURCE_EXHAUSTED,
                         "%u groups take more than the %llu bytes that the query may use", aggregator->groups,
                         (unsigned long long)budget->bytes_max);
    enum plinth_status st = PLINTH_OK;
    if (budget->db && bytes != aggregator->shared)
        st = engine_take_query_memory(budget->db, bytes - aggregator->shared, error);
    if (!st) aggregator->shared = bytes;
    return st;
}

/* The rows to look at (`list` null: 0 to count) and their groups (null: all of group 0). */
struct chosen {
    const uint32_t *list;
    const uint32_t *groups;
    uint32_t count;
};

static bool choose_rows(struct aggregator *aggregator, uint32_t rows, const uint8_t *selection, struct chosen *chosen) {
    *chosen = (struct chosen){.count = rows};
    if (!selection) return true;
    uint32_t *list = arena_alloc(&aggregator->scratch, ((size_t)rows + 1) * sizeof *list);
    if (!list) return false;
    chosen->count = 0;
    for (uint32_t base = 0; base < rows; base += 8) {
        unsigned bits = selection[base / 8];
        if (rows - base < 8) bits &= (1u << (rows - base)) - 1;
        for (; bits; bits &= bits - 1) list[chosen->count++] = base + (uint32_t)__builtin_ctz(bits);
    }
    chosen->list = list;
    return true;
}

/* Groups of codes that are all known. */
static void map_codes(const struct aggregator *aggregator, uint32_t *codes, uint32_t count) {
    const uint32_t *known = aggregator->group_of_code;
    for (uint32_t i = 0; i < count; i++) codes[i] = known[codes[i]] - 1;
}

/* Room for the codes that there are now. */
static bool grow_codes(struct aggregator *aggregator) {
    uint32_t count = group_codes_count(aggregator->codes), capacity = aggregator->code_capacity;
    if (count <= capacity) return true;
    uint32_t larger = count < 64 ? 64 : count * 2;
    uint32_t *grown = realloc(aggregator->group_of_code, larger * sizeof *grown);
    if (!grown) return false;
    memset(grown + capacity, 0, (larger - capacity) * sizeof *grown);
    aggregator->group_of_code = grown;
    aggregator->code_capacity = larger;
    return true;
}

/* Rows to groups: by their code; only the first row of each code has its key encoded. */
static bool choose_groups(struct aggregator *aggregator, const struct column *const *columns, struct chosen *chosen) {
    const struct column *parts[ROW_KEY_PARTS_MAX];
    size_t room = ((size_t)chosen->count + 1) * sizeof(uint32_t);
    uint32_t *groups = arena_alloc(&aggregator->scratch, room);
    uint32_t *scratch = aggregator->group_count > 1 ? arena_alloc(&aggregator->scratch, room) : groups;
    for (uint32_t i = 0; i < aggregator->group_count; i++) parts[i] = columns[aggregator->group_columns[i]];
    uint32_t codes_before = group_codes_count(aggregator->codes);
    chosen->groups = groups;
    if (!groups || !scratch ||
        !group_codes_of(aggregator->codes, parts, chosen->list, chosen->count, groups, scratch) ||
        !grow_codes(aggregator))
        return false;
    if (group_codes_count(aggregator->codes) == codes_before) {
        map_codes(aggregator, groups, chosen->count);
        return true;
    }
    struct buffer key = BUFFER_INIT;
    bool ok = true;
    for (uint32_t i = 0; ok && i < chosen->count; i++) {
        uint32_t *known = &aggregator->group_of_code[groups[i]];
        if (!*known) {
            buffer_clear(&key);
            ok =
                row_key_append(&key, parts, aggregator->group_count, ROW_KEY_INDEX, chosen->list ? chosen->list[i] : i);
            uint32_t group = ok ? find_group(aggregator, buffer_slice(&key)) : UINT32_MAX;
            ok = group != UINT32_MAX;
            *known = ok ? group + 1 : 0;
        }
        groups[i] = *known - 1;
    }
    buffer_deinit(&key);
    return ok;
}

/* ---- functions ---- */

static inline bool real_below(double a, double b) { return a < b || (isnan(b) && !isnan(a)); }

static int128 load_decimal(const void *values, uint32_t row) {
    int128 value;
    memcpy(&value, (const uint8_t *)values + (size_t)row * 16, sizeof value);
    return value;
}

#define ROW_OF(i) (chosen->list ? chosen->list[i] : (i))
#define EACH_VALUE(body)                                                                                               \
    for (uint32_t i = 0; i < chosen->count; i++) {                                                                     \
        uint32_t row = ROW_OF(i);                                                                                      \
        if (column->validity && !bitmap_get(column->validity, row)) continue;                                          \
        struct state *state = &states[chosen->groups ? (size_t)chosen->groups[i] * stride : 0];                        \
        body                                                                                                           \
    }

/* Sums of a whole column without nulls, selection or groups: what compilers vectorise. */
#define SUM_ALL(type, wide)                                                                                            \
    do {                                                                                                               \
        const type *values = column->values;                                                                           \
        wide sum = 0;                                                                                                  \
        for (uint32_t i = 0; i < chosen->count; i++) sum += values[i];                                                 \
        states->sum += sum;                                                                                            \
        states->count += chosen->count;                                                                                \
        return;                                                                                                        \
    } while (0)

#define SUM_EACH(type)                                                                                                 \
    do {                                                                                                               \
        const type *values = column->values;                                                                           \
        EACH_VALUE({                                                                                                   \
            state->sum += values[row];                                                                                 \
            state->count++;                                                                                            \
        })                                                                                                             \
        return;                                                                                                        \
    } while (0)

static void add_sum_real(struct state *states, size_t stride, const struct column *column,
                         const struct chosen *chosen) {
    if (column->type.kind == COLUMN_FLOAT32) {
        const float *values = column->values;
        EACH_VALUE({
            state->real += (double)values[row];
            state->count++;
        })
        return;
    }
    const double *values = column->values;
    if (!column->validity && !chosen->list && !chosen->groups) {
        double sums[4] = {0}; /* independent chains */
        uint32_t i = 0;
        for (; i + 4 <= chosen->count; i += 4)
            for (int k = 0; k < 4; k++) sums[k] += values[i + k];
        for (; i < chosen->count; i++) sums[0] += values[i];
        states->real += (sums[0] + sums[1]) + (sums[2] + sums[3]);
        states->count += chosen->count;
        return;
    }
    EACH_VALUE({
        state->real += values[row];
        state->count++;
    })
}

/* Sums may leave the range on their way and come back. */
static void add_wide(struct state *state, int128 value) {
    if (__builtin_add_overflow(state->sum, value, &state->sum)) state->wraps += value < 0 ? -1 : 1;
}

static void add_sum(struct state *states, size_t stride, const struct column *column, const struct chosen *chosen) {
    bool all = !column->validity && !chosen->list && !chosen->groups;
    switch (column->type.kind) {
    case COLUMN_INT8:
        if (all) SUM_ALL(int8_t, int64_t);
        SUM_EACH(int8_t);
    case COLUMN_INT16:
        if (all) SUM_ALL(int16_t, int64_t);
        SUM_EACH(int16_t);
    case COLUMN_INT32:
        if (all) SUM_ALL(int32_t, int64_t);
        SUM_EACH(int32_t);
    case COLUMN_INT64:
        if (all) SUM_ALL(int64_t, int128);
        SUM_EACH(int64_t);
    case COLUMN_UINT8:
        if (all) SUM_ALL(uint8_t, int64_t);
        SUM_EACH(uint8_t);
    case COLUMN_UINT16:
        if (all) SUM_ALL(uint16_t, int64_t);
        SUM_EACH(uint16_t);
    case COLUMN_UINT32:
        if (all) SUM_ALL(uint32_t, int64_t);
        SUM_EACH(uint32_t);
    case COLUMN_UINT64:
        if (all) SUM_ALL(uint64_t, int128);
        SUM_EACH(uint64_t);
    case COLUMN_DECIMAL:
        EACH_VALUE({
            add_wide(state, load_decimal(column->values, row));
            state->count++;
        })
        return;
    default: add_sum_real(states, stride, column, chosen); return;
    }
}

static void add_count(struct state *states, size_t stride, const struct column *column, const struct chosen *chosen) {
    if (!column->validity && !chosen->groups) {
        states->count += chosen->count;
        return;
    }
    EACH_VALUE({ state->count++; })
}

/* MIN and MAX of a type whose values are kept in `sum`: of a whole column without nulls, selection or groups, */
#define EXTREME_ALL(type)                                                                                              \
    do {                                                                                                               \
        const type *values = column->values;                                                                           \
        if (column->validity || chosen->list || chosen->groups || !chosen->count) break;                               \
        type best = values[0];                                                                                         \
        if (largest)                                                                                                   \
            for (uint32_t i = 1; i < chosen->count; i++) best = values[i] > best ? values[i] : best;                   \
        else                                                                                                           \
            for (uint32_t i = 1; i < chosen->count; i++) best = values[i] < best ? values[i] : best;                   \
        if (!states->count || (largest ? best > states->sum : best < states->sum)) states->sum = best;                 \
        states->count += chosen->count;                                                                                \
        return true;                                                                                                   \
    } while (0)

/* and of any other. */
#define EXTREME_EACH(type, load)                                                                                       \
    do {                                                                                                               \
        EACH_VALUE({                                                                                                   \
            int128 value = (int128)(load);                                                                             \
            if (!state->count || (largest ? value > state->sum : value < state->sum)) state->sum = value;              \
            state->count++;                                                                                            \
        })                                                                                                             \
        return true;                                                                                                   \
    } while (0)

static struct slice bytes_of(const struct column *column, uint32_t row) {
    if (column->type.kind == COLUMN_UUID) return slice_of((const uint8_t *)column->values + (size_t)row * 16, 16);
    return column_bytes_at(column, row);
}

/* Overwrites the value where it has room: a column that only grows would fill the memory otherwise. */
static bool keep_bytes(struct arena *arena, struct state *state, struct slice value, bool largest) {
    if (state->count) {
        int order = slice_compare(value, state->bytes);
        if (largest ? order <= 0 : order >= 0) return true;
    }
    uint8_t *room = (uint8_t *)state->bytes.data;
    if (!room || value.size > state->capacity) {
        size_t capacity = 16;
        while (capacity < value.size) capacity *= 2;
        room = arena_alloc(arena, capacity);
        if (!room) return false;
        state->capacity = capacity;
    }
    if (value.size) memcpy(room, value.data, value.size);
    state->bytes = slice_of(room, value.size);
    return true;
}

static void keep_real(struct state *state, double value, bool largest) {
    if (!state->count || (largest ? real_below(state->real, value) : real_below(value, state->real)))
        state->real = value;
}

static bool add_extreme(struct aggregator *aggregator, struct state *states, size_t stride, const struct column *column,
                        const struct chosen *chosen, bool largest) {
    switch (column->type.kind) {
    case COLUMN_BOOL: EXTREME_EACH(bool, bitmap_get(column->values, row));
    case COLUMN_INT8: EXTREME_ALL(int8_t); EXTREME_EACH(int8_t, ((const int8_t *)column->values)[row]);
    case COLUMN_INT16: EXTREME_ALL(int16_t); EXTREME_EACH(int16_t, ((const int16_t *)column->values)[row]);
    case COLUMN_DATE:
    case COLUMN_INT32: EXTREME_ALL(int32_t); EXTREME_EACH(int32_t, ((const int32_t *)column->values)[row]);
    case COLUMN_TIMESTAMP:
    case COLUMN_INT64: EXTREME_ALL(int64_t); EXTREME_EACH(int64_t, ((const int64_t *)column->values)[row]);
    case COLUMN_UINT8: EXTREME_ALL(uint8_t); EXTREME_EACH(uint8_t, ((const uint8_t *)column->values)[row]);
    case COLUMN_UINT16: EXTREME_ALL(uint16_t); EXTREME_EACH(uint16_t, ((const uint16_t *)column->values)[row]);
    case COLUMN_UINT32: EXTREME_ALL(uint32_t); EXTREME_EACH(uint32_t, ((const uint32_t *)column->values)[row]);
    case COLUMN_UINT64: EXTREME_ALL(uint64_t); EXTREME_EACH(uint64_t, ((const uint64_t *)column->values)[row]);
    case COLUMN_DECIMAL: EXTREME_EACH(int128, load_decimal(column->values, row));
    case COLUMN_FLOAT32:
        EACH_VALUE({
            keep_real(state, (double)((const float *)column->values)[row], largest);
            state->count++;
        })
        return true;
    case COLUMN_FLOAT64:
        EACH_VALUE({
            keep_real(state, ((const double *)column->values)[row], largest);
            state->count++;
        })
        return true;
    default:
        EACH_VALUE({
            if (!keep_bytes(&aggregator->arena, state, bytes_of(column, row), largest)) return false;
            state->count++;
        })
        return true;
    }
}

enum plinth_status aggregator_add(struct aggregator *aggregator, const struct column *const *columns, uint32_t rows,
                                  const uint8_t *selection, struct plinth_error *error) {
    struct chosen chosen;
    arena_reset(&aggregator->scratch);
    bool ok = choose_rows(aggregator, rows, selection, &chosen);
    if (ok && aggregator->group_count) ok = choose_groups(aggregator, columns, &chosen);
    size_t stride = aggregator->spec_count + 1;
    for (uint32_t s = 0; ok && s < aggregator->spec_count; s++) {
        const struct aggregate_spec *spec = &aggregator->specs[s];
        struct state *states = aggregator->states + s;
        const struct column *column = spec->column == AGGREGATE_NO_COLUMN ? NULL : columns[spec->column];
        if (!column) {
            if (!chosen.groups) states->count += chosen.count;
            for (uint32_t i = 0; chosen.groups && i < chosen.count; i++) states[chosen.groups[i] * stride].count++;
        } else if (spec->kind == AGGREGATE_COUNT) {
            add_count(states, stride, column, &chosen);
        } else if (spec->kind == AGGREGATE_SUM || spec->kind == AGGREGATE_AVG) {
            add_sum(states, stride, column, &chosen);
        } else {
            ok = add_extreme(aggregator, states, stride, column, &chosen, spec->kind == AGGREGATE_MAX);
        }
    }
    return ok ? check_memory(aggregator, error) : error_no_memory(error, "aggregate");
}

/* ---- the end ---- */

static bool merge_state(struct aggregator *into, const struct aggregate_spec *spec, struct state *to,
                        const struct state *from) {
    if (!from->count) return true;
    bool largest = spec->kind == AGGREGATE_MAX, ok = true;
    if (spec->kind == AGGREGATE_MIN || spec->kind == AGGREGATE_MAX) {
        if (column_kind_is_float(spec->type.kind))
            keep_real(to, from->real, largest);
        else if (column_kind_is_bytes(spec->type.kind) || spec->type.kind == COLUMN_UUID)
            ok = keep_bytes(&into->arena, to, from->bytes, largest);
        else if (!to->count || (largest ? from->sum > to->sum : from->sum < to->sum))
            to->sum = from->sum;
    } else {
        add_wide(to, from->sum);
        to->wraps += from->wraps;
        to->real += from->real;
    }
    to->count += from->count;
    return ok;
}

enum plinth_status aggregator_merge(struct aggregator *into, struct aggregator *from, struct plinth_error *error) {
    for (uint32_t g = 0; g < from->groups; g++) {
        uint32_t group = into->group_count ? find_group(into, from->keys[g]) : 0;
        if (group == UINT32_MAX) return error_no_memory(error, "aggregate");
        for (uint32_t s = 0; s < into->spec_count; s++)
            if (!merge_state(into, &into->specs[s], state_of(into, group, s), state_of(from, g, s)))
                return error_no_memory(error, "aggregate");
    }
    return check_memory(into, error);
}

static double decimal_scale(uint8_t scale) {
    double factor = 1;
    while (scale--) factor *= 10;
    return factor;
}

static enum plinth_status append_sum(struct column_builder *builder, const struct aggregate_spec *spec,
                                     const struct state *state, bool *ok, struct plinth_error *error) {
    if (column_kind_is_float(spec->type.kind)) {
        *ok = column_builder_float(builder, state->real);
        return PLINTH_OK;
    }
    if (spec->type.kind == COLUMN_DECIMAL) {
        int128 limit = 1;
        for (int i = 0; i < DECIMAL_PRECISION_MAX; i++) limit *= 10;
        if (state->wraps || state->sum >= limit || state->sum <= -limit)
            return error_set(error, PLINTH_INVALID_ARGUMENT, "a sum has more than 38 digits");
        *ok = column_builder_bytes_value(builder, slice_of(&state->sum, sizeof state->sum));
        return PLINTH_OK;
    }
    bool is_unsigned = spec->result.kind == COLUMN_UINT64;
    if (is_unsigned ? state->sum > (int128)UINT64_MAX : (state->sum > INT64_MAX || state->sum < INT64_MIN))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a sum does not fit into 64 bits");
    *ok = column_builder_integer(builder, (int64_t)(uint64_t)state->sum);
    return PLINTH_OK;
}

static bool append_extreme(struct column_builder *builder, const struct state *state) {
    switch (builder->type.kind) {
    case COLUMN_BOOL: return column_builder_bool(builder, state->sum != 0);
    case COLUMN_FLOAT32:
    case COLUMN_FLOAT64: return column_builder_float(builder, state->real);
    case COLUMN_DECIMAL: return column_builder_bytes_value(builder, slice_of(&state->sum, sizeof state->sum));
    case COLUMN_STRING:
    case COLUMN_BYTES:
    case COLUMN_UUID: return column_builder_bytes_value(builder, state->bytes);
    default: return column_builder_integer(builder, (int64_t)(uint64_t)state->sum);
    }
}

static enum plinth_status append_result(struct column_builder *builder, const struct aggregate_spec *spec,
                                        const struct state *state, struct plinth_error *error) {
    bool ok = true;
    enum plinth_status st = PLINTH_OK;
    if (spec->kind == AGGREGATE_COUNT) {
        ok = column_builder_integer(builder, (int64_t)state->count);
    } else if (!state->count) {
        ok = column_builder_null(builder);
    } else if (spec->kind == AGGREGATE_SUM) {
        st = append_sum(builder, spec, state, &ok, error);
    } else if (spec->kind == AGGREGATE_AVG) {
        double sum =
            column_kind_is_float(spec->type.kind) ? state->real : (double)state->wraps * 0x1p128 + (double)state->sum;
        if (spec->type.kind == COLUMN_DECIMAL) sum /= decimal_scale(spec->type.scale);
        ok = column_builder_float(builder, sum / (double)state->count);
    } else {
        ok = append_extreme(builder, state);
    }
    return ok ? st : error_no_memory(error, "aggregate");
}

static int key_order(const void *a, const void *b, void *keys) {
    return slice_compare(((const struct slice *)keys)[*(const uint32_t *)a],
                         ((const struct slice *)keys)[*(const uint32_t *)b]);
}

enum plinth_status aggregator_finish(struct aggregator *aggregator, struct batch **batch, struct plinth_error *error) {
    uint32_t columns = aggregator->group_count + aggregator->spec_count;
    struct column_builder *builders = calloc(columns + 1, sizeof *builders);
    struct column_builder *parts[ROW_KEY_PARTS_MAX];
    uint32_t *order = malloc((aggregator->groups + 1) * sizeof *order);
    bool ok = builders && order;
    enum plinth_status st = PLINTH_OK;
    *batch = NULL;
    for (uint32_t c = 0; ok && c < columns; c++)
        ok = column_builder_init(&builders[c], c < aggregator->group_count
                                                   ? aggregator->group_types[c]
                                                   : aggregator->specs[c - aggregator->group_count].result);
    for (uint32_t i = 0; ok && i < aggregator->groups; i++) order[i] = i;
    if (ok && aggregator->group_count) {
        qsort_r(order, aggregator->groups, sizeof *order, key_order, aggregator->keys);
        for (uint32_t i = 0; i < aggregator->group_count; i++) parts[i] = &builders[i];
    }
    for (uint32_t i = 0; ok && !st && i < aggregator->groups; i++) {
        if (aggregator->group_count) {
            struct reader key = reader_of(aggregator->keys[order[i]]);
            ok = row_key_decode(&key, parts, aggregator->group_count, ROW_KEY_INDEX);
        }
        for (uint32_t s = 0; ok && !st && s < aggregator->spec_count; s++)
            st = append_result(&builders[aggregator->group_count + s], &aggregator->specs[s],
                               state_of(aggregator, order[i], s), error);
    }
    if (ok && !st && aggregator->groups) ok = (*batch = column_builders_finish(builders, columns)) != NULL;
    for (uint32_t c = 0; builders && c < columns; c++) column_builder_deinit(&builders[c]);
    free(builders);
    free(order);
    return ok ? st : error_no_memory(error, "aggregate");
}
