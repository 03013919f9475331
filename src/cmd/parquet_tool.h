/* What the commands of `plinth parquet` share. */
#ifndef PLINTH_CMD_PARQUET_TOOL_H
#define PLINTH_CMD_PARQUET_TOOL_H

#include "parquet/types.h"

enum { PARQUET_LOGICAL_TEXT_MAX = 48 };
/* "DECIMAL(12,2)", "TIMESTAMP(MICROS,true)"; "" when there is none. Returns `text`. */
const char *parquet_logical_text(const struct parquet_logical_type *logical, char text[PARQUET_LOGICAL_TEXT_MAX]);

#endif
