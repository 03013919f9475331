/* Formatted text at the end of a buffer: HTTP pages and metrics. */
#ifndef PLINTH_SERVICE_TEXT_H
#define PLINTH_SERVICE_TEXT_H

#include "base/bytes.h"

/* printf at the end of `into`, without a zero byte. False when memory is out. */
PLINTH_MUST_CHECK bool text_append(struct buffer *into, const char *format, ...) PLINTH_PRINTF(2, 3);
/* `text` as a JSON string with its quotes. */
PLINTH_MUST_CHECK bool text_append_json(struct buffer *into, const char *text);

#endif
