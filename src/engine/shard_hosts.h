/* The hosts of a shard whose log several write to: which there are, and what each still needs.
 *
 *   HOST_JOIN   host id (u64), incarnation, name string
 *   HOST_NEEDS  host id (u64), incarnation, LSN, shard time in microseconds
 *   HOST_EXPEL  host id (u64), incarnation
 *
 * From feature level 5 on. A host joins with an incarnation above its last one; with it end what was begun by the one
 * before: its jobs are aborted. "Needs N" means: I shall read no state below N, nor a record at or below it, nor a file
 * that was given up at or below it. Merges, trims and the deletion of files keep to the least N of all hosts that are
 * not expelled. Expelling a host aborts its jobs and voids what it begins from then on, until it joins again.
 *
 * An engine that is alone with its log writes none of these (but HOST), and its checkpoints have nothing of them. */
#ifndef PLINTH_ENGINE_SHARD_HOSTS_H
#define PLINTH_ENGINE_SHARD_HOSTS_H

#include "engine/shard.h"

struct host_change {
    uint64_t id;
    uint64_t incarnation;
    struct slice name;   /* HOST_JOIN; 1 to HOST_NAME_BYTES_MAX bytes */
    uint64_t needed_lsn; /* HOST_NEEDS */
    uint64_t needed_time_us;
};
PLINTH_MUST_CHECK bool host_change_encode(struct buffer *into, enum change_kind kind, const struct host_change *change);
/* False when malformed. The name is borrowed. */
bool host_change_decode(enum change_kind kind, struct slice payload, struct host_change *change);

/* Decides a HOST_JOIN, HOST_NEEDS or HOST_EXPEL record. */
PLINTH_MUST_CHECK enum plinth_status shard_decide_hosts(struct shard *shard, uint64_t lsn, enum change_kind kind,
                                                        struct slice payload, struct decision *decision,
                                                        struct plinth_error *error);

/* Null when it never joined. */
const struct shard_host *shard_find_host(const struct shard *shard, uint64_t id);
/* Whether this incarnation of the host has joined, and was neither expelled nor followed by another. */
bool shard_host_is_in(const struct shard *shard, uint64_t id, uint64_t incarnation);
/* What the hosts that are in, but for `but`, still need; UINT64_MAX when there are none. */
uint64_t shard_needed_lsn(const struct shard *shard, uint64_t but);
uint64_t shard_needed_time_us(const struct shard *shard, uint64_t but);
/* How many hosts are in. */
uint64_t shard_hosts_in(const struct shard *shard);
/* The host that does what one is enough for: the lowest id of those in; 0 when there are none. */
uint64_t shard_lead_host(const struct shard *shard);

/* Whether a checkpoint has a section of hosts; and its bytes. */
bool shard_has_hosts(const struct shard *shard);
PLINTH_MUST_CHECK bool shard_hosts_encode(struct buffer *into, const struct shard *shard);
/* False on malformed bytes. The shard has its list of hosts already. */
bool shard_hosts_decode(struct slice section, struct shard *shard);

#endif
