#include "engine/history.h"

#include <stdlib.h>

#include "engine/array.h"
#include "plinth.h"

enum { MOMENTS_OF_A_WINDOW = 4096 };
static const uint64_t second_us = 1000000;

void history_deinit(struct history *history) {
    for (uint64_t i = 0; i < history->name_count; i++) free(history->names[i].name);
    free(history->names);
    free(history->moments);
    *history = (struct history){0};
}

/* ---- names ---- */

const struct named_snapshot *history_find_name(const struct history *history, struct slice name) {
    for (uint64_t i = 0; i < history->name_count; i++)
        if (slice_equal(slice_of_string(history->names[i].name), name)) return &history->names[i];
    return NULL;
}

uint64_t history_log_lsn(const struct history *history) {
    uint64_t lowest = UINT64_MAX;
    for (uint64_t i = 0; i < history->name_count; i++)
        if (history->names[i].log_lsn && history->names[i].log_lsn < lowest) lowest = history->names[i].log_lsn;
    return lowest;
}

bool history_add_name(struct history *history, struct slice name, const struct named_snapshot *snapshot) {
    struct named_snapshot made = *snapshot;
    made.name = malloc(name.size + 1);
    if (!made.name || !ARRAY_PUSH(history->names, history->name_count, made)) {
        free(made.name);
        return false;
    }
    memcpy(made.name, name.data, name.size);
    made.name[name.size] = 0;
    for (uint64_t at = history->name_count - 1; at > 0 && strcmp(history->names[at - 1].name, made.name) > 0; at--) {
        history->names[at] = history->names[at - 1];
        history->names[at - 1] = made;
    }
    return true;
}

bool history_drop_name(struct history *history, struct slice name) {
    const struct named_snapshot *found = history_find_name(history, name);
    if (!found) return false;
    uint64_t at = (uint64_t)(found - history->names);
    free(history->names[at].name);
    memmove(&history->names[at], &history->names[at + 1], (--history->name_count - at) * sizeof *history->names);
    return true;
}

/* ---- the window ---- */

static uint64_t spacing_us(const struct history *history) {
    uint64_t spacing = history->window_us / MOMENTS_OF_A_WINDOW;
    return spacing > second_us ? spacing : second_us;
}

/* How many moments are at or before `time_us`. */
static uint64_t moments_until(const struct history *history, uint64_t time_us) {
    uint64_t low = 0, high = history->moment_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (history->moments[middle].time_us <= time_us)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t history_window_lsn(const struct history *history, uint64_t time_us) {
    if (!history->window_us) return UINT64_MAX;
    uint64_t oldest_us = time_us > history->window_us ? time_us - history->window_us : 0;
    uint64_t lsn = history->floor_lsn, until = moments_until(history, oldest_us);
    if (history->newest.time_us <= oldest_us) return history->newest.lsn > lsn ? history->newest.lsn : lsn;
    return until && history->moments[until - 1].lsn > lsn ? history->moments[until - 1].lsn : lsn;
}

bool history_set_window(struct history *history, uint64_t window_us, uint64_t lsn, uint64_t time_us) {
    uint64_t kept = history_window_lsn(history, time_us);
    history->floor_lsn = kept < lsn ? kept : lsn;
    history->window_us = window_us;
    history->newest = (struct moment){time_us, lsn};
    if (!window_us) {
        free(history->moments);
        history->moments = NULL;
        history->moment_count = 0;
        history->newest = (struct moment){0, 0};
        return true;
    }
    return history->moment_count || ARRAY_PUSH(history->moments, history->moment_count, history->newest);
}

/* Moments that the window has left behind, but for the newest of them, which says what the state was. */
static void forget_old(struct history *history, uint64_t time_us) {
    uint64_t oldest_us = time_us > history->window_us ? time_us - history->window_us : 0;
    uint64_t until = moments_until(history, oldest_us);
    if (until < 2) return;
    history->moment_count -= until - 1;
    memmove(history->moments, history->moments + until - 1, history->moment_count * sizeof *history->moments);
}

bool history_note(struct history *history, uint64_t lsn, uint64_t time_us) {
    if (!history->window_us) return true;
    struct moment before = history->newest;
    history->newest = (struct moment){time_us, lsn};
    struct moment *last = history->moment_count ? &history->moments[history->moment_count - 1] : NULL;
    if (last && time_us < last->time_us + spacing_us(history)) return true;
    if (last && before.time_us <= last->time_us) { /* records of one microsecond: the last of them counts */
        last->lsn = before.lsn;
        return true;
    }
    forget_old(history, time_us);
    return ARRAY_PUSH(history->moments, history->moment_count, before);
}

bool history_find_time(const struct history *history, uint64_t time_us, uint64_t *lsn) {
    *lsn = 0;
    if (!history->window_us) return false;
    if (time_us >= history->newest.time_us) {
        *lsn = history->newest.lsn;
        return true;
    }
    uint64_t until = moments_until(history, time_us);
    if (!until || history->moments[until - 1].lsn < history->floor_lsn) return false;
    *lsn = history->moments[until - 1].lsn;
    return true;
}

uint64_t history_find_lsn(const struct history *history, uint64_t lsn) {
    if (!history->window_us) return 0;
    if (lsn >= history->newest.lsn) return history->newest.time_us;
    uint64_t low = 0, high = history->moment_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (history->moments[middle].lsn <= lsn)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? history->moments[low - 1].time_us : 0;
}

/* ---- bytes ---- */

bool history_encode(struct buffer *into, const struct history *history) {
    bool ok = buffer_append_varint(into, history->name_count);
    for (uint64_t i = 0; ok && i < history->name_count; i++)
        ok = buffer_append_string(into, slice_of_string(history->names[i].name)) &&
             buffer_append_varint(into, history->names[i].lsn) &&
             buffer_append_varint(into, history->names[i].time_us) &&
             buffer_append_varint(into, history->names[i].log_lsn);
    ok = ok && buffer_append_varint(into, history->window_us) && buffer_append_varint(into, history->floor_lsn) &&
         buffer_append_varint(into, history->newest.time_us) && buffer_append_varint(into, history->newest.lsn) &&
         buffer_append_varint(into, history->moment_count);
    struct moment before = {0, 0};
    for (uint64_t i = 0; ok && i < history->moment_count; i++) {
        ok = buffer_append_varint(into, history->moments[i].time_us - before.time_us) &&
             buffer_append_varint(into, history->moments[i].lsn - before.lsn);
        before = history->moments[i];
    }
    return ok;
}

bool history_decode(struct reader *from, struct history *history) {
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        struct slice name = reader_string(from);
        struct named_snapshot snapshot = {.lsn = reader_varint(from)};
        snapshot.time_us = reader_varint(from);
        snapshot.log_lsn = reader_varint(from);
        if (from->failed || !name.size || name.size > PLINTH_NAME_BYTES_MAX || memchr(name.data, 0, name.size) ||
            history_find_name(history, name) || history->name_count >= HISTORY_NAMES_MAX)
            return false;
        if (!history_add_name(history, name, &snapshot)) return false;
    }
    history->window_us = reader_varint(from);
    history->floor_lsn = reader_varint(from);
    history->newest.time_us = reader_varint(from);
    history->newest.lsn = reader_varint(from);
    struct moment moment = {0, 0};
    for (uint64_t left = reader_varint(from); left && !from->failed; left--) {
        moment.time_us += reader_varint(from);
        moment.lsn += reader_varint(from);
        if (!ARRAY_PUSH(history->moments, history->moment_count, moment)) return false;
    }
    return !from->failed && history->window_us <= HISTORY_WINDOW_US_MAX;
}
