/* The files of an inventory: each with what it is and what needs it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/path.h"
#include "base/status.h"
#include "engine/array.h"
#include "engine/inventory.h"
#include "log/log_file.h"
#include "log/log_segment.h"

enum { NEEDED_BYTES = 512 };

const char *plinth_file_kind_name(enum plinth_file_kind kind) {
    static const char *const names[] = {"?", "log", "segment", "checkpoint", "other", "values"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : "?";
}

/* A segment of the current state, to be found by name. */
struct known_segment {
    const struct segment_info *info;
    const struct shard_run *run;
};

struct found_file {
    const char *path; /* below the data directory */
    struct env_file_info info;
};

struct listing {
    const struct inventory *inventory;
    struct arena arena;
    struct found_file *files; /* by path, once sorted */
    uint64_t count;
    struct known_segment *segments; /* by name */
    uint64_t segment_count;
    const char *directory; /* being listed, below the data directory, "/" behind it; or "" */
    enum plinth_status status;
    struct plinth_error *error;
};

/* ---- what is there ---- */

static void list_directory(struct listing *listing, const char *directory);

static const char *join(struct listing *listing, const char *left, const char *right) {
    size_t left_size = strlen(left), right_size = strlen(right);
    char *joined = arena_alloc(&listing->arena, left_size + right_size + 1);
    if (!joined) {
        listing->status = error_no_memory(listing->error, "list of files");
        return NULL;
    }
    memcpy(joined, left, left_size);
    memcpy(joined + left_size, right, right_size + 1);
    return joined;
}

static bool list_entry(void *context, const char *name, bool is_directory) {
    struct listing *listing = context;
    struct found_file file = {.path = join(listing, listing->directory, name)};
    if (!file.path) return false;
    if (is_directory) {
        const char *below = join(listing, file.path, "/");
        if (below) list_directory(listing, below);
        return !listing->status;
    }
    char *path = path_join(listing->inventory->path, file.path);
    enum plinth_status st = path ? env_describe(listing->inventory->env, path, &file.info, listing->error)
                                 : error_no_memory(listing->error, "list of files");
    free(path);
    if (st == PLINTH_NOT_FOUND) return true; /* gone in the meantime */
    if (!st && !ARRAY_PUSH(listing->files, listing->count, file)) st = error_no_memory(listing->error, "list of files");
    listing->status = st;
    return !st;
}

static void list_directory(struct listing *listing, const char *directory) {
    const char *outer = listing->directory;
    char *path = path_join(listing->inventory->path, directory);
    listing->directory = directory;
    enum plinth_status st = path ? env_list(listing->inventory->env, path, list_entry, listing, listing->error)
                                 : error_no_memory(listing->error, "list of files");
    if (st && !(st == PLINTH_NOT_FOUND && *directory) && !listing->status) listing->status = st;
    listing->directory = outer;
    free(path);
}

static int compare_files(const void *a, const void *b) {
    return strcmp(((const struct found_file *)a)->path, ((const struct found_file *)b)->path);
}

static int compare_segments(const void *a, const void *b) {
    return strcmp(((const struct known_segment *)a)->info->name, ((const struct known_segment *)b)->info->name);
}

static bool note_segments(struct listing *listing) {
    const struct shard *shard = &listing->inventory->shard;
    for (uint64_t t = 0; t < shard->table_count; t++) {
        for (uint64_t r = 0; r < shard->tables[t].run_count; r++) {
            const struct shard_run *run = &shard->tables[t].runs[r];
            for (uint64_t s = 0; s < run->segment_count; s++) {
                struct known_segment known = {&run->segments[s], run};
                if (!ARRAY_PUSH(listing->segments, listing->segment_count, known)) return false;
            }
        }
    }
    if (listing->segment_count)
        qsort(listing->segments, listing->segment_count, sizeof *listing->segments, compare_segments);
    return true;
}

/* ---- what needs it ---- */

/* Reasons with commas between. */
static void add_reason(char needed[NEEDED_BYTES], const char *format, const char *name) {
    size_t used = strlen(needed);
    if (used) used += (size_t)snprintf(needed + used, NEEDED_BYTES - used, "; ");
    if (used < NEEDED_BYTES) snprintf(needed + used, NEEDED_BYTES - used, format, name);
}

static bool starts_with(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

static bool ends_with(const char *text, const char *end) {
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static void describe_log(const struct listing *listing, uint64_t at, struct plinth_file *file,
                         char needed[NEEDED_BYTES]) {
    const struct inventory *inventory = listing->inventory;
    const struct history *history = &inventory->shard.history;
    uint64_t next = 0;
    bool is_last = at + 1 == listing->count || !starts_with(listing->files[at + 1].path, "log/") ||
                   !log_file_name_parse(listing->files[at + 1].path + 4, &next);
    file->kind = PLINTH_FILE_LOG;
    file->last_lsn = is_last ? 0 : next - 1;
    uint64_t last = is_last ? UINT64_MAX : file->last_lsn;
    if (is_last) add_reason(needed, "%s", inventory->is_open ? "being written" : "the end of the log");
    if (inventory->replay_newest && inventory->replay_newest <= last) add_reason(needed, "the newest checkpoint%s", "");
    if (inventory->replay_second && inventory->replay_second <= last && inventory->replay_newest > last)
        add_reason(needed, "the second newest checkpoint%s", "");
    for (uint64_t i = 0; i < history->name_count; i++)
        if (history->names[i].log_lsn && history->names[i].log_lsn <= last)
            add_reason(needed, "snapshot %s", history->names[i].name);
    if (inventory->feeds_lsn != UINT64_MAX && inventory->feeds_lsn <= last)
        add_reason(needed, "an open change feed%s", "");
    file->is_needed = *needed != 0;
    if (!*needed) add_reason(needed, "nobody: the next trim removes it%s", "");
}

static bool is_in(const struct inventory *inventory, const char *name) {
    for (uint64_t i = 0; i < inventory->in_use_count; i++)
        if (strcmp(inventory->in_use[i], name) == 0) return true;
    return false;
}

static bool is_garbage(const struct shard *shard, const char *name) {
    for (uint64_t i = 0; i < shard->garbage_count; i++)
        if (strcmp(shard->garbage[i].name, name) == 0) return true;
    return false;
}

/* One that is not of the current state: by its job, which is a part of its name. */
static void describe_stray(const struct inventory *inventory, const char *name, struct plinth_file *file,
                           char needed[NEEDED_BYTES]) {
    const struct shard_job *job = shard_find_job(&inventory->shard, strtoull(name + strlen("segments/"), NULL, 10));
    char text[64];
    file->is_needed = is_in(inventory, name);
    if (file->is_needed) {
        add_reason(needed, "a read that began before it was replaced%s", "");
    } else if (is_garbage(&inventory->shard, name)) {
        add_reason(needed, "nobody: it was replaced and its deletion is pending%s", "");
    } else if (job && !job->aborted && inventory->is_open) {
        file->is_needed = true;
        snprintf(text, sizeof text, "%s %" PRIu64, job->kind == JOB_FLUSH ? "the flush" : "the merge", job->id);
        add_reason(needed, "%s, which is under way", text);
    } else if (job) {
        add_reason(needed, "nobody: its job was not finished, the next opening removes it%s", "");
    } else {
        add_reason(needed, "nobody: the log does not know it%s", "");
    }
}

static void describe_segment(const struct listing *listing, const char *name, struct plinth_file *file,
                             char needed[NEEDED_BYTES]) {
    struct segment_info wanted = {.name = ""};
    struct known_segment key = {&wanted, NULL};
    file->kind = PLINTH_FILE_SEGMENT;
    snprintf(wanted.name, sizeof wanted.name, "%s", name);
    const struct known_segment *known =
        listing->segment_count ? bsearch(&key, listing->segments, listing->segment_count, sizeof key, compare_segments)
                               : NULL;
    if (!known) {
        describe_stray(listing->inventory, name, file, needed);
        return;
    }
    const struct segment_info *info = known->info;
    file->space = (struct plinth_space){info->table.tenant, info->table.database, info->table.table};
    file->has_partition = info->has_partition;
    file->partition = info->partition;
    file->run = known->run->id;
    file->level = known->run->level;
    file->rows = info->rows;
    file->deletes = info->deletes;
    file->first_lsn = info->lsn_min;
    file->last_lsn = info->lsn_max;
    file->key_min = slice_out(buffer_slice(&info->key_min));
    file->key_max = slice_out(buffer_slice(&info->key_max));
    file->is_needed = true;
    add_reason(needed, "the current state%s", "");
    if (file->bytes != info->bytes) add_reason(needed, "but its size is not the manifest's: damaged%s", "");
}

/* A file of large values: how many versions refer to it. */
static void describe_values(const struct listing *listing, const char *name, struct plinth_file *file,
                            char needed[NEEDED_BYTES]) {
    const struct shard *shard = &listing->inventory->shard;
    char *end;
    uint64_t id = strtoull(name + strlen("values/"), &end, 16);
    uint32_t number = *end == '/' ? (uint32_t)strtoul(end + 1, NULL, 16) : 0;
    const struct value_object *object = value_objects_find(&shard->values, id, number);
    const struct shard_job *job = shard_find_job(shard, id);
    char text[96];
    file->kind = PLINTH_FILE_VALUES;
    if (object) {
        file->space = (struct plinth_space){object->table.tenant, object->table.database, object->table.table};
        file->first_lsn = file->last_lsn = object->lsn;
        file->is_needed = true;
        snprintf(text, sizeof text, "%" PRIu32 " version%s of keys", object->references,
                 object->references == 1 ? "" : "s");
        add_reason(needed, "%s", text);
        if (file->bytes != object->bytes) add_reason(needed, "but its size is not the log's: damaged%s", "");
    } else if (value_objects_is_dead(&shard->values, id, number)) {
        add_reason(needed, "nobody: its deletion is pending%s", "");
    } else if (job && !job->aborted && listing->inventory->is_open) {
        file->is_needed = true;
        add_reason(needed, "a write that is under way, or was given up%s", "");
    } else if (job) {
        add_reason(needed, "nobody: its write was not finished, the next opening removes it%s", "");
    } else {
        add_reason(needed, "nobody: the log does not know it%s", "");
    }
}

/* The two newest are kept; checkpoints stand by LSN in one directory. */
static void describe_checkpoint(const struct listing *listing, uint64_t at, struct plinth_file *file,
                                char needed[NEEDED_BYTES]) {
    const char *name = strrchr(file->path, '/') + 1;
    size_t prefix = (size_t)(name - file->path);
    uint64_t newer = 0;
    for (uint64_t i = at + 1; i < listing->count && strncmp(listing->files[i].path, file->path, prefix) == 0; i++)
        newer++;
    file->kind = PLINTH_FILE_CHECKPOINT;
    file->first_lsn = file->last_lsn = strtoull(name, NULL, 10);
    file->is_needed = newer < 2;
    add_reason(needed, "%s",
               newer == 0   ? "opening"
               : newer == 1 ? "opening, if the newest is damaged"
                            : "nobody: the next checkpoint removes it");
}

static void describe(const struct listing *listing, uint64_t at, struct plinth_file *file, char needed[NEEDED_BYTES]) {
    bool is_open = listing->inventory->is_open;
    const char *path = file->path;
    file->kind = PLINTH_FILE_OTHER;
    file->is_needed = true;
    if (starts_with(path, "log/") && log_file_name_parse(path + 4, &file->first_lsn)) {
        describe_log(listing, at, file, needed);
    } else if (ends_with(path, ".tmp")) {
        file->is_needed = is_open;
        add_reason(needed, "%s",
                   !is_open                    ? "nobody, unless a server has it open: opening removes it"
                   : starts_with(path, "log/") ? "the log: a later file of it"
                                               : "a job that writes it");
    } else if (starts_with(path, "store/segments/")) {
        describe_segment(listing, path + strlen("store/"), file, needed);
    } else if (starts_with(path, "store/values/")) {
        describe_values(listing, path + strlen("store/"), file, needed);
    } else if (starts_with(path, "store/checkpoints/")) {
        describe_checkpoint(listing, at, file, needed);
    } else if (strcmp(path, "FORMAT") == 0 || strcmp(path, "LOCK") == 0) {
        add_reason(needed, "the directory itself%s", "");
    } else {
        file->is_needed = false;
        add_reason(needed, "nobody: not a file of Plinth%s", "");
    }
}

enum plinth_status inventory_visit(const struct inventory *inventory, plinth_file_visitor *visit, void *context,
                                   struct plinth_error *error) {
    struct listing listing = {.inventory = inventory, .directory = "", .error = error};
    arena_init(&listing.arena);
    if (!note_segments(&listing)) listing.status = error_no_memory(error, "list of files");
    if (!listing.status) list_directory(&listing, "");
    if (!listing.status && listing.count) qsort(listing.files, listing.count, sizeof *listing.files, compare_files);
    for (uint64_t i = 0; !listing.status && i < listing.count; i++) {
        char needed[NEEDED_BYTES] = "";
        struct plinth_file file = {.path = listing.files[i].path,
                                   .bytes = listing.files[i].info.size,
                                   .modified_us = listing.files[i].info.modified_us,
                                   .needed_by = needed};
        describe(&listing, i, &file, needed);
        visit(context, &file);
    }
    free(listing.files);
    free(listing.segments);
    arena_deinit(&listing.arena);
    if (!listing.status) error_clear(error);
    return listing.status;
}

enum plinth_status plinth_files_visit(struct plinth *db, plinth_file_visitor *visit, void *context,
                                      struct plinth_error *error) {
    struct inventory inventory;
    error_clear(error);
    enum plinth_status st = inventory_of_engine(db, &inventory, error);
    if (st) return st;
    st = inventory_visit(&inventory, visit, context, error);
    inventory_deinit(&inventory);
    return st;
}
