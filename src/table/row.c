#include "table/row.h"

void row_expiry_encode(uint8_t *at, uint64_t expires_us) {
    at[0] = 0;
    at[1] = 8;
    store_u64(at + 2, expires_us);
}

bool row_indexes_next(struct reader *list, uint32_t *index_table, struct slice *value) {
    *index_table = 0;
    *value = (struct slice){0};
    if (list->failed || reader_left(list) == 0) return false;
    uint64_t table = reader_varint(list);
    struct slice bytes = reader_string(list);
    if (table == 0 && !list->failed && bytes.size == 8) {
        if (reader_left(list) == 0) return false;
        table = reader_varint(list);
        bytes = reader_string(list);
    }
    if (table > UINT32_MAX) list->failed = true;
    if (list->failed) return false;
    *index_table = (uint32_t)table;
    *value = bytes;
    return true;
}
