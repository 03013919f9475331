/* Lists between Arrow's layout and levels. See list_levels.h. */
#include "parquet/list_levels.h"

#include "base/status.h"
#include "parquet/bits.h"
#include "parquet/levels.h"

void parquet_list_buffer_deinit(struct parquet_list_buffer *buffer) {
    buffer_deinit(&buffer->validity);
    buffer_deinit(&buffer->offsets);
    buffer_deinit(&buffer->values);
    buffer_deinit(&buffer->element_offsets);
    buffer_deinit(&buffer->element_validity);
    buffer_deinit(&buffer->flags);
    *buffer = (struct parquet_list_buffer){0};
}

size_t parquet_list_buffer_size(const struct parquet_list_buffer *buffer) {
    return buffer->validity.capacity + buffer->offsets.capacity + buffer->values.capacity +
           buffer->element_offsets.capacity + buffer->element_validity.capacity + buffer->flags.capacity;
}

static enum plinth_status check_column(const struct parquet_column *column, uint64_t slots,
                                       struct plinth_error *error) {
    if (column->repetition_level_max != 1)
        return error_set(error, PLINTH_UNSUPPORTED, "column %.100s: not a list of plain values", column->path);
    if (slots > INT32_MAX)
        return error_set(error, PLINTH_TOO_LARGE, "column %.100s: %llu list elements at a time", column->path,
                         (unsigned long long)slots);
    return PLINTH_OK;
}

/* Makes `buffer` exactly `size` bytes long, of any content; never without memory. */
static bool resize(struct buffer *buffer, uint64_t size) {
    buffer_clear(buffer);
    if (!buffer_reserve(buffer, (size_t)size + 8)) return false;
    buffer->size = (size_t)size;
    return true;
}

/* ---- Values on their way ---- */

/* Copies runs of values of one column, one behind the other; places without a value may be left in between. */
struct value_copier {
    const struct parquet_column *column;
    const struct parquet_column_data *from;
    uint8_t *values;   /* zeros at first, when places are left */
    uint32_t *offsets; /* BYTE_ARRAY: into the bytes of `from` */
    uint64_t to;
};

static bool copier_init(struct value_copier *copier, const struct parquet_column *column,
                        const struct parquet_column_data *from, uint64_t count, struct buffer *values,
                        struct buffer *offsets) {
    *copier = (struct value_copier){.column = column, .from = from};
    bool is_bytes = column->type == PARQUET_TYPE_BYTE_ARRAY;
    uint64_t size = column->width ? count * column->width : bits_bytes(count, 1);
    if (is_bytes ? !resize(offsets, (count + 1) * sizeof(uint32_t)) : !resize(values, size)) return false;
    if (is_bytes)
        copier->offsets = (uint32_t *)(void *)offsets->data;
    else
        memset(values->data, 0, values->size);
    copier->values = is_bytes ? NULL : values->data;
    return true;
}

static void copier_run(struct value_copier *copier, uint64_t begin, uint64_t count) {
    uint32_t width = copier->column->width;
    if (count == 0) return;
    if (copier->offsets)
        memcpy(copier->offsets + copier->to, copier->from->offsets + begin, count * sizeof(uint32_t));
    else if (width)
        memcpy(copier->values + copier->to * width, (const uint8_t *)copier->from->values + begin * width,
               count * width);
    else
        bits_copy(copier->values, copier->to, copier->from->values, begin, count);
    copier->to += count;
}

/* A place without a value, before value `next` of `from`. */
static void copier_skip_place(struct value_copier *copier, uint64_t next) {
    if (copier->offsets) copier->offsets[copier->to] = copier->from->offsets[next];
    copier->to++;
}

/* Points `data` to what was copied; `end` is where the last run or place ended in `from`. */
static void copier_finish(struct value_copier *copier, uint64_t end, struct parquet_column_data *data) {
    if (copier->offsets) copier->offsets[copier->to] = copier->from->offsets[end];
    data->values = copier->values;
    data->offsets = copier->offsets;
    data->bytes = copier->from->bytes;
}

/* ---- To levels ---- */

struct list_shape {
    const struct parquet_list_data *list;
    const uint8_t *validity;         /* null: no list is null */
    const uint8_t *element_validity; /* null: no element is */
    uint64_t slots;
    bool is_dense; /* every list has elements, one list's behind the other's: slots are elements */
    uint8_t empty_level, null_level, value_level, null_element_level;
};

static inline uint32_t list_length(const struct list_shape *shape, uint64_t row) {
    if (shape->validity && !bitmap_get(shape->validity, row)) return 0;
    return shape->list->offsets[row + 1] - shape->list->offsets[row];
}

static enum plinth_status measure(const struct parquet_column *column, const struct parquet_list_data *list,
                                  struct list_shape *shape, struct plinth_error *error) {
    bool has_null_lists = column->element_level > 1;
    bool has_null_elements = column->definition_level_max > column->element_level;
    *shape = (struct list_shape){.list = list,
                                 .validity = has_null_lists ? list->validity : NULL,
                                 .element_validity = has_null_elements ? list->elements.validity : NULL,
                                 .empty_level = (uint8_t)(column->element_level - 1),
                                 .null_level = (uint8_t)(column->element_level - (has_null_lists ? 2 : 1)),
                                 .value_level = column->definition_level_max,
                                 .null_element_level = (uint8_t)(column->definition_level_max - 1)};
    const uint32_t *offsets = list->offsets;
    bool goes_down = false;
    for (uint64_t row = 0; row < list->rows; row++) goes_down |= offsets[row + 1] < offsets[row];
    if (goes_down || (list->rows > 0 && offsets[list->rows] > list->elements.rows))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %.100s: list offsets %s", column->path,
                         goes_down ? "go down" : "go beyond the elements");
    uint64_t elements = 0, places = 0;
    for (uint64_t row = 0; row < list->rows; row++) {
        uint32_t length = list_length(shape, row);
        elements += length;
        places += length == 0;
    }
    shape->slots = elements + places;
    shape->is_dense = places == 0 && (list->rows == 0 || elements == offsets[list->rows] - offsets[0]);
    return check_column(column, shape->slots, error);
}

/* Definition levels of `count` elements. */
static void put_element_levels(const struct list_shape *shape, uint64_t begin, uint64_t count, uint8_t *levels) {
    const uint8_t *validity = shape->element_validity;
    memset(levels, shape->value_level, (size_t)count);
    for (uint64_t i = 0; validity && i < count; i++)
        levels[i] = (uint8_t)(shape->null_element_level + bitmap_get(validity, begin + i));
}

static void put_levels(const struct list_shape *shape, uint8_t *definition, uint8_t *repetition) {
    const uint32_t *offsets = shape->list->offsets;
    uint64_t at = 0;
    memset(repetition, 1, (size_t)shape->slots);
    if (shape->is_dense && shape->slots > 0) put_element_levels(shape, offsets[0], shape->slots, definition);
    for (uint64_t row = 0; row < shape->list->rows; row++) {
        uint32_t length = list_length(shape, row);
        repetition[at] = 0;
        if (length == 0) {
            bool is_null = shape->validity && !bitmap_get(shape->validity, row);
            definition[at++] = is_null ? shape->null_level : shape->empty_level;
            continue;
        }
        if (!shape->is_dense) put_element_levels(shape, offsets[row], length, definition + at);
        at += length;
    }
}

/* Elements to slots, in runs of lists that follow each other. */
static bool spread_elements(const struct parquet_column *column, const struct list_shape *shape,
                            struct parquet_column_buffer *into) {
    const uint32_t *offsets = shape->list->offsets;
    struct value_copier copier;
    if (!copier_init(&copier, column, &shape->list->elements, shape->slots, &into->values, &into->offsets))
        return false;
    uint64_t begin = offsets[0], end = offsets[0];
    for (uint64_t row = 0; row < shape->list->rows; row++) {
        uint32_t length = list_length(shape, row);
        if (length > 0 && offsets[row] == end) {
            end += length;
            continue;
        }
        copier_run(&copier, begin, end - begin);
        begin = offsets[row];
        end = begin + length;
        if (length == 0) copier_skip_place(&copier, begin);
    }
    copier_run(&copier, begin, end - begin);
    copier_finish(&copier, end, &into->data);
    return true;
}

static void borrow_elements(const struct parquet_column *column, const struct list_shape *shape, bool *can_borrow,
                            struct parquet_column_data *data) {
    const struct parquet_column_data *elements = &shape->list->elements;
    uint64_t begin = shape->list->offsets[0];
    *can_borrow = shape->is_dense && (column->type != PARQUET_TYPE_BOOLEAN || (begin & 7) == 0);
    if (!*can_borrow) return;
    data->bytes = elements->bytes;
    if (column->type == PARQUET_TYPE_BYTE_ARRAY)
        data->offsets = elements->offsets + begin;
    else if (column->width)
        data->values = (const uint8_t *)elements->values + begin * column->width;
    else
        data->values = (const uint8_t *)elements->values + begin / 8;
}

enum plinth_status parquet_list_to_levels(const struct parquet_column *column, const struct parquet_list_data *list,
                                          struct parquet_column_buffer *into, struct plinth_error *error) {
    struct list_shape shape;
    into->data = (struct parquet_column_data){0};
    enum plinth_status st = check_column(column, 0, error);
    if (!st) st = measure(column, list, &shape, error);
    if (st || list->rows == 0) return st;
    bool can_borrow;
    if (!resize(&into->levels, 2 * shape.slots) || !resize(&into->validity, bits_bytes(shape.slots, 1)))
        return error_no_memory(error, "list levels");
    uint8_t *definition = into->levels.data, *repetition = definition + shape.slots;
    put_levels(&shape, definition, repetition);
    borrow_elements(column, &shape, &can_borrow, &into->data);
    if (!can_borrow && !spread_elements(column, &shape, into)) {
        into->data = (struct parquet_column_data){0};
        return error_no_memory(error, "list values");
    }
    levels_equal(definition, shape.slots, shape.value_level, into->validity.data);
    struct parquet_column_data *data = &into->data;
    data->rows = list->rows;
    data->slots = shape.slots;
    data->definition_levels = definition;
    data->repetition_levels = repetition;
    data->null_count = shape.slots - bits_count(into->validity.data, 0, shape.slots);
    if (data->null_count > 0) data->validity = into->validity.data;
    return PLINTH_OK;
}

/* ---- From levels ---- */

/* Offsets, and for every row whether its list is there. Without branches: what is written in the middle of a row is
 * overwritten by the next one. */
static uint64_t put_offsets(const struct parquet_column *column, const struct parquet_column_data *data,
                            uint32_t *offsets, uint8_t *is_there) {
    const uint8_t *definition = data->definition_levels, *repetition = data->repetition_levels;
    uint8_t element = column->element_level;
    uint32_t elements = 0;
    uint64_t row = 0;
    for (uint64_t i = 0; i < data->slots; i++) {
        bool begins = repetition[i] == 0;
        row += begins;
        offsets[row - 1] = begins ? elements : offsets[row - 1];
        is_there[row - 1] = begins ? definition[i] + 1 >= element : is_there[row - 1];
        elements += definition[i] >= element;
    }
    offsets[row] = elements;
    return elements;
}

static enum plinth_status put_validity(const uint8_t *flags, uint64_t count, struct buffer *bitmap,
                                       const uint8_t **validity, uint64_t *null_count, struct plinth_error *error) {
    if (!resize(bitmap, bits_bytes(count, 1))) return error_no_memory(error, "list validity");
    levels_equal(flags, count, 1, bitmap->data);
    *null_count = count - bits_count(bitmap->data, 0, count);
    *validity = *null_count > 0 ? bitmap->data : NULL;
    return PLINTH_OK;
}

/* Slots that have elements, in runs. */
static bool gather_elements(const struct parquet_column *column, const struct parquet_column_data *data,
                            uint64_t elements, struct parquet_list_buffer *into) {
    const uint8_t *definition = data->definition_levels;
    struct value_copier copier;
    if (!copier_init(&copier, column, data, elements, &into->values, &into->element_offsets)) return false;
    for (uint64_t i = 0; i < data->slots;) {
        uint64_t begin = i;
        while (i < data->slots && definition[i] >= column->element_level) i++;
        copier_run(&copier, begin, i - begin);
        while (i < data->slots && definition[i] < column->element_level) i++;
    }
    copier_finish(&copier, data->slots, &into->data.elements);
    return true;
}

static enum plinth_status take_elements(const struct parquet_column *column, const struct parquet_column_data *data,
                                        uint64_t elements, struct parquet_list_buffer *into,
                                        struct plinth_error *error) {
    struct parquet_column_data *to = &into->data.elements;
    *to = (struct parquet_column_data){.rows = elements, .slots = elements};
    if (elements == data->slots) {
        to->values = data->values;
        to->offsets = data->offsets;
        to->bytes = data->bytes;
    } else if (!gather_elements(column, data, elements, into)) {
        return error_no_memory(error, "list elements");
    }
    if (column->definition_level_max == column->element_level) return PLINTH_OK;
    if (!resize(&into->flags, data->slots + 1)) return error_no_memory(error, "list elements");
    uint64_t at = 0;
    for (uint64_t i = 0; i < data->slots; i++) {
        into->flags.data[at] = data->definition_levels[i] == column->definition_level_max;
        at += data->definition_levels[i] >= column->element_level;
    }
    return put_validity(into->flags.data, elements, &into->element_validity, &to->validity, &to->null_count, error);
}

enum plinth_status parquet_list_from_levels(const struct parquet_column *column, const struct parquet_column_data *data,
                                            struct parquet_list_buffer *into, struct plinth_error *error) {
    static const uint32_t no_offsets[1] = {0};
    into->data = (struct parquet_list_data){.offsets = no_offsets};
    enum plinth_status st = check_column(column, data->slots, error);
    if (st || (data->slots == 0 && data->rows == 0)) return st;
    if (!data->definition_levels || !data->repetition_levels ||
        !levels_are_consistent(column, data->definition_levels, data->repetition_levels, data->slots) ||
        levels_count_zeros(data->repetition_levels, data->slots) != data->rows)
        return error_set(error, PLINTH_CORRUPT, "column %.100s: levels that do not go together", column->path);
    if (!resize(&into->offsets, (data->rows + 1) * sizeof(uint32_t)) || !resize(&into->flags, data->rows))
        return error_no_memory(error, "list offsets");
    uint32_t *offsets = (uint32_t *)(void *)into->offsets.data;
    uint64_t elements = put_offsets(column, data, offsets, into->flags.data);
    struct parquet_list_data *list = &into->data;
    if (column->element_level > 1)
        st = put_validity(into->flags.data, data->rows, &into->validity, &list->validity, &list->null_count, error);
    if (!st) st = take_elements(column, data, elements, into, error);
    if (st) {
        *list = (struct parquet_list_data){.offsets = no_offsets};
        return st;
    }
    list->rows = data->rows;
    list->offsets = offsets;
    return PLINTH_OK;
}
