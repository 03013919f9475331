/* plinth: the command line. Finds the command, parses its options by the tables below, and runs it. */
#include <stdlib.h>
#include <string.h>

#include "base/log_event.h"
#include "cmd/cli.h"

/* ---- the tables ---- */

const struct option_spec cli_global_options[] = {
    {"server", 's', "HOST:PORT", "PLINTH_SERVER", "127.0.0.1:50051", "the server to talk to"},
    {"output", 'o', "FORMAT", NULL, "table", "table, json or csv"},
    {"database", 'd', "NAME", NULL, NULL, "database of the key space; 'default' when left out"},
    {"space", 'k', "NAME", NULL, NULL, "key space; 'default' when left out"},
    {"timeout", 't', "TIME", NULL, "10s",
     "how long one call may take; flush, compact, index create, jobs run, scans and exports may take longer"},
    {"hex", 'x', NULL, NULL, NULL, "keys and values are hex, in and out"},
    {"base64", 0, NULL, NULL, NULL, "keys and values are base64, in and out"},
    {"quiet", 'q', NULL, NULL, NULL, "print errors and asked-for data only"},
    {"help", 'h', NULL, NULL, NULL, "print help, for the command when there is one"},
    {"version", 'V', NULL, NULL, NULL, "print the version"},
    {0},
};

#define DURABILITY_OPTION                                                                                              \
    { "durability", 0, "LEVEL", NULL, NULL, "when the write is acknowledged: buffered, written or synced" }

#define AS_OF_OPTION                                                                                                   \
    { "as-of", 0, "STATE", NULL, NULL, "the state at a position, or of a time: 2026-11-21T10:00:00Z" }
#define SNAPSHOT_OPTION                                                                                                \
    { "snapshot", 0, "NAME", NULL, NULL, "the state of a named snapshot" }

static const struct option_spec set_options[] = {
    {"index", 'i', "NAME=VALUE", NULL, NULL, "an entry in a secondary index; may be repeated"},
    {"value-file", 'f', "FILE", NULL, NULL, "take the value from a file, - for standard input, instead of VALUE"},
    {"ttl", 0, "INTERVAL", NULL, NULL, "the key is gone after this long: '90 seconds', '30 days'"},
    {"if-absent", 0, NULL, NULL, NULL, "only when the key does not exist"},
    {"if-value", 0, "VALUE", NULL, NULL, "only when the key has this value"},
    DURABILITY_OPTION,
    {0},
};
static const struct option_spec get_options[] = {
    {"raw", 'r', NULL, NULL, NULL, "the value's bytes and nothing else"},
    AS_OF_OPTION,
    SNAPSHOT_OPTION,
    {0},
};
static const struct option_spec delete_options[] = {DURABILITY_OPTION, {0}};
static const struct option_spec delete_range_options[] = {
    {"prefix", 'p', "PREFIX", NULL, NULL, "keys that begin with this"},
    {"lower", 0, "KEY", NULL, NULL, "keys from this on"},
    {"upper", 0, "KEY", NULL, NULL, "keys below this"},
    {"all", 0, NULL, NULL, NULL, "every key of the space"},
    DURABILITY_OPTION,
    {0},
};
static const struct option_spec by_index_options[] = {
    {"value", 0, "VALUE", NULL, NULL, "index values equal to this"},
    {"prefix", 'p', "PREFIX", NULL, NULL, "index values that begin with this"},
    {"lower", 0, "VALUE", NULL, NULL, "index values from this on"},
    {"upper", 0, "VALUE", NULL, NULL, "index values below this"},
    {"values", 0, NULL, NULL, NULL, "show the keys' values too"},
    {"reverse", 0, NULL, NULL, NULL, "from the highest down"},
    {"limit", 'n', "N", NULL, NULL, "at most this many"},
    AS_OF_OPTION,
    SNAPSHOT_OPTION,
    {0},
};
static const struct option_spec scan_options[] = {
    {"prefix", 'p', "PREFIX", NULL, NULL, "keys that begin with this"},
    {"lower", 0, "KEY", NULL, NULL, "keys from this on"},
    {"upper", 0, "KEY", NULL, NULL, "keys below this"},
    {"reverse", 0, NULL, NULL, NULL, "from the highest down"},
    {"limit", 'n', "N", NULL, NULL, "at most this many"},
    {"keys-only", 0, NULL, NULL, NULL, "without values"},
    AS_OF_OPTION,
    SNAPSHOT_OPTION,
    {0},
};
static const struct option_spec import_options[] = {
    {"format", 0, "FORMAT", NULL, NULL, "csv, tsv or jsonl; by the file's name when left out"},
    {"key-column", 0, "NAME", NULL, "key", "the column that is the key"},
    {"value-column", 0, "NAME", NULL, "value", "the column that is the value"},
    {"index", 'i', "COLUMN", NULL, NULL,
     "a column that is an index; may be repeated; without it every further column is"},
    {"batch", 0, "ROWS", NULL, "500", "rows of one atomic write"},
    DURABILITY_OPTION,
    {0},
};
static const struct option_spec export_options[] = {
    {"format", 0, "FORMAT", NULL, NULL, "csv or jsonl; by the file's name when left out"},
    {"no-indexes", 0, NULL, NULL, NULL, "keys and values only"},
    {0},
};
static const struct option_spec compare_options[] = {
    {"absent", 0, NULL, NULL, NULL, "if the key does not exist"},
    {"present", 0, NULL, NULL, NULL, "if the key exists"},
    {"value", 0, "VALUE", NULL, NULL, "if the key has this value"},
    {"version-is", 0, "POSITION", NULL, NULL, "if the key was last written at this position (as printed by set)"},
    {"set", 0, "VALUE", NULL, NULL, "then set it to this"},
    {"index", 'i', "NAME=VALUE", NULL, NULL, "with this index entry; may be repeated"},
    {"delete", 0, NULL, NULL, NULL, "then delete it"},
    DURABILITY_OPTION,
    {0},
};
static const struct option_spec snapshot_keep_options[] = {
    AS_OF_OPTION,
    SNAPSHOT_OPTION,
    {"with-log", 0, NULL, NULL, NULL, "keep the log behind it, too, so that 'changes' can begin there"},
    {0},
};
static const struct option_spec batch_options[] = {DURABILITY_OPTION, {0}};
static const struct option_spec table_create_options[] = {
    {"partition-by", 0, "COLUMN", NULL, NULL, "the date or timestamp column that parts the table by time"},
    {"every", 0, "INTERVAL", NULL, NULL, "the length of a partition: '1 day', '12 hours'"},
    {"retention", 0, "INTERVAL", NULL, NULL, "drop partitions that ended longer ago: '30 days'"},
    {"expire", 0, "WHEN", NULL, NULL, "rows are gone from a time on: 'COLUMN' or 'COLUMN + 30 days'"},
    {"codec", 0, "CODEC", NULL, NULL, "default, lz4, zstd or none"},
    {"page-rows", 0, "N", NULL, NULL, "rows that are read together, 16 to 65536"},
    {"add-columns", 0, NULL, NULL, NULL, "writes may bring new columns"},
    {0},
};
static const struct option_spec drop_column_options[] = {
    {"cascade", 0, NULL, NULL, NULL, "with the indexes that name the columns"},
    {0},
};
static const struct option_spec set_default_options[] = {
    {"none", 0, NULL, NULL, NULL, "no default any more: rows written without the column have null"},
    {0},
};
static const struct option_spec set_options_options[] = {
    {"retention", 0, "INTERVAL", NULL, NULL, "drop partitions that ended longer ago: '30 days', or none"},
    {"expire", 0, "WHEN", NULL, NULL, "rows are gone from a time on: 'COLUMN', 'COLUMN + 30 days', or none"},
    {"codec", 0, "CODEC", NULL, NULL, "default, lz4, zstd or none"},
    {"page-rows", 0, "N", NULL, NULL, "rows that are read together, 16 to 65536"},
    {"add-columns", 0, "yes|no", NULL, NULL, "whether writes may bring new columns"},
    {0},
};
static const struct option_spec table_import_options[] = {
    {"format", 0, "FORMAT", NULL, NULL, "csv, tsv, jsonl, arrow or parquet; by the file's name when left out"},
    {"delimiter", 0, "CHAR", NULL, NULL, "between the fields of CSV; ',' when left out"},
    {"null", 0, "TEXT", NULL, NULL,
     "a text that means null; may be repeated; without it an empty field without quotes"},
    {"date-format", 0, "PATTERN", NULL, NULL, "of dates, as of strptime: '%d.%m.%Y'; YYYY-MM-DD when left out"},
    {"time-format", 0, "PATTERN", NULL, NULL, "of timestamps: '%m/%d/%Y %H:%M:%S'; ISO 8601 when left out"},
    {"columns", 0, "NAMES", NULL, NULL, "the columns of a CSV file without header, with commas between"},
    {"map", 'm', "FILE=COLUMN", NULL, NULL,
     "the table's column for a column of the file; 'FILE=' leaves it out; may be "
     "repeated"},
    {"on-error", 0, "WAY", NULL, "stop",
     "at a row that cannot be read: stop; skip it; or file, to write it to FILE.rejected"},
    {"create", 0, NULL, NULL, NULL, "make the table when it does not exist, with types by the first 10,000 rows"},
    {"types", 0, "COLUMNS", NULL, NULL, "with --create: the columns as in 'table create'"},
    {"key", 0, "NAMES", NULL, NULL, "with --create: the columns of the primary key, with commas between"},
    {"add-columns", 0, NULL, NULL, NULL, "with --create: writes may bring new columns"},
    {"restart", 0, NULL, NULL, NULL, "begin anew, even though the same import was interrupted"},
    {"batch", 0, "ROWS", NULL, NULL, "at most this many rows of one request"},
    DURABILITY_OPTION,
    {"key-column", 0, "NAME", NULL, NULL, "key spaces: as of 'kv import'"},
    {"value-column", 0, "NAME", NULL, NULL, "key spaces: as of 'kv import'"},
    {"index", 'i', "COLUMN", NULL, NULL, "key spaces: as of 'kv import'"},
    {0},
};
#define WHERE_OPTION                                                                                                   \
    { "where", 'w', "SQL", NULL, NULL, "rows for which this is true: \"origin = 'JFK' AND dep_delay > 30\"" }
#define COLUMNS_OPTION                                                                                                 \
    { "columns", 'c', "NAMES", NULL, NULL, "these columns, with commas between; all when left out" }
#define LIMIT_OPTION                                                                                                   \
    { "limit", 'n', "N", NULL, NULL, "at most this many" }
#define ROWS_FORMAT_OPTION                                                                                             \
    { "format", 0, "FORMAT", NULL, NULL, "table, csv, jsonl, json or arrow; as --output says when left out" }

#define ALL_ROWS_OPTION                                                                                                \
    { "all", 0, NULL, NULL, NULL, "all rows; needed without --where" }
#define IN_PARTS_OPTION                                                                                                \
    { "in-parts", 0, NULL, NULL, NULL, "as several transactions, for more rows than one takes (64 MiB)" }

static const struct option_spec rows_delete_options[] = {
    WHERE_OPTION, ALL_ROWS_OPTION, IN_PARTS_OPTION, DURABILITY_OPTION, {0}};
static const struct option_spec rows_update_options[] = {
    WHERE_OPTION,
    ALL_ROWS_OPTION,
    {"set", 's', "COLUMN=VALUE", NULL, NULL, "the column's new value, as text; may be given many times"},
    {"set-null", 0, "COLUMN", NULL, NULL, "the column becomes null; may be given many times"},
    {"set-from", 0, "COLUMN=OTHER", NULL, NULL, "the column gets what another one held; may be given many times"},
    IN_PARTS_OPTION,
    DURABILITY_OPTION,
    {0},
};
static const struct option_spec table_scan_options[] = {
    WHERE_OPTION,
    COLUMNS_OPTION,
    LIMIT_OPTION,
    {"ordered", 0, NULL, NULL, NULL, "in the order of the primary key; without one, of arrival"},
    {"reverse", 0, NULL, NULL, NULL, "in that order from the end"},
    {"count", 0, NULL, NULL, NULL, "how many rows there are"},
    {"aggregate", 'a', "FUNCTIONS", NULL, NULL, "count, count(x), min(x), max(x), sum(x), avg(x), with commas between"},
    {"group-by", 'g', "NAMES", NULL, NULL, "a count or aggregate for each value of these columns"},
    {"explain", 0, NULL, NULL, NULL, "what was planned, read and skipped, instead of rows"},
    AS_OF_OPTION,
    SNAPSHOT_OPTION,
    ROWS_FORMAT_OPTION,
    {0},
};
static const struct option_spec row_options[] = {
    COLUMNS_OPTION, AS_OF_OPTION, SNAPSHOT_OPTION, ROWS_FORMAT_OPTION, {0}};
static const struct option_spec find_options[] = {
    {"lower", 0, "VALUE", NULL, NULL, "the index's next column from this on"},
    {"upper", 0, "VALUE", NULL, NULL, "the index's next column up to this"},
    COLUMNS_OPTION,
    LIMIT_OPTION,
    AS_OF_OPTION,
    SNAPSHOT_OPTION,
    ROWS_FORMAT_OPTION,
    {0},
};
static const struct option_spec table_export_options[] = {
    {"format", 0, "FORMAT", NULL, NULL, "csv, jsonl, arrow or parquet; by the file's name when left out"},
    WHERE_OPTION,
    COLUMNS_OPTION,
    LIMIT_OPTION,
    {"order", 0, "ORDER", NULL, NULL, "key or reverse; any order when left out"},
    AS_OF_OPTION,
    SNAPSHOT_OPTION,
    {"no-indexes", 0, NULL, NULL, NULL, "key spaces: as of 'kv export'"},
    {0},
};
static const struct option_spec changes_options[] = {
    {"after", 'a', "POSITION", NULL, NULL, "behind this position, as changes and reads print it"},
    {"snapshot", 0, "NAME", NULL, NULL, "behind this named snapshot"},
    {"as-of", 0, "STATE", NULL, NULL, "behind the state at a position, or of a time: 2026-11-21T10:00:00Z"},
    {"initial", 'i', NULL, NULL, NULL, "first the state where it begins, as lines with \"initial\": true"},
    {"prefix", 'p', "PREFIX", NULL, NULL, "of key spaces only keys that begin with this"},
    WHERE_OPTION,
    {"previous", 0, NULL, NULL, NULL, "also what was there before"},
    {"follow", 'f', NULL, NULL, NULL, "wait for more, until interrupted"},
    {"limit", 'n', "N", NULL, NULL, "at most so many writes"},
    {0},
};
static const struct option_spec files_options[] = {
    {"unneeded", 0, NULL, NULL, NULL, "only those that nobody needs"},
    {0},
};
static const struct option_spec log_cat_options[] = {
    {"all", 0, NULL, NULL, NULL, "also the last records, which nothing proves to be durable"},
    {"from", 0, "LSN", NULL, NULL, "begin with the first record at or behind this position"},
    LIMIT_OPTION,
    {"format", 0, "FORMAT", NULL, NULL, "table, csv, json or jsonl; as --output says when left out"},
    {0},
};
static const struct option_spec segment_cat_options[] = {
    LIMIT_OPTION,
    {"format", 0, "FORMAT", NULL, NULL, "table, csv, jsonl or json; as --output says when left out"},
    {0},
};
#define FILE_ROWS_FORMAT_OPTION                                                                                        \
    { "format", 0, "FORMAT", NULL, NULL, "table, csv, jsonl or json; as --output says when left out" }
#define FILE_COLUMNS_OPTION                                                                                            \
    {                                                                                                                  \
        "columns", 'c', "NAMES", NULL, NULL,                                                                           \
            "these columns, with commas between, a.b for a part of a; all when left out"                               \
    }
#define INT96_OPTION                                                                                                   \
    { "int96", 0, "UNIT", NULL, "ns", "what INT96 times become: ns (which end in the year 2262), us or ms" }

static const struct option_spec parquet_meta_options[] = {
    {"pages", 0, NULL, NULL, NULL, "each page, too"},
    {0},
};
static const struct option_spec parquet_head_options[] = {
    {"limit", 'n', "N", NULL, "10", "so many rows"}, FILE_COLUMNS_OPTION, FILE_ROWS_FORMAT_OPTION, INT96_OPTION, {0},
};
static const struct option_spec parquet_cat_options[] = {
    FILE_COLUMNS_OPTION,     LIMIT_OPTION, {"skip", 0, "N", NULL, NULL, "leave out so many rows before the first"},
    FILE_ROWS_FORMAT_OPTION, INT96_OPTION, {0},
};
static const struct option_spec parquet_verify_options[] = {
    {"max-memory", 0, "BYTES", NULL, "256MiB", "for the footer, and for each page, dictionary and page index"},
    {0},
};
static const struct option_spec parquet_rewrite_options[] = {
    {"codec", 0, "CODEC[:LEVEL]", NULL, "zstd", "zstd, snappy, gzip, brotli, lz4 or none"},
    {"encoding", 0, "COLUMN=ENCODING", NULL, NULL,
     "plain, rle, dictionary, delta_binary_packed, delta_length_byte_array, delta_byte_array or byte_stream_split; may "
     "be repeated; by measurement when left out"},
    {"dictionary", 0, "WAY", NULL, NULL, "on: begin every column with one; off: none; where it pays when left out"},
    {"sort", 0, "COLUMN[:desc],...", NULL, NULL,
     "sort the rows; nulls come last, descending first; equal rows keep their order"},
    {"max-memory", 0, "BYTES", NULL, "1GiB", "of rows that are sorted; more are sorted in files beside OUT"},
    {"row-group-rows", 0, "N", NULL, NULL, "at most so many a row group; as in IN (sorted: 1,048,576) when left out"},
    {"page-rows", 0, "N", NULL, "20000", "at most so many a page; pages end at about 1 MiB, too"},
    {"page-version", 0, "N", NULL, "2", "1 or 2"},
    {"bloom", 0, "NAMES", NULL, NULL, "columns that get a bloom filter, beside those that have one"},
    FILE_COLUMNS_OPTION,
    {"key-value", 0, "KEY=VALUE", NULL, NULL, "metadata to add or replace; may be repeated"},
    {"force", 'f', NULL, NULL, NULL, "replace OUT when it is there; it may be IN"},
    {0},
};
#define NO_WAIT_OPTION                                                                                                 \
    { "no-wait", 0, NULL, NULL, NULL, "return when the build has begun; 'index list' tells how far it is" }
static const struct option_spec index_create_options[] = {
    {"kind", 0, "KIND", NULL, "sorted", "sorted, bloom, bitmap or token"},
    {"columns", 0, "COLUMNS", NULL, NULL,
     "the columns, with commas between; a column of the index's name when left out"},
    {"include", 0, "COLUMNS", NULL, NULL,
     "columns whose values the entries have, too: queries that need no others read no rows; of kind sorted"},
    {"unique", 0, NULL, NULL, NULL, "no two rows have the same values, but where one is null; of kind sorted"},
    NO_WAIT_OPTION,
    {0},
};
static const struct option_spec index_rebuild_options[] = {NO_WAIT_OPTION, {0}};

const struct cli_command cli_commands[] = {
    {"kv set", "KEY [VALUE]", 1, 2, set_options, cli_kv_set, "set a key",
     "Replaces the key's value and all of its index entries. Prints the write's position.\n\n"
     "  plinth kv set cat \"K AE1 T\" --index rhyme=\"AE T\" --index syllables=01\n"
     "  plinth kv set config --value-file config.json --if-absent\n"
     "  plinth kv set --hex 00ff 6869\n"
     "  plinth kv set -- -key -value          (after --, nothing is an option)"},
    {"kv get", "KEY", 1, 1, get_options, cli_kv_get, "print the value of a key",
     "As a table: the value on one line, with unprintable bytes as \\xNN. Exit code 3 when there is no such key.\n\n"
     "  plinth kv get cat\n"
     "  plinth kv get picture --raw > picture.png\n"
     "  plinth kv get cat -o json"},
    {"kv delete", "KEY", 1, 1, delete_options, cli_kv_delete, "delete a key",
     "Deleting what is not there is no error. Prints the write's position.\n\n"
     "  plinth kv delete cat"},
    {"kv delete-range", "", 0, 0, delete_range_options, cli_kv_delete_range, "delete all keys of a range",
     "Takes the same short time however many keys there are. Prints the write's position.\n\n"
     "  plinth kv delete-range --prefix session/\n"
     "  plinth kv delete-range --lower 2024-01 --upper 2024-07\n"
     "  plinth kv delete-range --all --space scratch"},
    {"kv by-index", "INDEX", 1, 1, by_index_options, cli_kv_by_index, "find keys by a secondary index",
     "Ordered by index value and key. Without --value, --prefix, --lower and --upper: the whole index.\n\n"
     "  plinth kv by-index rhyme --value \"AE T\" --values\n"
     "  plinth kv by-index rhyme --prefix \"AE \" --limit 20\n"
     "  plinth kv by-index syllables --lower 05 --upper 07 -o csv"},
    {"kv scan", "", 0, 0, scan_options, cli_kv_scan, "print keys in order",
     "Sees one state of the space, however long it runs.\n\n"
     "  plinth kv scan --prefix ca --limit 10\n"
     "  plinth kv scan --lower a --upper b --keys-only\n"
     "  plinth kv scan --reverse -n 5 -o json"},
    {"kv import", "FILE|-", 1, 1, import_options, cli_kv_import, "set keys from a file",
     "Reads CSV or TSV with a header, or JSON Lines; plain, .gz or .zst (told by content). The columns key and value\n"
     "are the key and the value, every further column is a secondary index of its name; an empty field is no entry.\n"
     "In JSON Lines a name that ends in _base64 holds bytes, and \"indexes\":[{\"index\":\"NAME\",\"value\":\"...\"}] "
     "any\n"
     "index values, as export writes them. Batches whose outcome is unknown are sent again and applied once.\n\n"
     "  plinth kv import examples/data/cmudict.csv.zst\n"
     "  plinth kv import users.csv --key-column id --value-column json --index email\n"
     "  zcat log.jsonl.gz | plinth kv import - --format jsonl --space log"},
    {"kv export", "[FILE|-]", 0, 1, export_options, cli_kv_export, "write all keys, values and index values to a file",
     "From one state of the space. CSV holds the bytes as they are, quoted where needed, with a column for each "
     "index;\n"
     "it cannot hold several values of one index on a key, nor an empty one: then export fails, and JSON Lines is\n"
     "the format to use. JSON Lines has index values in \"indexes\", and bytes that are no UTF-8 as base64 in\n"
     "key_base64 or value_base64. import reads both back.\n\n"
     "  plinth kv export backup.csv\n"
     "  plinth kv export --format jsonl | zstd > backup.jsonl.zst"},
    {"kv compare-and-set", "KEY", 1, 1, compare_options, cli_kv_compare_and_set,
     "set or delete a key if a condition holds",
     "Prints what was there before. Without --set and --delete it only looks. Exit code 4 when the condition does not\n"
     "hold.\n\n"
     "  plinth kv compare-and-set counter --value 41 --set 42\n"
     "  plinth kv compare-and-set lock --absent --set \"$HOSTNAME\"\n"
     "  plinth kv compare-and-set lock --value \"$HOSTNAME\" --delete"},
    {"kv batch", "FILE|-", 1, 1, batch_options, cli_kv_batch, "apply many sets and deletes as one atomic write",
     "FILE has one JSON object a line: {\"op\":\"set\",\"key\":\"a\",\"value\":\"1\",\"INDEX\":\"its value\"} or\n"
     "{\"op\":\"delete\",\"key\":\"b\"}; \"indexes\" as in import. All together at most 1 MiB.\n\n"
     "  plinth kv batch changes.jsonl\n"
     "  printf '{\"key\":\"a\",\"value\":\"1\"}\\n{\"op\":\"delete\",\"key\":\"b\"}\\n' | plinth kv batch -"},
    {"status", "", 0, 0, NULL, cli_status, "what the server is and how it does",
     "  plinth status\n  plinth status -o json | jq .segments"},
    {"flush", "", 0, 0, NULL, cli_flush, "write everything acknowledged into segments", "  plinth flush"},
    {"compact", "", 0, 0, NULL, cli_compact, "merge all segments", "  plinth compact"},
    {"verify", "", 0, 0, NULL, cli_verify, "read and check all files",
     "Findings go to standard error, the summary to standard output. Exit code 6 when there are findings.\n\n"
     "  plinth verify -o json"},
    {"space create", "NAME", 1, 1, NULL, cli_space_create, "make a key space",
     "In the database of --database, which is made when it is missing.\n\n"
     "  plinth space create sessions\n  plinth space create users --database shop"},
    {"space list", "", 0, 0, NULL, cli_space_list, "list the key spaces",
     "  plinth space list\n  plinth space list -d shop"},
    {"space drop", "NAME", 1, 1, NULL, cli_space_drop, "drop a key space with its keys and indexes",
     "  plinth space drop sessions\n  plinth space drop users --database shop"},
    {"snapshot keep", "NAME", 1, 1, snapshot_keep_options, cli_snapshot_keep, "keep a state readable under a name",
     "The present one, or that of --as-of. It is read by --snapshot NAME, also after restarts, until it is dropped; "
     "every\n"
     "version from the oldest snapshot on takes room until then.\n\n"
     "  plinth snapshot keep before-migration\n  plinth scan flights --count --snapshot before-migration"},
    {"snapshot list", "", 0, 0, NULL, cli_snapshot_list, "list the named snapshots", "  plinth snapshot list"},
    {"snapshot drop", "NAME", 1, 1, NULL, cli_snapshot_drop, "drop a named snapshot",
     "  plinth snapshot drop before-migration"},
    {"snapshot move", "NAME POSITION", 2, 2, NULL, cli_snapshot_move, "move a named snapshot forwards",
     "What a reader of changes does with the last position that it is done with: what is before it may go.\n\n"
     "  plinth snapshot move replica 0101a50107"},
    {"changes", "[TABLE...]", 0, 64, changes_options, cli_changes, "print what was written, as JSON lines",
     "Of these tables and key spaces, or of all: one line a key or row, in the order of the log. Begins now, or "
     "behind\n"
     "--after, --as-of or --snapshot, and ends at what is there now, or with --follow never. Lines without \"op\" say\n"
     "how far it has come; --after that position goes on.\n\n"
     "  plinth changes birds --initial --follow\n"
     "  plinth snapshot keep replica --with-log\n"
     "  plinth changes birds --snapshot replica --previous\n"
     "  plinth changes flights --where \"origin = 'JFK'\" --follow"},
    {"history", "[INTERVAL]", 0, 1, NULL, cli_history,
     "keep every state of the last INTERVAL readable, or show what is",
     "--as-of TIME reads the state of that time, as it was noted a second before at most. 'none' ends the history.\n\n"
     "  plinth history '1 day'\n  plinth kv get cat --as-of 2026-11-21T10:00:00Z\n  plinth history none"},
    {"table create", "NAME COLUMNS", 2, 2, table_create_options, cli_table_create, "make a table",
     "COLUMNS are 'name type [not null]' with commas between, and 'primary key (a, b)'; without a primary key every "
     "row\n"
     "is kept. 'partition by COLUMN INTERVAL' at the end is --partition-by and --every. Types: bool, int8 to int64,\n"
     "uint8 to uint64, float32, float64, decimal(p,s), string, bytes, date, timestamp(s|ms|us|ns[, utc]), uuid,\n"
     "list<type>. Names with other characters than letters, digits and _ stand in double quotes.\n\n"
     "  plinth table create users \"id int64, name string not null, born date, primary key (id)\"\n"
     "  plinth table create metrics \"host string, at timestamp(ms), load float64, primary key (host, at)\" \\\n"
     "      --partition-by at --every '1 day' --retention '30 days'\n"
     "  plinth table create sessions \"id uuid, seen timestamp(ms, utc), primary key (id)\" --expire 'seen + 30 days'\n"
     "  plinth table create events \"at timestamp not null, what text partition by at '12 hours'\" --add-columns"},
    {"table list", "", 0, 0, NULL, cli_table_list, "list the tables",
     "Key spaces are tables, too.\n\n  plinth table list\n  plinth table list -d shop -o json"},
    {"table describe", "NAME", 1, 1, NULL, cli_table_describe,
     "print columns, key, options, indexes and sizes of a table",
     "As CSV: the columns only. Rows that were overwritten and not yet merged away count.\n\n"
     "  plinth table describe metrics\n  plinth table describe metrics -o json | jq .columns"},
    {"table drop", "NAME", 1, 1, NULL, cli_table_drop, "drop a table with its rows and indexes",
     "  plinth table drop metrics"},
    {"table alter add-column", "NAME 'COLUMN TYPE'...", 2, 64, NULL, cli_table_add_column, "add columns to a table",
     "All or none. Rows that are there have the default in them, or null.\n\n"
     "  plinth table alter add-column metrics 'rack string' 'cpu decimal(5,2)'\n"
     "  plinth table alter add-column users \"country string not null default 'unknown'\""},
    {"table alter drop-column", "NAME COLUMN...", 2, 64, drop_column_options, cli_table_drop_column,
     "drop columns of a table",
     "All or none. Segments keep their values until they are merged; states of before are read with them.\n\n"
     "  plinth table alter drop-column metrics rack\n  plinth table alter drop-column metrics cpu --cascade"},
    {"table alter rename-column", "NAME COLUMN NEW", 3, 3, NULL, cli_table_rename_column, "rename a column",
     "  plinth table alter rename-column metrics rack cabinet"},
    {"table alter widen-column", "NAME COLUMN TYPE", 3, 3, NULL, cli_table_widen_column,
     "give a column a type that has all values of its present one",
     "Larger integers, float64, decimals with more digits before the point, timestamp(s|ms) for a date.\n\n"
     "  plinth table alter widen-column metrics requests int64"},
    {"table alter set-nullable", "NAME COLUMN...", 2, 64, NULL, cli_table_set_nullable, "let columns be null",
     "  plinth table alter set-nullable users name"},
    {"table alter set-default", "NAME COLUMN [VALUE]", 2, 3, set_default_options, cli_table_set_default,
     "set what rows get that are written without a column",
     "Rows that are there stay as they are.\n\n"
     "  plinth table alter set-default users country unknown\n"
     "  plinth table alter set-default users country --none"},
    {"table alter rename", "NAME NEW", 2, 2, NULL, cli_table_rename, "rename a table",
     "  plinth table alter rename metrics measurements"},
    {"table alter set-options", "NAME", 1, 1, set_options_options, cli_table_set_options,
     "change a table's options, for what is written from now on",
     "--expire is about the rows that are there, too.\n\n"
     "  plinth table alter set-options metrics --codec zstd --retention '90 days'\n"
     "  plinth table alter set-options sessions --expire 'seen + 60 days'"},
    {"index create", "TABLE NAME", 2, 2, index_create_options, cli_index_create, "make an index of a table",
     "It is built while writes go on. sorted: equality, ranges and order, of one column or more; bloom:\n"
     "equality, takes little room; bitmap: equality on few distinct values; token: words of a string.\n\n"
     "  plinth index create metrics by_load --kind sorted --columns load,at\n"
     "  plinth index create events words --kind token --columns what\n"
     "  plinth index create users name"},
    {"index rebuild", "TABLE NAME", 2, 2, index_rebuild_options, cli_index_rebuild, "build an index anew",
     "The old one serves queries until the new one, NAME.rebuild, takes its name and place.\n\n"
     "  plinth index rebuild metrics by_load"},
    {"index drop", "TABLE NAME", 2, 2, NULL, cli_index_drop, "drop an index of a table",
     "  plinth index drop metrics by_load"},
    {"index list", "TABLE", 1, 1, NULL, cli_index_list, "list the indexes of a table", "  plinth index list metrics"},
    {"import", "TABLE FILE|-...", 2, 1000, table_import_options, cli_import, "put rows of files into a table",
     "Reads CSV or TSV with a header, JSON Lines, Arrow (stream or file) and Parquet; plain, .gz or .zst (told by\n"
     "content). Columns go together by name. Text is parsed into the types of the table. TABLE may be a key space, "
     "too.\n"
     "An import that was interrupted goes on when it is run again with the same files, and doubles no row; it also\n"
     "does after a stop at a bad row, when only rows from there on were changed.\n\n"
     "  plinth import flights examples/data/nyc-flights.csv.zst --create\n"
     "  plinth import users users.csv --create --key id --date-format '%d.%m.%Y' --null NA\n"
     "  plinth import metrics *.parquet --on-error file\n"
     "  zcat log.jsonl.gz | plinth import log - --format jsonl --map level=severity --map debug="},
    {"export", "TABLE [FILE|-]", 1, 2, table_export_options, cli_export, "write rows of a table to a file",
     "From one state of the table: CSV, JSON Lines, an Arrow stream or Parquet, compressed when FILE ends in .gz or\n"
     ".zst; import reads it back. CSV has nulls as empty fields and empty texts as \"\". TABLE may be a key space, "
     "too.\n\n"
     "  plinth export flights flights.csv.zst\n"
     "  plinth export flights jfk.parquet --where \"origin = 'JFK'\" --columns carrier,flight,dep_delay\n"
     "  plinth export users - --format jsonl --order key"},
    {"scan", "TABLE", 1, 1, table_scan_options, cli_scan, "print rows of a table, or counts and aggregates of them",
     "Sees one state of the table, however long it runs.\n\n"
     "  plinth scan flights --where \"dep_delay > 600\" --columns carrier,flight,dep_delay\n"
     "  plinth scan flights --count --where \"tailnum IS NULL\"\n"
     "  plinth scan flights --aggregate \"count, avg(dep_delay), max(distance)\" --group-by origin\n"
     "  plinth scan flights --where \"origin = 'JFK'\" --explain"},
    {"rows delete", "TABLE", 1, 1, rows_delete_options, cli_rows_delete, "delete the rows that a condition is true of",
     "All at once, and exactly those of which it is true then, whatever others write. Prints how many.\n\n"
     "  plinth rows delete flights --where \"origin = 'JFK' AND cancelled\"\n"
     "  plinth rows delete metrics --where \"time < '2026-01-01'\" --in-parts\n"
     "  plinth rows delete users --all"},
    {"rows update", "TABLE", 1, 1, rows_update_options, cli_rows_update,
     "set columns of the rows that a condition is true of",
     "Likewise. Columns of the primary key cannot be set.\n\n"
     "  plinth rows update users --set name=Ada --set-null nickname --where \"id = 42\"\n"
     "  plinth rows update stock --set-from price=list_price --all"},
    {"row", "TABLE VALUE...", 2, 64, row_options, cli_row, "print the row with a primary key",
     "The values of the key's columns, in its order. Exit code 3 when there is no such row.\n\n"
     "  plinth row users 42\n  plinth row metrics web-1 2026-01-31T12:00:00 -o json"},
    {"find", "TABLE INDEX [VALUE...]", 2, 64, find_options, cli_find, "print rows by the values of a sorted index",
     "In the order of the index. The values are those of its first columns; --lower and --upper bound the next one.\n\n"
     "  plinth find users name Ada\n  plinth find metrics by_load --lower 0.9 --limit 10"},
    {"jobs list", "", 0, 0, NULL, cli_jobs_list, "list what works in the background",
     "What runs, what waits and why, what failed and is tried again, and the kinds that are paused.\n\n"
     "  plinth jobs list\n  plinth jobs list -o json | jq '.[] | select(.failures > 0)'"},
    {"jobs pause", "KIND...", 1, 8, NULL, cli_jobs_pause, "let no job of a kind begin",
     "KIND is compaction, retention, checkpoint, trim or garbage. What runs ends. Holds until 'jobs resume', also "
     "over\n"
     "restarts of the server; meanwhile 'plinth status' says so in its reason, and disk and reads pay for it.\n\n"
     "  plinth jobs pause compaction"},
    {"jobs resume", "KIND...", 1, 8, NULL, cli_jobs_resume, "end a pause", "  plinth jobs resume compaction"},
    {"jobs run", "KIND", 1, 1, NULL, cli_jobs_run, "do what is due of a kind now, and wait for it",
     "KIND is flush, compaction, retention, checkpoint, trim or garbage. Ends at the next step when it is interrupted\n"
     "or --timeout passes; what is done stays done.\n\n"
     "  plinth jobs run compaction"},
    {"jobs cancel", "ID", 1, 1, NULL, cli_jobs_cancel, "end a merge, an index build or a verification",
     "ID is that of 'jobs list'. A merge that was cancelled begins again after ten minutes.\n\n"
     "  plinth jobs cancel 17"},
    {"files", "[DIR]", 0, 1, files_options, cli_files, "list the files of a data directory and what needs them",
     "Of the server, or with DIR of a directory that no server need have open; nothing is changed. Log files, "
     "segments\n"
     "(with their table, run, rows and keys), checkpoints, and what is left over. 'needed_by' says who needs a file: "
     "the\n"
     "current state, a read that goes on, a checkpoint, a named snapshot, a change feed; or what becomes of it.\n\n"
     "  plinth files\n  plinth files --unneeded\n  plinth files /var/lib/plinth -o json | jq 'map(.bytes) | add'"},
    {"log cat", "[DIR]", 0, 1, log_cat_options, cli_log_cat, "print the records of the log",
     "From the files in DIR (default: $PLINTH_DATA_DIR, or ./plinth-data), also beside a server that has it open: up "
     "to\n"
     "what the files prove to be durable, which leaves out the last group of a log that was not closed in order.\n"
     "Each record with its LSN, time, kind, what it changes, rows, bytes, and whether it did something: 'void' when "
     "it\n"
     "did not, nothing when that is not known any more.\n\n"
     "  plinth log cat --from 1000 --limit 20\n"
     "  plinth log cat /var/lib/plinth --format jsonl | jq 'select(.kind == \"rows\")'"},
    {"log", "[DIR]", 0, 1, NULL, cli_log, "list the files of the log and what holds them",
     "From the files in DIR (default: $PLINTH_DATA_DIR, or ./plinth-data), also beside a server that has it open. A "
     "file\n"
     "goes when nobody needs it: 'needed_by' names the checkpoint or snapshot that holds it.\n\n"
     "  plinth log\n  plinth log /var/lib/plinth -o json"},
    {"segment cat", "FILE...", 1, 1000, segment_cat_options, cli_segment_cat, "print the rows of segment files",
     "Reads the files themselves, without a server: all versions in key order, deletes too, with _lsn and _op. Any "
     "other\n"
     "Parquet file of flat columns and lists can be printed, too.\n\n"
     "  plinth segment cat data/store/segments/*/*.parquet --limit 20"},
    {"segment info", "FILE...", 1, 1000, NULL, cli_segment_info, "print what segment files say of themselves",
     "Rows, metadata, bytes of each column.\n\n  plinth segment info data/store/segments/*/*.parquet"},
    {"parquet schema", "FILE|-", 1, 1, NULL, cli_parquet_schema, "print the schema of a Parquet file",
     "As a message of the format: repetition, physical type, name, logical type and field id of each node. With\n"
     "-o json as a tree, with -o csv a line a column.\n\n"
     "  plinth parquet schema flights.parquet\n  plinth parquet schema flights.parquet -o json | jq .fields"},
    {"parquet meta", "FILE|-", 1, 1, parquet_meta_options, cli_parquet_meta,
     "print what a Parquet file says of its row groups, columns and pages",
     "Metadata, and of each column chunk codec, encodings, counts, bounds, sizes, dictionary, bloom filter and page\n"
     "index; with --pages each page. -o json has all of it, -o csv a line a chunk (or page).\n\n"
     "  plinth parquet meta flights.parquet\n"
     "  plinth parquet meta flights.parquet --pages -o csv"},
    {"parquet head", "FILE|-", 1, 1, parquet_head_options, cli_parquet_head, "print the first rows of a Parquet file",
     "  plinth parquet head flights.parquet\n  plinth parquet head flights.parquet -n 3 --format jsonl"},
    {"parquet cat", "FILE|-", 1, 1, parquet_cat_options, cli_parquet_cat, "print rows of a Parquet file",
     "Structs, lists and maps are JSON, also in CSV and tables. Pages of rows that are skipped are not decoded.\n\n"
     "  plinth parquet cat flights.parquet --format csv > flights.csv\n"
     "  plinth parquet cat flights.parquet --columns carrier,flight --skip 1000 --limit 20\n"
     "  curl -s https://example.com/x.parquet | plinth parquet cat - --format jsonl"},
    {"parquet verify", "FILE|-...", 1, 1000, parquet_verify_options, cli_parquet_verify,
     "check Parquet files against themselves",
     "Reads and decodes every page, and compares checksums, sizes, counts, statistics, page indexes, bloom filters "
     "and\n"
     "the order of sorting columns with the data. Each finding is a line with row group, column, page and offset.\n"
     "Exit code 1 when there are findings, 2 when a file cannot be read.\n\n"
     "  plinth parquet verify *.parquet\n"
     "  plinth parquet verify flights.parquet --max-memory 1GiB -o json"},
    {"parquet rewrite", "IN|- OUT", 2, 2, parquet_rewrite_options, cli_parquet_rewrite,
     "write a Parquet file anew: other codec, encodings, order, row groups",
     "Schema, logical types, field ids and key-value metadata stay. OUT appears when it is whole and on disk.\n\n"
     "  plinth parquet rewrite raw.parquet small.parquet --codec zstd:9\n"
     "  plinth parquet rewrite flights.parquet by-day.parquet --sort day,dep_time:desc --bloom tailnum\n"
     "  plinth parquet rewrite big.parquet part.parquet --columns id,place.city --row-group-rows 100000"},
    {"completion", "bash|zsh", 1, 1, NULL, cli_completion, "print a completion script for a shell",
     "  source <(plinth completion bash)\n  plinth completion zsh > \"${fpath[1]}/_plinth\""},
    {0},
};

/* ---- help ---- */

static void print_general_help(FILE *out) {
    fputs("plinth: the command line of Plinth\n\nUsage: plinth [OPTION...] COMMAND [OPTION...] "
          "[ARGUMENT...]\n\nCommands:\n",
          out);
    for (const struct cli_command *command = cli_commands; command->words; command++)
        fprintf(out, "  %-25s  %s\n", command->words, command->summary);
    fputs("\nOptions, before or behind the command:\n", out);
    options_print(out, cli_global_options);
    fputs("\nExit codes:\n"
          "  0  done\n"
          "  1  failed\n"
          "  2  wrong usage\n"
          "  3  not found: the key, index, table or key space\n"
          "  4  a condition did not hold\n"
          "  5  the server cannot be reached, or did not answer in time\n"
          "  6  verify found problems\n\n"
          "'plinth COMMAND --help' tells more about a command, with examples.\n",
          out);
}

static void print_command_help(FILE *out, const struct cli_command *command) {
    fprintf(out, "plinth %s: %s\n\nUsage: plinth %s%s%s%s\n\n%s\n", command->words, command->summary, command->words,
            command->options ? " [OPTION...]" : "", *command->operands ? " " : "", command->operands, command->help);
    if (command->options) {
        fputs("\nOptions:\n", out);
        options_print(out, command->options);
    }
    fputs("\nOptions of every command:\n", out);
    options_print(out, cli_global_options);
}

/* ---- finding the command ---- */

/* The command of the first operands; `*used` says how many of them. */
static const struct cli_command *find_command(char **words, int count, int *used) {
    for (const struct cli_command *command = cli_commands; command->words; command++) {
        const char *rest = command->words;
        for (*used = 0; *used < count && *rest; (*used)++) {
            size_t size = strcspn(rest, " ");
            if (strlen(words[*used]) != size || memcmp(words[*used], rest, size) != 0) break;
            rest += size + (rest[size] == ' ');
        }
        if (!*rest) return command;
    }
    return NULL;
}

/* The first `count` words with spaces between, as much of them as fits. */
static void join_words(char **words, int count, char *text, size_t size) {
    size_t used = 0;
    *text = '\0';
    for (int i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%.60s", i ? " " : "", words[i]);
}

/* Whether `group` is all of the first words of a longer command. */
static bool is_group(const struct cli_command *command, const char *group) {
    size_t size = strlen(group);
    return strncmp(command->words, group, size) == 0 && command->words[size] == ' ';
}

static int unknown_command(char **words, int count) {
    const char *names[128] = {NULL};
    size_t named = 0;
    char typed[192];
    bool group = false;
    join_words(words, count, typed, sizeof typed);
    for (const struct cli_command *command = cli_commands; command->words && named < 127; command++) {
        group = group || is_group(command, typed);
        names[named++] = command->words;
    }
    if (group) {
        fprintf(stderr, "plinth: %s what? There are:\n", typed);
        for (const struct cli_command *command = cli_commands; command->words; command++)
            if (is_group(command, typed)) fprintf(stderr, "  plinth %s\n", command->words);
        return CLI_USAGE;
    }
    /* Three words are looked up as three, then the first two, then the first alone ("statsu x" means status). */
    const char *nearest = NULL;
    for (int used = count < 3 ? count : 3; !nearest && used > 0; used--) {
        join_words(words, used, typed, sizeof typed);
        nearest = suggest_nearest(typed, names);
    }
    join_words(words, count < 2 ? count : 2, typed, sizeof typed);
    if (nearest) return cli_fail(CLI_USAGE, "unknown command '%s', did you mean '%s'?", typed, nearest);
    return cli_fail(CLI_USAGE, "unknown command '%s'; 'plinth --help' lists all", typed);
}

/* ---- running it ---- */

static bool read_globals(struct cli *cli) {
    static const char *const formats[] = {"table", "json", "csv", NULL};
    const struct options *options = &cli->options;
    const char *database = options_value(options, "database"), *space = options_value(options, "space");
    const char *format = options_value(options, "output"), *timeout = options_value(options, "timeout");
    struct plinth_error error = {0};
    unsigned which = OUTPUT_TABLE;
    cli->server = options_value_of(options, &cli_global_options[0]);
    cli->database = database ? database : "";
    cli->space = space ? space : "";
    cli->quiet = options_value(options, "quiet") != NULL;
    cli->timeout_ms = 10000;
    if (options_value(options, "hex")) cli->bytes = BYTES_HEX;
    if (options_value(options, "base64")) cli->bytes = BYTES_BASE64;
    enum plinth_status st = options_check_address("server", cli->server, &error);
    if (!st && format) st = options_parse_word("output", format, formats, &which, &error);
    if (!st && timeout) st = options_parse_duration("timeout", timeout, &cli->timeout_ms, &error);
    cli->format = (enum output_format)which;
    if (st) cli_fail(CLI_USAGE, "%s", error.text);
    return !st;
}

static int run(struct cli *cli, const struct cli_command *command, int argc, char **argv) {
    const struct option_spec *tables[] = {cli_global_options, command->options, NULL};
    struct plinth_error error;
    if (options_parse(&cli->options, tables, argc, argv, false, &error))
        return cli_fail(CLI_USAGE, "%s: %s; see 'plinth %s --help'", command->words, error.text, command->words);
    if (options_value(&cli->options, "help")) {
        print_command_help(stdout, command);
        return CLI_OK;
    }
    int count = cli->options.operand_count;
    if (count < command->operands_min || count > command->operands_max)
        return cli_fail(CLI_USAGE, "%s: %s; usage: plinth %s%s %s", command->words,
                        count < command->operands_min ? "an argument is missing" : "too many arguments", command->words,
                        command->options ? " [OPTION...]" : "", command->operands);
    if (!read_globals(cli)) return CLI_USAGE;
    bool patient = command->run == cli_flush || command->run == cli_compact || command->run == cli_index_create ||
                   command->run == cli_jobs_run;
    if (patient && !options_value(&cli->options, "timeout")) cli->timeout_ms = 0;
    int code = command->run(cli);
    rpc_client_destroy(cli->client);
    return code;
}

int main(int argc, char **argv) {
    static struct cli cli;
    const struct option_spec *tables[] = {cli_global_options, NULL};
    struct plinth_error error;
    int used;
    log_event_configure(LOG_OFF, false);
    if (options_parse(&cli.options, tables, argc, argv, true, &error))
        return cli_fail(CLI_USAGE, "%s; see 'plinth --help'", error.text);
    char **words = cli.options.operands;
    int count = cli.options.operand_count;
    bool help = options_value(&cli.options, "help") != NULL;
    if (options_value(&cli.options, "version")) {
        printf("plinth %s\n", PLINTH_VERSION);
        return CLI_OK;
    }
    if (count && strcmp(words[0], "help") == 0) {
        help = true;
        words++;
        count--;
    }
    if (!count) {
        print_general_help(help ? stdout : stderr);
        return help ? CLI_OK : CLI_USAGE;
    }
    const struct cli_command *command = find_command(words, count, &used);
    if (!command) return unknown_command(words, count);
    if (help) {
        print_command_help(stdout, command);
        return CLI_OK;
    }
    return run(&cli, command, count - used + 1, words + used - 1);
}
