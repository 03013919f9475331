/* Delimited text: the rows do not depend on the pieces in which the bytes come, and rows written again are read back
 * as they were. Fields as values of typed columns: what is taken comes out again and is taken again. */
#include <stdlib.h>

#include "cmd/byte_text.h"
#include "cmd/csv.h"
#include "cmd/time_pattern.h"
#include "cmd/typed_text.h"

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

/* A text as a value of a type: what is taken comes out again as it went in, or is said to be wrong. */
static void parse_typed(struct column_type type, const struct text_format *format, struct slice text, bool json) {
    struct column_builder builder, again;
    struct buffer shown = BUFFER_INIT, twice = BUFFER_INIT;
    struct plinth_error error;
    struct arena arena;
    arena_init(&arena);
    require(column_builder_init(&builder, type) && column_builder_init(&again, type));
    const struct json_member member = {.kind = text.size ? (enum json_kind)(text.data[0] % 6) : JSON_TEXT,
                                       .value = text};
    enum plinth_status st =
        json ? json_append(&builder, format, &member, &arena, &error) : text_append(&builder, format, text, &error);
    require(builder.rows == (st ? 0u : 1u));
    struct column column = column_builder_view(&builder);
    if (!st && !column_is_null(&column, 0)) {
        const struct text_format plain = {.empty_is_null = true};
        require(column_format(&shown, &column, 0));
        require(text_append(&again, &plain, buffer_slice(&shown), &error) == PLINTH_OK);
        struct column other = column_builder_view(&again);
        require(column_format(&twice, &other, 0) && slice_equal(buffer_slice(&shown), buffer_slice(&twice)));
    }
    column_builder_deinit(&builder);
    column_builder_deinit(&again);
    buffer_deinit(&shown);
    buffer_deinit(&twice);
    arena_deinit(&arena);
}

/* All fields as values of all kinds, and of the type that is guessed for them alone, which must take them. */
static void type_fields(struct slice text, char delimiter, bool quoting) {
    static const struct text_format plain = {.empty_is_null = true};
    static const struct text_format patterns = {.date_format = "%d.%m.%Y", .time_format = "%b %e %Y %I:%M:%S %p %z"};
    struct pieces pieces = {text, 0, SIZE_MAX};
    struct plinth_error error;
    struct csv csv;
    bool found = true;
    require(csv_init(&csv, read_piece, &pieces, delimiter, quoting, &error) == PLINTH_OK);
    while (found && !csv_next(&csv, &found, &error) && found) {
        for (size_t i = 0; i < csv.field_count; i++) {
            struct slice bytes = csv.fields[i].bytes;
            uint8_t kind = (uint8_t)(COLUMN_BOOL + (bytes.size + i) % (COLUMN_LIST - COLUMN_BOOL));
            struct column_type type = {.kind = kind};
            if (kind == COLUMN_DECIMAL) type.precision = 12, type.scale = 3;
            if (kind == COLUMN_TIMESTAMP) type.unit = (uint8_t)(i % 4), type.zoned = i & 4;
            parse_typed(type, i & 1 ? &patterns : &plain, bytes, i & 2);
            type = (struct column_type){.kind = COLUMN_LIST, .element = COLUMN_STRING};
            parse_typed(type, &plain, bytes, true);
            struct type_guess guess = {0};
            struct column_builder builder;
            guess_text(&guess, &plain, bytes);
            require(column_builder_init(&builder, guess_type(&guess)));
            if (utf8_find_invalid(bytes) == SIZE_MAX)
                require(text_append(&builder, &plain, bytes, &error) == PLINTH_OK);
            column_builder_deinit(&builder);
        }
    }
    csv_deinit(&csv);
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
    type_fields(text, tabs ? '\t' : ',', !tabs);
    buffer_deinit(&whole);
    buffer_deinit(&cut);
    buffer_deinit(&again);
    return 0;
}
