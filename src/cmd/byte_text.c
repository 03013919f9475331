#include "cmd/byte_text.h"

#include <ctype.h>
#include <stdio.h>

#include "base/status.h"

/* Bytes of the code point at `at`, 0 when it is malformed. */
static size_t code_point(struct slice bytes, size_t at, uint32_t *value) {
    const uint8_t *byte = bytes.data + at;
    size_t left = bytes.size - at;
    size_t size = byte[0] < 0x80                      ? 1
                  : byte[0] >= 0xc2 && byte[0] < 0xe0 ? 2
                  : byte[0] >= 0xe0 && byte[0] < 0xf0 ? 3
                  : byte[0] >= 0xf0 && byte[0] < 0xf5 ? 4
                                                      : 0;
    if (!size || size > left) return 0;
    *value = size == 1 ? byte[0] : byte[0] & (0x7f >> size);
    for (size_t i = 1; i < size; i++) {
        if ((byte[i] & 0xc0) != 0x80) return 0;
        *value = *value << 6 | (byte[i] & 0x3f);
    }
    bool overlong = (size == 3 && *value < 0x800) || (size == 4 && *value < 0x10000);
    bool surrogate = *value >= 0xd800 && *value <= 0xdfff;
    return overlong || surrogate || *value > 0x10ffff ? 0 : size;
}

bool bytes_are_utf8(struct slice bytes) {
    uint32_t value;
    for (size_t at = 0; at < bytes.size;) {
        size_t size = code_point(bytes, at, &value);
        if (!size) return false;
        at += size;
    }
    return true;
}

size_t text_width(struct slice text) {
    size_t width = 0;
    for (size_t i = 0; i < text.size; i++) width += (text.data[i] & 0xc0) != 0x80;
    return width;
}

bool hex_text_append(struct buffer *into, struct slice bytes) {
    static const char digits[] = "0123456789abcdef";
    if (bytes.size > SIZE_MAX / 4 || !buffer_reserve(into, bytes.size * 2)) return false;
    for (size_t i = 0; i < bytes.size; i++) {
        into->data[into->size++] = (uint8_t)digits[bytes.data[i] >> 4];
        into->data[into->size++] = (uint8_t)digits[bytes.data[i] & 15];
    }
    return true;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_text_append(struct buffer *into, struct slice bytes) {
    if (bytes.size > SIZE_MAX / 4 || !buffer_reserve(into, (bytes.size + 2) / 3 * 4)) return false;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16 | (left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0) |
                         (left > 2 ? bytes.data[i + 2] : 0);
        for (size_t digit = 0; digit < 4; digit++)
            into->data[into->size++] =
                digit <= left ? (uint8_t)base64_digits[group >> (18 - 6 * digit) & 63] : (uint8_t)'=';
    }
    return true;
}

static bool append_text(struct buffer *into, const char *text) { return buffer_append(into, text, strlen(text)); }

/* Control characters, also those that are above ASCII, and the marks that reorder or hide text. */
static bool is_printable(uint32_t value) {
    if (value < 0x20 || (value >= 0x7f && value < 0xa0)) return false;
    return !((value >= 0x200b && value <= 0x200f) || (value >= 0x2028 && value <= 0x202e) ||
             (value >= 0x2060 && value <= 0x206f) || value == 0xfeff);
}

bool escaped_text_append(struct buffer *into, struct slice bytes) {
    bool ok = true;
    for (size_t at = 0; ok && at < bytes.size;) {
        uint32_t value = 0;
        size_t size = code_point(bytes, at, &value);
        if (size && value != '\\' && is_printable(value)) {
            ok = buffer_append(into, bytes.data + at, size);
            at += size;
            continue;
        }
        char text[8];
        uint8_t byte = bytes.data[at++];
        const char *named = byte == '\\'   ? "\\\\"
                            : byte == '\n' ? "\\n"
                            : byte == '\t' ? "\\t"
                            : byte == '\r' ? "\\r"
                                           : NULL;
        if (!named) snprintf(text, sizeof text, "\\x%02x", byte);
        ok = append_text(into, named ? named : text);
    }
    return ok;
}

bool json_string_append(struct buffer *into, struct slice bytes) {
    bool ok = buffer_append_u8(into, '"');
    for (size_t i = 0; ok && i < bytes.size; i++) {
        uint8_t byte = bytes.data[i];
        char text[8];
        if (byte == '"' || byte == '\\') {
            snprintf(text, sizeof text, "\\%c", byte);
        } else if (byte == '\n') {
            snprintf(text, sizeof text, "\\n");
        } else if (byte < 0x20 || byte == 0x7f) {
            snprintf(text, sizeof text, "\\u%04x", byte);
        } else {
            ok = buffer_append_u8(into, byte);
            continue;
        }
        ok = append_text(into, text);
    }
    return ok && buffer_append_u8(into, '"');
}

bool csv_field_append(struct buffer *into, struct slice bytes, char delimiter) {
    bool quote = false;
    for (size_t i = 0; i < bytes.size && !quote; i++) {
        uint8_t byte = bytes.data[i];
        quote = byte == '"' || byte == '\n' || byte == '\r' || byte == (uint8_t)delimiter;
    }
    /* A leading byte-order mark would be taken for one of the file. */
    quote = quote || (bytes.size >= 3 && memcmp(bytes.data, "\xef\xbb\xbf", 3) == 0);
    if (!quote) return buffer_append(into, bytes.data, bytes.size);
    bool ok = buffer_append_u8(into, '"');
    for (size_t i = 0; ok && i < bytes.size; i++) {
        if (bytes.data[i] == '"') ok = buffer_append_u8(into, '"');
        ok = ok && buffer_append_u8(into, bytes.data[i]);
    }
    return ok && buffer_append_u8(into, '"');
}

static int hex_digit(uint8_t byte) {
    if (byte >= '0' && byte <= '9') return byte - '0';
    byte = (uint8_t)tolower(byte);
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

enum plinth_status bytes_from_hex(struct buffer *into, struct slice text, struct plinth_error *error) {
    if (text.size % 2)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "not hex: %zu digits, an even number is needed", text.size);
    if (!buffer_reserve(into, text.size / 2)) return error_no_memory(error, "hex");
    for (size_t i = 0; i < text.size; i += 2) {
        int high = hex_digit(text.data[i]), low = hex_digit(text.data[i + 1]);
        if (high < 0 || low < 0) {
            into->size -= i / 2;
            return error_set(error, PLINTH_INVALID_ARGUMENT, "not hex at offset %zu", high < 0 ? i : i + 1);
        }
        into->data[into->size++] = (uint8_t)(high << 4 | low);
    }
    return PLINTH_OK;
}

static int base64_digit(uint8_t byte) {
    const char *found = byte ? strchr(base64_digits, byte) : NULL;
    return found ? (int)(found - base64_digits) : -1;
}

enum plinth_status bytes_from_base64(struct buffer *into, struct slice text, struct plinth_error *error) {
    size_t digits = text.size;
    while (digits && text.size - digits < 2 && text.data[digits - 1] == '=') digits--;
    size_t padding = text.size - digits;
    if (digits % 4 == 1 || (padding && text.size % 4))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "not base64: %zu digits and %zu '='", digits, padding);
    if (!buffer_reserve(into, digits / 4 * 3 + 3)) return error_no_memory(error, "base64");
    size_t before = into->size;
    uint32_t group = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < digits; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0) {
            into->size = before;
            return error_set(error, PLINTH_INVALID_ARGUMENT, "not base64 at offset %zu", i);
        }
        group = group << 6 | (uint32_t)digit;
        bits += 6;
        if (bits < 8) continue;
        bits -= 8;
        into->data[into->size++] = (uint8_t)(group >> bits);
    }
    return PLINTH_OK;
}
