/* A plinthd of the same build, started on free ports of the loopback interface, that a benchmark asks and measures. */
#ifndef PLINTH_BENCH_SERVER_H
#define PLINTH_BENCH_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#include "base/bytes.h"

struct bench_server {
    pid_t pid;
    char address[64]; /* of its gRPC port */
    char data[4096];  /* its data directory */
};

/* Starts `program` (null: the one beside this program) on `directory`/data and waits until it serves. `durability`: of
 * writes that do not say, and `cache_size` of the page cache, as plinthd's options. */
void bench_server_start(struct bench_server *server, const char *program, const char *directory, const char *durability,
                        const char *cache_size);
/* Asks it to end, and waits for that. */
void bench_server_stop(struct bench_server *server);

/* A unary call that must succeed within 10 minutes, on a connection of its own. The answer's bytes are the caller's. */
struct buffer bench_server_ask(const struct bench_server *server, const char *path);
/* One of Admin.Status's numbers. */
uint64_t bench_server_number(const struct bench_server *server, const char *name);
/* User and system time. */
double bench_server_cpu_seconds(const struct bench_server *server);
/* See bench_written_bytes. */
uint64_t bench_server_written_bytes(const struct bench_server *server);

#endif
