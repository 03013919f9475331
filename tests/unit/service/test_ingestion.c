/* Writes of rows while the disk takes its time: fdatasync is held, or fails, at the test's word (--wrap). The server
 * has two workers, so that a call that waits for the disk on one of them is noticed. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "plinth/v1/admin.pb-c.h"
#include "plinth/v1/ingestion.pb-c.h"
#include "plinth/v1/key_value.pb-c.h"
#include "rpc/client.h"
#include "service/service.h"
#include "support/test_support.h"

enum { WRITES = 40, STREAMS = 20, CALLS = WRITES + STREAMS, ANSWER_MS_MAX = 30000 };

/* ---- the disk ---- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool held, failing;
} disk = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __real_fdatasync(int descriptor);
int __wrap_fdatasync(int descriptor);
int __wrap_fdatasync(int descriptor) {
    pthread_mutex_lock(&disk.mutex);
    while (disk.held) pthread_cond_wait(&disk.changed, &disk.mutex);
    bool failing = disk.failing;
    pthread_mutex_unlock(&disk.mutex);
    if (!failing) return __real_fdatasync(descriptor);
    errno = EIO;
    return -1;
}

static void set_disk(bool held, bool failing) {
    pthread_mutex_lock(&disk.mutex);
    disk.held = held;
    disk.failing = failing;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.mutex);
}

/* ---- the server and its client ---- */

struct fixture {
    char directory[TEST_PATH_MAX];
    struct service *service;
    struct rpc_client *client;
};

static Plinth__V1__Table table = PLINTH__V1__TABLE__INIT;

static enum grpc_status ask(struct fixture *fixture, const char *path, const ProtobufCMessage *request) {
    struct plinth_error error;
    struct buffer packed = BUFFER_INIT, answer = BUFFER_INIT;
    assert_true(buffer_reserve(&packed, protobuf_c_message_get_packed_size(request) + 1));
    packed.size = protobuf_c_message_pack(request, packed.data);
    enum grpc_status code =
        rpc_client_unary(fixture->client, path, buffer_slice(&packed), ANSWER_MS_MAX, &answer, &error);
    buffer_deinit(&packed);
    buffer_deinit(&answer);
    return code;
}

static void create_table(struct fixture *fixture) {
    Plinth__V1__Column column = PLINTH__V1__COLUMN__INIT, *columns = &column;
    Plinth__V1__CreateTableRequest create = PLINTH__V1__CREATE_TABLE_REQUEST__INIT;
    char *key = (char *)"id";
    table.name = (char *)"t";
    column.name = key;
    column.type = (char *)"int64";
    create.table = &table;
    create.columns = &columns;
    create.n_columns = 1;
    create.primary_key = &key;
    create.n_primary_key = 1;
    assert_int_equal(ask(fixture, "/plinth.v1.Admin/CreateTable", &create.base), GRPC_OK);
}

static int set_up(void **state) {
    static struct fixture fixture;
    struct plinth_error error;
    char address[64];
    test_directory_create(fixture.directory);
    const struct service_options options = {.data_directory = fixture.directory,
                                            .listen = "127.0.0.1:0",
                                            .http_listen = "127.0.0.1:0",
                                            .loops = 1,
                                            .workers = 2,
                                            .drain_timeout_ms = 10000};
    assert_ok(service_start(&options, &fixture.service, &error), &error);
    snprintf(address, sizeof address, "127.0.0.1:%u", service_grpc_port(fixture.service));
    const struct rpc_client_options client = {.address = address};
    assert_ok(rpc_client_create(&client, &fixture.client, &error), &error);
    create_table(&fixture);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    set_disk(false, false);
    rpc_client_destroy(fixture->client);
    service_drain(fixture->service);
    service_stop(fixture->service);
    test_directory_remove(fixture->directory);
    return 0;
}

/* ---- many writes ---- */

/* A call of one row; `failed`: a stream's answer had an error. */
struct write {
    struct writes *writes;
    struct rpc_call *call;
    unsigned answers;
    bool ended, failed;
    enum grpc_status code;
};

struct writes {
    struct write list[CALLS];
    pthread_mutex_t mutex; /* guards the list */
    pthread_cond_t changed;
};

static void on_message(struct rpc_call *call, struct slice message) {
    struct write *write = rpc_call_user_data(call);
    Plinth__V1__WriteRowsResponse *answer = plinth__v1__write_rows_response__unpack(NULL, message.size, message.data);
    pthread_mutex_lock(&write->writes->mutex);
    write->answers++;
    write->failed = !answer || answer->error || answer->rows_written != 1;
    pthread_cond_signal(&write->writes->changed);
    pthread_mutex_unlock(&write->writes->mutex);
    plinth__v1__write_rows_response__free_unpacked(answer, NULL);
}

static void on_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct write *write = rpc_call_user_data(call);
    (void)message;
    pthread_mutex_lock(&write->writes->mutex);
    write->ended = true;
    write->code = code;
    pthread_cond_signal(&write->writes->changed);
    pthread_mutex_unlock(&write->writes->mutex);
}

static const struct rpc_call_ops ops = {.on_message = on_message, .on_status = on_status};

static struct writes *begin_writes(struct fixture *fixture) {
    static struct writes writes;
    writes = (struct writes){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    for (int i = 0; i < CALLS; i++) {
        struct write *write = &writes.list[i];
        Plinth__V1__Value value = PLINTH__V1__VALUE__INIT, *values = &value;
        Plinth__V1__Row row = PLINTH__V1__ROW__INIT, *rows = &row;
        Plinth__V1__RowSet set = PLINTH__V1__ROW_SET__INIT;
        Plinth__V1__WriteRowsRequest request = PLINTH__V1__WRITE_ROWS_REQUEST__INIT;
        char *column = (char *)"id";
        uint8_t packed[256];
        value.kind_case = PLINTH__V1__VALUE__KIND_INT_VALUE;
        value.int_value = i;
        row.values = &values;
        row.n_values = 1;
        set.columns = &column;
        set.n_columns = 1;
        set.rows = &rows;
        set.n_rows = 1;
        request.table = &table;
        request.payload_case = PLINTH__V1__WRITE_ROWS_REQUEST__PAYLOAD_ROWS;
        request.rows = &set;
        bool stream = i >= WRITES;
        const struct rpc_call_options options = {
            .path = stream ? "/plinth.v1.Ingestion/WriteStream" : "/plinth.v1.Ingestion/Write",
            .kind = stream ? RPC_BIDI : RPC_UNARY,
            .ops = &ops,
            .user_data = write,
            .has_request = !stream,
            .request = slice_of(packed, plinth__v1__write_rows_request__pack(&request, packed))};
        write->writes = &writes;
        write->call = rpc_client_call(fixture->client, &options);
        assert_non_null(write->call);
        if (stream) (void)rpc_call_send(write->call, options.request);
    }
    return &writes;
}

/* Whether each call has been answered: streams by a message, the others by their end. */
static void wait_for_all(struct writes *writes) {
    pthread_mutex_lock(&writes->mutex);
    for (int i = 0; i < CALLS; i++)
        while (!(i < WRITES ? writes->list[i].ended : writes->list[i].answers > 0 || writes->list[i].ended))
            pthread_cond_wait(&writes->changed, &writes->mutex);
    pthread_mutex_unlock(&writes->mutex);
}

static unsigned answered(struct writes *writes) {
    unsigned count = 0;
    pthread_mutex_lock(&writes->mutex);
    for (int i = 0; i < CALLS; i++) count += writes->list[i].answers || writes->list[i].ended;
    pthread_mutex_unlock(&writes->mutex);
    return count;
}

static void end_writes(struct writes *writes) {
    for (int i = WRITES; i < CALLS; i++) rpc_call_half_close(writes->list[i].call);
    pthread_mutex_lock(&writes->mutex);
    for (int i = 0; i < CALLS; i++)
        while (!writes->list[i].ended) pthread_cond_wait(&writes->changed, &writes->mutex);
    pthread_mutex_unlock(&writes->mutex);
    for (int i = 0; i < CALLS; i++) rpc_call_unref(writes->list[i].call);
}

/* Something that a worker does, after all that was asked for before. */
static enum grpc_status ask_a_worker(struct fixture *fixture) {
    Plinth__V1__CreateSnapshotRequest request = PLINTH__V1__CREATE_SNAPSHOT_REQUEST__INIT;
    return ask(fixture, "/plinth.v1.KeyValue/CreateSnapshot", &request.base);
}

static void writes_that_wait_for_the_disk_hold_no_worker(void **state) {
    struct fixture *fixture = *state;
    set_disk(true, false);
    struct writes *writes = begin_writes(fixture);
    assert_int_equal(ask_a_worker(fixture), GRPC_OK);
    assert_int_equal(answered(writes), 0);
    set_disk(false, false);
    wait_for_all(writes);
    end_writes(writes);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(writes->list[i].code, GRPC_OK);
        assert_int_equal(writes->list[i].answers, 1);
        assert_false(writes->list[i].failed);
    }
}

static void writes_that_wait_are_told_when_the_disk_fails(void **state) {
    struct fixture *fixture = *state;
    set_disk(true, false);
    struct writes *writes = begin_writes(fixture);
    assert_int_equal(ask_a_worker(fixture), GRPC_OK);
    set_disk(false, true);
    wait_for_all(writes);
    end_writes(writes);
    for (int i = 0; i < WRITES; i++) assert_int_equal(writes->list[i].code, GRPC_UNKNOWN);
    for (int i = WRITES; i < CALLS; i++) {
        assert_int_equal(writes->list[i].answers, 1);
        assert_true(writes->list[i].failed);
        assert_int_equal(writes->list[i].code, GRPC_OK);
    }
}

static void streams_that_are_cut_off_while_they_wait_leave_nothing(void **state) {
    struct fixture *fixture = *state;
    set_disk(true, false);
    struct writes *writes = begin_writes(fixture);
    assert_int_equal(ask_a_worker(fixture), GRPC_OK);
    for (int i = 0; i < CALLS; i += 2) rpc_call_cancel(writes->list[i].call);
    assert_int_equal(ask_a_worker(fixture), GRPC_OK);
    set_disk(false, false);
    wait_for_all(writes);
    end_writes(writes);
    for (int i = 0; i < CALLS; i++) assert_int_equal(writes->list[i].code, i % 2 ? GRPC_OK : GRPC_CANCELLED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(writes_that_wait_for_the_disk_hold_no_worker, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_that_wait_are_told_when_the_disk_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(streams_that_are_cut_off_while_they_wait_leave_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
