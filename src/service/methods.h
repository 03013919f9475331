/* The methods, each next to its service; methods.c lists them. */
#ifndef PLINTH_SERVICE_METHODS_H
#define PLINTH_SERVICE_METHODS_H

#include "service/parked.h"

struct service;
struct service_loop;
struct service_method;
struct plinth_error;

extern const struct service_method key_value_get, key_value_create_snapshot,
    key_value_release_snapshot; /* key_value.c */
extern const struct service_method key_value_set, key_value_delete, key_value_delete_range,
    key_value_batch;                                          /* write.c */
extern const struct service_method key_value_compare_and_set; /* compare_and_set.c */
extern const struct service_method key_value_commit;          /* commit.c */
extern const struct service_method key_value_get_by_index;    /* index_read.c */
extern const struct service_method key_value_scan;            /* scan.c */
extern const struct service_method query_get_row_method, query_get_by_index, query_scan,
    query_aggregate;                                                               /* rows_read.c */
extern const struct service_method change_feed_changes;                            /* changes.c */
extern const struct service_method ingestion_write, ingestion_write_stream;        /* ingestion.c */
extern const struct service_method ingestion_delete_where, ingestion_update_where; /* rows_where.c */
extern const struct service_method transactions_commit;                            /* transactions.c */
extern const struct service_method admin_status, admin_flush, admin_compact, admin_verify, admin_create_space,
    admin_list_spaces; /* admin.c */
extern const struct service_method admin_drop_space, admin_create_table, admin_list_tables, admin_describe_table,
    admin_drop_table, admin_add_columns, admin_alter_table, admin_create_index, admin_rebuild_index, admin_drop_index,
    admin_list_indexes; /* admin_tables.c */
extern const struct service_method admin_keep_snapshot, admin_list_snapshots, admin_drop_snapshot, admin_move_snapshot,
    admin_keep_history; /* admin_history.c */
extern const struct service_method processor_list_jobs, processor_pause_jobs, processor_resume_jobs, processor_run_job,
    processor_cancel_job, processor_list_files;                        /* processor.c */
extern const struct service_method health_check, health_watch;         /* health.c */
extern const struct service_method reflection_v1, reflection_v1_alpha; /* reflection.c */

/* The engine's commit listener: wakes the loops that have parked writes. `context` is the service. write.c */
void write_on_commit(void *context);
/* Calls `end` once the write at `position` is as durable as asked for and visible, or can never be; perhaps at once.
 * The call is referenced until then. Loop thread. write.c */
void write_park(struct service_call *call, struct plinth_position position, enum plinth_durability durability,
                parked_end *end);
/* Answers the parked writes of a loop that are acknowledged by now, or can never be. Loop thread. write.c */
void write_on_wake(struct service_loop *loop);

#endif
