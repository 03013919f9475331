#include "engine/record_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/engine.h"
#include "engine/merge_change.h"
#include "engine/shard_hosts.h"
#include "engine/transaction_change.h"

enum { TABLES_NAMED = 3, TABLE_TEXT_BYTES = 160 };

static void say(struct record_text *text, const char *format, ...) PLINTH_PRINTF(2, 3);

/* Appends, as much as fits. */
static void say(struct record_text *text, const char *format, ...) {
    va_list arguments;
    size_t used = strlen(text->what);
    va_start(arguments, format);
    vsnprintf(text->what + used, sizeof text->what - used, format, arguments);
    va_end(arguments);
}

static void say_malformed(struct record_text *text) {
    text->what[0] = '\0';
    text->rows = 0;
    say(text, "malformed");
}

static const char *name_of(const struct catalog *catalog, struct table_id id, char name[TABLE_TEXT_BYTES]) {
    struct plinth_names names = {.partition_us = 0};
    if (engine_names_of(catalog, id, &names))
        snprintf(name, TABLE_TEXT_BYTES, "%.50s.%.50s%s%.50s", names.database, names.table, *names.index ? "." : "",
                 names.index);
    else
        snprintf(name, TABLE_TEXT_BYTES, "table %" PRIu32, id.table);
    return name;
}

/* ---- keys ---- */

static void say_operations(const struct catalog *catalog, struct slice operations, struct record_text *text) {
    struct operation_reader reader = operation_reader_of(operations);
    struct operation operation;
    struct table_id tables[TABLES_NAMED];
    unsigned named = 0;
    uint64_t sets = 0, deletes = 0, ranges = 0, others = 0;
    bool more = false;
    char name[TABLE_TEXT_BYTES];
    while (operation_next(&reader, &operation)) {
        bool is_new = true;
        sets += operation.kind == OPERATION_SET || operation.kind == OPERATION_SET_REFERENCE;
        deletes += operation.kind == OPERATION_DELETE;
        ranges += operation.kind == OPERATION_DELETE_RANGE;
        others++;
        for (unsigned i = 0; i < named; i++) is_new &= table_id_compare(tables[i], operation.table) != 0;
        if (is_new && named < TABLES_NAMED)
            tables[named++] = operation.table;
        else
            more |= is_new;
    }
    if (reader.from.failed) {
        say_malformed(text);
        return;
    }
    others -= sets + deletes + ranges;
    text->rows += sets + deletes;
    if (sets) say(text, "%s%" PRIu64 " set%s", *text->what ? ", " : "", sets, sets == 1 ? "" : "s");
    if (deletes) say(text, "%s%" PRIu64 " delete%s", *text->what ? ", " : "", deletes, deletes == 1 ? "" : "s");
    if (ranges) say(text, "%s%" PRIu64 " delete%s of a range", *text->what ? ", " : "", ranges, ranges == 1 ? "" : "s");
    if (others) say(text, "%s%" PRIu64 " other change%s", *text->what ? ", " : "", others, others == 1 ? "" : "s");
    for (unsigned i = 0; i < named; i++) say(text, "%s%s", i ? ", " : " in ", name_of(catalog, tables[i], name));
    if (more) say(text, " and others");
}

static void say_conditional(const struct catalog *catalog, struct slice payload, struct record_text *text) {
    struct condition condition;
    if (!condition_decode(payload, &condition)) {
        say_malformed(text);
        return;
    }
    say_operations(catalog, condition.operations, text);
    say(text, ", if %" PRIu64 " keys and %" PRIu64 " ranges are as at %" PRIu64, condition.key_count,
        condition.range_count, condition.snapshot_lsn);
}

/* ---- rows ---- */

static void say_rows(const struct catalog *catalog, const struct record *record, struct record_text *text) {
    struct rows_change change;
    char name[TABLE_TEXT_BYTES];
    if (!rows_change_decode(record->payload, &change)) {
        say_malformed(text);
        return;
    }
    text->rows = change.rows;
    say(text, "%" PRIu32 " row%s %s %s, %" PRIu32 " columns", change.rows, change.rows == 1 ? "" : "s",
        change.operation == 2 ? "deleted in" : "upserted in", name_of(catalog, change.table, name),
        change.column_count);
    if (change.in_unit || change.chunked)
        say(text, ", %s %" PRIu32 " of %" PRIu32, change.in_unit ? "part" : "chunk", record->header.chunk + 1,
            record->header.chunk_count);
}

static void say_transaction(const struct catalog *catalog, const struct record *record, struct record_text *text) {
    struct transaction_part part;
    struct transaction_change change;
    enum change_kind kind = (enum change_kind)record->header.kind;
    if (!transaction_part_decode(kind, record->payload, &part)) {
        say_malformed(text);
    } else if (part.in_unit) {
        say(text, "part %" PRIu32 " of %" PRIu32 " of a transaction, %zu bytes", record->header.chunk + 1,
            record->header.chunk_count, part.bytes.size);
    } else if (!transaction_change_decode(part.bytes, &change)) {
        say_malformed(text);
    } else {
        say_operations(catalog, change.condition.operations, text);
        say(text,
            "%s%" PRIu64 " batches of rows; read %" PRIu64 " keys, %" PRIu64 " ranges, %" PRIu64
            " tables, as at %" PRIu64,
            *text->what ? ", " : "", change.rows_count, change.condition.key_count, change.condition.range_count,
            change.table_count, change.condition.snapshot_lsn);
    }
}

/* ---- the manifest ---- */

static void say_segments(const struct segment_info *segments, uint64_t count, struct record_text *text) {
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < count; i++) {
        text->rows += segments[i].rows;
        bytes += segments[i].bytes;
    }
    say(text, "%" PRIu64 " segment%s of %" PRIu64 " bytes", count, count == 1 ? "" : "s", bytes);
}

static void say_commit(const struct catalog *catalog, const struct record *record, struct record_text *text) {
    struct commit commit;
    char name[TABLE_TEXT_BYTES];
    enum change_kind kind = (enum change_kind)record->header.kind;
    if (commit_decode(kind, record->payload, &commit, NULL)) {
        say_malformed(text);
        return;
    }
    if (kind == CHANGE_FLUSH_COMMIT)
        say(text, "cut %" PRIu64 " is now ", commit.cut);
    else
        say(text, "%" PRIu64 " runs of %s are now ", commit.input_count, name_of(catalog, commit.table, name));
    say_segments(commit.segments, commit.segment_count, text);
    say(text, ", job %" PRIu64, commit.job);
    commit_deinit(&commit);
}

static void say_merge(const struct catalog *catalog, struct slice payload, struct record_text *text) {
    struct merge_change change;
    char name[TABLE_TEXT_BYTES];
    uint64_t taken = 0, made = 0;
    if (merge_change_decode(payload, &change, NULL)) {
        say_malformed(text);
        return;
    }
    for (uint64_t i = 0; i < change.run_count; i++) taken += change.runs[i].taken_count;
    for (uint64_t i = 0; i < change.output_count; i++) {
        made += change.outputs[i].moved.size == 0;
        if (!change.outputs[i].moved.size) text->rows += change.outputs[i].info.rows;
    }
    say(text,
        "%" PRIu64 " segments in %" PRIu64 " runs of %s are now %" PRIu64 ", %" PRIu64 " of them new, job %" PRIu64,
        taken, change.run_count, name_of(catalog, change.table, name), change.output_count, made, change.job);
    merge_change_deinit(&change);
}

/* Begins with the index's id (index_builds.h). */
static void say_index_step(const struct catalog *catalog, struct slice payload, struct record_text *text) {
    struct reader from = reader_of(payload);
    struct table_id index = {0};
    char name[TABLE_TEXT_BYTES];
    index.tenant = reader_varint32(&from);
    index.database = reader_varint32(&from);
    index.table = reader_varint32(&from);
    uint64_t job = reader_varint(&from), rows = reader_varint(&from);
    if (from.failed)
        say_malformed(text);
    else
        say(text, "the build of %s has looked at %" PRIu64 " rows, job %" PRIu64, name_of(catalog, index, name), rows,
            job);
}

static void say_files_gone(struct slice payload, struct record_text *text) {
    struct reader from = reader_of(payload);
    uint64_t names = reader_varint(&from);
    for (uint64_t i = 0; i < names && !from.failed; i++) (void)reader_string(&from);
    uint64_t jobs = reader_varint(&from);
    if (from.failed)
        say_malformed(text);
    else
        say(text, "%" PRIu64 " files were deleted, %" PRIu64 " jobs collected", names, jobs);
}

/* ---- the rest ---- */

static void say_catalog(const struct catalog *catalog, struct slice payload, struct record_text *text) {
    static const char *const kinds[] = {
        [CATALOG_CREATE_DATABASE] = "create database", [CATALOG_CREATE_SPACE] = "create key space",
        [CATALOG_CREATE_INDEX] = "create index",       [CATALOG_CREATE_TABLE] = "create table",
        [CATALOG_DROP_TABLE] = "drop table",           [CATALOG_ADD_COLUMNS] = "add columns to",
        [CATALOG_CREATE_TABLE_INDEX] = "create index", [CATALOG_SET_INDEX_STATE] = "set state of index",
        [CATALOG_DROP_INDEX] = "drop index",           [CATALOG_BUILD_INDEX] = "build index",
        [CATALOG_REPLACE_INDEX] = "replace index",     [CATALOG_ALTER_TABLE] = "alter table",
    };
    struct reader from = reader_of(payload);
    struct catalog_change change;
    struct arena arena;
    char name[TABLE_TEXT_BYTES];
    arena_init(&arena);
    if (!catalog_change_decode(&from, &arena, &change)) {
        say_malformed(text);
    } else {
        bool known = (size_t)change.kind < sizeof kinds / sizeof *kinds && kinds[change.kind];
        const struct table_id id = {change.tenant, change.database, change.space};
        if (known)
            say(text, "%s", kinds[change.kind]);
        else
            say(text, "change %d of", (int)change.kind);
        if (change.name.size) say(text, " %.*s", (int)change.name.size, (const char *)change.name.data);
        if (change.space) say(text, "%s %s", change.name.size ? " on" : "", name_of(catalog, id, name));
        say(text, ", catalog version %" PRIu64, change.version);
    }
    arena_deinit(&arena);
}

static void say_keep(struct slice payload, struct record_text *text) {
    struct keep_change change;
    if (!keep_change_decode(payload, &change)) {
        say_malformed(text);
        return;
    }
    say(text, "%s snapshot %.*s",
        change.operation == KEEP_DROP       ? "drop"
        : change.operation == KEEP_MOVE     ? "move"
        : change.operation == KEEP_WITH_LOG ? "keep, with the log,"
                                            : "keep",
        (int)change.name.size, (const char *)change.name.data);
    if (change.lsn) say(text, " of %" PRIu64, change.lsn);
}

static void say_jobs(struct slice payload, struct record_text *text) {
    struct reader from = reader_of(payload);
    uint64_t paused = reader_varint(&from);
    const char *before = "paused: ";
    if (!paused) say(text, "no job is paused");
    for (unsigned kind = 1; kind < 16; kind++) {
        if (!(paused & 1u << kind)) continue;
        say(text, "%s%s", before, plinth_job_kind_name((enum plinth_job_kind)kind));
        before = ", ";
    }
}

/* The first number of a payload. */
static uint64_t number_of(struct slice payload) {
    struct reader from = reader_of(payload);
    return reader_varint(&from);
}

static const char *job_of(uint64_t kind) {
    return kind == JOB_FLUSH ? "a flush begins" : kind == JOB_VALUES ? "large values may come" : "a merge begins";
}

static void say_values_dropped(struct slice payload, struct record_text *text) {
    struct value_count *counts;
    uint64_t job, count;
    if (values_dropped_decode(payload, &job, &counts, &count, NULL)) {
        say_malformed(text);
        return;
    }
    say(text, "job %" PRIu64 " leaves out values in %" PRIu64 " files", job, count);
    free(counts);
}

static void say_host(struct slice payload, struct record_text *text) {
    struct reader from = reader_of(payload);
    uint64_t id = reader_u64(&from), incarnation = reader_varint(&from);
    say(text, "host %" PRIu64 ", incarnation %" PRIu64, id, incarnation);
}

static void say_host_change(enum change_kind kind, struct slice payload, struct record_text *text) {
    struct host_change change;
    if (!host_change_decode(kind, payload, &change)) {
        say_malformed(text);
        return;
    }
    say(text, "host %" PRIu64 ", incarnation %" PRIu64, change.id, change.incarnation);
    if (kind == CHANGE_HOST_JOIN) say(text, ", \"%.*s\", joins", (int)change.name.size, change.name.data);
    if (kind == CHANGE_HOST_NEEDS) say(text, ", needs what is behind %" PRIu64, change.needed_lsn);
    if (kind == CHANGE_HOST_EXPEL) say(text, ", is expelled");
}

void record_describe(const struct catalog *catalog, const struct record *record, struct record_text *text) {
    struct slice payload = record->payload;
    *text = (struct record_text){.rows = 0};
    switch ((enum change_kind)record->header.kind) {
    case CHANGE_WRITE: say_operations(catalog, payload, text); break;
    case CHANGE_CONDITIONAL: say_conditional(catalog, payload, text); break;
    case CHANGE_ROWS: say_rows(catalog, record, text); break;
    case CHANGE_TRANSACTION:
    case CHANGE_TRANSACTION_PART: say_transaction(catalog, record, text); break;
    case CHANGE_CATALOG: say_catalog(catalog, payload, text); break;
    case CHANGE_CUT: say(text, "the memtable is cut here"); break;
    case CHANGE_JOB_BEGIN: say(text, "%s", job_of(number_of(payload))); break;
    case CHANGE_VALUES_DROPPED: say_values_dropped(payload, text); break;
    case CHANGE_VALUES_GONE: say(text, "%" PRIu64 " files of large values were deleted", number_of(payload)); break;
    case CHANGE_FLUSH_COMMIT:
    case CHANGE_COMPACT_COMMIT: say_commit(catalog, record, text); break;
    case CHANGE_MERGE_COMMIT: say_merge(catalog, payload, text); break;
    case CHANGE_INDEX_STEP: say_index_step(catalog, payload, text); break;
    case CHANGE_JOB_ABORT: say(text, "job %" PRIu64 " was given up", number_of(payload)); break;
    case CHANGE_FILES_GONE: say_files_gone(payload, text); break;
    case CHANGE_HOST: say_host(payload, text); break;
    case CHANGE_HOST_JOIN:
    case CHANGE_HOST_NEEDS:
    case CHANGE_HOST_EXPEL: say_host_change((enum change_kind)record->header.kind, payload, text); break;
    case CHANGE_TICK: say(text, "time goes on"); break;
    case CHANGE_FEATURE_LEVEL: say(text, "feature level %" PRIu64, number_of(payload)); break;
    case CHANGE_WINDOW: say(text, "the conflict window has %" PRIu64 " keys", number_of(payload)); break;
    case CHANGE_KEEP: say_keep(payload, text); break;
    case CHANGE_HISTORY: say(text, "history of %" PRIu64 " s", number_of(payload) / 1000000); break;
    case CHANGE_JOBS: say_jobs(payload, text); break;
    default: say(text, "of a kind that this version does not know");
    }
    if (!*text->what) say(text, "nothing");
    switch ((enum change_kind)record->header.kind) {
    case CHANGE_WRITE:
    case CHANGE_CONDITIONAL:
    case CHANGE_ROWS:
    case CHANGE_TRANSACTION:
    case CHANGE_TRANSACTION_PART: text->has_verdict = true; break;
    default: break;
    }
}
