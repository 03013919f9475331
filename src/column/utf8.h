/* UTF-8: whether text is valid. */
#ifndef PLINTH_COLUMN_UTF8_H
#define PLINTH_COLUMN_UTF8_H

#include "base/bytes.h"

/* The offset of the first byte that is not part of valid UTF-8, or SIZE_MAX. */
size_t utf8_find_invalid(struct slice text);
/* The same without vector instructions: for tests. */
size_t utf8_find_invalid_scalar(struct slice text);

#endif
