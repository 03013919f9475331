/* Choosing how a column is encoded, by looking at some of its rows.
 *
 * The bits that a value takes are estimated for each encoding that the type allows, and the smallest estimate wins;
 * encodings that are slower to decode must be smaller by some margin:
 *
 *   dictionary               an index, and a new entry for as many values as are seen for the first time near the end
 *   DELTA_BINARY_PACKED      integers: the widest difference of each 32, less the smallest
 *   BYTE_STREAM_SPLIT        numbers, where the codec codes by frequency (ZSTD, GZIP, BROTLI): the entropy of each byte
 *   DELTA_BYTE_ARRAY         strings: what they do not share with the one before
 *   DELTA_LENGTH_BYTE_ARRAY  other strings
 *   RLE                      BOOLEAN
 *   PLAIN                    everything else
 *
 * The writer itself leaves a dictionary that turns out too large, for the encoding chosen beside it. */
#ifndef PLINTH_PARQUET_ENCODING_CHOICE_H
#define PLINTH_PARQUET_ENCODING_CHOICE_H

#include "parquet/schema.h"
#include "parquet/writer.h"

/* At most so many values are looked at, in runs from all parts of the rows. */
enum { PARQUET_ENCODING_SAMPLE_VALUES = 2048 };

/* Sets `encoding` and `dictionary` of options, whose `codec` must be set, by rows such as are to be written: all
 * data->slots of them, of which validity or levels say which have values. Without any value it is the choice for the
 * type. Never fails, needs no memory, and depends on nothing but its arguments. */
void parquet_encoding_choose(const struct parquet_column *column, const struct parquet_column_data *data,
                             struct parquet_column_options *options);

#endif
