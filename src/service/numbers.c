#include "service/numbers.h"

#include "engine/engine.h"
#include "service/service_private.h"

#define COUNTER true
#define GAUGE false
#define AT(field) offsetof(struct numbers, field)

const struct number number_table[] = {
    {"acknowledged_lsn", "LSN up to which writes are acknowledged.", GAUGE, AT(engine.acknowledged.lsn)},
    {"sets", "Keys set.", COUNTER, AT(engine.sets)},
    {"deletes", "Keys deleted.", COUNTER, AT(engine.deletes)},
    {"gets", "Keys asked for.", COUNTER, AT(engine.gets)},
    {"gets_found", "Keys asked for that were there.", COUNTER, AT(engine.gets_found)},
    {"scans", "Scans started, of keys and of indexes.", COUNTER, AT(engine.scans)},
    {"scan_rows", "Rows that scans gave.", COUNTER, AT(engine.scan_rows)},
    {"conflicts", "Conditional writes whose condition did not hold.", COUNTER, AT(engine.conflicts)},
    {"log_bytes", "Size of the log on disk.", GAUGE, AT(engine.log_bytes)},
    {"log_segments", "Files of the log.", GAUGE, AT(engine.log_segments)},
    {"log_syncs", "Times the log was synced to the disk.", COUNTER, AT(engine.log_syncs)},
    {"log_groups", "Commit groups: writes to the log's file.", COUNTER, AT(engine.log_groups)},
    {"log_records", "Records appended to the log.", COUNTER, AT(engine.log_records)},
    {"memtable_bytes", "Memory of all memtables.", GAUGE, AT(engine.memtable_bytes)},
    {"memtables", "Memtables, the active one and those being flushed.", GAUGE, AT(engine.memtables)},
    {"segments", "Segment files (Parquet).", GAUGE, AT(engine.segments)},
    {"segment_bytes", "Size of all segments.", GAUGE, AT(engine.segment_bytes)},
    {"segment_rows", "Rows in all segments, older versions included.", GAUGE, AT(engine.segment_rows)},
    {"flushes", "Memtables written into segments.", COUNTER, AT(engine.flushes)},
    {"flush_rows", "Rows written by flushes.", COUNTER, AT(engine.flush_rows)},
    {"flush_bytes", "Bytes written by flushes.", COUNTER, AT(engine.flush_bytes)},
    {"flush_us", "Time spent in flushes, in microseconds.", COUNTER, AT(engine.flush_us)},
    {"compactions", "Compactions done.", COUNTER, AT(engine.compactions)},
    {"compaction_rows_in", "Rows read by compactions.", COUNTER, AT(engine.compaction_rows_in)},
    {"compaction_rows_out", "Rows written by compactions.", COUNTER, AT(engine.compaction_rows_out)},
    {"compaction_bytes_in", "Bytes read by compactions.", COUNTER, AT(engine.compaction_bytes_in)},
    {"compaction_bytes_out", "Bytes written by compactions.", COUNTER, AT(engine.compaction_bytes_out)},
    {"compaction_us", "Time spent in compactions, in microseconds.", COUNTER, AT(engine.compaction_us)},
    {"compaction_moves", "Times segments became part of another run as they were.", COUNTER,
     AT(engine.compaction_moves)},
    {"compaction_bytes_moved", "Bytes of such segments.", COUNTER, AT(engine.compaction_bytes_moved)},
    {"compaction_pending", "Tables, indexes and partitions with something to merge.", GAUGE,
     AT(engine.compaction_pending)},
    {"compaction_debt_bytes", "Bytes that compactions have to read until there is nothing to do.", GAUGE,
     AT(engine.compaction_debt_bytes)},
    {"runs_most", "Sorted runs that a look-up in one table may go through.", GAUGE, AT(engine.runs_most)},
    {"cache_bytes", "Memory of the page cache.", GAUGE, AT(engine.cache_bytes)},
    {"memory_limit_bytes", "What all memory of the engine is bounded by.", GAUGE, AT(engine.memory.limit_bytes)},
    {"memory_resident_bytes", "Resident memory of the process; 0 when it cannot be read.", GAUGE,
     AT(engine.memory.resident_bytes)},
    {"memory_memtable_bytes", "Memory of memtables, also of those that only readers hold.", GAUGE,
     AT(engine.memory.memtable_bytes)},
    {"memory_cache_bytes", "Memory of the page cache.", GAUGE, AT(engine.memory.cache_bytes)},
    {"memory_segment_bytes", "Memory of footers and indexes of segments.", GAUGE, AT(engine.memory.segment_bytes)},
    {"memory_flush_bytes", "Memory that flushes take.", GAUGE, AT(engine.memory.flush_bytes)},
    {"memory_merge_bytes", "Memory that compactions have been given.", GAUGE, AT(engine.memory.merge_bytes)},
    {"memory_query_bytes", "Memory that queries have been given.", GAUGE, AT(engine.memory.query_bytes)},
    {"memory_window_bytes", "Memory of the keys that conditional writes are checked against.", GAUGE,
     AT(engine.memory.window_bytes)},
    {"writers_waiting_for_memory", "Writes that wait for memory now.", GAUGE, AT(engine.writers_waiting_for_memory)},
    {"cache_hits", "Pages found in the cache.", COUNTER, AT(engine.cache_hits)},
    {"cache_misses", "Pages read from segments.", COUNTER, AT(engine.cache_misses)},
    {"checkpoints", "Checkpoints written.", COUNTER, AT(engine.checkpoints)},
    {"checkpoint_lsn", "LSN of the newest checkpoint.", GAUGE, AT(engine.checkpoint_lsn)},
    {"snapshots", "Snapshots open in the engine.", GAUGE, AT(engine.snapshots)},
    {"write_stalls", "Writes that waited for memory.", COUNTER, AT(engine.write_stalls)},
    {"write_stall_us", "Time that writes waited for memory, in microseconds.", COUNTER, AT(engine.write_stall_us)},
    {"write_delays", "Writes that waited because compactions were behind.", COUNTER, AT(engine.write_delays)},
    {"write_delay_us", "Time that they waited, in microseconds.", COUNTER, AT(engine.write_delay_us)},
    {"write_rate_max", "Bytes a second that writes are slowed to; 0 when they are not.", GAUGE,
     AT(engine.write_rate_max)},
    {"jobs_paused", "Kinds of background jobs that are paused.", GAUGE, AT(engine.jobs_paused)},
    {"replayed_records", "Log records replayed when the engine was opened.", GAUGE, AT(engine.replayed_records)},
    {"open_us", "Time that opening the engine took, in microseconds.", GAUGE, AT(engine.open_us)},
    {"writable", "1 when writes are accepted, 0 once the log has failed.", GAUGE, AT(writable)},
    {"grpc_connections", "gRPC connections open.", GAUGE, AT(rpc.connections)},
    {"grpc_connections_total", "gRPC connections accepted.", COUNTER, AT(rpc.connections_total)},
    {"grpc_connections_refused", "gRPC connections over the bound.", COUNTER, AT(rpc.connections_refused)},
    {"grpc_calls_open", "gRPC calls open.", GAUGE, AT(rpc.calls)},
    {"grpc_calls_total", "gRPC calls begun.", COUNTER, AT(rpc.calls_total)},
    {"grpc_calls_cancelled", "gRPC calls that ended before they were answered.", COUNTER, AT(rpc.calls_cancelled)},
    {"grpc_bytes_received", "Bytes received by gRPC connections.", COUNTER, AT(rpc.bytes_received)},
    {"grpc_bytes_sent", "Bytes sent by gRPC connections.", COUNTER, AT(rpc.bytes_sent)},
    {"offloaded_calls", "Calls that wait for a worker thread or run on one.", GAUGE, AT(offloaded_calls)},
    {"kept_snapshots", "Snapshots that clients keep.", GAUGE, AT(kept_snapshots)},
    {"change_feeds", "Change feeds that clients read.", GAUGE, AT(change_feeds)},
    {"change_feed_lag", "Log records that are held for the slowest change feed.", GAUGE, AT(change_feed_lag)},
    {"uptime_seconds", "Time since the server was started.", GAUGE, AT(uptime_seconds)},
};
const size_t number_count = sizeof number_table / sizeof number_table[0];

void numbers_read(struct service *service, struct numbers *numbers) {
    *numbers = (struct numbers){0};
    plinth_stats_read(service->db, &numbers->engine);
    struct rpc_server *rpc = atomic_load(&service->rpc);
    if (rpc) rpc_server_stats(rpc, &numbers->rpc);
    numbers->uptime_seconds = (env_monotonic_ns(service->env) - service->started_ns) / 1000000000;
    numbers->kept_snapshots = snapshot_table_count(&service->snapshots);
    numbers->change_feeds = atomic_load_explicit(&service->change_streams, memory_order_relaxed);
    uint64_t needed_lsn = engine_feeds_lsn(service->db), visible_lsn = engine_visible_lsn(service->db);
    if (needed_lsn <= visible_lsn) numbers->change_feed_lag = visible_lsn - needed_lsn + 1;
    numbers->offloaded_calls = atomic_load_explicit(&service->offloaded, memory_order_relaxed);
    numbers->writable = numbers->engine.writable;
}

uint64_t number_value(const struct numbers *numbers, const struct number *number) {
    uint64_t value;
    memcpy(&value, (const char *)numbers + number->offset, sizeof value);
    return value;
}
