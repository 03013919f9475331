#include "service/text.h"

#include <stdarg.h>
#include <stdio.h>

bool text_append(struct buffer *into, const char *format, ...) {
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (size < 0) return false;
    if ((size_t)size < sizeof line) return buffer_append(into, line, (size_t)size);
    if (!buffer_reserve(into, (size_t)size + 1)) return false;
    va_start(arguments, format);
    vsnprintf((char *)into->data + into->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    into->size += (size_t)size;
    return true;
}

bool text_append_json(struct buffer *into, const char *text) {
    bool ok = buffer_append_u8(into, '"');
    for (; ok && *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            ok = text_append(into, "\\%c", byte);
        else if (byte < 0x20)
            ok = text_append(into, "\\u%04x", byte);
        else
            ok = buffer_append_u8(into, byte);
    }
    return ok && buffer_append_u8(into, '"');
}
