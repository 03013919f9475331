/* Checking a file. See include/plinth_parquet.h, verify.h. */
#include "base/status.h"
#include "parquet/api_private.h"
#include "parquet/verify.h"

struct verify_call {
    plinth_parquet_finding_function *report;
    void *context;
};

static bool report(void *context, const struct parquet_finding *finding) {
    const struct verify_call *call = context;
    const struct plinth_parquet_finding own = {finding->row_group, finding->column, finding->page, finding->offset,
                                               finding->text};
    return call->report(call->context, &own);
}

enum plinth_status plinth_parquet_verify(const struct plinth_parquet_file *file,
                                         plinth_parquet_finding_function *report_function, void *context,
                                         uint64_t *findings, struct plinth_error *error) {
    struct verify_call call = {report_function, context};
    const struct parquet_verify_options options = {.report = report_function ? report : NULL, .context = &call};
    struct parquet_verify_counts counts;
    enum plinth_status st = parquet_verify(file->reader, &options, &counts, error);
    if (findings) *findings = counts.findings;
    return st;
}
