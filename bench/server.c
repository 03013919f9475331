#include "server.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"
#include "plinth/v1/admin.pb-c.h"
#include "rpc/client.h"

enum { READY_SECONDS = 60, ASK_MS_MAX = 600000 };

static unsigned read_port(const char *path) {
    unsigned port = 0;
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    if (fscanf(file, "{\"grpc\":%u", &port) != 1) port = 0;
    fclose(file);
    return port;
}

/* Beside this program: <build>/bench/bench_NAME and <build>/bin/plinthd. */
static void default_program(char path[4096]) {
    ssize_t size = readlink("/proc/self/exe", path, 4000);
    if (size < 0) bench_die("/proc/self/exe: %s", strerror(errno));
    path[size] = 0;
    for (int i = 0; i < 2; i++) *strrchr(path, '/') = 0;
    strcat(path, "/bin/plinthd");
}

void bench_server_start(struct bench_server *server, const char *program, const char *directory, const char *durability,
                        const char *cache_size) {
    char found[4096], ports[4096];
    default_program(found);
    const char *path = program ? program : found;
    snprintf(server->data, sizeof server->data, "%s/data", directory);
    snprintf(ports, sizeof ports, "%s/ports.json", directory);
    unlink(ports);
    const char *const arguments[] = {path,          "--data-dir",    server->data,  "--listen",
                                     "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--ports-file",
                                     ports,         "--cache-size",  cache_size,    "--durability",
                                     durability,    "--log-level",   "warn",        NULL};
    extern char **environ;
    int failed = posix_spawn(&server->pid, path, NULL, NULL, (char *const *)arguments, environ);
    if (failed) bench_die("%s: %s", path, strerror(failed));
    unsigned port = 0;
    for (int i = 0; i < READY_SECONDS * 100 && !(port = read_port(ports)); i++) {
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) bench_die("%s ended while starting", path);
        usleep(10000);
    }
    if (!port) {
        kill(server->pid, SIGKILL);
        bench_die("%s was not ready after %d s", path, READY_SECONDS);
    }
    snprintf(server->address, sizeof server->address, "127.0.0.1:%u", port);
}

void bench_server_stop(struct bench_server *server) {
    int state = 0;
    kill(server->pid, SIGTERM);
    waitpid(server->pid, &state, 0);
    if (!WIFEXITED(state) || WEXITSTATUS(state)) bench_die("plinthd ended with state %d", state);
}

struct buffer bench_server_ask(const struct bench_server *server, const char *path) {
    struct rpc_client *client;
    struct plinth_error error;
    struct buffer answer = BUFFER_INIT;
    const struct rpc_client_options options = {.address = server->address};
    if (rpc_client_create(&options, &client, &error)) bench_die("%s", error.text);
    if (rpc_client_unary(client, path, slice_of(NULL, 0), ASK_MS_MAX, &answer, &error) != GRPC_OK)
        bench_die("%s: %s", path, error.text);
    rpc_client_destroy(client);
    return answer;
}

uint64_t bench_server_number(const struct bench_server *server, const char *name) {
    struct buffer answer = bench_server_ask(server, "/plinth.v1.Admin/Status");
    Plinth__V1__StatusResponse *status = plinth__v1__status_response__unpack(NULL, answer.size, answer.data);
    if (!status) bench_die("the answer of Admin.Status cannot be read");
    uint64_t number = 0;
    bool found = false;
    for (size_t i = 0; i < status->n_numbers; i++)
        if (strcmp(status->numbers[i]->key, name) == 0) {
            number = status->numbers[i]->value;
            found = true;
        }
    if (!found) bench_die("Admin.Status has no number \"%s\"", name);
    plinth__v1__status_response__free_unpacked(status, NULL);
    buffer_deinit(&answer);
    return number;
}

double bench_server_cpu_seconds(const struct bench_server *server) {
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)server->pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        user = system = 0;
    if (file) fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

uint64_t bench_server_written_bytes(const struct bench_server *server) {
    char pid[24];
    snprintf(pid, sizeof pid, "%d", (int)server->pid);
    return bench_written_bytes(pid);
}
