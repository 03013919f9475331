#include "table/row.h"

bool row_indexes_next(struct reader *list, uint32_t *index_table, struct slice *value) {
    *index_table = 0;
    *value = (struct slice){0};
    if (list->failed || reader_left(list) == 0) return false;
    uint64_t table = reader_varint(list);
    struct slice bytes = reader_string(list);
    if (table > UINT32_MAX) list->failed = true;
    if (list->failed) return false;
    *index_table = (uint32_t)table;
    *value = bytes;
    return true;
}
