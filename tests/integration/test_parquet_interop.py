"""Parquet between Plinth, pyarrow and DuckDB, both ways. All values are compared in one form: the hexadecimal PLAIN
encoding, as parquet_dump prints it."""
import datetime
import decimal
import hashlib
import itertools
import json
import math
import os
import pathlib
import random
import struct
import subprocess
import uuid

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parquet_thrift
from parquet_library import load_library

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN_DIR = pathlib.Path(os.environ.get("PLINTH_BIN_DIR", ROOT / "build" / "release" / "bin"))
COLUMNS = ["boolean", "int32", "int64", "int96", "float", "double", "string", "key", "fixed", "uuid", "date",
           "timestamp", "decimal", "uint32"]
STRIPE_ROWS, ROW_GROUP_ROWS = 256, 1100
EPOCH_JULIAN_DAY = 2440588


def dump(path, *options):
    done = subprocess.run([BIN_DIR / "parquet_dump", *options, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """(path, expected values by column) of every file that parquet_generate writes."""
    directory = tmp_path_factory.mktemp("generated")
    subprocess.run([BIN_DIR / "parquet_generate", directory], check=True)
    tables = {}
    files = []
    for line in (directory / "files.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["table"] not in tables:
            tables[entry["table"]] = json.loads((directory / entry["table"]).read_text())
        files.append((directory / entry["file"], tables[entry["table"]]))
    assert len(files) == 144
    return files


# ---- Values in one form


def plain(name, value):
    """The PLAIN encoding of a Python value of one of the sample table's columns."""
    if value is None:
        return None
    if name == "boolean":
        return "01" if value else "00"
    if name in ("int32", "date"):
        return struct.pack("<i", value).hex()
    if name == "uint32":
        return struct.pack("<I", value).hex()
    if name in ("int64", "timestamp"):
        return struct.pack("<q", value).hex()
    if name == "float":
        return struct.pack("<f", value).hex()
    if name == "double":
        return struct.pack("<d", value).hex()
    if name == "int96":
        day, nanoseconds = divmod(value, 86_400_000_000_000)
        return struct.pack("<QI", nanoseconds, day + EPOCH_JULIAN_DAY).hex()
    if name == "decimal":
        return int(value.scaleb(3)).to_bytes(9, "big", signed=True).hex()
    if name == "uuid" and isinstance(value, uuid.UUID):
        return value.bytes.hex()
    return value.encode().hex() if isinstance(value, str) else value.hex()


def arrow_values(table, name):
    column = table.column(name)
    if name == "date":
        column = column.cast(pa.int32())
    if name in ("timestamp", "int96"):
        column = column.cast(pa.int64())
    return [plain(name, value) for value in column.to_pylist()]


def duckdb_values(connection, path, name):
    expression = f'"{name}"'
    if name == "timestamp":
        expression = f'epoch_us("{name}")'
    elif name == "int96":
        expression = f'epoch_ns("{name}")'
    elif name == "date":
        expression = f"\"{name}\" - DATE '1970-01-01'"
    rows = connection.execute(f"SELECT {expression} FROM read_parquet(?)", [str(path)]).fetchall()
    return [plain(name, value) for (value,) in rows]


# ---- Written by Plinth


def test_pyarrow_reads_every_value_and_agrees_with_every_checksum(generated):
    for path, expected in generated:
        table = pq.read_table(path, page_checksum_verification=True)
        assert table.column_names == COLUMNS
        for name in COLUMNS:
            assert arrow_values(table, name) == expected[name], f"{path.name}: {name}"


def test_duckdb_reads_every_value(generated):
    connection = duckdb.connect()
    connection.execute("SET threads = 1; SET TimeZone = 'UTC'")
    for path, expected in generated:
        for name in COLUMNS:
            if "BYTE_STREAM_SPLIT" in path.name and name in ("fixed", "uuid", "decimal"):
                continue  # DuckDB 1.2 has it only for numbers
            if name == "decimal":  # wider than DuckDB's reading of FIXED decimals in Python would show exactly
                rows = connection.execute(f'SELECT "{name}"::VARCHAR FROM read_parquet(?)', [str(path)]).fetchall()
                values = [plain(name, None if v is None else decimal.Decimal(v)) for (v,) in rows]
            elif name == "int96":
                values = [v and v[:24] for v in duckdb_values(connection, path, name)]
            else:
                values = duckdb_values(connection, path, name)
            wanted = expected[name]
            if name == "int96":  # DuckDB reads it as a time stamp in microseconds
                values = [None if v is None else microseconds(v) for v in values]
                wanted = [None if v is None else microseconds(v) for v in wanted]
            assert values == wanted, f"{path.name}: {name}"


def microseconds(int96_hex):
    nanoseconds, day = struct.unpack("<QI", bytes.fromhex(int96_hex))
    return (day - EPOCH_JULIAN_DAY) * 86_400_000_000 + nanoseconds // 1000


def order_key(name):
    """What the column's values are ordered by, from their PLAIN form."""
    formats = {"int32": "<i", "date": "<i", "uint32": "<I", "int64": "<q", "timestamp": "<q", "float": "<f", "double": "<d"}
    if name in formats:
        return lambda value: struct.unpack(formats[name], bytes.fromhex(value))[0]
    if name == "decimal":
        return lambda value: int.from_bytes(bytes.fromhex(value), "big", signed=True)
    if name == "int96":
        return lambda value: struct.unpack("<qi", bytes.fromhex(value))[::-1]
    return bytes.fromhex


def exact_bounds(name, values):
    values = [v for v in values if v is not None]
    return (min(values, key=order_key(name)), max(values, key=order_key(name))) if values else (None, None)


def group_slices(expected):
    rows = len(expected["key"])
    return [{name: expected[name][i : i + ROW_GROUP_ROWS] for name in COLUMNS} for i in range(0, rows, ROW_GROUP_ROWS)]


def check_sizes(name, sizes, values, lists=None, optional=()):
    """SizeStatistics (of a chunk), or the same lists of a page index for one page. `optional`: whether list and element are."""
    there = [v for v in values if v is not None]
    assert sizes.get(1) == (sum(len(v) // 2 for v in there) if name in ("string", "key") else None)
    if lists is None:
        assert 2 not in sizes and 3 not in sizes
        return
    begun = len(lists)
    assert sizes[2] == [begun, len(values) - begun]
    nulls, empty = lists.count(None), lists.count([])
    expected = [empty, *([values.count(None) - nulls - empty] if optional[1] else []), len(there)]
    if optional[0]:
        expected.insert(0, nulls)
    assert sizes.get(3) == (expected if any(optional) else None)


def test_pyarrow_sees_the_right_statistics_sorting_and_indexes(generated):
    for path, expected in generated:
        metadata = pq.read_metadata(path)
        groups = group_slices(expected)
        assert metadata.num_row_groups == len(groups)
        assert metadata.metadata[b"plinth.hidden"] == b"12"
        assert metadata.created_by.startswith("plinth-parquet version ")
        for g, group in enumerate(groups):
            row_group = metadata.row_group(g)
            assert [c.column_index for c in row_group.sorting_columns] == [COLUMNS.index("key")]
            for c, name in enumerate(COLUMNS):
                chunk = row_group.column(c)
                low, high = exact_bounds(name, group[name])
                assert chunk.has_offset_index
                assert chunk.has_column_index
                assert chunk.statistics.null_count == group[name].count(None)
                assert chunk.statistics.has_min_max == (low is not None and name != "int96")
                if not chunk.statistics.has_min_max or name in ("string", "fixed", "uuid", "decimal"):
                    continue
                found_low, found_high = chunk.statistics.min_raw, chunk.statistics.max_raw
                if name in ("date", "timestamp", "uint32"):
                    found_low, found_high = (int.from_bytes(struct.pack("<q", v), "little", signed=True) for v in (found_low, found_high))
                if name == "uint32":
                    found_low, found_high = found_low & 0xFFFFFFFF, found_high & 0xFFFFFFFF
                assert (plain(name, found_low), plain(name, found_high)) == (low, high), f"{path.name}: {name}"


def test_the_page_index_is_as_the_specification_says(generated):
    """Read by another Thrift decoder: bounds hold, are exact where nothing was cut, and every page lies where it says."""
    for path, expected in generated:
        data = path.read_bytes()
        footer = parquet_thrift.footer(data)
        for row_group, group in zip(footer.get(4, []), group_slices(expected)):
            rows = len(group["key"])
            pages = math.ceil(rows / STRIPE_ROWS)
            for name, chunk in zip(COLUMNS, row_group[1]):
                offset_index = parquet_thrift.Reader(data, chunk[4]).struct()
                locations = offset_index[1]
                assert [page[3] for page in locations] == [i * STRIPE_ROWS for i in range(pages)]
                assert [page[1] for page in locations[1:]] == [page[1] + page[2] for page in locations[:-1]]
                assert locations[0][1] == chunk[3][9]
                for page in locations:
                    reader = parquet_thrift.Reader(data, page[1])
                    header = reader.struct()
                    assert header[1] in (0, 3)
                    assert reader.at + header[3] == page[1] + page[2]
                check_sizes(name, chunk[3].get(16, {}), group[name])
                assert (2 in offset_index) == (name in ("string", "key"))
                index = parquet_thrift.Reader(data, chunk[6]).struct()
                assert len(index[1]) == len(index[2]) == len(index[3]) == len(index[5]) == pages
                key = order_key(name)
                lows, highs = [], []
                for i in range(pages):
                    values = group[name][i * STRIPE_ROWS : (i + 1) * STRIPE_ROWS]
                    low, high = exact_bounds(name, values)
                    assert index[5][i] == values.count(None)
                    assert index[1][i] == (low is None)
                    assert (8 in index) == (name in ("float", "double")) and not any(index.get(8, []))
                    check_sizes(name, {1: offset_index[2][i]} if 2 in offset_index else {}, values)
                    if low is None:
                        assert index[2][i] == index[3][i] == b""
                        continue
                    found = index[2][i].hex(), index[3][i].hex()
                    assert key(found[0]) <= key(low) and key(high) <= key(found[1])
                    if name == "string":
                        assert len(index[2][i]) <= 7 and len(index[3][i]) <= 7
                        index[2][i].decode(), index[3][i].decode()  # still UTF-8
                    else:
                        assert found == (low, high), f"{path.name}: {name} page {i}"
                    lows.append(key(found[0]))
                    highs.append(key(found[1]))
                ascending = lows == sorted(lows) and highs == sorted(highs)
                descending = lows == sorted(lows, reverse=True) and highs == sorted(highs, reverse=True)
                assert index[4] == (1 if ascending else 2 if descending else 0)


def test_bloom_filters_lie_before_the_data_that_they_spare(generated):
    found = 0
    for path, _ in generated:
        for row_group in parquet_thrift.footer(path.read_bytes()).get(4, []):
            chunks = [chunk[3] for chunk in row_group[1]]
            first = min(chunk.get(11, chunk[9]) for chunk in chunks)
            for chunk in chunks:
                if 14 in chunk:
                    assert chunk[14] + chunk[15] <= first
                    found += 1
    assert found > 0


def test_pages_end_after_their_rows_or_bytes(tmp_path):
    """By rows where values are small, by about 1 MiB where they are large, and never within a row."""
    library, path = load_library(), tmp_path / "pages.parquet"
    texts = [bytes([i % 251]) * (300_000 if i % 2 else 10) for i in range(200)]
    table = pa.table({"n": pa.array(range(200), pa.int64()), "b": pa.array(texts), "big": pa.array([[b"y" * 100] * (i * 200) for i in range(200)])})
    library.write(path, table, codec="NONE", encoding="PLAIN", page_rows=50)
    data = path.read_bytes()
    for chunk, cap in zip(parquet_thrift.footer(data)[4][0][1], (50 * 8, 1_400_000, 5_500_000)):
        pages = parquet_thrift.Reader(data, chunk[4]).struct()[1]
        firsts = [page[3] for page in pages] + [200]
        assert all(0 < b - a <= 50 for a, b in zip(firsts, firsts[1:]))
        assert all(page[2] <= cap + 1000 for page in pages)
    assert library.read(path).equals(pq.read_table(path).cast(library.read(path).schema))


def test_duckdb_finds_what_is_there_by_bloom_filter_and_misses_what_is_not(generated):
    connection = duckdb.connect()
    probes = excluded = 0
    for path, expected in generated[::7]:
        groups = group_slices(expected)
        for g, group in enumerate(groups):
            for value in [v for v in group["key"] if v][:5]:
                rows = connection.execute(
                    "SELECT row_group_id, bloom_filter_excludes FROM parquet_bloom_probe(?, 'key', ?::BLOB)",
                    [str(path), bytes.fromhex(value)],
                ).fetchall()
                assert len(rows) == len(groups)
                assert dict(rows)[g] is False, f"{path.name}: {value}"
        for i in range(20 if groups and any(groups[0]["key"]) else 0):
            rows = connection.execute(
                "SELECT bloom_filter_excludes FROM parquet_bloom_probe(?, 'key', ?::BLOB)", [str(path), b"nobody:%d" % i]
            ).fetchall()
            probes += len(rows)
            excluded += sum(row[0] for row in rows)
        found = connection.execute("SELECT count(*) FROM read_parquet(?) WHERE int64 = 5", [str(path)]).fetchone()[0]
        assert found == expected["int64"].count(plain("int64", 5))
    assert probes > 100 and excluded > probes * 0.9


def test_duckdb_prunes_and_filters_to_the_right_rows(generated):
    connection = duckdb.connect()
    for path, expected in generated:
        for value in expected["key"][:: max(1, len(expected["key"]) // 3)]:
            if value is None:
                continue
            found = connection.execute(
                'SELECT count(*) FROM read_parquet(?) WHERE "key" = ?::BLOB', [str(path), bytes.fromhex(value)]
            ).fetchone()[0]
            assert found == expected["key"].count(value)


def test_the_dump_tool_reads_back_what_was_written(generated):
    for path, expected in generated[::5]:
        for options in ([], ["--stripes"], ["--mapped"], ["--mapped", "--stripes"]):
            for column in dump(path, *options)["columns"]:
                assert column["values"] == expected[column["path"]], f"{path.name}: {column['path']} {options}"


# ---- Lists written by Plinth

LIST_STRIPE_ROWS, LIST_ROW_GROUP_ROWS = 100, 450


@pytest.fixture(scope="module")
def generated_lists(tmp_path_factory):
    """(path, expected lists by column) of every file that parquet_generate --lists writes."""
    directory = tmp_path_factory.mktemp("lists")
    subprocess.run([BIN_DIR / "parquet_generate", "--lists", directory], check=True)
    entries = [json.loads(line) for line in (directory / "files.jsonl").read_text().splitlines()]
    tables = {entry["table"]: json.loads((directory / entry["table"]).read_text()) for entry in entries}
    assert len(entries) == 42
    return [(directory / entry["file"], tables[entry["table"]]) for entry in entries]


def plain_lists(name, lists):
    return [None if values is None else [plain(name, value) for value in values] for values in lists]


def test_pyarrow_reads_every_list_and_agrees_with_every_checksum(generated_lists):
    integers = {"date": pa.int32(), "timestamp": pa.int64(), "int96": pa.int64()}
    for path, expected in generated_lists:
        table = pq.read_table(path, page_checksum_verification=True)
        assert table.column_names == ["row", *COLUMNS]
        assert table.column("row").to_pylist() == list(range(len(expected["key"])))
        for name in COLUMNS:
            column = table.column(name)
            if name in integers:
                column = column.cast(pa.list_(integers[name]))
            assert plain_lists(name, column.to_pylist()) == expected[name], f"{path.name}: {name}"


def test_pyarrow_reads_row_groups_and_columns_of_lists_by_themselves(generated_lists):
    for path, expected in generated_lists[::4]:
        file = pq.ParquetFile(path)
        for g in range(file.num_row_groups):
            found = file.read_row_group(g, columns=["int64"]).column("int64").to_pylist()
            rows = slice(g * LIST_ROW_GROUP_ROWS, (g + 1) * LIST_ROW_GROUP_ROWS)
            assert plain_lists("int64", found) == expected["int64"][rows]


def test_duckdb_reads_every_list(generated_lists):
    connection = duckdb.connect()
    connection.execute("SET threads = 1; SET TimeZone = 'UTC'")
    elements = {"timestamp": "epoch_us(v)", "int96": "epoch_ns(v)", "date": "v - DATE '1970-01-01'", "decimal": "v::VARCHAR"}
    for path, expected in generated_lists:
        for name in COLUMNS:
            if "BYTE_STREAM_SPLIT" in path.name and name in ("fixed", "uuid", "decimal"):
                continue  # DuckDB 1.2 has it only for numbers
            rows = connection.execute(
                f'SELECT list_transform("{name}", lambda v: {elements.get(name, "v")}) FROM read_parquet(?)'
                if duckdb.__version__ >= "1.3" else
                f'SELECT list_transform("{name}", v -> {elements.get(name, "v")}) FROM read_parquet(?)', [str(path)]
            ).fetchall()
            lists = [values for (values,) in rows]
            if name == "decimal":
                lists = [l and [None if v is None else decimal.Decimal(v) for v in l] for l in lists]
            found, wanted = plain_lists(name, lists), expected[name]
            if name == "int96":  # DuckDB reads it as a time stamp in microseconds
                found, wanted = ([l and [v and microseconds(v) for v in l] for l in s] for s in (found, wanted))
            assert found == wanted, f"{path.name}: {name}"


def test_duckdb_finds_rows_of_lists_by_the_flat_column_beside_them(generated_lists):
    """The pages of all columns break at the same rows, so that pruning by one column keeps the others in step."""
    connection = duckdb.connect()
    for path, expected in generated_lists[::3]:
        for row in range(0, len(expected["key"]), 77):
            found = connection.execute(
                'SELECT "key", len("string") FROM read_parquet(?) WHERE "row" = ?', [str(path), row]).fetchall()
            assert plain_lists("key", [found[0][0]]) == [expected["key"][row]]
            strings = expected["string"][row]
            assert found[0][1] == (None if strings is None else len(strings))


def slots_of(lists):
    """What Dremel levels make of lists: one slot for each value or null, also for an empty and for a null list."""
    return [value for values in lists for value in (values or [None])]


def test_pages_and_statistics_of_lists_are_as_the_specification_says(generated_lists):
    for path, expected in generated_lists:
        data = path.read_bytes()
        footer = parquet_thrift.footer(data)
        metadata = pq.read_metadata(path)
        for g, row_group in enumerate(footer.get(4, [])):
            first = g * LIST_ROW_GROUP_ROWS
            for c, name in enumerate(COLUMNS):
                chunk = row_group[1][1 + c]
                lists = expected[name][first : first + LIST_ROW_GROUP_ROWS]
                slots = slots_of(lists)
                pages = math.ceil(len(lists) / LIST_STRIPE_ROWS)
                assert chunk[3][5] == len(slots)
                statistics = metadata.row_group(g).column(1 + c).statistics
                assert statistics.null_count == slots.count(None)
                assert statistics.has_min_max == (any(slots) and name != "int96")
                locations = parquet_thrift.Reader(data, chunk[4]).struct()[1]
                assert [page[3] for page in locations] == [i * LIST_STRIPE_ROWS for i in range(pages)]
                index = parquet_thrift.Reader(data, chunk[6]).struct() if 6 in chunk else None
                field = pq.read_schema(path).field(name)
                optional = (field.nullable, field.type.value_field.nullable)
                check_sizes(name, chunk[3].get(16, {}), slots, lists, optional)
                sizes = parquet_thrift.Reader(data, chunk[4]).struct().get(2)
                for p, page in enumerate(locations):
                    rows = lists[p * LIST_STRIPE_ROWS : (p + 1) * LIST_STRIPE_ROWS]
                    slots = slots_of(rows)
                    reader = parquet_thrift.Reader(data, page[1])
                    header = reader.struct()
                    assert reader.at + header[3] == page[1] + page[2]
                    if header[1] == 3:
                        assert (header[8][1], header[8][2], header[8][3]) == (len(slots), slots.count(None), len(rows))
                        assert header[8][6] > 0 or not slots
                    else:
                        assert header[5][1] == len(slots)
                    if index:
                        low, high = exact_bounds(name, slots)
                        assert index[5][p] == slots.count(None)
                        assert index[1][p] == (low is None)
                        levels = 2 + sum(optional)
                        check_sizes(name, {1: sizes and sizes[p], 2: index[6][2 * p : 2 * p + 2],
                                           3: index[7][levels * p : levels * (p + 1)] if 7 in index else None},
                                    slots, rows, optional)
                        if low is not None and name not in ("float", "double"):
                            assert (index[2][p].hex(), index[3][p].hex()) == (low, high), f"{path.name}: {name} page {p}"


def test_the_dump_tool_reads_lists_back(generated_lists):
    for path, expected in generated_lists[::3]:
        for options in ([], ["--stripes"], ["--mapped"], ["--mapped", "--stripes"]):
            columns = {column["path"]: column for column in dump(path, *options)["columns"]}
            for name in COLUMNS:
                assert columns[f"{name}.list.element"]["values"] == expected[name], f"{path.name}: {name} {options}"


# ---- Written by others


def make_arrow_table(rows, null_share, seed):
    """Columns of every flat type, with the PLAIN form of every value."""
    rng = random.Random(seed)

    def column(make):
        return [None if rng.random() < null_share else make(i) for i in range(rows)]

    words = [f"wörter {i}" for i in range(40)]
    columns = {
        "boolean": (pa.bool_(), column(lambda i: rng.random() < 0.3), lambda v: b"\1" if v else b"\0"),
        "int8": (pa.int8(), column(lambda i: rng.randrange(-128, 128)), lambda v: struct.pack("<i", v)),
        "uint16": (pa.uint16(), column(lambda i: rng.randrange(65536)), lambda v: struct.pack("<i", v)),
        "int32": (pa.int32(), column(lambda i: rng.randrange(-(2**31), 2**31)), lambda v: struct.pack("<i", v)),
        "uint32": (pa.uint32(), column(lambda i: rng.randrange(2**32)), lambda v: struct.pack("<I", v)),
        "int64": (pa.int64(), column(lambda i: rng.randrange(-(2**63), 2**63)), lambda v: struct.pack("<q", v)),
        "rising": (pa.int64(), column(lambda i: i * 10 + rng.randrange(5)), lambda v: struct.pack("<q", v)),
        "uint64": (pa.uint64(), column(lambda i: rng.randrange(2**64)), lambda v: struct.pack("<Q", v)),
        "half": (pa.float16(), column(lambda i: rng.randrange(-100, 100) / 4), lambda v: struct.pack("<e", v)),
        "float": (pa.float32(), column(lambda i: rng.randrange(1000) / 8), lambda v: struct.pack("<f", v)),
        "double": (pa.float64(), column(lambda i: rng.random()), lambda v: struct.pack("<d", v)),
        "string": (pa.string(), column(lambda i: rng.choice(words)), lambda v: v.encode()),
        "unique": (pa.string(), column(lambda i: f"{i:06d}-{rng.random()}"), lambda v: v.encode()),
        "binary": (pa.binary(), column(lambda i: rng.randbytes(rng.randrange(30))), lambda v: v),
        "fixed": (pa.binary(7), column(lambda i: rng.randbytes(7)), lambda v: v),
        "date": (pa.date32(), column(lambda i: rng.randrange(-1000, 40000)), lambda v: struct.pack("<i", v)),
        "ms": (pa.timestamp("ms"), column(lambda i: rng.randrange(2**41)), lambda v: struct.pack("<q", v)),
        "us": (pa.timestamp("us", "UTC"), column(lambda i: rng.randrange(2**50)), lambda v: struct.pack("<q", v)),
        "time": (pa.time64("us"), column(lambda i: rng.randrange(86_400_000_000)), lambda v: struct.pack("<q", v)),
        "decimal": (pa.decimal128(18, 4), column(lambda i: decimal.Decimal(rng.randrange(-(10**12), 10**12)).scaleb(-4)), None),
    }
    arrays = {name: pa.array(values, kind) for name, (kind, values, _) in columns.items()}
    expected = {n: [None if v is None else e(v).hex() for v in values] for n, (_, values, e) in columns.items() if e}
    for size, name in ((8, "decimal"),):
        expected[name] = [None if v is None else int(v.scaleb(4)).to_bytes(size, "big", signed=True).hex()
                          for v in columns[name][1]]
    return pa.table(arrays), expected


def check_dump(path, expected, context):
    for options in ([], ["--mapped", "--stripes"]):
        found = dump(path, *options)
        by_name = {column["path"].split(".")[0]: column for column in found["columns"]}
        assert set(by_name) == set(expected)
        for name, values in expected.items():
            assert by_name[name]["values"] == values, f"{context}: {name} {options}"
    return found


CODECS = ["NONE", "SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4"]


@pytest.mark.parametrize("codec", CODECS)
def test_reads_what_pyarrow_writes(tmp_path, codec):
    encodings = {
        "delta": {"rising": "DELTA_BINARY_PACKED", "int32": "DELTA_BINARY_PACKED", "unique": "DELTA_BYTE_ARRAY",
                  "string": "DELTA_LENGTH_BYTE_ARRAY", "binary": "DELTA_BYTE_ARRAY", "fixed": "DELTA_BYTE_ARRAY",
                  "us": "DELTA_BINARY_PACKED"},
        "split": {"float": "BYTE_STREAM_SPLIT", "double": "BYTE_STREAM_SPLIT", "int64": "BYTE_STREAM_SPLIT",
                  "half": "BYTE_STREAM_SPLIT", "decimal": "BYTE_STREAM_SPLIT"},
    }
    combinations = itertools.product(["1.0", "2.0"], [0, 0.2, 1], [True, False, "delta", "split"], [True, False])
    for page_version, null_share, encoding, checksums in combinations:
        table, expected = make_arrow_table(700, null_share, hashlib.sha256(f"{codec}{page_version}".encode()).digest())
        path = tmp_path / "arrow.parquet"
        options = {"use_dictionary": encoding} if isinstance(encoding, bool) else {
            "use_dictionary": False, "column_encoding": encodings[encoding]}
        pq.write_table(table, path, compression=codec, data_page_version=page_version, write_page_index=checksums,
                       write_page_checksum=checksums, row_group_size=300, data_page_size=800, write_batch_size=64,
                       **options)
        found = check_dump(path, expected, f"{codec} {page_version} {null_share} {encoding}")
        for g, group in enumerate(found["row_groups"]):
            for column, chunk in zip(found["columns"], group["columns"]):
                values = expected[column["path"]][g * 300 : (g + 1) * 300]
                assert chunk["nulls"] == values.count(None)
                if checksums:
                    assert sum(page["rows"] for page in chunk["pages"]) == len(values)


def make_arrow_lists(rows, null_share, seed):
    """The columns of make_arrow_table as lists, some of them null, empty or long."""
    rng = random.Random(seed)
    offsets, nulls = [0], []
    for row in range(rows):
        is_null = rng.random() < null_share / 2
        length = 0 if is_null or rng.random() < 0.2 else 300 if row == rows // 2 else rng.randrange(1, 7)
        offsets.append(offsets[-1] + length)
        nulls.append(is_null)
    flat, values = make_arrow_table(offsets[-1], null_share, seed)

    def to_lists(of_elements):
        return [None if nulls[row] else of_elements[offsets[row] : offsets[row + 1]] for row in range(rows)]

    mask = pa.array(nulls)
    lists = {name: pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat.column(name).combine_chunks(), mask=mask)
             for name in flat.column_names}
    return pa.table(lists), {name: to_lists(values[name]) for name in flat.column_names}


@pytest.mark.parametrize("codec", ["NONE", "SNAPPY", "ZSTD", "LZ4"])
def test_reads_lists_that_pyarrow_writes(tmp_path, codec):
    """Also those of version 1 without a page index, where a list may be divided between pages."""
    divided = 0
    for page_version, null_share, dictionary, index in itertools.product(["1.0", "2.0"], [0, 0.3, 1], [True, False], [True, False]):
        table, expected = make_arrow_lists(500, null_share, hashlib.sha256(f"{codec}{page_version}".encode()).digest())
        path = tmp_path / "lists.parquet"
        pq.write_table(table, path, compression=codec, data_page_version=page_version, write_page_index=index,
                       row_group_size=300, data_page_size=500, write_batch_size=33, use_dictionary=dictionary)
        found = check_dump(path, expected, f"{codec} {page_version} {null_share} {dictionary} {index}")
        for group in found["row_groups"]:
            for chunk in group["columns"]:
                assert ("pages" in chunk) == index
                if index:
                    assert sum(page["rows"] for page in chunk["pages"]) == group["rows"]
        if page_version == "1.0" and not index:
            divided += 1
    assert divided == 6


def test_reads_lists_in_groups_and_bare_repeated_columns(tmp_path):
    """A list inside a struct, and elements that are structs: nulls of every level count as null lists or elements."""
    rows = [{"a": [1, None]}, None, {"a": None}, {"a": []}, {"a": [3]}]
    structs = [[{"n": 5}, None, {"n": None}], [], None, [{"n": 7}]] + [None]
    table = pa.table({"s": pa.array(rows, pa.struct([("a", pa.list_(pa.int32()))])),
                      "l": pa.array(structs, pa.list_(pa.struct([("n", pa.int32())])))})
    path = tmp_path / "nested.parquet"
    pq.write_table(table, path)
    columns = {column["path"]: column["values"] for column in dump(path)["columns"]}
    number = lambda v: None if v is None else struct.pack("<i", v).hex()
    assert columns["s.a.list.element"] == [[number(1), None], None, None, [], [number(3)]]
    assert columns["l.list.element.n"] == [[number(5), None, None], [], None, [number(7)], None]


@pytest.mark.parametrize("codec", ["uncompressed", "snappy", "zstd", "lz4_raw"])
def test_reads_lists_that_duckdb_writes(tmp_path, codec):
    connection = duckdb.connect()
    path = tmp_path / "duck.parquet"
    for version in ("v1", "v2"):
        connection.execute(
            f"""COPY (SELECT CASE WHEN i % 7 = 0 THEN NULL WHEN i % 5 = 0 THEN [] ELSE
                             [CASE WHEN (i + k) % 4 = 0 THEN NULL ELSE i * 10 + k END FOR k IN range(i % 9 + 1)] END::BIGINT[] AS a,
                             [('text ' || (k % 13)) FOR k IN range(i % 6)]::VARCHAR[] AS b,
                             CASE WHEN i % 1000 = 3 THEN [x / 3 FOR x IN range(3000)] ELSE [i / 7] END::DOUBLE[] AS c,
                             [k % 3 = 0 FOR k IN range(i % 4)]::BOOLEAN[] AS d
                      FROM range(5000) t(i) ORDER BY i)
                TO '{path}' (FORMAT parquet, COMPRESSION {codec}, ROW_GROUP_SIZE 2048, PARQUET_VERSION {version})"""
        )
        rows = connection.execute(f"SELECT * FROM read_parquet('{path}')").fetchall()
        encoders = [lambda v: struct.pack("<q", v), str.encode, lambda v: struct.pack("<d", v),
                    lambda v: b"\1" if v else b"\0"]
        expected = {name: [row[i] and [None if v is None else encoders[i](v).hex() for v in row[i]] for row in rows]
                    for i, name in enumerate("abcd")}
        check_dump(path, expected, f"{codec} {version}")


def test_reads_int96_and_old_format_versions_of_pyarrow(tmp_path):
    values = [0, 1_700_000_000_123_456_000, None, -5_000]
    table = pa.table({"when": pa.array(values, pa.timestamp("ns")), "n": pa.array([1, 2, 3, 4], pa.uint32())})
    path = tmp_path / "old.parquet"
    pq.write_table(table, path, version="1.0", use_deprecated_int96_timestamps=True)
    expected = {"when": [plain("int96", v) for v in values], "n": [struct.pack("<q", i).hex() for i in range(1, 5)]}
    check_dump(path, expected, "int96")


@pytest.mark.parametrize("codec", ["uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4_raw"])
def test_reads_what_duckdb_writes_and_its_bloom_filters(tmp_path, codec):
    connection = duckdb.connect()
    path = tmp_path / "duck.parquet"
    for version in ("v1", "v2"):
        connection.execute(
            f"""COPY (SELECT CASE WHEN i % 7 = 0 THEN NULL ELSE i::INTEGER END AS a, (i * 1000003)::BIGINT AS b,
                             'text ' || (i % 91) AS c, (i / 3)::DOUBLE AS d, i % 3 = 0 AS e, ('x' || i)::BLOB AS f
                      FROM range(5000) t(i) ORDER BY i)
                TO '{path}' (FORMAT parquet, COMPRESSION {codec}, ROW_GROUP_SIZE 2048, PARQUET_VERSION {version},
                             DICTIONARY_SIZE_LIMIT 2000)"""
        )
        rows = connection.execute(f"SELECT * FROM read_parquet('{path}')").fetchall()
        encoders = [lambda v: struct.pack("<i", v), lambda v: struct.pack("<q", v), str.encode,
                    lambda v: struct.pack("<d", v), lambda v: b"\1" if v else b"\0", lambda v: v]
        expected = {name: [None if row[i] is None else encoders[i](row[i]).hex() for row in rows]
                    for i, name in enumerate("abcdef")}
        check_dump(path, expected, f"{codec} {version}")
        filters = dump(path, "--bloom", "c", b"text 5".hex())
        assert True in filters or all(found is None for found in filters)
        assert False in filters or None in filters or dump(path, "--bloom", "c", b"nothing".hex()) == [False] * len(filters)


def test_a_damaged_page_is_named(tmp_path, generated):
    path, _ = next((p, e) for p, e in generated if p.name.startswith("required-v2-UNCOMPRESSED-PLAIN"))
    data = bytearray(path.read_bytes())
    chunk = parquet_thrift.footer(data)[4][0][1][COLUMNS.index("uuid")]
    offset = parquet_thrift.Reader(data, chunk[4]).struct()[1][1][1]
    data[offset + 200] ^= 1
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(data)
    done = subprocess.run([BIN_DIR / "parquet_dump", damaged], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "corrupt" in done.stderr and "uuid" in done.stderr and str(offset) in done.stderr and "checksum" in done.stderr
