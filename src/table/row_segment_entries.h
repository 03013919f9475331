/* Writing the entries of a typed table's sorted index: segments of columns, as those of its rows.
 *
 * The file is a row segment (row_segment.h) with plinth.kind = "index" and the columns that an entry is made of: the
 * index's and the primary key's in the table's order (OPTIONAL unless in the primary key), then _lsn, _op and, without
 * a primary key, _ord. A part that is a function of a column has a column of its own behind those of the table, with id
 * INDEX_PART_ID + its place among the parts and its text as name. A row's key is the entry (column/row_key.h: the
 * index's columns in INDEX form, then the primary key or the row id). plinth.index is the index's name,
 * plinth.index_key the ids of its columns. As versions before these columns cannot read such a file, its plinth.format
 * is 2. */
#ifndef PLINTH_TABLE_ROW_SEGMENT_ENTRIES_H
#define PLINTH_TABLE_ROW_SEGMENT_ENTRIES_H

#include "table/block_stream.h"
#include "table/segment.h"

struct row_entries_writer;

/* As the functions of segment_writer; options->schema and options->index are set, and borrowed until the writer is
 * gone. */
PLINTH_MUST_CHECK enum plinth_status row_entries_writer_open(struct store *store, const char *name,
                                                             const struct segment_options *options,
                                                             struct row_entries_writer **writer,
                                                             struct plinth_error *error);
PLINTH_MUST_CHECK enum plinth_status row_entries_writer_add(struct row_entries_writer *writer, const struct row *row,
                                                            struct plinth_error *error);
uint64_t row_entries_writer_raw_bytes(const struct row_entries_writer *writer);
uint64_t row_entries_writer_rows(const struct row_entries_writer *writer);
PLINTH_MUST_CHECK enum plinth_status row_entries_writer_commit(struct row_entries_writer *writer,
                                                               struct segment_info *info, struct plinth_error *error);
void row_entries_writer_abort(struct row_entries_writer *writer);

/* The schema of an index's entries: its columns are what the file has, its key the table's. The caller's. */
PLINTH_MUST_CHECK enum plinth_status row_entries_schema(const struct table_schema *schema,
                                                        const struct table_index *index, struct table_schema **entries,
                                                        struct plinth_error *error);
/* Entries in [read->lower, read->upper) from an iterator (taken over, also on failure) as blocks of these columns, for
 * segments that have keys only. schema and index are borrowed until the stream is closed. */
PLINTH_MUST_CHECK enum plinth_status row_entries_stream_open(struct iterator *it, const struct table_schema *schema,
                                                             const struct table_index *index,
                                                             const struct block_read *read,
                                                             struct block_stream **stream, struct plinth_error *error);

#endif
