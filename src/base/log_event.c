#include "base/log_event.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/env.h"

static atomic_int level_least = LOG_WARN;
static atomic_bool as_json;

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

/* A line is built here and written with one write(2), so that lines of several threads never mix. */
struct line {
    size_t used;
    char text[2048];
};

static void line_char(struct line *line, char c) {
    if (line->used < sizeof line->text - 8) line->text[line->used++] = c;
}

static void line_text(struct line *line, const char *text) {
    while (*text) line_char(line, *text++);
}

static void line_json_char(struct line *line, unsigned char c) {
    if (c == '"' || c == '\\') {
        line_char(line, '\\');
        line_char(line, (char)c);
    } else if (c < 0x20) {
        char escape[8];
        snprintf(escape, sizeof escape, "\\u%04x", c);
        line_text(line, escape);
    } else {
        line_char(line, (char)c);
    }
}

static void line_json_string(struct line *line, const char *text, size_t size) {
    line_char(line, '"');
    for (size_t i = 0; i < size; i++) line_json_char(line, (unsigned char)text[i]);
    line_char(line, '"');
}

/* Whether the text is a number as JSON writes it (a leading zero or a bare point is not). */
static bool is_json_number(const char *text, size_t size) {
    size_t i = size && text[0] == '-';
    size_t digits = 0;
    size_t first = i;
    for (; i < size && text[i] >= '0' && text[i] <= '9'; i++) digits++;
    if (!digits || (digits > 1 && text[first] == '0')) return false;
    if (i == size) return true;
    if (text[i++] != '.' || i == size) return false;
    for (; i < size; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
    }
    return true;
}

/* "key=value key=\"two words\" ..." becomes ,"key":value,"key":"two words". Words without '=' go to "text". */
static void line_json_pairs(struct line *line, const char *at) {
    for (;;) {
        while (*at == ' ') at++;
        if (!*at) return;
        const char *key = at;
        while (*at && *at != '=' && *at != ' ') at++;
        size_t key_size = (size_t)(at - key);
        line_char(line, ',');
        if (*at != '=') {
            line_text(line, "\"text\":");
            line_json_string(line, key, key_size);
            continue;
        }
        line_json_string(line, key, key_size);
        line_char(line, ':');
        at++;
        bool quoted = *at == '"';
        if (quoted) at++;
        const char *value = at;
        while (*at && *at != (quoted ? '"' : ' ')) at++;
        size_t value_size = (size_t)(at - value);
        if (!quoted && is_json_number(value, value_size)) {
            for (size_t i = 0; i < value_size; i++) line_char(line, value[i]);
        } else {
            line_json_string(line, value, value_size);
        }
        if (quoted && *at) at++;
    }
}

static void line_time(struct line *line) {
    uint64_t now_us = env_wall_time_us(env_posix());
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    char text[40];
    size_t used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + used, sizeof text - used, ".%06uZ", (unsigned)(now_us % 1000000));
    line_text(line, text);
}

static void line_write(struct line *line) {
    line->text[line->used++] = '\n';
    for (size_t done = 0; done < line->used;) {
        ssize_t wrote = write(STDERR_FILENO, line->text + done, line->used - done);
        if (wrote <= 0) return; /* nobody to tell */
        done += (size_t)wrote;
    }
}

void log_event_configure(enum log_level level_min, bool json) {
    atomic_store_explicit(&level_least, (int)level_min, memory_order_relaxed);
    atomic_store_explicit(&as_json, json, memory_order_relaxed);
}

bool log_event_enabled(enum log_level level) {
    return level < LOG_OFF && (int)level >= atomic_load_explicit(&level_least, memory_order_relaxed);
}

void log_event(enum log_level level, const char *event, const char *format, ...) {
    if (!log_event_enabled(level)) return;
    char pairs[1536];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(pairs, sizeof pairs, format, arguments);
    va_end(arguments);
    struct line line = {0};
    if (atomic_load_explicit(&as_json, memory_order_relaxed)) {
        line_text(&line, "{\"time\":\"");
        line_time(&line);
        line_text(&line, "\",\"level\":\"");
        line_text(&line, level_names[level]);
        line_text(&line, "\",\"event\":");
        line_json_string(&line, event, strlen(event));
        line_json_pairs(&line, pairs);
        line.text[line.used++] = '}';
    } else {
        line_time(&line);
        line_char(&line, ' ');
        line_text(&line, level_names[level]);
        line_char(&line, ' ');
        line_text(&line, event);
        if (pairs[0]) line_char(&line, ' ');
        for (const char *at = pairs; *at; at++) line_char(&line, *at == '\n' || *at == '\r' ? ' ' : *at);
    }
    line_write(&line);
}
