/* plinthd: the server as a process: settings, signals, ports file, exit codes. Everything else is src/service. */
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log_event.h"
#include "base/status.h"
#include "base/thread.h"
#include "cmd/config.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static int fail(int code, const char *text) {
    fprintf(stderr, "plinthd: %s\n", text);
    if (code == EXIT_USAGE) fputs("plinthd: try 'plinthd --help'\n", stderr);
    return code;
}

/* ---- signals: blocked in every thread, taken by one thread that waits for them ---- */

static struct {
    sigset_t stops;
    sem_t stop;          /* posted by the first signal */
    atomic_bool serving; /* before, the first signal ends the process: there is nothing to drain */
} signals;

static void *signals_run(void *argument) {
    (void)argument;
    for (bool first = true;; first = false) {
        int number = 0;
        while (sigwait(&signals.stops, &number)) continue;
        if (first && atomic_load(&signals.serving)) {
            sem_post(&signals.stop);
            continue;
        }
        fprintf(stderr, "plinthd: %s (%s), ending at once\n", first ? "stopped while starting" : "second signal",
                strsignal(number));
        _exit(128 + number);
    }
    return NULL;
}

static enum plinth_status signals_start(struct plinth_error *error) {
    sigemptyset(&signals.stops);
    sigaddset(&signals.stops, SIGTERM);
    sigaddset(&signals.stops, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals.stops, NULL);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
    sem_init(&signals.stop, 0, 0);
    pthread_t thread;
    enum plinth_status st = thread_start(&thread, "plinth-signals", signals_run, NULL, error);
    if (!st) pthread_detach(thread); /* until the process ends */
    return st;
}

static void wait_for_stop(void) {
    while (sem_wait(&signals.stop)) continue;
}

/* ---- the ports file ---- */

static enum plinth_status write_ports(struct env *env, const char *path, const struct service *service,
                                      struct plinth_error *error) {
    char text[64], scratch[4096];
    int size = snprintf(text, sizeof text, "{\"grpc\":%u,\"http\":%u}\n", service_grpc_port(service),
                        service_http_port(service));
    if (snprintf(scratch, sizeof scratch, "%s.%ld.tmp", path, (long)getpid()) >= (int)sizeof scratch)
        return error_set(error, PLINTH_INVALID_ARGUMENT, "--ports-file: the path is too long");
    struct env_file *file;
    enum plinth_status st = env_open(env, scratch, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file, error);
    if (st) return st;
    st = file_write(file, 0, text, (size_t)size, error);
    file_close(file);
    return st ? st : env_rename(env, scratch, path, error);
}

/* ---- running ---- */

/* Connections and open segments take a descriptor each, and the soft limit is often 1,024. */
static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit)) return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(const struct config *config) {
    struct plinth_error error;
    struct service *service;
    log_event_configure(config->log_level, config->log_json);
    raise_descriptor_limit();
    if (signals_start(&error)) return fail(EXIT_FAILED, error.text);
    if (service_start(&config->service, &service, &error)) return fail(EXIT_FAILED, error.text);
    atomic_store(&signals.serving, true);
    if (config->ports_file && write_ports(env_posix(), config->ports_file, service, &error)) {
        service_stop(service);
        return fail(EXIT_FAILED, error.text);
    }
    log_event(LOG_INFO, "ready", "version=%s data_dir=\"%s\" grpc_port=%u http_port=%u", plinth_version(),
              config->service.data_directory, service_grpc_port(service), service_http_port(service));
    wait_for_stop();
    log_event(LOG_INFO, "stopping", "drain_timeout_ms=%u", config->service.drain_timeout_ms);
    service_drain(service);
    service_stop(service);
    log_event(LOG_INFO, "stopped", "data_dir=\"%s\"", config->service.data_directory);
    return 0;
}

int main(int argc, char **argv) {
    static struct config config;
    struct plinth_error error;
    if (config_parse(&config, argc, argv, &error)) return fail(EXIT_USAGE, error.text);
    switch (config.action) {
    case CONFIG_HELP: config_print_help(stdout); return 0;
    case CONFIG_VERSION: printf("plinthd %s\n", plinth_version()); return 0;
    case CONFIG_PRINT: config_print(stdout, &config); return 0;
    case CONFIG_RUN: break;
    }
    return run(&config);
}
