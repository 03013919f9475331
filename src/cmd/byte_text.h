/* Bytes as text: hex, base64, escapes; and whether bytes are text at all. */
#ifndef PLINTH_CMD_BYTE_TEXT_H
#define PLINTH_CMD_BYTE_TEXT_H

#include "base/bytes.h"

/* Well-formed UTF-8 (zero bytes are). */
bool bytes_are_utf8(struct slice bytes);

/* The appends return false when memory is out. */
PLINTH_MUST_CHECK bool hex_text_append(struct buffer *into, struct slice bytes);
/* RFC 4648 section 4, with padding. */
PLINTH_MUST_CHECK bool base64_text_append(struct buffer *into, struct slice bytes);
/* Printable UTF-8 as it is, backslash as \\, tab and line ends as \t \n \r, all else as \xNN: one line that a terminal
 * shows as it is. */
PLINTH_MUST_CHECK bool escaped_text_append(struct buffer *into, struct slice bytes);
/* As a JSON string with its quotes; `bytes` are UTF-8. */
PLINTH_MUST_CHECK bool json_string_append(struct buffer *into, struct slice bytes);
/* As a CSV field (RFC 4180), quoted where it must be; the bytes themselves are kept as they are. */
PLINTH_MUST_CHECK bool csv_field_append(struct buffer *into, struct slice bytes, char delimiter);

/* PLINTH_INVALID_ARGUMENT, with the offset, for what is not hex or base64; nothing is then appended. */
PLINTH_MUST_CHECK enum plinth_status bytes_from_hex(struct buffer *into, struct slice text, struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status bytes_from_base64(struct buffer *into, struct slice text,
                                                       struct plinth_error *error);

/* Columns that a terminal needs for escaped text: one a code point. */
size_t text_width(struct slice text);

#endif
