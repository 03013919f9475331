"""The tables of docs/parquet.md are what these runs find: each feature is written and read, and the document must say the
same. PLINTH_WRITE_DOCS=1 writes the tables anew."""
import decimal
import os
import pathlib

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parquet_library
from parquet_library import ParquetError, load_library

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "parquet.md"
ROWS = 300


def nullable(values):
    return [None if i % 7 == 3 else v for i, v in enumerate(values)]


def column(kind, values, through=None):
    array = pa.array(nullable(values), through or kind)
    return array.view(kind) if through else array


N = range(ROWS)
PHYSICAL = {
    "BOOLEAN": column(pa.bool_(), [i % 3 == 0 for i in N]),
    "INT32": column(pa.int32(), [i * 7 - 500 for i in N]),
    "INT64": column(pa.int64(), [i * 7000000000 - 500 for i in N]),
    "FLOAT": column(pa.float32(), [i / 8 for i in N]),
    "DOUBLE": column(pa.float64(), [i / 7 for i in N]),
    "BYTE_ARRAY": column(pa.binary(), [b"value %d" % (i // 3) for i in N]),
    "FIXED": column(pa.binary(5), [b"%05d" % i for i in N]),
}
ENCODINGS = ["PLAIN", "DICTIONARY", "RLE", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY",
             "BYTE_STREAM_SPLIT"]
TYPES = {
    "int8, int16, uint8, uint16": [column(k, [i % 100 for i in N]) for k in (pa.int8(), pa.int16(), pa.uint8(), pa.uint16())],
    "uint32, uint64": [column(k, [i * 10**7 for i in N]) for k in (pa.uint32(), pa.uint64())],
    "float16": [column(pa.float16(), [i / 4 for i in N])],
    "decimal of up to 38 digits": [column(pa.decimal128(p, 2), [decimal.Decimal(i * 10 ** (p - 6)) / 100 for i in N])
                                   for p in (9, 18, 38)],
    "decimal of up to 76 digits": [column(pa.decimal256(60, 2), [decimal.Decimal(i) / 100 for i in N])],
    "string": [column(pa.string(), [f"wört {i % 50}" for i in N])],
    "date": [column(pa.date32(), [i * 100 for i in N], pa.int32())],
    "time (ms, µs, ns)": [column(pa.time32("ms"), [i * 1000 for i in N], pa.int32()),
                          *[column(pa.time64(u), [i * 1000 for i in N], pa.int64()) for u in ("us", "ns")]],
    "timestamp (ms, µs, ns), with and without zone": [
        column(pa.timestamp(u, z), [i * 10**9 for i in N], pa.int64()) for u in ("ms", "us", "ns") for z in (None, "UTC")],
    "null": [pa.nulls(ROWS)],
    "list": [pa.array(nullable([[i, None, 3][: i % 4] for i in N]), pa.list_(pa.field("element", pa.int64())))],
    "struct": [pa.array(nullable([{"x": i, "y": None if i % 5 == 0 else str(i)} for i in N]))],
    "map": [pa.array(nullable([[(f"k{k}", k) for k in range(i % 3)] for i in N]), pa.map_(pa.string(), pa.int64()))],
    "list of structs of maps of lists": [pa.array(
        nullable([[{"m": [(k, [k, None]) for k in range(i % 3)]}, None] for i in N]),
        pa.list_(pa.field("element", pa.struct([("m", pa.map_(pa.int64(), pa.list_(pa.field("element", pa.int64()))))]))))],
}
CODECS = ["NONE", "SNAPPY", "GZIP", "BROTLI", "LZ4", "ZSTD"]
MARKS = {True: "yes", False: "no", None: "–"}


class Runs:
    def __init__(self, library, directory):
        self.library, self.path = library, directory / "feature.parquet"
        self.duckdb = duckdb.connect()
        self.duckdb.execute("SET TimeZone='UTC'")

    def by_pyarrow(self, table):
        try:
            return pq.read_table(self.path).equals(table)
        except (OSError, pa.ArrowException, NotImplementedError):
            return False

    def by_duckdb(self, table):
        """The same as what DuckDB makes of the values themselves."""
        try:
            found = self.duckdb.execute(f"SELECT * FROM read_parquet('{self.path}')").to_arrow_table()
        except duckdb.Error:
            return False
        try:
            return found.cast(table.schema).equals(table)
        except pa.ArrowException:
            self.duckdb.register("given", table)
            return found.equals(self.duckdb.execute("SELECT * FROM given").to_arrow_table().cast(found.schema))

    def by_plinth(self, table):
        try:
            return self.library.read(self.path).equals(table)
        except ParquetError:
            return False

    def plinth_writes(self, table, **options):
        """(written, pyarrow reads, DuckDB reads, Plinth reads)"""
        try:
            self.library.write(self.path, table, **options)
        except ParquetError:
            return False, None, None, None
        return True, self.by_pyarrow(table), self.by_duckdb(table), self.by_plinth(table)

    def pyarrow_writes(self, table, **options):
        """Whether Plinth reads it; None when pyarrow does not write it."""
        try:
            pq.write_table(table, self.path, store_schema=False, **options)
        except (OSError, pa.ArrowException, NotImplementedError):
            return None
        return self.by_plinth(table)


def encoding_options(kind, encoding):
    if encoding == "DICTIONARY":
        return {"use_dictionary": True}
    return {"use_dictionary": False, "column_encoding": {"a": encoding}}


def encoding_rows(runs):
    for encoding in ENCODINGS:
        for kind, array in PHYSICAL.items():
            table = pa.table({"a": array})
            wrote, *read = runs.plinth_writes(
                table, column_options=[{"column": b"a", "has_encoding": True,
                                        "encoding": parquet_library.ENCODINGS[encoding]}]) if not (
                encoding == "DICTIONARY" and kind == "BOOLEAN") else (False, None, None, None)
            if not wrote:
                continue
            with runs.library.open(runs.path) as file:
                number = parquet_library.ENCODINGS[encoding]
                assert file.chunk(0, 0).encodings >> number & 1, f"{encoding} of {kind} was not used"
            yield [encoding, kind, *read, runs.pyarrow_writes(table, **encoding_options(kind, encoding))]


def both_ways(runs, name, arrays, ours, theirs):
    table = pa.table({f"c{i}": a for i, a in enumerate(arrays)})
    wrote, *read = runs.plinth_writes(table, **ours)
    assert wrote, name
    return [name, *read, runs.pyarrow_writes(table, **theirs)]


def make_tables(runs):
    readers = ["pyarrow reads", "DuckDB reads", "Plinth reads", "Plinth reads pyarrow's"]
    everything = list(PHYSICAL.values())[:6]
    yield "encodings", ["encoding", "type", *readers], list(encoding_rows(runs))
    yield "codecs", ["codec", *readers], [
        both_ways(runs, {"NONE": "UNCOMPRESSED", "LZ4": "LZ4_RAW"}.get(c, c), everything, {"codec": c}, {"compression": c})
        for c in CODECS]
    yield "types", ["type", *readers], [
        both_ways(runs, name, arrays, {}, {}) for name, arrays in TYPES.items()]
    features = {
        "data pages of version 1": ({"data_page_version": 1}, {"data_page_version": "1.0"}),
        "data pages of version 2": ({"data_page_version": 2}, {"data_page_version": "2.0"}),
        "page index": ({"page_rows": 20}, {"write_page_index": True, "data_page_size": 100}),
        "no page index": ({"no_page_index": True}, {"write_page_index": False}),
        "page checksums": ({}, {"write_page_checksum": True}),
        "several row groups": ({"row_group_rows": 64}, {"row_group_size": 64}),
        "no statistics": ({"no_statistics": True}, {"write_statistics": False}),
        "bloom filters": ({"column_options": [{"column": b"c1", "bloom_filter": True}]},
                          {"bloom_filter_options": {"c1": {"ndv": 100, "fpp": 0.01}}}),
        "sorting columns": ({"sorting": [{"column": b"c1"}]}, {"sorting_columns": [pq.SortingColumn(1)]}),
    }
    yield "features", ["feature", *readers], [
        both_ways(runs, name, everything, ours, theirs) for name, (ours, theirs) in features.items()]


def format_table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(c if isinstance(c, str) else MARKS[c] for c in row) + " |" for row in rows]
    return "\n".join(lines)


def test_the_document_says_what_the_runs_find(tmp_path):
    runs = Runs(load_library(), tmp_path)
    text = DOCUMENT.read_text()
    for name, header, rows in make_tables(runs):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        told, after = rest.split(end)
        found = format_table(header, rows) + "\n"
        assert all(row[header.index("Plinth reads")] and row[-1] in (True, None) for row in rows), found
        if os.environ.get("PLINTH_WRITE_DOCS") == "1":
            text = before + begin + found + end + after
        else:
            assert told == found, f"docs/parquet.md, {name}"
    if os.environ.get("PLINTH_WRITE_DOCS") == "1":
        DOCUMENT.write_text(text)
        pytest.skip("docs/parquet.md was written")
