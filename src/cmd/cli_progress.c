#include "cmd/cli_progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/env.h"

#define TERMINAL_PERIOD_NS 100000000ull
#define PLAIN_PERIOD_NS 10000000000ull

enum { BAR_WIDTH = 24 };

void progress_begin(struct progress *progress, const char *what, uint64_t bytes_total, bool quiet) {
    uint64_t now_ns = env_monotonic_ns(env_posix());
    *progress = (struct progress){.what = what,
                                  .bytes_total = bytes_total,
                                  .started_ns = now_ns,
                                  .shown_ns = now_ns,
                                  .quiet = quiet,
                                  .terminal = isatty(STDERR_FILENO) == 1};
}

static void format_bytes(char text[32], double bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    while (bytes >= 1024 && unit < 4) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

static void show(const struct progress *progress, double seconds, uint64_t rows, uint64_t bytes) {
    char amount[32], bar[BAR_WIDTH + 1] = "", left[48] = "";
    double share = progress->bytes_total ? (double)bytes / (double)progress->bytes_total : 0;
    if (share > 1) share = 1;
    format_bytes(amount, (double)bytes);
    if (progress->bytes_total) {
        for (int i = 0; i < BAR_WIDTH; i++) bar[i] = i < (int)(share * BAR_WIDTH) ? '#' : '.';
        if (share > 0.001) {
            unsigned long to_go = (unsigned long)(seconds / share - seconds + 0.5);
            snprintf(left, sizeof left, ", %lu:%02lu left", to_go / 60, to_go % 60);
        }
    }
    unsigned long passed = (unsigned long)seconds;
    double rate = seconds > 0 ? (double)rows / seconds : 0;
    if (progress->terminal)
        fprintf(stderr, "\r\x1b[K%s%s%s%3.0f%% %llu rows, %.0f rows/s, %s, %lu:%02lu%s", *bar ? "[" : "", bar,
                *bar ? "] " : "", share * 100, (unsigned long long)rows, rate, amount, passed / 60, passed % 60, left);
    else
        fprintf(stderr, "%s %llu rows, %.0f rows/s, %s read (%.0f%%), %lu:%02lu%s\n", progress->what,
                (unsigned long long)rows, rate, amount, share * 100, passed / 60, passed % 60, left);
    fflush(stderr);
}

void progress_update(struct progress *progress, uint64_t rows, uint64_t bytes) {
    if (progress->quiet) return;
    uint64_t now_ns = env_monotonic_ns(env_posix());
    if (now_ns - progress->shown_ns < (progress->terminal ? TERMINAL_PERIOD_NS : PLAIN_PERIOD_NS)) return;
    progress->shown_ns = now_ns;
    show(progress, (double)(now_ns - progress->started_ns) / 1e9, rows, bytes);
}

double progress_end(struct progress *progress) {
    if (progress->terminal && !progress->quiet) fputs("\r\x1b[K", stderr);
    return (double)(env_monotonic_ns(env_posix()) - progress->started_ns) / 1e9;
}
