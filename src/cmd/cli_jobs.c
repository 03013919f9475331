/* plinth jobs list, pause, resume, run, cancel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/cli.h"
#include "plinth/v1/processor.pb-c.h"

/* In the order of the enum, from 1 on. */
static const char *const kind_words[] = {"flush",   "compaction",  "retention", "checkpoint", "trim",
                                         "garbage", "index_build", "verify",    NULL};
static const char *const state_words[] = {"?", "running", "waiting", "paused", "retrying", "held"};

enum { KINDS = sizeof kind_words / sizeof *kind_words - 1, STATES = sizeof state_words / sizeof *state_words };

static const char *kind_word(Plinth__V1__JobKind kind) {
    return (unsigned)kind >= 1 && (unsigned)kind <= KINDS ? kind_words[(unsigned)kind - 1] : "?";
}

static const char *state_word(Plinth__V1__JobState state) {
    return (unsigned)state < STATES ? state_words[(unsigned)state] : "?";
}

/* An operand as a kind; false when said to be wrong already. */
static bool parse_kind(const char *text, Plinth__V1__JobKind *kind) {
    for (unsigned i = 0; i < KINDS; i++) {
        *kind = (Plinth__V1__JobKind)(i + 1);
        if (strcmp(text, kind_words[i]) == 0) return true;
    }
    char words[160] = "";
    for (unsigned i = 0; i < KINDS; i++) {
        size_t used = strlen(words);
        snprintf(words + used, sizeof words - used, "%s%s", i ? ", " : "", kind_words[i]);
    }
    cli_fail(CLI_USAGE, "'%s' is no kind of job; there are %s", text, words);
    return false;
}

/* ---- list ---- */

static struct cell time_cell(uint64_t us, char text[32]) {
    struct tm utc;
    time_t seconds = (time_t)(us / 1000000);
    if (!us || !gmtime_r(&seconds, &utc) || !strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc))
        return (struct cell){.kind = CELL_NULL};
    return cell_text(text);
}

static struct cell known(uint64_t number) { return number ? cell_number(number) : (struct cell){.kind = CELL_NULL}; }

/* "database.table", "database.table.index". */
static struct cell table_cell(const Plinth__V1__Job *job, char text[512]) {
    if (!job->table) return (struct cell){.kind = CELL_NULL};
    snprintf(text, 512, "%s.%s%s%s", job->table->database, job->table->name, *job->index ? "." : "", job->index);
    return cell_text(text);
}

int cli_jobs_list(struct cli *cli) {
    static const char *const columns[] = {"id",    "kind",  "state",    "table", "partition", "threads", "done",
                                          "total", "since", "failures", "why",   "error",     NULL};
    Plinth__V1__ListJobsRequest request = PLINTH__V1__LIST_JOBS_REQUEST__INIT;
    Plinth__V1__ListJobsResponse *response;
    struct output output;
    int code = cli_call(cli, "/plinth.v1.Processor/ListJobs", &request.base,
                        &plinth__v1__list_jobs_response__descriptor, &response);
    if (code) return code;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, false, columns);
    for (size_t i = 0; i < response->n_jobs; i++) {
        const Plinth__V1__Job *job = response->jobs[i];
        char table[512], partition[32], since[32];
        struct cell cells[] = {known(job->id),
                               cell_text(kind_word(job->kind)),
                               cell_text(state_word(job->state)),
                               table_cell(job, table),
                               job->has_partition ? time_cell((uint64_t)job->partition_us, partition)
                                                  : (struct cell){.kind = CELL_NULL},
                               cell_number(job->threads),
                               job->total ? cell_number(job->done) : (struct cell){.kind = CELL_NULL},
                               known(job->total),
                               time_cell(job->started_us, since),
                               cell_number(job->failures),
                               cell_text(job->why),
                               cell_text(job->error)};
        if (!output_row(&output, cells)) break;
    }
    plinth__v1__list_jobs_response__free_unpacked(response, NULL);
    return output_end(&output) ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

/* ---- pause and resume ---- */

/* The operands as kinds, from malloc; null when said to be wrong already. */
static Plinth__V1__JobKind *parse_kinds(const struct cli *cli) {
    Plinth__V1__JobKind *kinds = calloc((size_t)cli->options.operand_count + 1, sizeof *kinds);
    if (!kinds) cli_no_memory();
    for (int i = 0; i < cli->options.operand_count; i++) {
        if (parse_kind(cli->options.operands[i], &kinds[i])) continue;
        free(kinds);
        return NULL;
    }
    return kinds;
}

int cli_jobs_pause(struct cli *cli) {
    Plinth__V1__PauseJobsRequest request = PLINTH__V1__PAUSE_JOBS_REQUEST__INIT;
    Plinth__V1__PauseJobsResponse *response;
    request.n_kinds = (size_t)cli->options.operand_count;
    request.kinds = parse_kinds(cli);
    if (!request.kinds) return CLI_USAGE;
    int code = cli_call(cli, "/plinth.v1.Processor/PauseJobs", &request.base,
                        &plinth__v1__pause_jobs_response__descriptor, &response);
    free(request.kinds);
    if (!code) plinth__v1__pause_jobs_response__free_unpacked(response, NULL);
    return code;
}

int cli_jobs_resume(struct cli *cli) {
    Plinth__V1__ResumeJobsRequest request = PLINTH__V1__RESUME_JOBS_REQUEST__INIT;
    Plinth__V1__ResumeJobsResponse *response;
    request.n_kinds = (size_t)cli->options.operand_count;
    request.kinds = parse_kinds(cli);
    if (!request.kinds) return CLI_USAGE;
    int code = cli_call(cli, "/plinth.v1.Processor/ResumeJobs", &request.base,
                        &plinth__v1__resume_jobs_response__descriptor, &response);
    free(request.kinds);
    if (!code) plinth__v1__resume_jobs_response__free_unpacked(response, NULL);
    return code;
}

/* ---- run and cancel ---- */

int cli_jobs_run(struct cli *cli) {
    static const char *const columns[] = {"kind", "duration_ms", NULL};
    Plinth__V1__RunJobRequest request = PLINTH__V1__RUN_JOB_REQUEST__INIT;
    Plinth__V1__RunJobResponse *response;
    struct output output;
    if (!parse_kind(cli->options.operands[0], &request.kind)) return CLI_USAGE;
    int code = cli_call(cli, "/plinth.v1.Processor/RunJob", &request.base, &plinth__v1__run_job_response__descriptor,
                        &response);
    if (code) return code;
    struct cell cells[] = {cell_text(kind_word(request.kind)), cell_number(response->duration_us / 1000)};
    plinth__v1__run_job_response__free_unpacked(response, NULL);
    if (cli->quiet) return CLI_OK;
    output_begin(&output, stdout, cli->format, BYTES_TEXT, true, columns);
    (void)output_row(&output, cells);
    return output_end(&output) ? CLI_OK : cli_fail(CLI_FAILED, "cannot write to standard output");
}

int cli_jobs_cancel(struct cli *cli) {
    Plinth__V1__CancelJobRequest request = PLINTH__V1__CANCEL_JOB_REQUEST__INIT;
    Plinth__V1__CancelJobResponse *response;
    const char *text = cli->options.operands[0];
    char *end;
    errno = 0;
    request.id = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || !request.id)
        return cli_fail(CLI_USAGE, "'%s' is no id of a job; 'plinth jobs list' shows them", text);
    int code = cli_call(cli, "/plinth.v1.Processor/CancelJob", &request.base,
                        &plinth__v1__cancel_job_response__descriptor, &response);
    if (!code) plinth__v1__cancel_job_response__free_unpacked(response, NULL);
    return code;
}
