/* Delimited text: the rows do not depend on the pieces in which the bytes come, and rows written again are read back
 * as they were. */
#include <stdlib.h>

#include "cmd/byte_text.h"
#include "cmd/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct pieces {
    struct slice text;
    size_t at;
    size_t piece;
};

static void require(bool holds) {
    if (!holds) abort();
}

static enum plinth_status read_piece(void *context, void *into, size_t size, size_t *got, struct plinth_error *error) {
    (void)error;
    struct pieces *pieces = context;
    *got = pieces->text.size - pieces->at;
    if (*got > size) *got = size;
    if (*got > pieces->piece) *got = pieces->piece;
    if (*got) memcpy(into, pieces->text.data + pieces->at, *got);
    pieces->at += *got;
    return PLINTH_OK;
}

/* The rows written as CSV again, and whether they could be read to the end. */
static bool rewrite(struct slice text, size_t piece, char delimiter, bool quoting, struct buffer *again) {
    struct pieces pieces = {text, 0, piece};
    struct plinth_error error;
    struct csv csv;
    bool found = true;
    require(csv_init(&csv, read_piece, &pieces, delimiter, quoting, &error) == PLINTH_OK);
    enum plinth_status st = PLINTH_OK;
    while (!st && found) {
        st = csv_next(&csv, &found, &error);
        if (st || !found) break;
        require(csv.field_count > 0);
        bool alone = csv.field_count == 1 && csv.fields[0].bytes.size == 0; /* would be an empty line */
        if (alone) require(buffer_append(again, "\"\"", 2));
        for (size_t i = 0; !alone && i < csv.field_count; i++)
            require((i == 0 || buffer_append_u8(again, ',')) && csv_field_append(again, csv.fields[i].bytes, ','));
        require(buffer_append_u8(again, '\n'));
    }
    csv_deinit(&csv);
    return !st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    bool tabs = data[0] & 1;
    size_t piece = 1 + (data[0] >> 1);
    struct slice text = slice_of(data + 1, size - 1);
    struct buffer whole = BUFFER_INIT, cut = BUFFER_INIT, again = BUFFER_INIT;
    bool ok = rewrite(text, SIZE_MAX, tabs ? '\t' : ',', !tabs, &whole);
    bool cut_ok = rewrite(text, piece, tabs ? '\t' : ',', !tabs, &cut);
    /* The mark at the very beginning is only known in the first piece. */
    bool marked = text.size && text.data[0] == 0xef;
    require(marked || (ok == cut_ok && slice_equal(buffer_slice(&whole), buffer_slice(&cut))));
    if (ok) {
        require(rewrite(buffer_slice(&whole), SIZE_MAX, ',', true, &again));
        require(slice_equal(buffer_slice(&whole), buffer_slice(&again)));
    }
    buffer_deinit(&whole);
    buffer_deinit(&cut);
    buffer_deinit(&again);
    return 0;
}
