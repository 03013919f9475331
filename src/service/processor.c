/* Processor: what works in the background, for operators to see and to steer. On workers; RunJob, which may take
 * minutes, on those of its like (Admin's flush and compact). */
#include "plinth/v1/processor.pb-c.h"

#include "base/status.h"
#include "plinth_jobs.h"
#include "service/methods.h"
#include "service/service_private.h"

/* Finishes the call with an answer that has nothing in it, or with the failure. */
static void finish_empty(struct service_call *call, enum plinth_status st, const struct plinth_error *error) {
    if (st)
        service_finish(call, st, error);
    else
        service_answer(call, slice_of(NULL, 0));
}

/* ---- ListJobs ---- */

struct listed_job {
    Plinth__V1__Job message;
    Plinth__V1__Table table;
    struct plinth_space space;
    int64_t partition;
    struct listed_job *next;
};

struct job_listing {
    struct arena arena;
    struct listed_job *first, **end;
    size_t count;
    bool failed;
};

static char *copy_text(struct job_listing *list, const char *text) {
    char *copy = (char *)arena_copy(&list->arena, slice_of_string(text));
    if (!copy) list->failed = true;
    return copy;
}

/* No other call into the engine may be made from here: names are found later. */
static void list_one(void *context, const struct plinth_job *job) {
    struct job_listing *list = context;
    struct listed_job *listed = arena_zalloc(&list->arena, sizeof *listed);
    if (!listed) {
        list->failed = true;
        return;
    }
    plinth__v1__job__init(&listed->message);
    plinth__v1__table__init(&listed->table);
    listed->space = job->space;
    listed->partition = job->partition;
    listed->message.id = job->id;
    listed->message.kind = (Plinth__V1__JobKind)job->kind;
    listed->message.state = (Plinth__V1__JobState)job->state;
    listed->message.has_partition = job->has_partition;
    listed->message.threads = job->threads;
    listed->message.done = job->done;
    listed->message.total = job->total;
    listed->message.started_us = job->started_us;
    listed->message.failures = job->failures;
    listed->message.why = copy_text(list, job->why);
    listed->message.error = copy_text(list, job->error);
    *list->end = listed;
    list->end = &listed->next;
    list->count++;
}

static void find_names(struct plinth *db, struct job_listing *list, struct listed_job *job) {
    struct plinth_names names;
    if (!job->space.table || plinth_names_find(db, job->space, &names, NULL)) return;
    job->table.database = copy_text(list, names.database);
    job->table.name = copy_text(list, names.table);
    job->message.table = &job->table;
    job->message.index = copy_text(list, names.index);
    if (job->message.has_partition) job->message.partition_us = job->partition * (int64_t)names.partition_us;
}

static enum plinth_status make_listing(struct plinth *db, struct job_listing *list,
                                       Plinth__V1__ListJobsResponse *response, struct plinth_error *error) {
    plinth_jobs_visit(db, list_one, list);
    response->jobs = arena_alloc(&list->arena, (list->count + 1) * sizeof *response->jobs);
    for (struct listed_job *job = list->first; job && response->jobs; job = job->next) {
        find_names(db, list, job);
        response->jobs[response->n_jobs++] = &job->message;
    }
    return list->failed || !response->jobs ? error_no_memory(error, "list of jobs") : PLINTH_OK;
}

static void list_jobs_work(struct service_call *call) {
    struct job_listing list = {0};
    struct plinth_error error;
    Plinth__V1__ListJobsRequest *request;
    Plinth__V1__ListJobsResponse response = PLINTH__V1__LIST_JOBS_RESPONSE__INIT;
    list.end = &list.first;
    arena_init(&list.arena);
    enum plinth_status st = request_unpack(&plinth__v1__list_jobs_request__descriptor, buffer_slice(&call->request),
                                           &list.arena, &request, &error);
    if (!st) st = make_listing(call->service->db, &list, &response, &error);
    if (st)
        service_finish(call, st, &error);
    else
        service_answer_message(call, &response.base);
    arena_deinit(&list.arena);
}

/* ---- PauseJobs and ResumeJobs ---- */

typedef enum plinth_status steer(struct plinth *db, enum plinth_job_kind kind, struct plinth_error *error);

static enum plinth_status steer_each(struct plinth *db, const Plinth__V1__JobKind *kinds, size_t count, steer *one,
                                     struct plinth_error *error) {
    enum plinth_status st = PLINTH_OK;
    if (!count) return error_set(error, PLINTH_INVALID_ARGUMENT, "kinds: at least one must be given");
    for (size_t i = 0; !st && i < count; i++) st = one(db, (enum plinth_job_kind)kinds[i], error);
    return st;
}

static void pause_jobs_work(struct service_call *call) {
    struct arena arena;
    struct plinth_error error;
    Plinth__V1__PauseJobsRequest *request;
    arena_init(&arena);
    enum plinth_status st = request_unpack(&plinth__v1__pause_jobs_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    if (!st) st = steer_each(call->service->db, request->kinds, request->n_kinds, plinth_jobs_pause, &error);
    arena_deinit(&arena);
    finish_empty(call, st, &error);
}

static void resume_jobs_work(struct service_call *call) {
    struct arena arena;
    struct plinth_error error;
    Plinth__V1__ResumeJobsRequest *request;
    arena_init(&arena);
    enum plinth_status st = request_unpack(&plinth__v1__resume_jobs_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    if (!st) st = steer_each(call->service->db, request->kinds, request->n_kinds, plinth_jobs_resume, &error);
    arena_deinit(&arena);
    finish_empty(call, st, &error);
}

/* ---- RunJob ---- */

static bool is_wanted(void *context) {
    const struct service_call *call = context;
    return !rpc_call_is_over(call->rpc);
}

static void run_job_work(struct service_call *call) {
    struct service *service = call->service;
    uint64_t started_ns = env_monotonic_ns(service->env);
    struct arena arena;
    struct plinth_error error;
    Plinth__V1__RunJobRequest *request;
    arena_init(&arena);
    enum plinth_status st = request_unpack(&plinth__v1__run_job_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    if (!st) st = plinth_jobs_run_while(service->db, (enum plinth_job_kind)request->kind, is_wanted, call, &error);
    arena_deinit(&arena);
    if (st) {
        service_finish(call, st, &error);
        return;
    }
    Plinth__V1__RunJobResponse response = PLINTH__V1__RUN_JOB_RESPONSE__INIT;
    response.duration_us = (env_monotonic_ns(service->env) - started_ns) / 1000;
    service_answer_message(call, &response.base);
}

/* ---- CancelJob ---- */

static void cancel_job_work(struct service_call *call) {
    struct arena arena;
    struct plinth_error error;
    Plinth__V1__CancelJobRequest *request;
    arena_init(&arena);
    enum plinth_status st = request_unpack(&plinth__v1__cancel_job_request__descriptor, buffer_slice(&call->request),
                                           &arena, &request, &error);
    if (!st) st = plinth_jobs_cancel(call->service->db, request->id, &error);
    arena_deinit(&arena);
    finish_empty(call, st, &error);
}

/* ---- ListFiles ---- */

enum { FILES_A_MESSAGE = 256, KEY_BYTES_SHOWN = 64 };

struct file_stream {
    struct service_call *call;
    struct arena arena; /* of one message */
    Plinth__V1__ListFilesResponse response;
    Plinth__V1__File *files[FILES_A_MESSAGE];
    bool failed;
};

/* Waits while the client is slow. */
static void send_files(struct file_stream *stream) {
    struct rpc_call *rpc = stream->call->rpc;
    struct buffer packed = BUFFER_INIT;
    if (buffer_reserve(&packed, protobuf_c_message_get_packed_size(&stream->response.base) + 1)) {
        packed.size = protobuf_c_message_pack(&stream->response.base, packed.data);
        (void)rpc_call_send(rpc, buffer_slice(&packed));
        while (!rpc_call_is_over(rpc) && rpc_call_send_queued(rpc) >= RPC_SEND_HIGH_BYTES)
            env_sleep_us(stream->call->service->env, 1000);
    } else {
        stream->failed = true;
    }
    buffer_deinit(&packed);
    arena_reset(&stream->arena);
    plinth__v1__list_files_response__init(&stream->response);
    stream->response.files = stream->files;
}

static char *keep_text(struct file_stream *stream, const char *text) {
    char *copy = (char *)arena_copy(&stream->arena, slice_of_string(text));
    if (!copy) stream->failed = true;
    return copy;
}

static ProtobufCBinaryData keep_key(struct file_stream *stream, struct plinth_slice key) {
    size_t size = key.size < KEY_BYTES_SHOWN ? key.size : KEY_BYTES_SHOWN;
    uint8_t *copy = arena_copy(&stream->arena, slice_of(key.data, size));
    if (!copy) stream->failed = true;
    return (ProtobufCBinaryData){copy ? size : 0, copy};
}

static void add_table(struct file_stream *stream, Plinth__V1__File *to, const struct plinth_file *file) {
    struct plinth_names names;
    if (!file->space.table || plinth_names_find(stream->call->service->db, file->space, &names, NULL)) return;
    Plinth__V1__Table *table = arena_alloc(&stream->arena, sizeof *table);
    if (!table) {
        stream->failed = true;
        return;
    }
    plinth__v1__table__init(table);
    table->database = keep_text(stream, names.database);
    table->name = keep_text(stream, names.table);
    to->table = table;
    to->index = keep_text(stream, names.index);
    if (file->has_partition) to->partition_us = file->partition * (int64_t)names.partition_us;
}

static void on_file(void *context, const struct plinth_file *file) {
    struct file_stream *stream = context;
    Plinth__V1__File *to = arena_alloc(&stream->arena, sizeof *to);
    if (stream->failed || !to || rpc_call_is_over(stream->call->rpc)) {
        stream->failed = true;
        return;
    }
    plinth__v1__file__init(to);
    to->path = keep_text(stream, file->path);
    to->kind = (Plinth__V1__FileKind)file->kind;
    to->bytes = file->bytes;
    to->modified_us = file->modified_us;
    to->first_lsn = file->first_lsn;
    to->last_lsn = file->last_lsn;
    to->is_needed = file->is_needed;
    to->needed_by = keep_text(stream, file->needed_by);
    to->has_partition = file->has_partition;
    to->run = file->run;
    to->level = file->level;
    to->rows = file->rows;
    to->deletes = file->deletes;
    to->key_min = keep_key(stream, file->key_min);
    to->key_max = keep_key(stream, file->key_max);
    add_table(stream, to, file);
    stream->files[stream->response.n_files++] = to;
    if (!stream->failed && stream->response.n_files == FILES_A_MESSAGE) send_files(stream);
}

static void list_files_work(struct service_call *call) {
    struct plinth_error error;
    Plinth__V1__ListFilesRequest *request;
    struct file_stream stream = {.call = call};
    plinth__v1__list_files_response__init(&stream.response);
    stream.response.files = stream.files;
    arena_init(&stream.arena);
    enum plinth_status st = request_unpack(&plinth__v1__list_files_request__descriptor, buffer_slice(&call->request),
                                           &stream.arena, &request, &error);
    if (!st) st = plinth_files_visit(call->service->db, on_file, &stream, &error);
    if (!st && !stream.failed && stream.response.n_files) send_files(&stream);
    if (!st && stream.failed) st = error_no_memory(&error, "list of files");
    arena_deinit(&stream.arena);
    service_finish(call, st, &error);
}

/* ---- the methods ---- */

static void list_jobs_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, list_jobs_work);
}
static void pause_jobs_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, pause_jobs_work);
}
static void resume_jobs_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, resume_jobs_work);
}
static void run_job_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->admin_workers, message, run_job_work);
}
static void list_files_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->admin_workers, message, list_files_work);
}
static void cancel_job_on_message(struct service_call *call, struct slice message) {
    service_offload(call, call->service->workers, message, cancel_job_work);
}

const struct service_method processor_list_jobs = {"/plinth.v1.Processor/ListJobs", RPC_UNARY,
                                                   .on_message = list_jobs_on_message};
const struct service_method processor_pause_jobs = {"/plinth.v1.Processor/PauseJobs", RPC_UNARY,
                                                    .on_message = pause_jobs_on_message};
const struct service_method processor_resume_jobs = {"/plinth.v1.Processor/ResumeJobs", RPC_UNARY,
                                                     .on_message = resume_jobs_on_message};
const struct service_method processor_run_job = {"/plinth.v1.Processor/RunJob", RPC_UNARY,
                                                 .on_message = run_job_on_message};
const struct service_method processor_cancel_job = {"/plinth.v1.Processor/CancelJob", RPC_UNARY,
                                                    .on_message = cancel_job_on_message};
const struct service_method processor_list_files = {"/plinth.v1.Processor/ListFiles", RPC_SERVER_STREAM,
                                                    .on_message = list_files_on_message};
