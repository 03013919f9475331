/* plinth, the command line: what its commands share.
 *
 * A command is a row of the table in plinth.c: its words, options, help and function. Commands return an exit code and
 * say what went wrong with cli_fail. */
#ifndef PLINTH_CMD_CLI_H
#define PLINTH_CMD_CLI_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/bytes.h"
#include "cmd/cli_output.h"
#include "cmd/options.h"
#include "plinth/v1/types.pb-c.h"
#include "rpc/client.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_CONDITION = 4,
    CLI_UNREACHABLE = 5,
    CLI_PROBLEMS = 6,
};

struct cli {
    const char *server;
    const char *database;
    const char *space;
    uint64_t timeout_ms; /* 0: none */
    enum output_format format;
    enum bytes_format bytes; /* how keys and values are written, in and out */
    bool quiet;
    struct rpc_client *client; /* made by the first call */
    struct options options;    /* of the command; its operands behind the command's words */
};

struct cli_command {
    const char *words;    /* "kv set" */
    const char *operands; /* "KEY VALUE" */
    int operands_min;
    int operands_max;
    const struct option_spec *options; /* null: none */
    int (*run)(struct cli *cli);
    const char *summary; /* one line */
    const char *help;    /* more, and examples */
};

/* All commands; ends with a row without words. */
extern const struct cli_command cli_commands[];
/* Those that go with every command. */
extern const struct option_spec cli_global_options[];

/* Prints "plinth: ..." and returns `code`. */
int cli_fail(int code, const char *format, ...) PLINTH_PRINTF(2, 3);
/* Says so and ends the process: there is nothing that the command line could do instead. */
_Noreturn void cli_no_memory(void);
/* cli_fail with the exit code that belongs to a gRPC status. */
int cli_fail_status(const struct cli *cli, enum grpc_status code, const struct plinth_error *error);

/* ---- arguments ---- */

/* An operand or option value as bytes: text, or decoded by --hex and --base64. False when said to be wrong already. */
bool cli_bytes(const struct cli *cli, const char *what, const char *text, struct buffer *bytes);
static inline ProtobufCBinaryData cli_data(const struct buffer *bytes) {
    return (ProtobufCBinaryData){bytes->size, bytes->data};
}
/* The space named by --database and --space, into `space`; null when both are left out. */
Plinth__V1__Space *cli_space(const struct cli *cli, Plinth__V1__Space *space);
/* --durability into `write`; false when said to be wrong already. `*given` points to `write` when there is something
 * to send. */
bool cli_write_options(const struct cli *cli, Plinth__V1__WriteOptions *write, Plinth__V1__WriteOptions **given);
/* An option that is a number, or `fallback` when it is not given; false when said to be wrong already. */
bool cli_number(const struct cli *cli, const char *name, uint64_t min, uint64_t max, uint64_t *number);

/* ---- calls (cli_client.c) ---- */

/* A unary call. On CLI_OK `*response` is the unpacked answer, freed with protobuf_c_message_free_unpacked. Otherwise
 * the exit code, said already. */
int cli_call(struct cli *cli, const char *path, const ProtobufCMessage *request,
             const ProtobufCMessageDescriptor *response_type, void *response);
/* The same, but leaves the saying to the caller: the gRPC code, and the text in `error`. */
enum grpc_status cli_call_quietly(struct cli *cli, const char *path, const ProtobufCMessage *request,
                                  const ProtobufCMessageDescriptor *response_type, void *response,
                                  struct plinth_error *error);
/* A call with many answers. `on_answer` runs on the client's thread, one answer at a time, while this function waits;
 * false ends the call. Returns the exit code, said already (CLI_OK when on_answer ended it). */
int cli_stream(struct cli *cli, const char *path, const ProtobufCMessage *request,
               const ProtobufCMessageDescriptor *response_type,
               bool (*on_answer)(void *context, const ProtobufCMessage *answer), void *context);
/* Connects when that was not done yet. */
enum plinth_status cli_connect(struct cli *cli, struct plinth_error *error);

/* ---- commands ---- */

int cli_kv_set(struct cli *cli);
int cli_kv_get(struct cli *cli);
int cli_kv_delete(struct cli *cli);
int cli_kv_delete_range(struct cli *cli);
int cli_kv_compare_and_set(struct cli *cli);
int cli_kv_batch(struct cli *cli);
int cli_kv_by_index(struct cli *cli);
int cli_kv_scan(struct cli *cli);
int cli_kv_import(struct cli *cli);
int cli_kv_export(struct cli *cli);
int cli_status(struct cli *cli);
int cli_flush(struct cli *cli);
int cli_compact(struct cli *cli);
int cli_verify(struct cli *cli);
int cli_space_create(struct cli *cli);
int cli_space_list(struct cli *cli);
int cli_space_drop(struct cli *cli);
int cli_table_create(struct cli *cli);
int cli_table_list(struct cli *cli);
int cli_table_describe(struct cli *cli);
int cli_table_drop(struct cli *cli);
int cli_table_add_column(struct cli *cli);
int cli_table_drop_column(struct cli *cli);
int cli_table_rename_column(struct cli *cli);
int cli_table_widen_column(struct cli *cli);
int cli_table_set_nullable(struct cli *cli);
int cli_table_set_default(struct cli *cli);
int cli_table_rename(struct cli *cli);
int cli_table_set_options(struct cli *cli);
int cli_index_create(struct cli *cli);
int cli_index_rebuild(struct cli *cli);
int cli_index_drop(struct cli *cli);
int cli_index_list(struct cli *cli);
int cli_import(struct cli *cli);
int cli_export(struct cli *cli);
int cli_scan(struct cli *cli);
int cli_row(struct cli *cli);
int cli_find(struct cli *cli);
int cli_rows_delete(struct cli *cli);
int cli_rows_update(struct cli *cli);
int cli_snapshot_keep(struct cli *cli);
int cli_snapshot_list(struct cli *cli);
int cli_snapshot_drop(struct cli *cli);
int cli_snapshot_move(struct cli *cli);
int cli_history(struct cli *cli);
int cli_jobs_list(struct cli *cli);
int cli_jobs_pause(struct cli *cli);
int cli_jobs_resume(struct cli *cli);
int cli_jobs_run(struct cli *cli);
int cli_jobs_cancel(struct cli *cli);
int cli_changes(struct cli *cli);
int cli_files(struct cli *cli);
int cli_log(struct cli *cli);
int cli_log_cat(struct cli *cli);
int cli_segment_cat(struct cli *cli);
int cli_segment_info(struct cli *cli);
int cli_parquet_schema(struct cli *cli);
int cli_parquet_meta(struct cli *cli);
int cli_parquet_head(struct cli *cli);
int cli_parquet_cat(struct cli *cli);
int cli_parquet_verify(struct cli *cli);
int cli_parquet_rewrite(struct cli *cli);
int cli_completion(struct cli *cli);

#endif
