/* Change feeds of the server beside writers, slow readers, readers that go, a disk that fails, and the server's end.
 * There are two workers, so that feeds which wait on them are noticed. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"
#include "plinth/v1/change_feed.pb-c.h"
#include "plinth/v1/key_value.pb-c.h"
#include "rpc/client.h"
#include "service/service.h"
#include "support/test_support.h"

enum { WRITERS = 3, WRITES = 250, READERS = 12, ANSWER_MS_MAX = 60000 };

/* ---- the disk ---- */

static atomic_bool disk_fails;

int __real_fdatasync(int descriptor);
int __wrap_fdatasync(int descriptor);
int __wrap_fdatasync(int descriptor) {
    if (!atomic_load(&disk_fails)) return __real_fdatasync(descriptor);
    errno = EIO;
    return -1;
}

/* ---- the server and its client ---- */

struct fixture {
    char directory[TEST_PATH_MAX];
    struct service *service;
    struct rpc_client *client;
};

static int set_up(void **state) {
    static struct fixture fixture;
    struct plinth_error error;
    char address[64];
    atomic_store(&disk_fails, false);
    test_directory_create(fixture.directory);
    const struct service_options options = {.data_directory = fixture.directory,
                                            .listen = "127.0.0.1:0",
                                            .http_listen = "127.0.0.1:0",
                                            .loops = 2,
                                            .workers = 2,
                                            .drain_timeout_ms = 20000,
                                            .engine = {.memtable_bytes = 1 << 16, .log_segment_bytes = 1 << 16}};
    assert_ok(service_start(&options, &fixture.service, &error), &error);
    snprintf(address, sizeof address, "127.0.0.1:%u", service_grpc_port(fixture.service));
    const struct rpc_client_options client = {.address = address, .stream_window_bytes = 1 << 16};
    assert_ok(rpc_client_create(&client, &fixture.client, &error), &error);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *fixture = *state;
    rpc_client_destroy(fixture->client);
    service_drain(fixture->service);
    service_stop(fixture->service);
    test_directory_remove(fixture->directory);
    return 0;
}

static enum grpc_status set(struct fixture *fixture, const char *key, size_t value_size) {
    struct plinth_error error;
    uint8_t packed[4096], value[2048] = {0};
    struct buffer answer = BUFFER_INIT;
    Plinth__V1__SetRequest request = PLINTH__V1__SET_REQUEST__INIT;
    Plinth__V1__WriteOptions write = PLINTH__V1__WRITE_OPTIONS__INIT;
    write.durability = PLINTH__V1__DURABILITY__DURABILITY_WRITTEN;
    request.write = &write;
    request.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)key};
    request.value = (ProtobufCBinaryData){value_size, value};
    struct slice bytes = slice_of(packed, plinth__v1__set_request__pack(&request, packed));
    enum grpc_status code =
        rpc_client_unary(fixture->client, "/plinth.v1.KeyValue/Set", bytes, ANSWER_MS_MAX, &answer, &error);
    buffer_deinit(&answer);
    return code;
}

/* ---- readers ---- */

struct reader_state {
    struct rpc_call *call;
    bool is_slow, wants_state;
    pthread_mutex_t mutex; /* guards the rest */
    pthread_cond_t changed;
    unsigned messages, changes;
    unsigned next[WRITERS]; /* the number that comes next of each writer */
    bool began, wrong, saw_end, ended;
    enum grpc_status code;
};

/* "w1/17" is the 17th write of writer 1. */
static void see(struct reader_state *reader, const Plinth__V1__KeyChange *key) {
    unsigned writer, number;
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)key->key.len, (const char *)key->key.data);
    if (sscanf(text, "w%u/%u", &writer, &number) == 2 && writer < WRITERS)
        reader->wrong |= number != reader->next[writer]++;
    reader->saw_end |= strcmp(text, "end") == 0;
}

static void on_message(struct rpc_call *call, struct slice message) {
    struct reader_state *reader = rpc_call_user_data(call);
    Plinth__V1__ChangesResponse *answer = plinth__v1__changes_response__unpack(NULL, message.size, message.data);
    pthread_mutex_lock(&reader->mutex);
    reader->wrong |= !answer || (!answer->position && !answer->initial);
    reader->began = true;
    for (size_t i = 0; answer && i < answer->n_changes; i++)
        for (size_t k = 0; k < answer->changes[i]->n_keys; k++, reader->changes++)
            see(reader, answer->changes[i]->keys[k]);
    bool pause = reader->is_slow && reader->messages++ % 3 == 0;
    pthread_cond_signal(&reader->changed);
    pthread_mutex_unlock(&reader->mutex);
    if (answer) plinth__v1__changes_response__free_unpacked(answer, NULL);
    if (pause) rpc_call_pause(call);
}

static void on_status(struct rpc_call *call, enum grpc_status code, struct slice message) {
    struct reader_state *reader = rpc_call_user_data(call);
    (void)message;
    pthread_mutex_lock(&reader->mutex);
    reader->ended = true;
    reader->code = code;
    pthread_cond_signal(&reader->changed);
    pthread_mutex_unlock(&reader->mutex);
}

static const struct rpc_call_ops ops = {.on_message = on_message, .on_status = on_status};

static void reader_begin(struct fixture *fixture, struct reader_state *reader, const char *prefix, bool with_previous) {
    Plinth__V1__ChangesRequest request = PLINTH__V1__CHANGES_REQUEST__INIT;
    uint8_t packed[256];
    pthread_mutex_init(&reader->mutex, NULL);
    pthread_cond_init(&reader->changed, NULL);
    request.prefix = (ProtobufCBinaryData){strlen(prefix), (uint8_t *)prefix};
    request.with_previous = with_previous;
    request.initial_state = reader->wants_state;
    request.heartbeat_ms = 20;
    const struct rpc_call_options options = {.path = "/plinth.v1.ChangeFeed/Changes",
                                             .kind = RPC_SERVER_STREAM,
                                             .ops = &ops,
                                             .user_data = reader,
                                             .has_request = true,
                                             .request =
                                                 slice_of(packed, plinth__v1__changes_request__pack(&request, packed))};
    reader->call = rpc_client_call(fixture->client, &options);
    assert_non_null(reader->call);
}

/* Waits until `*what` or the call's end. */
static void wait_for(struct reader_state *reader, const bool *what) {
    pthread_mutex_lock(&reader->mutex);
    while (!*what && !reader->ended) {
        condition_wait_us(&reader->changed, &reader->mutex, 2000);
        if (reader->is_slow) rpc_call_resume(reader->call);
    }
    pthread_mutex_unlock(&reader->mutex);
}

static void reader_end(struct reader_state *reader, bool cancel) {
    if (cancel) rpc_call_cancel(reader->call);
    wait_for(reader, &reader->ended);
    rpc_call_unref(reader->call);
    pthread_cond_destroy(&reader->changed);
    pthread_mutex_destroy(&reader->mutex);
}

/* ---- writers, and readers that come and go ---- */

struct worker {
    struct fixture *fixture;
    unsigned number;
    atomic_bool stop;
    pthread_t thread;
};

static void *write_keys(void *argument) {
    struct worker *worker = argument;
    for (unsigned i = 0; i < WRITES; i++) {
        char key[32];
        snprintf(key, sizeof key, "w%u/%u", worker->number, i);
        if (set(worker->fixture, key, i % 1500) != GRPC_OK) break;
    }
    return NULL;
}

static void *come_and_go(void *argument) {
    struct worker *worker = argument;
    for (unsigned i = 0; !atomic_load(&worker->stop); i++) {
        struct reader_state reader = {.is_slow = i % 3 == 0, .wants_state = i % 5 < 2};
        reader_begin(worker->fixture, &reader, "", i % 2);
        if (i % 4) wait_for(&reader, &reader.began);
        reader_end(&reader, true);
    }
    return NULL;
}

static void feeds_beside_writers_give_every_write_once(void **state) {
    struct fixture *fixture = *state;
    static struct reader_state readers[READERS];
    struct worker writers[WRITERS], guest = {.fixture = fixture};
    struct plinth_error error;
    memset(readers, 0, sizeof readers);
    for (int i = 0; i < READERS; i++) {
        readers[i].is_slow = i % 3 == 1;
        reader_begin(fixture, &readers[i], i % 3 == 2 ? "w" : "", i % 2);
        wait_for(&readers[i], &readers[i].began);
    }
    assert_ok(thread_start(&guest.thread, "guest", come_and_go, &guest, &error), &error);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct worker){.fixture = fixture, .number = i};
        assert_ok(thread_start(&writers[i].thread, "writer", write_keys, &writers[i], &error), &error);
    }
    for (unsigned i = 0; i < WRITERS; i++) pthread_join(writers[i].thread, NULL);
    atomic_store(&guest.stop, true);
    pthread_join(guest.thread, NULL);
    assert_int_equal(set(fixture, "end", 1), GRPC_OK);
    assert_int_equal(set(fixture, "w9/end", 1), GRPC_OK);
    for (int i = 0; i < READERS; i++) {
        bool all = false;
        while (!all) {
            pthread_mutex_lock(&readers[i].mutex);
            all = readers[i].ended || readers[i].changes >= WRITERS * WRITES + (i % 3 == 2 ? 1 : 2);
            if (!all) condition_wait_us(&readers[i].changed, &readers[i].mutex, 2000);
            pthread_mutex_unlock(&readers[i].mutex);
            if (readers[i].is_slow) rpc_call_resume(readers[i].call);
        }
        reader_end(&readers[i], true); /* from here on nobody writes it */
        assert_int_equal(readers[i].code, GRPC_CANCELLED);
        assert_false(readers[i].wrong);
        assert_int_equal(readers[i].saw_end, i % 3 != 2);
        for (int w = 0; w < WRITERS; w++) assert_int_equal(readers[i].next[w], WRITES);
        assert_int_equal(readers[i].changes, WRITERS * WRITES + (i % 3 == 2 ? 1 : 2));
    }
}

static void begin_all(struct fixture *fixture, struct reader_state *readers) {
    memset(readers, 0, READERS * sizeof *readers);
    for (int i = 0; i < READERS; i++) {
        readers[i].is_slow = i % 3 == 1;
        reader_begin(fixture, &readers[i], "", i % 2);
        wait_for(&readers[i], &readers[i].began);
    }
}

static void a_server_that_stops_ends_its_feeds(void **state) {
    struct fixture *fixture = *state;
    static struct reader_state readers[READERS];
    begin_all(fixture, readers);
    for (int i = 0; i < 20; i++) assert_int_equal(set(fixture, "key", 2000), GRPC_OK);
    service_drain(fixture->service);
    for (int i = 0; i < READERS; i++) {
        reader_end(&readers[i], false);
        assert_int_equal(readers[i].code, GRPC_UNAVAILABLE);
    }
}

static void feeds_end_when_the_log_has_failed(void **state) {
    struct fixture *fixture = *state;
    static struct reader_state readers[READERS];
    begin_all(fixture, readers);
    assert_int_equal(set(fixture, "key", 20), GRPC_OK);
    atomic_store(&disk_fails, true);
    (void)set(fixture, "key", 20); /* is synced a moment later */
    for (int i = 0; i < READERS; i++) {
        reader_end(&readers[i], false);
        assert_int_equal(readers[i].code, GRPC_UNAVAILABLE);
    }
    atomic_store(&disk_fails, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(feeds_beside_writers_give_every_write_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_stops_ends_its_feeds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(feeds_end_when_the_log_has_failed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
