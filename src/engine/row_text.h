/* Keys and index entries of typed tables as text for people: "host = a, time = 5". */
#ifndef PLINTH_ENGINE_ROW_TEXT_H
#define PLINTH_ENGINE_ROW_TEXT_H

#include "base/bytes.h"
#include "table/table_schema.h"

/* Appends the values of an encoded primary key with the names of its columns; of a table without a key, the row's
 * position. False when the key is malformed or memory is out: what is in `text` is then of no use. */
PLINTH_MUST_CHECK bool row_text_key(const struct table_schema *schema, struct slice key, struct buffer *text);
/* The same of an index's parts, from the head of one of its entries. */
PLINTH_MUST_CHECK bool row_text_head(const struct table_schema *schema, const struct table_index *index,
                                     struct slice head, struct buffer *text);

#endif
