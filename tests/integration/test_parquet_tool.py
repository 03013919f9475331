"""`plinth parquet`: schema, meta, head, cat, verify and rewrite, on files that pyarrow wrote with every option it has, on
the format's conformance files, on segments, and on damaged files. pyarrow says what is right."""
import csv
import datetime
import decimal
import io
import json
import math
import os
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import BIN_DIR, ROOT
from test_parquet_conformance import BAD, FILES, INT96_BEYOND_NANOSECONDS, LARGE, VALID

PLINTH = BIN_DIR / "plinth"

# What verify finds in files that are valid otherwise.
FLAWED = {
    # The column indexes say that pages have only nulls.
    "data/datapage_v1-uncompressed-checksum.parquet": "the column index says that there are only nulls",
    "data/nation.dict-malformed.parquet": "pages are encoded as PLAIN, which the footer does not list",
    "data/repeated_no_annotation.parquet": "the row groups have 6 rows, but the footer says 0",
}
GEOMETRIES = [n for n in VALID if n.startswith("data/geospatial/")]


def tool(*args, input=None):
    return subprocess.run([str(a) for a in (PLINTH, "parquet", *args)], input=input, capture_output=True, timeout=120,
                          stdin=subprocess.DEVNULL if input is None else None, check=False)


def output_of(*args, input=None):
    done = tool(*args, input=input)
    assert done.returncode == 0, (args, done.stderr.decode())
    assert not done.stderr, done.stderr.decode()
    return done.stdout.decode()


# ---- Files


def table_of(rows, seed=1):
    """A table of all kinds of columns, nested ones too."""
    rng = random.Random(seed)

    def column(make, type_, nulls=0.1):
        return pa.array([None if rng.random() < nulls else make(i) for i in range(rows)], type_)

    words = ["", "a", "word", "ümläut", 'quo"te', "com,ma", "two\nlines", "\\x00", "nul\0l"]
    return pa.table({
        "id": column(lambda i: i, pa.int64(), 0),
        "i8": column(lambda i: rng.randrange(-128, 128), pa.int8()),
        "u16": column(lambda i: rng.randrange(1 << 16), pa.uint16()),
        "u64": column(lambda i: rng.randrange(1 << 64), pa.uint64()),
        "f32": column(lambda i: rng.choice([0.0, -0.0, 1.5, -2.25, math.inf, math.nan]), pa.float32()),
        "f64": column(lambda i: rng.choice([rng.gauss(0, 1e9), 0.1, math.nan, -math.inf]), pa.float64()),
        "b": column(lambda i: rng.random() < 0.5, pa.bool_()),
        "s": column(lambda i: rng.choice(words) + str(rng.randrange(20)), pa.string()),
        "z": column(lambda i: rng.randbytes(rng.randrange(6)), pa.binary()),
        "w": column(lambda i: rng.randbytes(3), pa.binary(3)),
        "d": column(lambda i: decimal.Decimal(rng.randrange(-10**9, 10**9)).scaleb(-2), pa.decimal128(11, 2)),
        "wide": column(lambda i: decimal.Decimal(rng.randrange(-10**60, 10**60)).scaleb(-5), pa.decimal256(65, 5)),
        "day": column(lambda i: datetime.date(1970, 1, 1) + datetime.timedelta(rng.randrange(-50000, 50000)),
                      pa.date32()),
        "at": column(lambda i: rng.randrange(-10**15, 10**15), pa.timestamp("us")),
        "zoned": column(lambda i: rng.randrange(-10**12, 10**12), pa.timestamp("ms", "UTC")),
        "time": column(lambda i: rng.randrange(86400 * 10**6), pa.time64("us")),
        "nothing": pa.nulls(rows),
        "list": column(lambda i: [rng.choice([None, rng.randrange(9)]) for _ in range(rng.randrange(4))],
                       pa.list_(pa.int32())),
        "st": column(lambda i: {"x": rng.choice([None, i]), "deep": [{"k": str(k)} for k in range(i % 3)]},
                     pa.struct([("x", pa.int64()), ("deep", pa.list_(pa.struct([("k", pa.string())])))])),
        "map": column(lambda i: [(f"k{k}", rng.choice([None, k / 2])) for k in range(i % 4)],
                      pa.map_(pa.string(), pa.float64())),
    })


OPTIONS = {
    "default": {},
    "v1": dict(version="1.0", data_page_version="1.0"),
    "v2_pages": dict(data_page_version="2.0", write_page_checksum=True, write_page_index=True),
    "small_pages": dict(data_page_size=500, write_batch_size=16, write_page_index=True, row_group_size=333),
    "no_dictionary": dict(use_dictionary=False, write_page_checksum=True),
    "no_statistics": dict(write_statistics=False),
    "no_schema": dict(store_schema=False, use_compliant_nested_type=False),
    "split": dict(use_dictionary=False, use_byte_stream_split=["f32", "f64", "id"]),
    "delta": dict(use_dictionary=False, column_encoding={"id": "DELTA_BINARY_PACKED", "s": "DELTA_BYTE_ARRAY",
                                                         "z": "DELTA_LENGTH_BYTE_ARRAY"}),
    "int96": dict(use_deprecated_int96_timestamps=True),
    "decimal_as_integer": dict(store_decimal_as_integer=True),
    "bloom": dict(bloom_filter_options={"id": {"ndv": 2000}, "s": True}, write_page_checksum=True, write_page_index=True),
    "sorted": dict(sorting_columns=[pq.SortingColumn(0)]),
    **{c: dict(compression=c) for c in ("none", "snappy", "gzip", "brotli", "zstd", "lz4")},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """{name: path}: a table written with each of OPTIONS, and an empty one."""
    folder = tmp_path_factory.mktemp("made")
    table, paths = table_of(1000), {}
    for name, options in OPTIONS.items():
        paths[name] = folder / f"{name}.parquet"
        pq.write_table(table, paths[name], **options)
    paths["empty"] = folder / "empty.parquet"
    pq.write_table(table.slice(0, 0), paths["empty"])
    return paths


NAMES = [*OPTIONS, "empty"]


# ---- What cat shows


def two(number):
    return f"{number:02}"


def time_text(units, per_second, digits):
    seconds, fraction = divmod(units, per_second)
    text = ":".join(map(two, (seconds // 3600, seconds // 60 % 60, seconds % 60)))
    return text + (f".{fraction:0{digits}}" if fraction else "")


UNITS = {"s": (1, 0), "ms": (10**3, 3), "us": (10**6, 6), "ns": (10**9, 9)}


def shown(scalar):
    """What JSON has of a pyarrow scalar: texts, lists, dicts, and for numbers their kind and value."""
    type_ = scalar.type
    if isinstance(type_, pa.BaseExtensionType):
        if type_.extension_name == "arrow.uuid" and scalar.is_valid:
            return str(scalar.as_py())
        return shown(scalar.value) if scalar.is_valid else None
    if not scalar.is_valid:
        return None
    if pa.types.is_struct(type_):
        return {type_.field(i).name: shown(scalar[i]) for i in range(type_.num_fields)}
    if pa.types.is_map(type_):
        keys_values = [(shown(entry["key"]), shown(entry["value"])) for entry in (scalar.values or [])]
        return {k if isinstance(k, str) else key_text(k): v for k, v in keys_values}
    if pa.types.is_list(type_):
        return [shown(v) for v in scalar.values]
    if pa.types.is_timestamp(type_):
        per_second, digits = UNITS[type_.unit]
        days, rest = divmod(scalar.value, 86400 * per_second)
        return f"{date_text(days)}T{time_text(rest, per_second, digits)}" + ("Z" if type_.tz else "")
    if pa.types.is_time(type_):
        return time_text(scalar.value, *UNITS[type_.unit])
    if pa.types.is_date(type_):
        return str(scalar.as_py())
    if pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return bytes_text(scalar.as_py())
    if pa.types.is_floating(type_):
        return number(float(scalar.as_py()), 8 if type_ == pa.float64() else 4)
    return scalar.as_py()


def date_text(days):
    """Python's dates end in the year 9999; the calendar goes round every 400 years, of 146,097 days."""
    rounds, rest = divmod(days, 146097)
    day = datetime.date(1970, 1, 1) + datetime.timedelta(rest)
    year = day.year + 400 * rounds
    return f"{year:04}{day:-%m-%d}" if 0 <= year <= 9999 else f"{year:+05}{day:-%m-%d}"


def bytes_text(value):
    """As everywhere in the command line: text where it is printable, else hex."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\0"
    is_text = not text.startswith("\\x") and all(c >= " " and c != "\x7f" for c in text)
    return text if is_text else "\\x" + value.hex()


def key_text(value):
    return json.dumps(value) if not isinstance(value, tuple) else str(value[1])


def number(value, size):
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return ("float", struct.pack("<d" if size == 8 else "<f", value))


def same(found, expected):
    """`found` is parsed JSON whose numbers are Number."""
    if isinstance(expected, tuple):
        size = len(expected[1])
        return type(found) is Number and struct.pack("<d" if size == 8 else "<f", float(found)) == expected[1]
    if isinstance(expected, (int, decimal.Decimal)) and not isinstance(expected, bool):
        return type(found) is Number and decimal.Decimal(found) == expected
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[k], v) for k, v in expected.items())
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    return type(found) is type(expected) and found == expected


def read(path, columns):
    """Parts of structs stay in them."""
    return pq.ParquetFile(path).read(columns=columns)


def rows_of(table):
    columns = [[shown(v) for v in column] for column in table.columns]
    return [dict(zip(table.column_names, values)) for values in zip(*columns)]


class Number(str):
    """A number of JSON as it was written."""


def parsed(lines):
    return [json.loads(line, parse_float=Number, parse_int=Number) for line in lines.split("\n")[:-1]]


def assert_shows(lines, table):
    rows, expected = parsed(lines), rows_of(table)
    assert len(rows) == len(expected)
    for i, (row, wanted) in enumerate(zip(rows, expected)):
        assert list(row) == list(wanted)
        for name in wanted:
            assert same(row[name], wanted[name]), (i, name, row[name], wanted[name])


@pytest.mark.parametrize("name", NAMES)
def test_cat_shows_every_value(made, name):
    assert_shows(output_of("cat", made[name], "--format", "jsonl"), pq.read_table(made[name]))


@pytest.mark.parametrize("name", [n for n in VALID if n not in (LARGE, INT96_BEYOND_NANOSECONDS,
                                                                 "data/incorrect_map_schema.parquet")])
def test_cat_shows_the_conformance_files(name):
    table = pq.read_table(FILES / name)
    lines = output_of("cat", FILES / name, "--format", "jsonl")
    assert lines.count("\n") == table.num_rows
    if name not in GEOMETRIES:
        assert_shows(lines, table)


def test_cat_of_times_that_nanoseconds_do_not_reach(tmp_path):
    path = FILES / INT96_BEYOND_NANOSECONDS
    assert tool("cat", path).returncode == 1
    assert [row["a"] for row in parsed(output_of("cat", path, "--int96", "us", "--format", "jsonl"))][3] == \
        "2024-12-30T23:00:00"


def test_csv_has_nested_values_as_json_and_tells_nulls_from_empty_texts(made):
    table = pq.read_table(made["default"])
    text = output_of("cat", made["default"], "--format", "csv")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == table.column_names and len(rows) == 1 + table.num_rows
    for row, wanted in zip(rows[1:], rows_of(table)):
        cells = dict(zip(rows[0], row))
        for name in ("list", "st", "map"):
            if wanted[name] is not None:
                assert same(parsed(cells[name] + "\n")[0], wanted[name])
            else:
                assert cells[name] == ""
        assert cells["s"] == (wanted["s"] or "") and cells["at"] == (wanted["at"] or "")
        assert cells["d"] == ("" if wanted["d"] is None else str(wanted["d"]))
    one = pa.table({"a": ["", None, "x"], "b": [1, 2, 3]})
    path = made["default"].with_name("texts.parquet")
    pq.write_table(one, path)
    assert output_of("cat", path, "--format", "csv") == 'a,b\n"",1\n,2\nx,3\n'
    done = tool("cat", path, "--columns", "a", "--format", "csv")
    assert done.returncode == 1 and b"cannot tell a null from an empty line" in done.stderr


@pytest.mark.parametrize("skip, limit", [(0, 1), (0, 0), (5, 10), (332, 3), (666, 400), (999, 5), (1000, 5), (5000, 1)])
def test_skip_and_limit_choose_rows(made, skip, limit):
    for name in ("small_pages", "v2_pages"):
        lines = output_of("cat", made[name], "--skip", skip, "--limit", limit, "--columns", "st,id", "--format", "jsonl")
        assert_shows(lines, read(made[name], ["id", "st"]).slice(skip, limit))


def test_columns_are_paths(made):
    lines = output_of("cat", made["default"], "--columns", "map,st.deep", "--limit", 20, "--format", "jsonl")
    assert_shows(lines, read(made["default"], ["st.deep", "map"]).slice(0, 20))
    done = tool("cat", made["default"], "--columns", "st.nope")
    assert done.returncode == 1 and b"there is no column st.nope" in done.stderr


def test_head_is_a_table_of_ten_rows(made):
    text = output_of("head", made["default"])
    assert len(text.splitlines()) >= 11
    assert len(output_of("head", made["default"], "--columns", "id,list").splitlines()) == 11
    assert output_of("head", made["default"], "-n", "2", "--columns", "id,b", "--format", "jsonl").count("\n") == 2
    assert len(json.loads(output_of("head", made["default"], "-n", "3", "-o", "json"))) == 3
    assert json.loads(output_of("cat", made["empty"], "-o", "json")) == []


def test_standard_input_is_a_file_too(made):
    data = made["gzip"].read_bytes()
    for command in (["cat", "-", "--format", "jsonl"], ["schema", "-"], ["head", "-", "--format", "csv"]):
        from_path = output_of(*[made["gzip"] if a == "-" else a for a in command])
        assert output_of(*command, input=data) == from_path
    assert "standard input" in output_of("verify", "-", input=data)
    done = tool("cat", "-", input=data[:-1])
    assert done.returncode == 1 and b"standard input: not a Parquet file" in done.stderr
    assert tool("cat", "-", input=b"").returncode == 1


def test_a_reader_that_leaves_ends_it_quietly(made):
    command = f"'{PLINTH}' parquet cat '{made['none']}' --format jsonl | head -n 1"
    done = subprocess.run(["bash", "-c", command + "; exit ${PIPESTATUS[0]}"], capture_output=True, check=False)
    assert done.stdout.count(b"\n") == 1 and not done.stderr
    assert done.returncode in (0, 128 + signal.SIGPIPE)


# ---- What schema and meta show


@pytest.mark.parametrize("name", NAMES)
def test_schema_shows_what_pyarrow_knows(made, name):
    schema = pq.ParquetFile(made[name]).schema
    columns = list(csv.DictReader(io.StringIO(output_of("schema", made[name], "-o", "csv"))))
    assert [c["column"] for c in columns] == [schema.column(i).path for i in range(len(schema))]
    for i, column in enumerate(columns):
        about = schema.column(i)
        assert column["type"] == about.physical_type
        assert int(column["definition_level_max"]) == about.max_definition_level
        assert int(column["repetition_level_max"]) == about.max_repetition_level
    text = output_of("schema", made[name])
    assert text.startswith("message schema {\n") and text.endswith("}\n")
    assert "  optional fixed_len_byte_array(3) w;\n" in text.replace(" = 10", "")
    assert "binary s (STRING)" in text and "group list (LIST) {\n    repeated group list {" in text
    assert "date" not in text and "int32 day (DATE)" in text
    tree = json.loads(output_of("schema", made[name], "-o", "json"))
    assert [f["name"] for f in tree["fields"]] == pq.read_schema(made[name]).names
    assert tree["fields"][-1]["logical_type"] == "MAP"


@pytest.mark.parametrize("name", NAMES)
def test_meta_shows_what_pyarrow_knows(made, name):
    metadata = pq.read_metadata(made[name])
    meta = json.loads(output_of("meta", made[name], "--pages", "-o", "json"))
    assert meta["rows"] == metadata.num_rows and meta["columns"] == metadata.num_columns
    assert meta["created_by"] == metadata.created_by and meta["bytes"] == made[name].stat().st_size
    assert {p["key"]: p["value"] for p in meta["key_values"]} == \
        {k.decode(): v.decode() for k, v in (metadata.metadata or {}).items()}
    assert len(meta["row_groups"]) == metadata.num_row_groups
    for g, group in enumerate(meta["row_groups"]):
        assert group["rows"] == metadata.row_group(g).num_rows
        for c, column in enumerate(group["columns"]):
            assert_chunk_is(column, metadata.row_group(g).column(c))
    lines = list(csv.DictReader(io.StringIO(output_of("meta", made[name], "-o", "csv"))))
    assert len(lines) == metadata.num_row_groups * metadata.num_columns
    pages = list(csv.DictReader(io.StringIO(output_of("meta", made[name], "--pages", "-o", "csv"))))
    assert len(pages) == sum(len(c["pages"]) for g in meta["row_groups"] for c in g["columns"])
    text = output_of("meta", made[name], "--pages")
    assert f"rows         {metadata.num_rows}\n" in text and text.count("\npages of row group") == metadata.num_row_groups


def assert_chunk_is(column, known):
    names = {"LZ4": "LZ4_RAW"}
    assert column["column"] == known.path_in_schema and column["type"] == known.physical_type
    assert column["codec"] == names.get(known.compression, known.compression)
    assert set(column["encodings"]) == set(known.encodings)
    assert column["values"] == known.num_values
    assert column["compressed_bytes"] == known.total_compressed_size
    assert column["uncompressed_bytes"] == known.total_uncompressed_size
    if known.is_stats_set and known.statistics.has_null_count:
        assert column["nulls"] == known.statistics.null_count
    if known.is_stats_set and known.statistics.has_min_max and known.physical_type in ("INT32", "INT64") and \
            known.statistics.logical_type.type == "NONE":
        assert (column["min"], column["max"]) == (known.statistics.min, known.statistics.max)
    assert ("offset_index_bytes" in column) == known.has_offset_index
    pages = column["pages"]
    assert sum(p["header_bytes"] + p["compressed_bytes"] for p in pages) == column["compressed_bytes"]
    assert sum(p["values"] for p in pages if p["kind"].startswith("data")) == column["values"]
    assert all(p.get("crc_is_right", True) for p in pages)


def test_bounds_are_typed_values(tmp_path):
    table = pa.table({
        "s": ["b", "a"], "z": pa.array([b"\xff\x00", b"\x01"], pa.binary()),
        "d": pa.array([decimal.Decimal("-1.50"), decimal.Decimal("2.25")], pa.decimal128(9, 2)),
        "day": [datetime.date(2024, 2, 29), datetime.date(1969, 12, 31)],
        "at": pa.array([0, 1500], pa.timestamp("ms", "UTC")), "u": pa.array([2**32 - 1, 1], pa.uint32()),
        "f": [0.5, -1.5], "b": [True, False], "t": pa.array([61_000, 1], pa.time32("ms"))})
    pq.write_table(table, tmp_path / "x.parquet")
    columns = json.loads(output_of("meta", tmp_path / "x.parquet", "-o", "json"))["row_groups"][0]["columns"]
    assert [(c["min"], c["max"]) for c in columns] == [
        ("a", "b"), ("\\x01", "\\xff00"), (-1.5, 2.25), ("1969-12-31", "2024-02-29"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:01.500Z"), (1, 2**32 - 1), (-1.5, 0.5), (False, True),
        ("00:00:00.001", "00:01:01")]


@pytest.mark.parametrize("name", VALID)
def test_schema_and_meta_show_the_conformance_files(name):
    output_of("schema", FILES / name)
    assert json.loads(output_of("schema", FILES / name, "-o", "json"))["fields"]
    output_of("meta", FILES / name)
    if name != LARGE:
        output_of("meta", FILES / name, "--pages")
        json.loads(output_of("meta", FILES / name, "--pages", "-o", "json"))


# ---- Verify


def test_verify_finds_what_pyarrow_writes_wrongly(made):
    """Its size statistics of DELTA_BYTE_ARRAY leave some bytes out."""
    done = tool("verify", made["delta"])
    lines = done.stdout.decode().splitlines()
    size = sum(len(s.as_py().encode()) for s in pq.read_table(made["delta"]).column("s") if s.is_valid)
    assert done.returncode == 1 and len(lines) == 2
    assert f"row group 0, column s: the values have {size} bytes, but the size statistics say" in lines[0]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "delta"])
def test_verify_finds_nothing_in_files_of_pyarrow(made, name):
    assert f"{made[name]}: 0 findings;" in output_of("verify", made[name])
    assert json.loads(output_of("verify", made[name], "-o", "json")) == []
    assert output_of("verify", "-q", made[name]) == ""


@pytest.mark.parametrize("name", VALID)
def test_verify_of_the_conformance_files(name):
    done = tool("verify", FILES / name, "--max-memory", "2GiB")
    if name in FLAWED:
        assert done.returncode == 1 and FLAWED[name] in done.stdout.decode()
    else:
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize("name", sorted(BAD))
def test_verify_of_bad_files(name):
    done = tool("verify", FILES / name)
    assert done.returncode in (1, 2), done.stdout
    assert (done.returncode == 2) == bool(done.stderr)
    for command in (["cat", "--format", "jsonl"], ["cat", "--format", "csv"], ["head"], ["meta", "--pages"], ["schema"]):
        assert tool(command[0], FILES / name, *command[1:]).returncode in (0, 1)


def test_a_file_that_cannot_be_read_is_exit_code_2(made, tmp_path):
    for path, text in ((tmp_path / "missing", "No such file"), (ROOT / "README.md", "not a Parquet file"),
                       (FILES / "data/encrypt_columns_and_footer.parquet.encrypted", "footer is encrypted"),
                       (FILES / "data/encrypt_columns_plaintext_footer.parquet.encrypted", "encrypted"),
                       (FILES / LARGE, "over the memory limit")):
        done = tool("verify", made["none"], path)
        assert done.returncode == 2 and text in done.stderr.decode(), (path, done.stderr)
        assert f"{made['none']}: 0 findings" in done.stdout.decode()


def flipped(path, offset, tmp_path, mask=0x10):
    data = bytearray(path.read_bytes())
    data[offset] ^= mask
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(data)
    return damaged


def findings_of(path):
    done = tool("verify", path, "-o", "json")
    assert done.returncode == 1, (done.returncode, done.stderr)
    return json.loads(done.stdout)


def test_a_flipped_bit_in_a_page_is_named(made, tmp_path):
    for name in ("v2_pages", "no_dictionary", "bloom"):
        meta = json.loads(output_of("meta", made[name], "--pages", "-o", "json"))
        for column in meta["row_groups"][0]["columns"]:
            page = column["pages"][-1]
            if not page["compressed_bytes"]:
                continue
            found = findings_of(flipped(made[name], page["offset"] + page["header_bytes"] + page["compressed_bytes"] // 2,
                                        tmp_path))[0]
            assert (found["row_group"], found["column"], found["page"], found["offset"]) == \
                (0, column["column"], page["page"], page["offset"])
            assert "page checksum is" in found["finding"]


def test_wrong_statistics_are_found(tmp_path):
    """The bounds lie in the footer as they are."""
    table = pa.table({"n": pa.array(range(1000, 2000), pa.int64()), "s": [f"text {i:04}" for i in range(1000)]})
    path = tmp_path / "x.parquet"
    pq.write_table(table, path, compression="none", use_dictionary=False, store_schema=False, write_page_index=False)
    data = path.read_bytes()
    for wanted, column, text in ((struct.pack("<q", 1000), "n", "1000"), (struct.pack("<q", 1999), "n", "1999"),
                                 (b"text 0000", "s", "text 0000"), (b"text 0999", "s", "text 0999")):
        found = findings_of(flipped(path, data.rindex(wanted) + (len(wanted) - 1 if column == "s" else 0), tmp_path, 1))
        assert found[0]["column"] == column and text in found[0]["finding"]
        assert found[0]["row_group"] == 0


def test_wrong_page_indexes_are_found(tmp_path):
    table = pa.table({"n": pa.array(range(5000), pa.int64())})
    path = tmp_path / "x.parquet"
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_index=True, data_page_size=8000)
    meta = json.loads(output_of("meta", path, "--pages", "-o", "json"))
    column = meta["row_groups"][0]["columns"][0]
    pages = column["pages"]
    assert len(pages) > 3
    end = column["data_page_offset"] + column["compressed_bytes"]
    data = path.read_bytes()
    at = data.index(struct.pack("<q", pages[2]["min"]), end)  # the column index, behind the pages
    found = findings_of(flipped(path, at, tmp_path, 0x40))
    assert any(f["page"] == 2 and "its min in the column index" in f["finding"] for f in found) or \
        any("column index" in f["finding"] for f in found)
    assert found[0]["column"] == "n"
    # The offset index: everything in it is the place, size or first row of a page.
    begin = end + column["column_index_bytes"]
    noticed = 0
    for offset in range(begin, begin + column["offset_index_bytes"]):
        noticed += tool("verify", flipped(path, offset, tmp_path, 0x04)).returncode == 1
    assert noticed > 0.9 * column["offset_index_bytes"]


def test_missing_bits_of_bloom_filters_are_found(made, tmp_path):
    chunk = json.loads(output_of("meta", made["bloom"], "-o", "json"))["row_groups"][0]["columns"][0]
    assert chunk["column"] == "id"
    begin, size = chunk["bloom_filter_offset"], chunk["bloom_filter_bytes"]
    data = bytearray(made["bloom"].read_bytes())
    for i in range(begin + size - 320, begin + size):
        data[i] = 0
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(data)
    found = findings_of(damaged)
    assert any(f["column"] == "id" and f"the bloom filter at offset {begin} lacks" in f["finding"] for f in found)


def test_rows_that_are_not_sorted_as_said_are_found(tmp_path):
    pq.write_table(pa.table({"n": [1, 3, 2]}), tmp_path / "x.parquet", sorting_columns=[pq.SortingColumn(0)])
    found = findings_of(tmp_path / "x.parquet")
    assert len(found) == 1 and found[0]["column"] == "n" and "its row 2 does not belong" in found[0]["finding"]


def test_random_damage_never_does_harm(made, tmp_path):
    """Whatever the bytes: an exit code and a text, no crash."""
    rng = random.Random(5)
    data = made["bloom"].read_bytes()
    for _ in range(120):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 1, 4, 30])):
            damaged[rng.randrange(len(damaged)) if rng.random() < 0.5 else -rng.randrange(1, 6000)] = rng.randrange(256)
        path = tmp_path / "damaged.parquet"
        path.write_bytes(damaged)
        for command in (["verify"], ["meta", "--pages"], ["cat", "--format", "jsonl"], ["schema"]):
            done = tool(command[0], path, *command[1:])
            assert done.returncode in (0, 1, 2), (command, done.returncode, done.stderr)


# ---- Rewrite


def rewritten(path, tmp_path, *options):
    out = tmp_path / "out.parquet"
    output_of("rewrite", path, out, "--force", *options)
    assert output_of("verify", "-q", out) == ""
    assert not (tmp_path / "out.parquet.partial").exists()
    return out


def plain(value):
    return repr(value)


def assert_equal_tables(a, b):
    assert a.schema.equals(b.schema), f"{a.schema}\n{b.schema}"
    for name, x, y in zip(a.column_names, a.columns, b.columns):
        assert x.equals(y) or plain(x.to_pylist()) == plain(y.to_pylist()), name


@pytest.mark.parametrize("name", NAMES)
def test_a_rewritten_file_has_the_same_rows_and_schema(made, tmp_path, name):
    out = rewritten(made[name], tmp_path)
    before, after = pq.ParquetFile(made[name]), pq.ParquetFile(out)
    assert_equal_tables(after.read(), before.read())
    assert str(after.schema).splitlines()[1:] == str(before.schema).splitlines()[1:]
    assert after.metadata.metadata == before.metadata.metadata
    assert after.num_row_groups == (0 if name == "empty" else before.num_row_groups)


@pytest.mark.parametrize("name", [n for n in VALID if n not in FLAWED and n != LARGE and n not in GEOMETRIES])
def test_rewritten_conformance_files(tmp_path, name):
    out = rewritten(FILES / name, tmp_path, "--codec", "snappy")
    assert output_of("schema", out) == output_of("schema", FILES / name)
    options = ["--format", "jsonl", *(["--int96", "us"] if name == INT96_BEYOND_NANOSECONDS else [])]
    assert output_of("cat", out, *options) == output_of("cat", FILES / name, *options)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_geometries_would_lose_their_coordinate_systems(tmp_path, name):
    done = tool("rewrite", FILES / name, tmp_path / "out.parquet")
    assert done.returncode == 1 and b"its logical type cannot be written as it is" in done.stderr
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("codec, name", [("zstd:9", "ZSTD"), ("gzip", "GZIP"), ("brotli:5", "BROTLI"), ("lz4", "LZ4"),
                                         ("none", "UNCOMPRESSED"), ("SNAPPY", "SNAPPY")])
def test_codecs(made, tmp_path, codec, name):
    out = rewritten(made["default"], tmp_path, "--codec", codec)
    assert {c["codec"].replace("LZ4_RAW", "LZ4") for c in
            json.loads(output_of("meta", out, "-o", "json"))["row_groups"][0]["columns"]} == {name}
    assert_equal_tables(pq.read_table(out), pq.read_table(made["default"]))


def test_encodings_pages_row_groups_and_blooms_are_as_asked_for(made, tmp_path):
    out = rewritten(made["default"], tmp_path, "--encoding", "id=delta_binary_packed", "--encoding", "s=delta_byte_array",
                    "--encoding", "f64=byte_stream_split", "--encoding", "st=plain", "--page-rows", "100",
                    "--page-version", "1", "--row-group-rows", "400", "--bloom", "id,s", "--key-value", "a=b=c",
                    "--key-value", "d=")
    meta = json.loads(output_of("meta", out, "--pages", "-o", "json"))
    assert [g["rows"] for g in meta["row_groups"]] == [400, 400, 200]
    columns = {c["column"]: c for c in meta["row_groups"][0]["columns"]}
    assert "DELTA_BINARY_PACKED" in columns["id"]["encodings"]
    assert "DELTA_BYTE_ARRAY" in columns["s"]["encodings"]
    assert "BYTE_STREAM_SPLIT" in columns["f64"]["encodings"]
    assert set(columns["st.x"]["encodings"]) <= {"PLAIN", "RLE"}
    assert {n for n, c in columns.items() if "bloom_filter_offset" in c} == {"id", "s"}
    for column in columns.values():
        data = [p for p in column["pages"] if p["kind"] != "dictionary"]
        assert [p["rows"] for p in data] == [100] * 4 and {p["kind"] for p in data} == {"data"}
    assert {"key": "a", "value": "b=c"} in meta["key_values"] and {"key": "d", "value": ""} in meta["key_values"]
    assert_equal_tables(pq.read_table(out).replace_schema_metadata(), pq.read_table(made["default"]))
    again = rewritten(out, tmp_path / ".", "--dictionary", "on")  # the same file: safe with --force
    columns = {c["column"]: c for c in json.loads(output_of("meta", again, "-o", "json"))["row_groups"][0]["columns"]}
    assert "dictionary_page_offset" in columns["s"] and "bloom_filter_offset" in columns["s"]
    out = rewritten(made["default"], tmp_path, "--dictionary", "off")
    assert not any("dictionary_page_offset" in c
                   for c in json.loads(output_of("meta", out, "-o", "json"))["row_groups"][0]["columns"])


def test_columns_may_be_left_out(made, tmp_path):
    out = rewritten(made["default"], tmp_path, "--columns", "map,st.deep,id")
    expected = read(made["default"], ["id", "st.deep", "map"])
    assert pq.read_table(out).to_pylist() == expected.to_pylist()


SORTS = [["id:desc"], ["s"], ["s:desc", "id"], ["f64"], ["b", "day:desc"], ["d"], ["wide"], ["u64:desc"], ["st.x", "i8"],
         ["z", "time"], ["zoned"]]


def sort_key(value, type_):
    if value is None:
        return (2, 0)
    if isinstance(value, float) and math.isnan(value):
        return (1, 0)
    return (0, value.encode() if isinstance(value, str) else value)


@pytest.mark.parametrize("columns", SORTS, ids=",".join)
def test_sorting(made, tmp_path, columns):
    """Stable; nulls above all values, NaN above all numbers."""
    table = pq.read_table(made["small_pages"])
    rows = list(range(table.num_rows))
    for column in reversed(columns):
        name, _, direction = column.partition(":")
        values = [(row["st"] or {}).get("x") for row in table.select(["st"]).to_pylist()] if name == "st.x" \
            else table.column(name).to_pylist()
        rows.sort(key=lambda row: sort_key(values[row], None), reverse=direction == "desc")
    for memory in ((), ("--max-memory", "1MiB")):
        out = rewritten(made["small_pages"], tmp_path, "--sort", ",".join(columns), *memory)
        assert pq.read_table(out, columns=["id"]).column("id").to_pylist() == rows
    assert_equal_tables(pq.read_table(out), table.take(rows))
    assert json.loads(output_of("meta", out, "-o", "json"))["row_groups"][0]["sorting_columns"] == [
        {"column": c.partition(":")[0], "descending": c.endswith(":desc"), "nulls_first": c.endswith(":desc")}
        for c in columns]


def test_more_rows_than_memory_are_sorted_by_runs(tmp_path):
    rng = random.Random(3)
    table = pa.table({"k": [rng.randrange(1000) for _ in range(150_000)], "n": range(150_000),
                      "t": [["x" * (i % 5)] * (i % 3) for i in range(150_000)]})
    pq.write_table(table, tmp_path / "in.parquet")
    out = tmp_path / "out.parquet"
    done = json.loads(output_of("rewrite", tmp_path / "in.parquet", out, "--sort", "k", "--max-memory", "1MiB", "-o", "json"))
    assert done["rows"] == 150_000 and done["sorted_runs"] > 5
    assert sorted(os.listdir(tmp_path)) == ["in.parquet", "out.parquet"]
    assert pq.read_table(out).equals(table.sort_by([("k", "ascending"), ("n", "ascending")]))
    assert output_of("verify", "-q", out) == ""


def test_an_output_is_whole_or_not_there(made, tmp_path):
    out = tmp_path / "out.parquet"
    damaged = flipped(made["no_dictionary"], 3000, tmp_path)
    done = tool("rewrite", damaged, out)
    assert done.returncode == 1 and b"row group 0, column" in done.stderr and b"page at offset" in done.stderr
    assert os.listdir(tmp_path) == ["damaged.parquet"]
    shutil.copy(made["default"], out)
    done = tool("rewrite", damaged, out, "--force")
    assert done.returncode == 1 and out.read_bytes() == made["default"].read_bytes()
    done = tool("rewrite", made["gzip"], out)
    assert done.returncode == 2 and b"is there already; --force replaces it" in done.stderr
    done = tool("rewrite", out, out)
    assert done.returncode == 2 and out.read_bytes() == made["default"].read_bytes()
    out.chmod(0o604)
    output_of("rewrite", out, out, "--force")
    assert out.stat().st_mode & 0o777 == 0o604
    assert_equal_tables(pq.read_table(out), pq.read_table(made["default"]))
    (tmp_path / "out.parquet.partial").write_text("of another one")
    done = tool("rewrite", made["gzip"], out, "--force")
    assert done.returncode == 2 and (tmp_path / "out.parquet.partial").read_text() == "of another one"


def test_an_interrupted_rewrite_leaves_nothing(tmp_path):
    rng = random.Random(1)
    pq.write_table(pa.table({"s": [rng.randbytes(40).hex() for _ in range(300_000)]}), tmp_path / "in.parquet")
    process = subprocess.Popen([PLINTH, "parquet", "rewrite", tmp_path / "in.parquet", tmp_path / "out.parquet",
                                "--codec", "brotli:11"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    while not (tmp_path / "out.parquet.partial").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    assert os.listdir(tmp_path) == ["in.parquet"]


@pytest.mark.parametrize("options, text", [
    (["--codec", "lzo"], "none of zstd"), (["--codec", "zstd:99"], "from 1 to 22"), (["--codec", "snappy:3"], "no levels"),
    (["--encoding", "id"], "not COLUMN=ENCODING"), (["--encoding", "id=morse"], "not COLUMN=ENCODING"),
    (["--encoding", "nope=plain"], "not there: nope"), (["--encoding", "s=delta_binary_packed"], "is not for BYTE_ARRAY"),
    (["--dictionary", "maybe"], "none of on, off"), (["--page-version", "3"], "from 1 to 2"), (["--columns", "nope"], "nope"),
    (["--columns", "id,,s"], "no list"), (["--sort", "nope"], "nope"), (["--sort", "list.list.element"], "in a list"),
    (["--key-value", "x"], "not KEY=VALUE"), (["--bloom", "nope"], "nope"), (["--max-memory", "1"], "at least 1MiB"),
    (["--row-group-rows", "0"], "from 1 to"), (["--sort", "id", "--columns", "s"], "not there: id"),
])
def test_wrong_usage_is_exit_code_2(made, tmp_path, options, text):
    done = tool("rewrite", made["default"], tmp_path / "out.parquet", *options)
    assert done.returncode == 2 and text in done.stderr.decode(), done.stderr
    assert not os.listdir(tmp_path)


# ---- Plinth's own segments


def test_segments(server, tmp_path):
    rows = "".join(f"{i},{i % 7},word {i % 30}\n" for i in range(3000))
    source = tmp_path / "rows.csv"
    source.write_text("id,n,w\n" + rows)
    assert server.cli("import", "t", source, "--create", "--key", "id").code == 0
    assert server.cli("index", "create", "t", "by_n", "--columns", "n").code == 0
    assert server.cli("kv", "set", "k", "v", "--index", "i=x").code == 0
    assert server.cli("flush").code == 0
    segments = sorted(pathlib.Path(server.data_dir).rglob("*.parquet"))
    assert len(segments) >= 3
    shown_rows = 0
    for segment in segments:
        assert "0 findings" in output_of("verify", segment)
        meta = json.loads(output_of("meta", segment, "--pages", "-o", "json"))
        assert any(p["key"] == "plinth.format" for p in meta["key_values"])
        shown_rows += output_of("cat", segment, "--format", "jsonl").count("\n")
        out = rewritten(segment, tmp_path, "--codec", "zstd:12")
        assert output_of("cat", out, "--format", "jsonl") == output_of("cat", segment, "--format", "jsonl")
    assert shown_rows >= 6000
