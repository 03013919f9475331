/* plinth kv set, get, delete, delete-range, compare-and-set, batch. */
#include <stdlib.h>

#include "base/arena.h"
#include "base/status.h"
#include "cmd/batch_builder.h"
#include "cmd/byte_text.h"
#include "cmd/cli.h"
#include "cmd/cli_history.h"
#include "cmd/file_source.h"
#include "cmd/json_line.h"
#include "cmd/table_text.h"
#include "plinth/v1/key_value.pb-c.h"

/* ---- what several of them need ---- */

/* The --index NAME=VALUE options as messages. Zero-initialise; freed by indexes_deinit. */
struct indexes {
    Plinth__V1__IndexValue *values;
    Plinth__V1__IndexValue **pointers;
    struct buffer *bytes;
    char **names;
    size_t count;
};

static bool indexes_init(struct indexes *indexes, const struct cli *cli) {
    const size_t most = cli->options.given_count;
    *indexes = (struct indexes){calloc(most + 1, sizeof *indexes->values), calloc(most + 1, sizeof(void *)),
                                calloc(most + 1, sizeof *indexes->bytes), calloc(most + 1, sizeof(char *)), 0};
    if (!indexes->values || !indexes->pointers || !indexes->bytes || !indexes->names) cli_no_memory();
    for (size_t i = 0; i < most; i++) {
        if (strcmp(cli->options.given[i].spec->name, "index") != 0) continue;
        const char *text = cli->options.given[i].value;
        const char *equals = strchr(text, '=');
        if (!equals || equals == text) {
            cli_fail(CLI_USAGE, "--index: '%s' is not of the form NAME=VALUE", text);
            return false;
        }
        size_t at = indexes->count++;
        indexes->names[at] = strndup(text, (size_t)(equals - text));
        if (!indexes->names[at]) cli_no_memory();
        if (!cli_bytes(cli, "--index", equals + 1, &indexes->bytes[at])) return false;
        plinth__v1__index_value__init(&indexes->values[at]);
        indexes->values[at].index = indexes->names[at];
        indexes->values[at].value = cli_data(&indexes->bytes[at]);
        indexes->pointers[at] = &indexes->values[at];
    }
    return true;
}

static void indexes_deinit(struct indexes *indexes) {
    for (size_t i = 0; i < indexes->count; i++) {
        buffer_deinit(&indexes->bytes[i]);
        free(indexes->names[i]);
    }
    free(indexes->values);
    free(indexes->pointers);
    free(indexes->bytes);
    free(indexes->names);
}

static bool read_file(const char *path, struct buffer *into) {
    struct plinth_error error;
    struct file_source *source;
    if (file_source_open(path, &source, &error)) {
        cli_fail(CLI_FAILED, "%s", error.text);
        return false;
    }
    enum plinth_status st = PLINTH_OK;
    for (size_t got = 1; !st && got; into->size += got) {
        if (!buffer_reserve(into, 64 << 10)) cli_no_memory();
        st = file_source_read(source, into->data + into->size, 64 << 10, &got, &error);
    }
    if (st) cli_fail(CLI_FAILED, "%s: %s", file_source_name(source), error.text);
    file_source_close(source);
    return !st;
}

/* The position of a write, as hex: what --at-least of a later read takes. */
static int print_position(const struct cli *cli, const Plinth__V1__Position *position) {
    static const char *const columns[] = {"position", NULL};
    if (cli->quiet) return CLI_OK;
    struct output output;
    struct buffer hex = BUFFER_INIT;
    if (position && !hex_text_append(&hex, slice_of(position->token.data, position->token.len))) cli_no_memory();
    struct cell cell = {CELL_TEXT, buffer_slice(&hex), 0};
    output_begin(&output, stdout, cli->format, BYTES_TEXT, true, columns);
    (void)output_row(&output, &cell);
    bool ok = output_end(&output);
    buffer_deinit(&hex);
    return ok ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

/* ---- compare-and-set ---- */

static int print_comparison(const struct cli *cli, const Plinth__V1__CompareAndSetResponse *response,
                            bool with_previous) {
    static const char *const columns[] = {"applied", "existed", "previous_value", NULL};
    struct output output;
    bool show = with_previous && response->existed;
    struct cell cells[] = {cell_bool(response->applied), cell_bool(response->existed),
                           show ? cell_bytes(response->previous_value.data, response->previous_value.len)
                                : (struct cell){CELL_NULL, {0}, 0}};
    output_begin(&output, stdout, cli->format, cli->bytes, true, columns);
    (void)output_row(&output, cells);
    return output_end(&output) ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

static int call_compare_and_set(struct cli *cli, Plinth__V1__CompareAndSetRequest *request, bool print) {
    Plinth__V1__Space space;
    Plinth__V1__WriteOptions write, *given;
    Plinth__V1__CompareAndSetResponse *response;
    if (!cli_write_options(cli, &write, &given)) return CLI_USAGE;
    request->space = cli_space(cli, &space);
    request->write = given;
    int code = cli_call(cli, "/plinth.v1.KeyValue/CompareAndSet", &request->base,
                        &plinth__v1__compare_and_set_response__descriptor, &response);
    if (code) return code;
    bool asked = request->operation_case == PLINTH__V1__COMPARE_AND_SET_REQUEST__OPERATION__NOT_SET;
    bool applied = response->applied, existed = response->existed;
    if (print)
        code = print_comparison(cli, response, request->with_previous_value);
    else if (applied)
        code = print_position(cli, response->position);
    plinth__v1__compare_and_set_response__free_unpacked(response, NULL);
    if (code || applied || asked) return code;
    return cli_fail(CLI_CONDITION, "the condition does not hold: the key %s", existed ? "exists" : "does not exist");
}

/* --absent, --present, --value, --version; false when said to be wrong already. */
static bool read_expectation(const struct cli *cli, Plinth__V1__CompareAndSetRequest *request, struct buffer *value,
                             struct buffer *token, Plinth__V1__Position *version) {
    const char *expected = options_value(&cli->options, "value");
    const char *at = options_value(&cli->options, "version-is");
    bool absent = options_value(&cli->options, "absent"), present = options_value(&cli->options, "present");
    struct plinth_error error;
    if (absent + present + (expected != NULL) + (at != NULL) > 1) {
        cli_fail(CLI_USAGE, "only one of --absent, --present, --value and --version-is can be given");
        return false;
    }
    if (absent || present) {
        request->expect_case = PLINTH__V1__COMPARE_AND_SET_REQUEST__EXPECT_ABSENT;
        request->absent = absent;
    } else if (expected) {
        if (!cli_bytes(cli, "--value", expected, value)) return false;
        request->expect_case = PLINTH__V1__COMPARE_AND_SET_REQUEST__EXPECT_VALUE;
        request->value = cli_data(value);
    } else if (at) {
        if (bytes_from_hex(token, slice_of_string(at), &error)) {
            cli_fail(CLI_USAGE, "--version-is: %s", error.text);
            return false;
        }
        plinth__v1__position__init(version);
        version->token = cli_data(token);
        request->expect_case = PLINTH__V1__COMPARE_AND_SET_REQUEST__EXPECT_VERSION;
        request->version = version;
    }
    return true;
}

int cli_kv_compare_and_set(struct cli *cli) {
    struct buffer key = BUFFER_INIT, expected = BUFFER_INIT, token = BUFFER_INIT, value = BUFFER_INIT;
    struct indexes indexes = {0};
    Plinth__V1__CompareAndSetRequest request = PLINTH__V1__COMPARE_AND_SET_REQUEST__INIT;
    Plinth__V1__BatchRequest__Set set = PLINTH__V1__BATCH_REQUEST__SET__INIT;
    Plinth__V1__Position version;
    const char *new_value = options_value(&cli->options, "set");
    int code = CLI_USAGE;
    if (new_value && options_value(&cli->options, "delete")) {
        cli_fail(CLI_USAGE, "only one of --set and --delete can be given");
        goto done;
    }
    if (!cli_bytes(cli, "KEY", cli->options.operands[0], &key) ||
        !read_expectation(cli, &request, &expected, &token, &version) || !indexes_init(&indexes, cli))
        goto done;
    request.key = cli_data(&key);
    request.with_previous_value = true;
    if (new_value) {
        if (!cli_bytes(cli, "--set", new_value, &value)) goto done;
        set.value = cli_data(&value);
        set.n_indexes = indexes.count;
        set.indexes = indexes.pointers;
        request.operation_case = PLINTH__V1__COMPARE_AND_SET_REQUEST__OPERATION_SET;
        request.set = &set;
    } else if (options_value(&cli->options, "delete")) {
        request.operation_case = PLINTH__V1__COMPARE_AND_SET_REQUEST__OPERATION_DELETE;
        request.delete_ = true;
    }
    code = call_compare_and_set(cli, &request, true);
done:
    indexes_deinit(&indexes);
    buffer_deinit(&key);
    buffer_deinit(&expected);
    buffer_deinit(&token);
    buffer_deinit(&value);
    return code;
}

/* ---- set ---- */

/* --ttl in milliseconds, 0 without; false when said to be wrong already. */
static bool read_ttl(const struct cli *cli, uint64_t *ttl_ms) {
    const char *text = options_value(&cli->options, "ttl");
    struct plinth_error error;
    uint64_t us = 0;
    *ttl_ms = 0;
    if (text && interval_parse(slice_of_string(text), &us, &error)) {
        cli_fail(CLI_USAGE, "--ttl: %s", error.text);
        return false;
    }
    *ttl_ms = us / 1000;
    return true;
}

static int set_if(struct cli *cli, const struct buffer *key, const struct buffer *value,
                  const struct indexes *indexes) {
    Plinth__V1__CompareAndSetRequest request = PLINTH__V1__COMPARE_AND_SET_REQUEST__INIT;
    Plinth__V1__BatchRequest__Set set = PLINTH__V1__BATCH_REQUEST__SET__INIT;
    struct buffer expected = BUFFER_INIT;
    const char *if_value = options_value(&cli->options, "if-value");
    int code = CLI_USAGE;
    if (!read_ttl(cli, &set.ttl_ms)) return code;
    if (if_value && options_value(&cli->options, "if-absent")) {
        cli_fail(CLI_USAGE, "only one of --if-absent and --if-value can be given");
        return code;
    }
    if (if_value) {
        if (!cli_bytes(cli, "--if-value", if_value, &expected)) goto done;
        request.expect_case = PLINTH__V1__COMPARE_AND_SET_REQUEST__EXPECT_VALUE;
        request.value = cli_data(&expected);
    } else {
        request.expect_case = PLINTH__V1__COMPARE_AND_SET_REQUEST__EXPECT_ABSENT;
        request.absent = true;
    }
    set.value = cli_data(value);
    set.n_indexes = indexes->count;
    set.indexes = indexes->pointers;
    request.key = cli_data(key);
    request.operation_case = PLINTH__V1__COMPARE_AND_SET_REQUEST__OPERATION_SET;
    request.set = &set;
    code = call_compare_and_set(cli, &request, false);
done:
    buffer_deinit(&expected);
    return code;
}

static int set_always(struct cli *cli, const struct buffer *key, const struct buffer *value,
                      const struct indexes *indexes) {
    Plinth__V1__SetRequest request = PLINTH__V1__SET_REQUEST__INIT;
    Plinth__V1__WriteOptions write, *given;
    Plinth__V1__Space space;
    Plinth__V1__WriteResponse *response;
    if (!cli_write_options(cli, &write, &given) || !read_ttl(cli, &request.ttl_ms)) return CLI_USAGE;
    request.key = cli_data(key);
    request.value = cli_data(value);
    request.n_indexes = indexes->count;
    request.indexes = indexes->pointers;
    request.space = cli_space(cli, &space);
    request.write = given;
    int code =
        cli_call(cli, "/plinth.v1.KeyValue/Set", &request.base, &plinth__v1__write_response__descriptor, &response);
    if (code) return code;
    code = print_position(cli, response->position);
    plinth__v1__write_response__free_unpacked(response, NULL);
    return code;
}

int cli_kv_set(struct cli *cli) {
    struct buffer key = BUFFER_INIT, value = BUFFER_INIT;
    struct indexes indexes = {0};
    const char *file = options_value(&cli->options, "value-file");
    int code = CLI_USAGE;
    if ((cli->options.operand_count == 2) == (file != NULL)) {
        cli_fail(CLI_USAGE, file ? "VALUE and --value-file cannot be given together" : "VALUE is missing");
        goto done;
    }
    if (!cli_bytes(cli, "KEY", cli->options.operands[0], &key)) goto done;
    if (file) {
        if (!read_file(file, &value)) {
            code = CLI_FAILED;
            goto done;
        }
    } else if (!cli_bytes(cli, "VALUE", cli->options.operands[1], &value)) {
        goto done;
    }
    if (!indexes_init(&indexes, cli)) goto done;
    if (options_value(&cli->options, "if-absent") || options_value(&cli->options, "if-value"))
        code = set_if(cli, &key, &value, &indexes);
    else
        code = set_always(cli, &key, &value, &indexes);
done:
    indexes_deinit(&indexes);
    buffer_deinit(&key);
    buffer_deinit(&value);
    return code;
}

/* ---- get ---- */

static int print_value(const struct cli *cli, const struct buffer *key, const Plinth__V1__GetResponse *response) {
    static const char *const columns[] = {"key", "value", NULL};
    struct output output;
    struct slice value = slice_of(response->value.data, response->value.len);
    bool ok;
    if (options_value(&cli->options, "raw")) {
        ok = fwrite(value.data, 1, value.size, stdout) == value.size && fflush(stdout) == 0;
    } else if (cli->format == OUTPUT_TABLE) { /* just the value, on a line */
        struct buffer line = BUFFER_INIT;
        ok = (cli->bytes == BYTES_HEX      ? hex_text_append(&line, value)
              : cli->bytes == BYTES_BASE64 ? base64_text_append(&line, value)
                                           : escaped_text_append(&line, value)) &&
             buffer_append_u8(&line, '\n');
        ok = ok && fwrite(line.data, 1, line.size, stdout) == line.size && fflush(stdout) == 0;
        buffer_deinit(&line);
    } else {
        struct cell cells[] = {cell_bytes(key->data, key->size), cell_bytes(value.data, value.size)};
        output_begin(&output, stdout, cli->format, cli->bytes, true, columns);
        (void)output_row(&output, cells);
        ok = output_end(&output);
    }
    return ok ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

int cli_kv_get(struct cli *cli) {
    struct buffer key = BUFFER_INIT;
    Plinth__V1__GetRequest request = PLINTH__V1__GET_REQUEST__INIT;
    Plinth__V1__GetResponse *response;
    Plinth__V1__Space space;
    int code = CLI_USAGE;
    struct cli_past past;
    if (!cli_past_init(&past, cli) || !cli_bytes(cli, "KEY", cli->options.operands[0], &key)) goto done;
    request.key = cli_data(&key);
    request.space = cli_space(cli, &space);
    request.read = past.given;
    code = cli_call(cli, "/plinth.v1.KeyValue/Get", &request.base, &plinth__v1__get_response__descriptor, &response);
    if (code) goto done;
    code = print_value(cli, &key, response);
    plinth__v1__get_response__free_unpacked(response, NULL);
done:
    cli_past_deinit(&past);
    buffer_deinit(&key);
    return code;
}

/* ---- delete ---- */

int cli_kv_delete(struct cli *cli) {
    struct buffer key = BUFFER_INIT;
    Plinth__V1__DeleteRequest request = PLINTH__V1__DELETE_REQUEST__INIT;
    Plinth__V1__WriteOptions write, *given;
    Plinth__V1__WriteResponse *response;
    Plinth__V1__Space space;
    int code = CLI_USAGE;
    if (!cli_bytes(cli, "KEY", cli->options.operands[0], &key) || !cli_write_options(cli, &write, &given)) goto done;
    request.key = cli_data(&key);
    request.space = cli_space(cli, &space);
    request.write = given;
    code =
        cli_call(cli, "/plinth.v1.KeyValue/Delete", &request.base, &plinth__v1__write_response__descriptor, &response);
    if (code) goto done;
    code = print_position(cli, response->position);
    plinth__v1__write_response__free_unpacked(response, NULL);
done:
    buffer_deinit(&key);
    return code;
}

int cli_kv_delete_range(struct cli *cli) {
    static const char *const names[] = {"prefix", "lower", "upper"};
    struct buffer bounds[3] = {BUFFER_INIT, BUFFER_INIT, BUFFER_INIT};
    Plinth__V1__DeleteRangeRequest request = PLINTH__V1__DELETE_RANGE_REQUEST__INIT;
    Plinth__V1__BatchRequest__DeleteRange range = PLINTH__V1__BATCH_REQUEST__DELETE_RANGE__INIT;
    Plinth__V1__WriteOptions write, *given;
    Plinth__V1__WriteResponse *response;
    Plinth__V1__Space space;
    int code = CLI_USAGE;
    bool bounded = false;
    for (size_t i = 0; i < 3; i++) {
        const char *text = options_value(&cli->options, names[i]);
        if (text && !cli_bytes(cli, names[i], text, &bounds[i])) goto done;
        bounded |= bounds[i].size != 0;
    }
    range.all = options_value(&cli->options, "all") != NULL;
    if (!bounded && !range.all) {
        cli_fail(CLI_USAGE, "one of --prefix, --lower, --upper and --all is needed");
        goto done;
    }
    if (!cli_write_options(cli, &write, &given)) goto done;
    range.prefix = cli_data(&bounds[0]);
    range.lower = cli_data(&bounds[1]);
    range.upper = cli_data(&bounds[2]);
    request.range = &range;
    request.space = cli_space(cli, &space);
    request.write = given;
    code = cli_call(cli, "/plinth.v1.KeyValue/DeleteRange", &request.base, &plinth__v1__write_response__descriptor,
                    &response);
    if (code) goto done;
    code = print_position(cli, response->position);
    plinth__v1__write_response__free_unpacked(response, NULL);
done:
    for (size_t i = 0; i < 3; i++) buffer_deinit(&bounds[i]);
    return code;
}

/* ---- batch ---- */

/* One line of the file into the batch. */
static enum plinth_status add_operation(struct batch_builder *batch, const struct json_line *line,
                                        struct plinth_error *error) {
    size_t index_count = 0;
    const struct json_member *key = json_line_find(line, "key"), *value = json_line_find(line, "value");
    const struct json_member *op = json_line_find(line, "op");
    bool is_delete = op && slice_equal(op->value, slice_of_string("delete"));
    if (op && !is_delete && !slice_equal(op->value, slice_of_string("set")))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "column %zu: op must be \"set\" or \"delete\"", op->column);
    if (!key || !key->value.size) return error_set(error, PLINTH_INVALID_ARGUMENT, "key is missing or empty");
    if (!is_delete && !value) return error_set(error, PLINTH_INVALID_ARGUMENT, "value is missing");
    if (is_delete && (line->count > 2 || line->has_indexes))
        return error_set(error, PLINTH_INVALID_ARGUMENT, "a delete has nothing but op and key");
    if (is_delete) return batch_builder_delete(batch, key->value) ? PLINTH_OK : error_no_memory(error, "batch");
    struct batch_index_value *indexes = malloc((line->count + line->index_count) * sizeof *indexes);
    if (!indexes) return error_no_memory(error, "batch");
    for (size_t i = 0; i < line->count; i++) {
        const struct json_member *member = &line->members[i];
        if (member != key && member != value && member != op)
            indexes[index_count++] = (struct batch_index_value){member->name, member->value};
    }
    for (size_t i = 0; i < line->index_count; i++)
        indexes[index_count++] = (struct batch_index_value){line->indexes[i].index, line->indexes[i].value};
    bool ok = batch_builder_set(batch, key->value, value->value, indexes, index_count);
    free(indexes);
    return ok ? PLINTH_OK : error_no_memory(error, "batch");
}

static int read_batch(const char *path, struct batch_builder *batch) {
    struct buffer text = BUFFER_INIT;
    struct arena arena;
    struct plinth_error error;
    enum plinth_status st = PLINTH_OK;
    size_t number = 0;
    if (!read_file(path, &text)) {
        buffer_deinit(&text);
        return CLI_FAILED;
    }
    arena_init(&arena);
    struct json_line *line = malloc(sizeof *line);
    if (!line) cli_no_memory();
    for (size_t at = 0; !st && at < text.size;) {
        const uint8_t *end = memchr(text.data + at, '\n', text.size - at);
        size_t size = end ? (size_t)(end - text.data) - at : text.size - at;
        struct slice part = slice_of(text.data + at, size);
        number++;
        at += size + 1;
        if (!size) continue;
        st = json_line_parse(line, part, &arena, &error);
        if (!st) st = add_operation(batch, line, &error);
    }
    free(line);
    arena_deinit(&arena);
    buffer_deinit(&text);
    if (st) return cli_fail(CLI_FAILED, "%s: line %zu, %s", path, number, error.text);
    return batch->operations ? CLI_OK : cli_fail(CLI_FAILED, "%s: no operations", path);
}

int cli_kv_batch(struct cli *cli) {
    struct batch_builder batch = {0};
    Plinth__V1__WriteOptions write, *given;
    Plinth__V1__Space space;
    struct buffer answer = BUFFER_INIT;
    struct plinth_error error;
    int code = CLI_USAGE;
    if (!cli_write_options(cli, &write, &given)) return code;
    code = read_batch(cli->options.operands[0], &batch);
    if (code) goto done;
    if (!batch_builder_finish(&batch, cli_space(cli, &space), given)) cli_no_memory();
    if (cli_connect(cli, &error)) {
        code = cli_fail(CLI_UNREACHABLE, "%s", error.text);
        goto done;
    }
    enum grpc_status status = rpc_client_unary(cli->client, "/plinth.v1.KeyValue/Batch", buffer_slice(&batch.request),
                                               cli->timeout_ms, &answer, &error);
    if (status != GRPC_OK) {
        code = cli_fail_status(cli, status, &error);
        goto done;
    }
    Plinth__V1__WriteResponse *response =
        plinth__v1__write_response__unpack(NULL, answer.size, answer.data ? answer.data : (const uint8_t *)"");
    code = print_position(cli, response ? response->position : NULL);
    if (response) plinth__v1__write_response__free_unpacked(response, NULL);
done:
    buffer_deinit(&answer);
    batch_builder_deinit(&batch);
    return code;
}
