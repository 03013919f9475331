/* Admin: typed tables and their indexes, and dropping key spaces. Everything runs on workers; making an index may take
 * minutes and has the workers of those. */
#include "base/status.h"
#include "plinth/v1/admin.pb-c.h"
#include "service/methods.h"
#include "service/service_private.h"

_Static_assert((int)PLINTH__V1__CODEC__CODEC_NONE == (int)PLINTH_CODEC_NONE &&
                   (int)PLINTH__V1__CODEC__CODEC_ZSTD == (int)PLINTH_CODEC_ZSTD &&
                   (int)PLINTH__V1__INDEX_KIND__INDEX_KIND_TOKEN == (int)PLINTH_INDEX_TOKEN &&
                   (int)PLINTH__V1__INDEX_KIND__INDEX_KIND_SORTED == (int)PLINTH_INDEX_SORTED &&
                   (int)PLINTH__V1__INDEX_STATE__INDEX_STATE_DROPPING == (int)PLINTH_INDEX_DROPPING,
               "the contract has the engine's numbers");

/* A request, its memory, and the answer's. */
struct table_call {
    struct service_call *call;
    struct plinth *db;
    struct arena arena;
    struct plinth_error error;
};

/* Unpacks the request into `request`. Ended by finish, also after a failure. */
static enum plinth_status begin(struct table_call *table, struct service_call *call,
                                const ProtobufCMessageDescriptor *type, void *request) {
    *table = (struct table_call){.call = call, .db = call->service->db};
    arena_init(&table->arena);
    return request_unpack(type, buffer_slice(&call->request), &table->arena, request, &table->error);
}

static void finish(struct table_call *table, enum plinth_status st, const ProtobufCMessage *response) {
    if (st)
        service_finish(table->call, st, &table->error);
    else
        service_answer_message(table->call, response);
    arena_deinit(&table->arena);
}

static const char *database_of(const Plinth__V1__Table *table) { return table ? table->database : ""; }
static const char *name_of(const Plinth__V1__Table *table) { return table ? table->name : ""; }

/* What makes and destroys says which. */
static enum plinth_status need_name(const char *field, const char *name, struct plinth_error *error) {
    if (*name) return PLINTH_OK;
    return error_set(error, PLINTH_INVALID_ARGUMENT, "%s: must not be empty", field);
}

/* Columns of a request in the arena. */
static enum plinth_status read_columns(struct table_call *table, Plinth__V1__Column **given, size_t count,
                                       const struct plinth_column **columns) {
    struct plinth_column *into = arena_alloc(&table->arena, (count + 1) * sizeof *into);
    if (!into) return error_no_memory(&table->error, "columns");
    for (size_t i = 0; i < count; i++)
        into[i] = (struct plinth_column){.name = given[i]->name,
                                         .type = given[i]->type,
                                         .nullable = !given[i]->not_null,
                                         .default_value = given[i]->has_default ? given[i]->default_value : NULL};
    *columns = into;
    return PLINTH_OK;
}

/* ---- making and changing tables ---- */

static void create_table_work(struct service_call *call) {
    struct table_call table;
    Plinth__V1__CreateTableRequest *request;
    struct plinth_table_definition definition = {0};
    enum plinth_status st = begin(&table, call, &plinth__v1__create_table_request__descriptor, &request);
    if (!st) st = need_name("table.name", name_of(request->table), &table.error);
    if (!st) st = read_columns(&table, request->columns, request->n_columns, &definition.columns);
    if (!st) {
        definition.column_count = request->n_columns;
        definition.key = (const char *const *)request->primary_key;
        definition.key_count = request->n_primary_key;
        const Plinth__V1__TableOptions *options = request->options;
        if (options) {
            definition.partition_by = options->partition_by;
            definition.partition_us = options->partition_us;
            definition.retention_us = options->retention_us;
            definition.codec = (enum plinth_codec)options->codec;
            definition.page_rows = options->page_rows;
            definition.adds_columns = options->adds_columns;
            definition.expire_by = options->expire_by;
            definition.expire_us = options->expire_us;
        }
        st = plinth_table_create(table.db, request->table->database, request->table->name, &definition, &table.error);
    }
    Plinth__V1__CreateTableResponse response = PLINTH__V1__CREATE_TABLE_RESPONSE__INIT;
    finish(&table, st, &response.base);
}

static void drop_table_work(struct service_call *call) {
    struct table_call table;
    Plinth__V1__DropTableRequest *request;
    enum plinth_status st = begin(&table, call, &plinth__v1__drop_table_request__descriptor, &request);
    if (!st) st = need_name("table.name", name_of(request->table), &table.error);
    if (!st) st = plinth_table_drop(table.db, request->table->database, request->table->name, &table.error);
    Plinth__V1__DropTableResponse response = PLINTH__V1__DROP_TABLE_RESPONSE__INIT;
    finish(&table, st, &response.base);
}

static void drop_space_work(struct service_call *call) {
    struct table_call table;
    Plinth__V1__DropSpaceRequest *request;
    enum plinth_status st = begin(&table, call, &plinth__v1__drop_space_request__descriptor, &request);
    if (!st) st = need_name("space.name", request->space ? request->space->name : "", &table.error);
    if (!st) st = plinth_space_drop(table.db, request->space->database, request->space->name, &table.error);
    Plinth__V1__DropSpaceResponse response = PLINTH__V1__DROP_SPACE_RESPONSE__INIT;
    finish(&table, st, &response.base);
}

static void add_columns_work(struct service_call *call) {
    struct table_call table;
    Plinth__V1__AddColumnsRequest *request;
    const struct plinth_column *columns;
    enum plinth_status st = begin(&table, call, &plinth__v1__add_columns_request__descriptor, &request);
    if (!st) st = need_name("table.name", name_of(request->table), &table.error);
    if (!st) st = read_columns(&table, request->columns, request->n_columns, &columns);
    if (!st)
        st = plinth_table_add_columns(table.db, request->table->database, request->table->name, columns,
                                      request->n_columns, &table.error);
    Plinth__V1__AddColumnsResponse response = PLINTH__V1__ADD_COLUMNS_RESPONSE__INIT;
    finish(&table, st, &response.base);
}

/* One alteration of a request; false when it says nothing. */
static bool read_alteration(const Plinth__V1__Alteration *given, struct plinth_alteration *into) {
    const Plinth__V1__Alteration__SetOptions *options = given->set_options;
    switch (given->change_case) {
    case PLINTH__V1__ALTERATION__CHANGE_ADD_COLUMN:
        *into = (struct plinth_alteration){
            .kind = PLINTH_ADD_COLUMN,
            .column = given->add_column->name,
            .type = given->add_column->type,
            .not_null = given->add_column->not_null,
            .default_value = given->add_column->has_default ? given->add_column->default_value : NULL};
        return true;
    case PLINTH__V1__ALTERATION__CHANGE_DROP_COLUMN:
        *into = (struct plinth_alteration){
            .kind = PLINTH_DROP_COLUMN, .column = given->drop_column->column, .cascade = given->drop_column->cascade};
        return true;
    case PLINTH__V1__ALTERATION__CHANGE_RENAME_COLUMN:
        *into = (struct plinth_alteration){.kind = PLINTH_RENAME_COLUMN,
                                           .column = given->rename_column->column,
                                           .new_name = given->rename_column->new_name};
        return true;
    case PLINTH__V1__ALTERATION__CHANGE_WIDEN_COLUMN:
        *into = (struct plinth_alteration){
            .kind = PLINTH_WIDEN_COLUMN, .column = given->widen_column->column, .type = given->widen_column->type};
        return true;
    case PLINTH__V1__ALTERATION__CHANGE_DROP_NOT_NULL:
        *into = (struct plinth_alteration){.kind = PLINTH_DROP_NOT_NULL, .column = given->drop_not_null};
        return true;
    case PLINTH__V1__ALTERATION__CHANGE_SET_DEFAULT:
        *into = (struct plinth_alteration){
            .kind = PLINTH_SET_DEFAULT,
            .column = given->set_default->column,
            .default_value = given->set_default->has_default ? given->set_default->default_value : NULL};
        return true;
    case PLINTH__V1__ALTERATION__CHANGE_RENAME_TABLE:
        *into = (struct plinth_alteration){.kind = PLINTH_RENAME_TABLE, .new_name = given->rename_table};
        return true;
    case PLINTH__V1__ALTERATION__CHANGE_SET_OPTIONS:
        *into = (struct plinth_alteration){.kind = PLINTH_SET_OPTIONS,
                                           .options = (options->set_codec ? PLINTH_OPTION_CODEC : 0u) |
                                                      (options->set_page_rows ? PLINTH_OPTION_PAGE_ROWS : 0u) |
                                                      (options->set_retention ? PLINTH_OPTION_RETENTION : 0u) |
                                                      (options->set_adds_columns ? PLINTH_OPTION_ADDS_COLUMNS : 0u) |
                                                      (options->set_expiry ? PLINTH_OPTION_EXPIRY : 0u),
                                           .codec = (enum plinth_codec)options->codec,
                                           .page_rows = options->page_rows,
                                           .retention_us = options->retention_us,
                                           .adds_columns = options->adds_columns,
                                           .expire_by = options->expire_by,
                                           .expire_us = options->expire_us};
        return true;
    default: return false;
    }
}

static enum plinth_status read_alterations(struct table_call *table, const Plinth__V1__AlterTableRequest *request,
                                           const struct plinth_alteration **alterations) {
    struct plinth_alteration *into = arena_alloc(&table->arena, (request->n_alterations + 1) * sizeof *into);
    if (!into) return error_no_memory(&table->error, "alterations");
    for (size_t i = 0; i < request->n_alterations; i++)
        if (!read_alteration(request->alterations[i], &into[i]))
            return error_set(&table->error, PLINTH_INVALID_ARGUMENT, "alterations[%zu]: says nothing", i);
    *alterations = into;
    return PLINTH_OK;
}

static void alter_table_work(struct service_call *call) {
    struct table_call table;
    Plinth__V1__AlterTableRequest *request;
    const struct plinth_alteration *alterations = NULL;
    enum plinth_status st = begin(&table, call, &plinth__v1__alter_table_request__descriptor, &request);
    if (!st) st = need_name("table.name", name_of(request->table), &table.error);
    if (!st) st = read_alterations(&table, request, &alterations);
    if (!st)
        st = plinth_table_alter(table.db, request->table->database, request->table->name, alterations,
                                request->n_alterations, &table.error);
    Plinth__V1__AlterTableResponse response = PLINTH__V1__ALTER_TABLE_RESPONSE__INIT;
    finish(&table, st, &response.base);
}

/* ---- indexes ---- */

static void create_index_work(struct service_call *call) {
    struct table_call table;
    uint64_t started_ns = env_monotonic_ns(call->service->env);
    Plinth__V1__CreateIndexRequest *request;
    enum plinth_status st = begin(&table, call, &plinth__v1__create_index_request__descriptor, &request);
    if (!st) st = need_name("table.name", name_of(request->table), &table.error);
    if (!st) st = need_name("index.name", request->index ? request->index->name : "", &table.error);
    if (!st) {
        struct plinth_index index = {.name = request->index->name,
                                     .kind = (enum plinth_index_kind)request->index->kind,
                                     .columns = (const char *const *)request->index->columns,
                                     .unique = request->index->unique,
                                     .included = (const char *const *)request->index->included,
                                     .included_count = request->index->n_included,
                                     .column_count = request->index->n_columns};
        st = (request->no_wait ? plinth_table_index_begin : plinth_table_index_create)(
            table.db, request->table->database, request->table->name, &index, &table.error);
    }
    Plinth__V1__CreateIndexResponse response = PLINTH__V1__CREATE_INDEX_RESPONSE__INIT;
    response.duration_us = (env_monotonic_ns(call->service->env) - started_ns) / 1000;
    finish(&table, st, &response.base);
}

static void rebuild_index_work(struct service_call *call) {
    struct table_call table;
    uint64_t started_ns = env_monotonic_ns(call->service->env);
    Plinth__V1__RebuildIndexRequest *request;
    enum plinth_status st = begin(&table, call, &plinth__v1__rebuild_index_request__descriptor, &request);
    if (!st) st = need_name("table.name", name_of(request->table), &table.error);
    if (!st) st = need_name("index", request->index, &table.error);
    if (!st)
        st = plinth_table_index_rebuild(table.db, request->table->database, request->table->name, request->index,
                                        request->no_wait, &table.error);
    Plinth__V1__RebuildIndexResponse response = PLINTH__V1__REBUILD_INDEX_RESPONSE__INIT;
    response.duration_us = (env_monotonic_ns(call->service->env) - started_ns) / 1000;
    finish(&table, st, &response.base);
}

static void drop_index_work(struct service_call *call) {
    struct table_call table;
    Plinth__V1__DropIndexRequest *request;
    enum plinth_status st = begin(&table, call, &plinth__v1__drop_index_request__descriptor, &request);
    if (!st) st = need_name("table.name", name_of(request->table), &table.error);
    if (!st) st = need_name("index", request->index, &table.error);
    if (!st)
        st = plinth_table_index_drop(table.db, request->table->database, request->table->name, request->index,
                                     &table.error);
    Plinth__V1__DropIndexResponse response = PLINTH__V1__DROP_INDEX_RESPONSE__INIT;
    finish(&table, st, &response.base);
}

/* Indexes of a description as messages, in the arena; strings are the description's. Null: memory is out. */
static Plinth__V1__Index **index_messages(struct arena *arena, const struct plinth_table_description *description) {
    size_t count = description->index_count;
    Plinth__V1__Index *messages = arena_alloc(arena, (count + 1) * sizeof *messages);
    Plinth__V1__Index **pointers = arena_alloc(arena, (count + 1) * sizeof *pointers);
    for (size_t i = 0; messages && pointers && i < count; i++) {
        const struct plinth_index *index = &description->indexes[i];
        plinth__v1__index__init(&messages[i]);
        messages[i].name = (char *)index->name;
        messages[i].kind = (Plinth__V1__IndexKind)index->kind;
        messages[i].state = (Plinth__V1__IndexState)index->state;
        messages[i].percent = index->percent;
        messages[i].unique = index->unique;
        messages[i].n_columns = index->column_count;
        messages[i].columns = (char **)index->columns;
        messages[i].n_included = index->included_count;
        messages[i].included = (char **)index->included;
        pointers[i] = &messages[i];
    }
    return messages ? pointers : NULL;
}

static void list_indexes_work(struct service_call *call) {
    struct table_call table;
    Plinth__V1__ListIndexesRequest *request;
    Plinth__V1__ListIndexesResponse response = PLINTH__V1__LIST_INDEXES_RESPONSE__INIT;
    struct plinth_table_description description = {0};
    enum plinth_status st = begin(&table, call, &plinth__v1__list_indexes_request__descriptor, &request);
    if (!st)
        st = plinth_table_describe(table.db, database_of(request->table), name_of(request->table), &description,
                                   &table.error);
    if (!st) {
        response.n_indexes = description.index_count;
        response.indexes = index_messages(&table.arena, &description);
        if (!response.indexes) st = error_no_memory(&table.error, "list of indexes");
    }
    finish(&table, st, &response.base);
    plinth_table_description_deinit(&description);
}

/* ---- looking ---- */

static Plinth__V1__Column **column_messages(struct arena *arena, const struct plinth_table_definition *definition) {
    size_t count = definition->column_count;
    Plinth__V1__Column *messages = arena_alloc(arena, (count + 1) * sizeof *messages);
    Plinth__V1__Column **pointers = arena_alloc(arena, (count + 1) * sizeof *pointers);
    for (size_t i = 0; messages && pointers && i < count; i++) {
        const struct plinth_column *column = &definition->columns[i];
        plinth__v1__column__init(&messages[i]);
        messages[i].name = (char *)column->name;
        messages[i].type = (char *)column->type;
        messages[i].not_null = !column->nullable;
        messages[i].id = column->id;
        messages[i].has_default = column->default_value != NULL;
        if (column->default_value) messages[i].default_value = (char *)column->default_value;
        pointers[i] = &messages[i];
    }
    return messages ? pointers : NULL;
}

static void describe_table_work(struct service_call *call) {
    struct table_call table;
    Plinth__V1__DescribeTableRequest *request;
    Plinth__V1__DescribeTableResponse response = PLINTH__V1__DESCRIBE_TABLE_RESPONSE__INIT;
    Plinth__V1__Table name = PLINTH__V1__TABLE__INIT;
    Plinth__V1__TableOptions options = PLINTH__V1__TABLE_OPTIONS__INIT;
    struct plinth_table_description description = {0};
    const struct plinth_table_definition *definition = &description.definition;
    enum plinth_status st = begin(&table, call, &plinth__v1__describe_table_request__descriptor, &request);
    if (!st)
        st = plinth_table_describe(table.db, database_of(request->table), name_of(request->table), &description,
                                   &table.error);
    if (!st) {
        response.columns = column_messages(&table.arena, definition);
        response.indexes = index_messages(&table.arena, &description);
        if (!response.columns || !response.indexes) st = error_no_memory(&table.error, "description");
    }
    if (!st) {
        name.database = (char *)description.database;
        name.name = (char *)description.name;
        options.partition_by = (char *)(definition->partition_by ? definition->partition_by : "");
        options.partition_us = definition->partition_us;
        options.retention_us = definition->retention_us;
        options.codec = (Plinth__V1__Codec)definition->codec;
        options.page_rows = definition->page_rows;
        options.adds_columns = definition->adds_columns;
        options.expire_by = (char *)(definition->expire_by ? definition->expire_by : "");
        options.expire_us = definition->expire_us;
        response.table = &name;
        response.is_space = description.is_space;
        response.id = description.id;
        response.version = description.version;
        response.n_columns = definition->column_count;
        response.n_primary_key = definition->key_count;
        response.primary_key = (char **)definition->key;
        response.options = &options;
        response.n_indexes = description.index_count;
        response.segments = description.segments;
        response.rows = description.rows;
        response.bytes = description.bytes;
        response.index_bytes = description.index_bytes;
        response.memory_rows = description.memory_rows;
    }
    finish(&table, st, &response.base);
    plinth_table_description_deinit(&description);
}

/* One table of the list, in the call's arena, in front of those before it. */
struct listed_table {
    struct listed_table *before;
    Plinth__V1__Table name;
    Plinth__V1__ListTablesResponse__Entry entry;
};

struct table_list {
    struct arena *arena;
    struct listed_table *last;
    size_t count;
    bool failed;
};

static void on_table(void *context, const char *database, const char *name, bool is_space, uint32_t id) {
    struct table_list *list = context;
    struct listed_table *listed = arena_alloc(list->arena, sizeof *listed);
    char *database_copy = (char *)arena_copy(list->arena, slice_of_string(database));
    char *name_copy = (char *)arena_copy(list->arena, slice_of_string(name));
    list->failed = list->failed || !listed || !database_copy || !name_copy;
    if (list->failed) return;
    listed->before = list->last;
    plinth__v1__table__init(&listed->name);
    plinth__v1__list_tables_response__entry__init(&listed->entry);
    listed->name.database = database_copy;
    listed->name.name = name_copy;
    listed->entry.table = &listed->name;
    listed->entry.is_space = is_space;
    listed->entry.id = id;
    list->last = listed;
    list->count++;
}

static void list_tables_work(struct service_call *call) {
    struct table_call table;
    Plinth__V1__ListTablesRequest *request;
    Plinth__V1__ListTablesResponse response = PLINTH__V1__LIST_TABLES_RESPONSE__INIT;
    enum plinth_status st = begin(&table, call, &plinth__v1__list_tables_request__descriptor, &request);
    struct table_list list = {.arena = &table.arena};
    if (!st) st = plinth_table_list(table.db, on_table, &list, &table.error);
    if (!st) response.tables = arena_alloc(&table.arena, (list.count + 1) * sizeof *response.tables);
    if (!st && (list.failed || !response.tables)) st = error_no_memory(&table.error, "list of tables");
    if (!st) {
        response.n_tables = list.count;
        for (size_t place = list.count; list.last; list.last = list.last->before)
            response.tables[--place] = &list.last->entry;
    }
    finish(&table, st, &response.base);
}

/* ---- the methods ---- */

static void drop_space_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, drop_space_work);
}
static void create_table_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, create_table_work);
}
static void list_tables_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, list_tables_work);
}
static void describe_table_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, describe_table_work);
}
static void drop_table_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, drop_table_work);
}
static void add_columns_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, add_columns_work);
}
static void alter_table_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, alter_table_work);
}
static void create_index_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->admin_workers, message, create_index_work);
}
static void rebuild_index_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->admin_workers, message, rebuild_index_work);
}
static void drop_index_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, drop_index_work);
}
static void list_indexes_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, list_indexes_work);
}

const struct service_method admin_drop_space = {"/plinth.v1.Admin/DropSpace", RPC_UNARY,
                                                .on_message = drop_space_on_message};
const struct service_method admin_create_table = {"/plinth.v1.Admin/CreateTable", RPC_UNARY,
                                                  .on_message = create_table_on_message};
const struct service_method admin_list_tables = {"/plinth.v1.Admin/ListTables", RPC_UNARY,
                                                 .on_message = list_tables_on_message};
const struct service_method admin_describe_table = {"/plinth.v1.Admin/DescribeTable", RPC_UNARY,
                                                    .on_message = describe_table_on_message};
const struct service_method admin_drop_table = {"/plinth.v1.Admin/DropTable", RPC_UNARY,
                                                .on_message = drop_table_on_message};
const struct service_method admin_add_columns = {"/plinth.v1.Admin/AddColumns", RPC_UNARY,
                                                 .on_message = add_columns_on_message};
const struct service_method admin_alter_table = {"/plinth.v1.Admin/AlterTable", RPC_UNARY,
                                                 .on_message = alter_table_on_message};
const struct service_method admin_create_index = {"/plinth.v1.Admin/CreateIndex", RPC_UNARY,
                                                  .on_message = create_index_on_message};
const struct service_method admin_rebuild_index = {"/plinth.v1.Admin/RebuildIndex", RPC_UNARY,
                                                   .on_message = rebuild_index_on_message};
const struct service_method admin_drop_index = {"/plinth.v1.Admin/DropIndex", RPC_UNARY,
                                                .on_message = drop_index_on_message};
const struct service_method admin_list_indexes = {"/plinth.v1.Admin/ListIndexes", RPC_UNARY,
                                                  .on_message = list_indexes_on_message};
