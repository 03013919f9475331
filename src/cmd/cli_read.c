/* plinth kv by-index and scan. */
#include "base/status.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/cli_history.h"
#include "plinth/v1/key_value.pb-c.h"

static int output_result(struct output *output, int code) {
    bool ok = output_end(output);
    if (code) return code;
    return ok ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

/* An option of bytes into `bytes`; nothing happens when it is not given. False when said to be wrong already. */
static bool bytes_option(const struct cli *cli, const char *name, struct buffer *bytes, bool *given) {
    char what[32];
    const char *text = options_value(&cli->options, name);
    *given = text != NULL;
    snprintf(what, sizeof what, "--%s", name);
    return !text || cli_bytes(cli, what, text, bytes);
}

/* ---- by-index ---- */

struct index_match {
    struct buffer value, prefix, lower, upper;
    Plinth__V1__IndexRange range;
};

static bool read_match(const struct cli *cli, struct index_match *match, Plinth__V1__GetByIndexRequest *request) {
    bool value, prefix, lower, upper;
    if (!bytes_option(cli, "value", &match->value, &value) || !bytes_option(cli, "prefix", &match->prefix, &prefix) ||
        !bytes_option(cli, "lower", &match->lower, &lower) || !bytes_option(cli, "upper", &match->upper, &upper))
        return false;
    if (value + prefix + (lower || upper) > 1) {
        cli_fail(CLI_USAGE, "only one of --value, --prefix and --lower/--upper can be given");
        return false;
    }
    if (value) {
        request->match_case = PLINTH__V1__GET_BY_INDEX_REQUEST__MATCH_EXACT;
        request->exact = cli_data(&match->value);
    } else if (prefix) {
        request->match_case = PLINTH__V1__GET_BY_INDEX_REQUEST__MATCH_PREFIX;
        request->prefix = cli_data(&match->prefix);
    } else { /* without any of them: the whole index */
        plinth__v1__index_range__init(&match->range);
        match->range.lower = cli_data(&match->lower);
        match->range.upper = cli_data(&match->upper);
        request->match_case = PLINTH__V1__GET_BY_INDEX_REQUEST__MATCH_RANGE;
        request->range = &match->range;
    }
    return true;
}

static bool print_entries(struct output *output, bool with_values, const Plinth__V1__GetByIndexResponse *page) {
    for (size_t i = 0; i < page->n_entries; i++) {
        const Plinth__V1__GetByIndexResponse__Entry *entry = page->entries[i];
        struct cell cells[] = {cell_bytes(entry->index_value.data, entry->index_value.len),
                               cell_bytes(entry->key.data, entry->key.len),
                               with_values ? cell_bytes(entry->value.data, entry->value.len) : (struct cell){0}};
        if (!output_row(output, cells)) return false;
    }
    return true;
}

static int print_pages(struct cli *cli, Plinth__V1__GetByIndexRequest *request, uint64_t limit, struct output *output) {
    const uint32_t page_size_max = 1000;
    struct buffer token = BUFFER_INIT;
    uint64_t left = limit ? limit : UINT64_MAX;
    int code = CLI_OK;
    for (bool more = true; more && left && !code;) {
        Plinth__V1__GetByIndexResponse *page;
        request->page_size = left < page_size_max ? (uint32_t)left : page_size_max;
        request->page_token = cli_data(&token);
        code = cli_call(cli, "/plinth.v1.KeyValue/GetByIndex", &request->base,
                        &plinth__v1__get_by_index_response__descriptor, &page);
        if (code) break;
        if (!print_entries(output, request->with_values, page)) left = page->n_entries; /* told by output_end */
        left -= page->n_entries;
        more = page->next_page_token.len > 0;
        buffer_clear(&token);
        if (!buffer_append(&token, page->next_page_token.data, page->next_page_token.len)) cli_no_memory();
        plinth__v1__get_by_index_response__free_unpacked(page, NULL);
    }
    buffer_deinit(&token);
    return code;
}

int cli_kv_by_index(struct cli *cli) {
    static const char *const columns[] = {"index_value", "key", NULL};
    static const char *const columns_with_values[] = {"index_value", "key", "value", NULL};
    Plinth__V1__GetByIndexRequest request = PLINTH__V1__GET_BY_INDEX_REQUEST__INIT;
    struct index_match match = {0};
    struct output output;
    Plinth__V1__Space space;
    uint64_t limit = 0;
    int code = CLI_USAGE;
    struct cli_past past;
    if (!cli_past_init(&past, cli) || !read_match(cli, &match, &request) ||
        !cli_number(cli, "limit", 1, UINT64_MAX, &limit))
        goto done;
    request.read = past.given;
    request.index = cli->options.operands[0];
    request.space = cli_space(cli, &space);
    request.with_values = options_value(&cli->options, "values") != NULL;
    request.reverse = options_value(&cli->options, "reverse") != NULL;
    output_begin(&output, stdout, cli->format, cli->bytes, false, request.with_values ? columns_with_values : columns);
    code = output_result(&output, print_pages(cli, &request, limit, &output));
done:
    cli_past_deinit(&past);
    buffer_deinit(&match.value);
    buffer_deinit(&match.prefix);
    buffer_deinit(&match.lower);
    buffer_deinit(&match.upper);
    return code;
}

/* ---- scan ---- */

static bool print_rows(void *context, const ProtobufCMessage *answer) {
    struct output *output = context;
    const Plinth__V1__ScanResponse *chunk = (const Plinth__V1__ScanResponse *)answer;
    for (size_t i = 0; i < chunk->n_rows; i++) {
        const Plinth__V1__ScanResponse__Row *row = chunk->rows[i];
        struct cell cells[] = {cell_bytes(row->key.data, row->key.len), cell_bytes(row->value.data, row->value.len)};
        if (!output_row(output, cells)) return false;
    }
    return true;
}

int cli_kv_scan(struct cli *cli) {
    static const char *const columns[] = {"key", "value", NULL};
    static const char *const columns_of_keys[] = {"key", NULL};
    Plinth__V1__ScanRequest request = PLINTH__V1__SCAN_REQUEST__INIT;
    struct buffer prefix = BUFFER_INIT, lower = BUFFER_INIT, upper = BUFFER_INIT;
    struct output output;
    Plinth__V1__Space space;
    bool given;
    int code = CLI_USAGE;
    struct cli_past past;
    if (!cli_past_init(&past, cli) || !bytes_option(cli, "prefix", &prefix, &given) ||
        !bytes_option(cli, "lower", &lower, &given) || !bytes_option(cli, "upper", &upper, &given) ||
        !cli_number(cli, "limit", 1, UINT64_MAX, &request.limit))
        goto done;
    request.prefix = cli_data(&prefix);
    request.lower = cli_data(&lower);
    request.upper = cli_data(&upper);
    request.space = cli_space(cli, &space);
    request.read = past.given;
    request.reverse = options_value(&cli->options, "reverse") != NULL;
    request.keys_only = options_value(&cli->options, "keys-only") != NULL;
    output_begin(&output, stdout, cli->format, cli->bytes, false, request.keys_only ? columns_of_keys : columns);
    code = output_result(&output, cli_stream(cli, "/plinth.v1.KeyValue/Scan", &request.base,
                                             &plinth__v1__scan_response__descriptor, print_rows, &output));
done:
    cli_past_deinit(&past);
    buffer_deinit(&prefix);
    buffer_deinit(&lower);
    buffer_deinit(&upper);
    return code;
}
