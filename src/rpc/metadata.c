#include "rpc/metadata.h"

#include <stdlib.h>

void metadata_deinit(struct metadata *metadata) {
    buffer_deinit(&metadata->bytes);
    free(metadata->entries);
    *metadata = (struct metadata){0};
}

struct rpc_metadata metadata_at(const struct metadata *metadata, size_t i) {
    const struct metadata_entry *entry = &metadata->entries[i];
    return (struct rpc_metadata){slice_of(metadata->bytes.data + entry->name_at, entry->name_size),
                                 slice_of(metadata->bytes.data + entry->value_at, entry->value_size)};
}

bool metadata_find(const struct metadata *metadata, struct slice name, struct slice *value) {
    *value = slice_of(NULL, 0);
    for (size_t i = 0; i < metadata->count; i++) {
        struct rpc_metadata at = metadata_at(metadata, i);
        if (slice_equal(at.name, name)) {
            *value = at.value;
            return true;
        }
    }
    return false;
}

static struct metadata_entry *entry_reserve(struct metadata *metadata) {
    if (metadata->count == metadata->capacity) {
        size_t capacity = metadata->capacity ? 2 * metadata->capacity : 8;
        struct metadata_entry *entries = realloc(metadata->entries, capacity * sizeof *entries);
        if (!entries) return NULL;
        metadata->entries = entries;
        metadata->capacity = capacity;
    }
    return &metadata->entries[metadata->count];
}

/* Closes an entry whose name has been appended at `name_at` and whose value fills the rest of the buffer. */
static void entry_commit(struct metadata *metadata, size_t name_at, size_t name_size) {
    size_t value_at = name_at + name_size;
    metadata->entries[metadata->count++] = (struct metadata_entry){
        (uint32_t)name_at, (uint32_t)name_size, (uint32_t)value_at, (uint32_t)(metadata->bytes.size - value_at)};
}

/* Appends the name and lets the value follow; on failure the list is as it was. */
static enum plinth_status add_encoded(struct metadata *metadata, struct slice name, struct slice value,
                                      enum plinth_status (*append)(struct buffer *, struct slice)) {
    size_t start = metadata->bytes.size;
    enum plinth_status status = PLINTH_OUT_OF_MEMORY;
    if (start + name.size + 2 * value.size > UINT32_MAX) return PLINTH_TOO_LARGE;
    if (entry_reserve(metadata) && buffer_append(&metadata->bytes, name.data, name.size))
        status = append(&metadata->bytes, value);
    if (status)
        metadata->bytes.size = start;
    else
        entry_commit(metadata, start, name.size);
    return status;
}

static enum plinth_status append_plain(struct buffer *into, struct slice value) {
    return buffer_append(into, value.data, value.size) ? PLINTH_OK : PLINTH_OUT_OF_MEMORY;
}
static enum plinth_status append_base64(struct buffer *into, struct slice value) {
    return base64_encode(into, value) ? PLINTH_OK : PLINTH_OUT_OF_MEMORY;
}

bool metadata_add(struct metadata *metadata, struct slice name, struct slice value) {
    return !add_encoded(metadata, name, value, append_plain);
}

static bool is_binary_name(struct slice name) {
    return name.size > 4 && memcmp(name.data + name.size - 4, "-bin", 4) == 0;
}

enum plinth_status metadata_add_received(struct metadata *metadata, struct slice name, struct slice value) {
    if (!is_binary_name(name)) return add_encoded(metadata, name, value, append_plain);
    for (;;) {
        const uint8_t *comma = value.size ? memchr(value.data, ',', value.size) : NULL;
        struct slice part = comma ? slice_of(value.data, (size_t)(comma - value.data)) : value;
        enum plinth_status status = add_encoded(metadata, name, part, base64_decode);
        if (status || !comma) return status;
        value = slice_of(comma + 1, value.size - part.size - 1);
    }
}

static bool is_reserved_name(struct slice name) {
    static const char *const names[] = {
        "connection", "content-length", "content-type",      "host",    "keep-alive",
        "te",         "trailer",        "transfer-encoding", "upgrade", "proxy-connection"};
    if (slice_starts_with(name, slice_of_string("grpc-"))) return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_equal(name, slice_of_string(names[i]))) return true;
    return false;
}

static bool is_sendable_name(struct slice name) {
    if (!name.size || is_reserved_name(name)) return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.')) return false;
    }
    return true;
}

static bool is_sendable_value(struct slice value) {
    if (value.size && (value.data[0] == ' ' || value.data[value.size - 1] == ' ')) return false;
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] < 0x20 || value.data[i] > 0x7e) return false;
    return true;
}

enum plinth_status metadata_add_to_send(struct metadata *metadata, struct slice name, struct slice value) {
    if (!is_sendable_name(name) || metadata->count >= METADATA_ENTRIES_MAX) return PLINTH_INVALID_ARGUMENT;
    if (is_binary_name(name)) return add_encoded(metadata, name, value, append_base64);
    if (!is_sendable_value(value)) return PLINTH_INVALID_ARGUMENT;
    return add_encoded(metadata, name, value, append_plain);
}

bool base64_encode(struct buffer *into, struct slice bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (bytes.size > SIZE_MAX / 8 || !buffer_reserve(into, (bytes.size + 2) / 3 * 4)) return false;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        if (left > 1) group |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2) group |= bytes.data[i + 2];
        size_t used = left > 2 ? 4 : left + 1;
        for (size_t d = 0; d < used; d++) into->data[into->size++] = (uint8_t)digits[group >> (18 - 6 * d) & 63];
    }
    return true;
}

static int base64_digit(uint8_t c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '+') return 62;
    return c == '/' ? 63 : -1;
}

enum plinth_status base64_decode(struct buffer *into, struct slice text) {
    size_t size = text.size;
    if (size && size % 4 == 0) { /* padding only completes a group of four */
        if (text.data[size - 1] == '=') size--;
        if (text.data[size - 1] == '=') size--;
    }
    if (size % 4 == 1) return PLINTH_INVALID_ARGUMENT;
    if (!buffer_reserve(into, size / 4 * 3 + 3)) return PLINTH_OUT_OF_MEMORY;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < size; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0) return PLINTH_INVALID_ARGUMENT;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            into->data[into->size++] = (uint8_t)(bits >> held);
        }
    }
    return PLINTH_OK;
}

bool percent_encode(struct buffer *into, struct slice text) {
    static const char digits[] = "0123456789ABCDEF";
    if (text.size > SIZE_MAX / 8 || !buffer_reserve(into, 3 * text.size)) return false;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            into->data[into->size++] = c;
        } else {
            into->data[into->size++] = '%';
            into->data[into->size++] = (uint8_t)digits[c >> 4];
            into->data[into->size++] = (uint8_t)digits[c & 15];
        }
    }
    return true;
}

static int hex_digit(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool percent_decode(struct buffer *into, struct slice text) {
    if (!buffer_reserve(into, text.size)) return false;
    for (size_t i = 0; i < text.size; i++) {
        int high = text.data[i] == '%' && text.size - i > 2 ? hex_digit(text.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;
        if (low >= 0) i += 2;
        into->data[into->size++] = low >= 0 ? (uint8_t)(high << 4 | low) : text.data[i];
    }
    return true;
}

static uint64_t unit_ns(char unit) {
    switch (unit) {
    case 'H': return UINT64_C(3600000000000);
    case 'M': return UINT64_C(60000000000);
    case 'S': return UINT64_C(1000000000);
    case 'm': return 1000000;
    case 'u': return 1000;
    case 'n': return 1;
    default: return 0;
    }
}

bool grpc_timeout_parse(struct slice text, uint64_t *timeout_ns) {
    *timeout_ns = 0;
    if (text.size < 2 || text.size > 9) return false;
    uint64_t value = 0;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        value = 10 * value + (uint64_t)(text.data[i] - '0');
    }
    uint64_t unit = unit_ns((char)text.data[text.size - 1]);
    if (!unit) return false;
    *timeout_ns = value > UINT64_MAX / unit ? UINT64_MAX : value * unit;
    return true;
}

size_t grpc_timeout_format(uint64_t timeout_ns, char text[GRPC_TIMEOUT_TEXT_MAX]) {
    static const char units[] = "numSMH";
    uint64_t value = timeout_ns;
    char unit = 'n';
    for (size_t i = 1; value > 99999999 && units[i]; i++) {
        unit = units[i];
        uint64_t each = unit_ns(unit);
        value = timeout_ns / each + (timeout_ns % each != 0);
    }
    if (value > 99999999) value = 99999999;
    char digits[8];
    size_t count = 0;
    do digits[count++] = (char)('0' + value % 10);
    while ((value /= 10));
    for (size_t i = 0; i < count; i++) text[i] = digits[count - 1 - i];
    text[count] = unit;
    return count + 1;
}
