#include "service/access.h"

#include <stddef.h>
#include <string.h>

#include "base/status.h"

static const struct {
    const char *path;
    enum access_right right;
} access_rules[] = {
    {"/plinth.v1.KeyValue/Get", ACCESS_READ},
    {"/plinth.v1.KeyValue/GetByIndex", ACCESS_READ},
    {"/plinth.v1.KeyValue/Scan", ACCESS_READ},
    {"/plinth.v1.KeyValue/CreateSnapshot", ACCESS_READ},
    {"/plinth.v1.KeyValue/ReleaseSnapshot", ACCESS_READ},
    {"/plinth.v1.KeyValue/Set", ACCESS_WRITE},
    {"/plinth.v1.KeyValue/Delete", ACCESS_WRITE},
    {"/plinth.v1.KeyValue/DeleteRange", ACCESS_WRITE},
    {"/plinth.v1.KeyValue/Batch", ACCESS_WRITE},
    {"/plinth.v1.KeyValue/CompareAndSet", ACCESS_WRITE},
    {"/plinth.v1.KeyValue/Commit", ACCESS_WRITE},
    {"/plinth.v1.Query/GetRow", ACCESS_READ},
    {"/plinth.v1.Query/GetByIndex", ACCESS_READ},
    {"/plinth.v1.Query/Scan", ACCESS_READ},
    {"/plinth.v1.Query/Aggregate", ACCESS_READ},
    {"/plinth.v1.ChangeFeed/Changes", ACCESS_READ},
    {"/plinth.v1.Ingestion/Write", ACCESS_WRITE},
    {"/plinth.v1.Ingestion/WriteStream", ACCESS_WRITE},
    {"/plinth.v1.Ingestion/DeleteWhere", ACCESS_WRITE},
    {"/plinth.v1.Ingestion/UpdateWhere", ACCESS_WRITE},
    {"/plinth.v1.Transactions/Commit", ACCESS_WRITE},
    {"/plinth.v1.Admin/Status", ACCESS_OBSERVE},
    {"/plinth.v1.Admin/ListSpaces", ACCESS_OBSERVE},
    {"/plinth.v1.Admin/Flush", ACCESS_OPERATE},
    {"/plinth.v1.Admin/Compact", ACCESS_OPERATE},
    {"/plinth.v1.Admin/Verify", ACCESS_OPERATE},
    {"/plinth.v1.Admin/CreateSpace", ACCESS_OPERATE},
    {"/plinth.v1.Admin/DropSpace", ACCESS_OPERATE},
    {"/plinth.v1.Admin/KeepSnapshot", ACCESS_OPERATE},
    {"/plinth.v1.Admin/ListSnapshots", ACCESS_OBSERVE},
    {"/plinth.v1.Admin/DropSnapshot", ACCESS_OPERATE},
    {"/plinth.v1.Admin/MoveSnapshot", ACCESS_OPERATE},
    {"/plinth.v1.Admin/KeepHistory", ACCESS_OPERATE},
    {"/plinth.v1.Admin/ListTables", ACCESS_OBSERVE},
    {"/plinth.v1.Admin/DescribeTable", ACCESS_OBSERVE},
    {"/plinth.v1.Admin/ListIndexes", ACCESS_OBSERVE},
    {"/plinth.v1.Admin/CreateTable", ACCESS_OPERATE},
    {"/plinth.v1.Admin/DropTable", ACCESS_OPERATE},
    {"/plinth.v1.Admin/AddColumns", ACCESS_OPERATE},
    {"/plinth.v1.Admin/AlterTable", ACCESS_OPERATE},
    {"/plinth.v1.Admin/CreateIndex", ACCESS_OPERATE},
    {"/plinth.v1.Admin/RebuildIndex", ACCESS_OPERATE},
    {"/plinth.v1.Admin/DropIndex", ACCESS_OPERATE},
    {"/plinth.v1.Processor/ListJobs", ACCESS_OBSERVE},
    {"/plinth.v1.Processor/PauseJobs", ACCESS_OPERATE},
    {"/plinth.v1.Processor/ResumeJobs", ACCESS_OPERATE},
    {"/plinth.v1.Processor/RunJob", ACCESS_OPERATE},
    {"/plinth.v1.Processor/CancelJob", ACCESS_OPERATE},
    {"/plinth.v1.Processor/ListFiles", ACCESS_OBSERVE},
    {"/grpc.health.v1.Health/Check", ACCESS_PUBLIC},
    {"/grpc.health.v1.Health/Watch", ACCESS_PUBLIC},
    {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", ACCESS_PUBLIC},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", ACCESS_PUBLIC},
};

enum access_right access_right_of(const char *path) {
    for (size_t i = 0; i < sizeof access_rules / sizeof access_rules[0]; i++) {
        if (strcmp(access_rules[i].path, path) == 0) return access_rules[i].right;
    }
    return ACCESS_NONE;
}

enum plinth_status access_check(const struct rpc_call *call, const char *path, enum access_right right,
                                struct plinth_error *error) {
    (void)call; /* who calls does not matter yet */
    if (right == ACCESS_NONE) return error_set(error, PLINTH_PERMISSION_DENIED, "%s: no rule allows this method", path);
    return PLINTH_OK;
}
