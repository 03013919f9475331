#include <string.h>

#include "table/segment.h"

void segment_info_deinit(struct segment_info *info) {
    buffer_deinit(&info->key_min);
    buffer_deinit(&info->key_max);
    *info = (struct segment_info){0};
}

bool segment_info_copy(struct segment_info *to, const struct segment_info *from) {
    *to = *from;
    to->key_min = to->key_max = (struct buffer)BUFFER_INIT;
    if (buffer_append(&to->key_min, from->key_min.data, from->key_min.size) &&
        buffer_append(&to->key_max, from->key_max.data, from->key_max.size))
        return true;
    segment_info_deinit(to);
    return false;
}

/* Long bounds stay out of log records (a commit names many segments, and a record has 1 MiB): both are then written
 * empty, which no bound is, and read from the segment when it is opened. */
enum { BOUNDS_BYTES_MAX = 128 };

/* What stands above the 32 bits of index_crc; 0 in what was written before there were such things. */
enum {
    INFO_IS_ROWS = 1,
    INFO_HAS_PARTITION = 2,
    INFO_IS_PURGED = 4,
    INFO_EXPIRES = 8,
    INFO_HAS_REFERENCES = 16,
    INFO_FLAGS = 31,
    INFO_FLAGS_SHIFT = 32
};

/* Name, table id, then the numbers as varints in the struct's order (the flags in the same one as index_crc), the
 * partition (zigzag) if there is one, purged_lsn if there is one, what expires if
 * something does and how many references if
 * there are any (all from feature level 5 on), then the bounds. */
bool segment_info_encode(struct buffer *into, const struct segment_info *info) {
    uint64_t flags = (info->is_rows ? INFO_IS_ROWS : 0) | (info->has_partition ? INFO_HAS_PARTITION : 0) |
                     (info->purged_lsn ? INFO_IS_PURGED : 0) | (info->expiring ? INFO_EXPIRES : 0) |
                     (info->references ? INFO_HAS_REFERENCES : 0);
    const uint64_t numbers[] = {info->table.tenant,
                                info->table.database,
                                info->table.table,
                                info->job,
                                info->lsn_min,
                                info->lsn_max,
                                info->rows,
                                info->deletes,
                                info->superseded,
                                info->bytes,
                                info->index_crc | flags << INFO_FLAGS_SHIFT};
    bool short_bounds = info->key_min.size + info->key_max.size <= BOUNDS_BYTES_MAX;
    struct slice none = {0};
    size_t before = into->size;
    bool ok = buffer_append_string(into, slice_of_string(info->name));
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) ok = ok && buffer_append_varint(into, numbers[i]);
    if (info->has_partition) ok = ok && buffer_append_varint(into, zigzag_encode(info->partition));
    if (info->purged_lsn) ok = ok && buffer_append_varint(into, info->purged_lsn);
    if (info->expiring)
        ok = ok && buffer_append_varint(into, info->expiring) && buffer_append_varint(into, info->expires_min) &&
             buffer_append_varint(into, info->expires_max - info->expires_min);
    if (info->references) ok = ok && buffer_append_varint(into, info->references);
    ok = ok && buffer_append_string(into, short_bounds ? buffer_slice(&info->key_min) : none) &&
         buffer_append_string(into, short_bounds ? buffer_slice(&info->key_max) : none);
    if (!ok) into->size = before;
    return ok;
}

static void decode_name(struct reader *from, struct segment_info *info) {
    struct slice name = reader_string(from);
    if (name.size == 0 || name.size >= sizeof info->name || memchr(name.data, 0, name.size)) {
        from->failed = true;
        return;
    }
    memcpy(info->name, name.data, name.size);
}

bool segment_info_decode(struct reader *from, struct segment_info *info) {
    *info = (struct segment_info){0};
    decode_name(from, info);
    info->table.tenant = reader_varint32(from);
    info->table.database = reader_varint32(from);
    info->table.table = reader_varint32(from);
    info->job = reader_varint(from);
    info->lsn_min = reader_varint(from);
    info->lsn_max = reader_varint(from);
    info->rows = reader_varint(from);
    info->deletes = reader_varint(from);
    info->superseded = reader_varint(from);
    info->bytes = reader_varint(from);
    uint64_t crc_and_flags = reader_varint(from), flags = crc_and_flags >> INFO_FLAGS_SHIFT;
    info->index_crc = (uint32_t)crc_and_flags;
    info->is_rows = flags & INFO_IS_ROWS;
    info->has_partition = flags & INFO_HAS_PARTITION;
    if (info->has_partition) info->partition = zigzag_decode(reader_varint(from));
    if (flags & INFO_IS_PURGED) info->purged_lsn = reader_varint(from);
    if (flags & INFO_EXPIRES) {
        info->expiring = reader_varint(from);
        info->expires_min = reader_varint(from);
        info->expires_max = info->expires_min + reader_varint(from);
    }
    if (flags & INFO_HAS_REFERENCES) info->references = reader_varint(from);
    if (flags & INFO_HAS_REFERENCES && !info->references) from->failed = true;
    struct slice key_min = reader_string(from), key_max = reader_string(from);
    bool ok = !from->failed && !(flags & ~(uint64_t)INFO_FLAGS) && info->rows > 0 && info->lsn_min <= info->lsn_max &&
              info->deletes <= info->rows && info->superseded < info->rows && info->references <= info->rows &&
              slice_compare(key_min, key_max) <= 0 && buffer_append(&info->key_min, key_min.data, key_min.size) &&
              buffer_append(&info->key_max, key_max.data, key_max.size);
    if (ok) return true;
    segment_info_deinit(info);
    return false;
}
