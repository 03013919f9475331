#include "engine/producers.h"

#include <stdlib.h>

#include "base/status.h"

/* Bytes in a checkpoint: producer count; of each, oldest first: u64 id | highest sequence | last LSN | last time |
 * count, then so many (sequence - first remembered one | chunk count, 0 when complete | last LSN - its LSN | a bitmap
 * of the applied chunks unless complete). Feature level 1 knows complete ones only. */
enum { SLOTS_MIN = 4, COMPLETE = 0 };

void producers_init(struct producers *producers) { *producers = (struct producers){0}; }

static void slots_free(struct producer *producer) {
    for (uint32_t i = 0; i < producer->slot_count; i++) free(producer->slots[i].partial);
    free(producer->slots);
}

void producers_deinit(struct producers *producers) {
    for (uint32_t i = 0; i < producers->count; i++) slots_free(&producers->all[i]);
    free(producers->all);
    free(producers->buckets);
    *producers = (struct producers){0};
}

/* Ids are chosen at random by clients, but not all clients are honest: mix before masking (SplitMix64's finalizer). */
static uint32_t bucket_of(const struct producers *producers, uint64_t id) {
    id = (id ^ (id >> 30)) * 0xbf58476d1ce4e5b9u;
    id = (id ^ (id >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(id ^ (id >> 31)) & (producers->bucket_count - 1);
}

/* The bucket that holds `id`, or the free one where it belongs. bucket_count is above count. */
static uint32_t find_bucket(const struct producers *producers, uint64_t id) {
    uint32_t bucket = bucket_of(producers, id);
    while (producers->buckets[bucket] && producers->all[producers->buckets[bucket] - 1].id != id)
        bucket = (bucket + 1) & (producers->bucket_count - 1);
    return bucket;
}

static struct producer *find(const struct producers *producers, uint64_t id) {
    if (!producers->bucket_count) return NULL;
    uint32_t index = producers->buckets[find_bucket(producers, id)];
    return index ? &producers->all[index - 1] : NULL;
}

/* Backward-shift deletion, so that probing needs no tombstones. */
static void remove_bucket(struct producers *producers, uint32_t hole) {
    uint32_t mask = producers->bucket_count - 1;
    for (uint32_t next = (hole + 1) & mask; producers->buckets[next]; next = (next + 1) & mask) {
        uint32_t home = bucket_of(producers, producers->all[producers->buckets[next] - 1].id);
        if (((next - home) & mask) < ((next - hole) & mask)) continue;
        producers->buckets[hole] = producers->buckets[next];
        hole = next;
    }
    producers->buckets[hole] = 0;
}

static void list_remove(struct producers *producers, uint32_t index) {
    struct producer *producer = &producers->all[index - 1];
    if (producer->newer)
        producers->all[producer->newer - 1].older = producer->older;
    else
        producers->newest = producer->older;
    if (producer->older)
        producers->all[producer->older - 1].newer = producer->newer;
    else
        producers->oldest = producer->newer;
}

static void list_push_newest(struct producers *producers, uint32_t index) {
    struct producer *producer = &producers->all[index - 1];
    producer->newer = 0;
    producer->older = producers->newest;
    if (producers->newest) producers->all[producers->newest - 1].newer = index;
    producers->newest = index;
    if (!producers->oldest) producers->oldest = index;
}

/* Forgets the producer that wrote longest ago; the last element of the dense array takes its place. */
static void forget_oldest(struct producers *producers) {
    uint32_t index = producers->oldest, last = producers->count;
    list_remove(producers, index);
    remove_bucket(producers, find_bucket(producers, producers->all[index - 1].id));
    slots_free(&producers->all[index - 1]);
    if (index != last) {
        struct producer *moved = &producers->all[last - 1];
        producers->buckets[find_bucket(producers, moved->id)] = index;
        if (moved->newer)
            producers->all[moved->newer - 1].older = index;
        else
            producers->newest = index;
        if (moved->older)
            producers->all[moved->older - 1].newer = index;
        else
            producers->oldest = index;
        producers->all[index - 1] = *moved;
    }
    producers->count--;
}

static bool grow(struct producers *producers) {
    uint32_t capacity = producers->capacity ? producers->capacity * 2 : 16;
    struct producer *all = realloc(producers->all, capacity * sizeof *all);
    if (!all) return false;
    producers->all = all;
    uint32_t *buckets = calloc((size_t)capacity * 2, sizeof *buckets);
    if (!buckets) return false;
    free(producers->buckets);
    producers->buckets = buckets;
    producers->bucket_count = capacity * 2;
    producers->capacity = capacity;
    for (uint32_t i = 0; i < producers->count; i++) buckets[find_bucket(producers, all[i].id)] = i + 1;
    return true;
}

static bool remembered(const struct producer *producer, uint64_t sequence) {
    return sequence && (sequence > producer->highest || producer->highest - sequence < PRODUCER_WINDOW);
}

/* The slot of a sequence, emptied unless it holds that one; the slots double while one that is still remembered is in
 * the way. Null: memory is out. */
static struct producer_slot *take_slot(struct producer *producer, uint64_t sequence) {
    if (sequence > producer->highest) producer->highest = sequence;
    for (;;) {
        struct producer_slot *slot = producer->slot_count ? &producer->slots[sequence % producer->slot_count] : NULL;
        if (slot && slot->sequence == sequence) return slot;
        if (slot && !remembered(producer, slot->sequence)) {
            free(slot->partial);
            *slot = (struct producer_slot){0};
            return slot;
        }
        uint32_t larger = producer->slot_count ? producer->slot_count * 2 : SLOTS_MIN;
        struct producer_slot *slots = calloc(larger, sizeof *slots);
        if (!slots) return NULL;
        for (uint32_t i = 0; i < producer->slot_count; i++) {
            if (remembered(producer, producer->slots[i].sequence))
                slots[producer->slots[i].sequence % larger] = producer->slots[i];
            else
                free(producer->slots[i].partial);
        }
        free(producer->slots);
        producer->slots = slots;
        producer->slot_count = larger;
    }
}

static bool put(struct producer *producer, uint64_t sequence, struct producer_part part, uint64_t lsn) {
    struct producer_slot *slot = take_slot(producer, sequence);
    if (!slot) return false;
    bool begins = slot->sequence != sequence;
    if (begins && part.count > 1) {
        slot->partial = calloc(1, sizeof *slot->partial);
        if (!slot->partial) return false;
        slot->partial->count = part.count;
        slot->partial->cut = part.cut;
    }
    slot->sequence = sequence;
    if (lsn > slot->lsn) slot->lsn = lsn;
    struct producer_chunks *partial = slot->partial;
    if (!partial) return true;
    partial->bits[part.chunk / 8] |= (uint8_t)(1 << part.chunk % 8);
    if (++partial->applied < partial->count) return true;
    free(partial);
    slot->partial = NULL;
    return true;
}

static bool is_applied(const struct producer_chunks *chunks, uint32_t chunk) {
    return (chunks->bits[chunk / 8] >> chunk % 8) & 1;
}

enum producer_verdict producers_check(const struct producers *producers, uint64_t id, uint64_t sequence,
                                      struct producer_part part, uint64_t *lsn) {
    *lsn = 0;
    const struct producer *producer = find(producers, id);
    if (!producer) return PRODUCER_NEW;
    if (!remembered(producer, sequence)) return PRODUCER_TOO_OLD;
    const struct producer_slot *slot = &producer->slots[sequence % producer->slot_count];
    if (slot->sequence != sequence) return PRODUCER_NEW;
    if (slot->partial && (slot->partial->count != part.count || slot->partial->cut != part.cut)) return PRODUCER_OTHER;
    if (slot->partial && !is_applied(slot->partial, part.chunk)) return PRODUCER_NEW;
    *lsn = slot->lsn;
    return PRODUCER_DUPLICATE;
}

enum plinth_status producers_add(struct producers *producers, uint64_t id, uint64_t sequence, struct producer_part part,
                                 uint64_t lsn, uint64_t shard_time_us, struct plinth_error *error) {
    struct producer *producer = find(producers, id);
    if (!producer) {
        while (producers->oldest &&
               (producers->count >= PRODUCERS_MAX ||
                producers->all[producers->oldest - 1].last_time_us + PRODUCER_TTL_US < shard_time_us))
            forget_oldest(producers);
        if (producers->count == producers->capacity && !grow(producers)) return error_no_memory(error, "producers");
        uint32_t bucket = find_bucket(producers, id);
        producers->all[producers->count] = (struct producer){.id = id};
        producers->buckets[bucket] = ++producers->count;
        producer = &producers->all[producers->count - 1];
    } else {
        list_remove(producers, (uint32_t)(producer - producers->all) + 1);
    }
    producer->last_lsn = lsn;
    producer->last_time_us = shard_time_us;
    list_push_newest(producers, (uint32_t)(producer - producers->all) + 1);
    if (!put(producer, sequence, part, lsn)) return error_no_memory(error, "producers");
    return PLINTH_OK;
}

static bool encode_slot(struct buffer *into, const struct producer *producer, const struct producer_slot *slot) {
    const struct producer_chunks *partial = slot->partial;
    return buffer_append_varint(into, partial ? partial->count : COMPLETE) &&
           buffer_append_varint(into, producer->last_lsn - slot->lsn) &&
           (!partial ||
            (buffer_append_u32(into, partial->cut) && buffer_append(into, partial->bits, (partial->count + 7) / 8)));
}

bool producers_encode(struct buffer *into, const struct producers *producers) {
    bool ok = buffer_append_varint(into, producers->count);
    for (uint32_t index = producers->oldest; ok && index; index = producers->all[index - 1].newer) {
        const struct producer *producer = &producers->all[index - 1];
        uint32_t pairs = 0;
        for (uint32_t i = 0; i < producer->slot_count; i++) pairs += remembered(producer, producer->slots[i].sequence);
        ok = buffer_append_u64(into, producer->id) && buffer_append_varint(into, producer->highest) &&
             buffer_append_varint(into, producer->last_lsn) && buffer_append_varint(into, producer->last_time_us) &&
             buffer_append_varint(into, pairs);
        /* in order of sequence, so that equal states have equal bytes */
        uint64_t from = producer->highest >= PRODUCER_WINDOW ? producer->highest - PRODUCER_WINDOW + 1 : 1;
        uint64_t span = producer->highest - from + 1;
        for (uint64_t i = 0; ok && i < span; i++) {
            uint64_t s = from + i;
            const struct producer_slot *slot = &producer->slots[s % producer->slot_count];
            if (slot->sequence != s) continue;
            ok = buffer_append_varint(into, s - from) && encode_slot(into, producer, slot);
        }
    }
    return ok;
}

/* Reads one remembered sequence and puts it into its producer. Time 0: what the state still held must not expire on the
 * way in. */
static enum plinth_status decode_slot(struct reader *from, struct producers *producers, uint64_t id, uint64_t first,
                                      uint64_t highest, uint64_t last_lsn, struct plinth_error *error) {
    uint64_t sequence = first + reader_varint(from), chunk_count = reader_varint(from);
    uint64_t lsn = last_lsn - reader_varint(from);
    if (sequence < first || sequence > highest || chunk_count == 1 || chunk_count > PRODUCER_CHUNKS_MAX)
        from->failed = true;
    struct producer_part part = {.count = (uint32_t)chunk_count};
    if (!from->failed && chunk_count == COMPLETE) return producers_add(producers, id, sequence, part, lsn, 0, error);
    part.cut = reader_u32(from);
    struct slice bits = reader_bytes(from, from->failed ? 0 : (chunk_count + 7) / 8);
    if (from->failed) return PLINTH_OK;
    uint32_t applied = 0;
    for (uint32_t i = 0; i < 8 * bits.size; i++) {
        if (!((bits.data[i / 8] >> i % 8) & 1)) continue;
        if (i >= chunk_count || ++applied == chunk_count) from->failed = true; /* complete ones have no bitmap */
        if (from->failed) return PLINTH_OK;
        part.chunk = i;
        enum plinth_status st = producers_add(producers, id, sequence, part, lsn, 0, error);
        if (st) return st;
    }
    if (!applied) from->failed = true;
    return PLINTH_OK;
}

enum plinth_status producers_decode(struct reader *from, struct producers *producers, struct plinth_error *error) {
    producers_init(producers);
    uint64_t count = reader_varint(from);
    if (count > PRODUCERS_MAX) from->failed = true;
    enum plinth_status st = PLINTH_OK;
    for (uint64_t i = 0; i < count && !from->failed && !st; i++) {
        uint64_t id = reader_u64(from), highest = reader_varint(from), last_lsn = reader_varint(from),
                 last_time_us = reader_varint(from), pairs = reader_varint(from);
        uint64_t first = highest >= PRODUCER_WINDOW ? highest - PRODUCER_WINDOW + 1 : 1;
        if (pairs > PRODUCER_WINDOW || find(producers, id)) from->failed = true;
        /* the highest sequence is always among the pairs, so adding them in order restores it */
        for (uint64_t k = 0; k < pairs && !from->failed && !st; k++)
            st = decode_slot(from, producers, id, first, highest, last_lsn, error);
        struct producer *producer = find(producers, id);
        if (producer) {
            producer->last_lsn = last_lsn;
            producer->last_time_us = last_time_us;
        }
    }
    if (!st && from->failed) st = error_set(error, PLINTH_CORRUPT, "malformed table of producers");
    if (st) producers_deinit(producers);
    return st;
}
