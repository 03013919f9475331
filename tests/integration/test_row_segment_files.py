"""Segments of typed tables, as pyarrow and DuckDB read them: the names, types, field ids and values that went in.

`segment_convert` makes a segment of an Arrow table; what other readers find in it is compared with that table."""
import datetime
import decimal
import math
import os
import pathlib
import random
import subprocess
import uuid

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN_DIR = pathlib.Path(os.environ.get("PLINTH_BIN_DIR", ROOT / "build" / "release" / "bin"))
TABLES = ROOT / "tests" / "data" / "tables"
ROWS = 5000

SYSTEM_COLUMNS = ["_lsn", "_op", "_ord"]


def convert(tmp_path, table, *options, name="t.parquet"):
    """The path of the segment made of the table."""
    source = tmp_path / "in.arrow"
    with pa.OSFile(str(source), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for batch in table.combine_chunks().to_batches():
            writer.write_batch(batch)
    store = tmp_path / "store"
    done = subprocess.run([BIN_DIR / "segment_convert", *options, source, store, name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return store / name


def strings(rng, count):
    return [rng.choice(["", "x", "a longer text with some words", "äöü", "€", f"value {rng.randrange(10**6)}"])
            for _ in range(count)]


def integers(rng, count, low, high):
    return [rng.choice([low, high, 0, rng.randrange(low, high + 1), rng.randrange(5)]) for _ in range(count)]


def floats(rng, count):
    return [rng.choice([0.0, -0.0, math.inf, -math.inf, 1.5, rng.uniform(-1e9, 1e9)]) for _ in range(count)]


def timestamps(rng, count, unit):
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    return [rng.randrange(-10**9, 4 * 10**9) * scale + rng.randrange(scale) for _ in range(count)]


def columns(rng, count):
    """Name, type and values of one column of each type."""
    yield "bool", pa.bool_(), [rng.random() < 0.3 for _ in range(count)]
    for bits in (8, 16, 32, 64):
        yield f"int{bits}", getattr(pa, f"int{bits}")(), integers(rng, count, -2 ** (bits - 1), 2 ** (bits - 1) - 1)
        yield f"uint{bits}", getattr(pa, f"uint{bits}")(), integers(rng, count, 0, 2**bits - 1)
    yield "float32", pa.float32(), [rng.choice([0.5, -1.25, 3.0e7]) * rng.randrange(100) for _ in range(count)]
    yield "float64", pa.float64(), floats(rng, count)
    yield "decimal", pa.decimal128(38, 10), [decimal.Decimal(rng.randrange(-10**27, 10**27)).scaleb(-10) for _ in range(count)]
    yield "price", pa.decimal128(9, 2), [decimal.Decimal(rng.randrange(-10**5, 10**5)).scaleb(-2) for _ in range(count)]
    yield "string", pa.string(), strings(rng, count)
    yield "bytes", pa.binary(), [rng.randbytes(rng.randrange(20)) for _ in range(count)]
    yield "date", pa.date32(), [datetime.date(1970, 1, 1) + datetime.timedelta(days=rng.randrange(-9999, 30000)) for _ in range(count)]
    for unit in ("s", "ms", "us", "ns"):
        yield f"time_{unit}", pa.timestamp(unit), timestamps(rng, count, unit)
        yield f"instant_{unit}", pa.timestamp(unit, "UTC"), timestamps(rng, count, unit)
    yield "uuid", pa.uuid(), [uuid.UUID(bytes=rng.randbytes(16)).bytes for _ in range(count)]
    yield "list_int", pa.list_(pa.int32()), [integers(rng, rng.randrange(4), -9, 9) for _ in range(count)]
    yield "list_string", pa.list_(pa.string()), [[rng.choice([None, "a", "bc", ""]) for _ in range(rng.randrange(4))] for _ in range(count)]
    yield "list_decimal", pa.list_(pa.decimal128(9, 2)), [[decimal.Decimal("1.25")] * rng.randrange(3) for _ in range(count)]


def make_table(seed, nulls):
    rng = random.Random(seed)
    arrays, fields = [pa.array(range(ROWS), pa.int64())], [pa.field("id", pa.int64(), nullable=False)]
    for name, kind, values in columns(rng, ROWS):
        values = [None if rng.random() < nulls else value for value in values]
        storage = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
        array = pa.array(values, storage)
        arrays.append(pa.ExtensionArray.from_storage(kind, array) if storage is not kind else array)
        fields.append(pa.field(name, kind))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def stored(kind):
    """What Parquet makes of a type: it has no seconds."""
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if isinstance(kind, pa.BaseExtensionType):
        return kind.storage_type
    return kind


def plain(column):
    """Without extension type and in the stored type, for comparing."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(column.type, pa.BaseExtensionType):
        column = column.storage
    if isinstance(column.type, pa.ListType):
        return column.to_pylist()
    column = column.cast(stored(column.type))
    return (column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column).to_pylist()


def assert_equal(got, wanted, name):
    assert len(got) == len(wanted)
    for row, (a, b) in enumerate(zip(got, wanted)):
        assert a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)), (
            f"{name}, row {row}: {a!r}, not {b!r}")


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("nulls", [0, 0.1, 1])
def test_pyarrow_reads_every_type(tmp_path, codec, nulls):
    table = make_table(1, nulls)
    path = convert(tmp_path, table, "--key", "id", "--codec", codec, "--page-rows", "700", "--bitmap", "int8",
                   "--token", "string", "--bloom", "int64", "--bloom", "uuid")
    read = pq.ParquetFile(path).read()
    assert read.column_names == table.column_names + SYSTEM_COLUMNS[:2]
    for i, field in enumerate(table.schema):
        got = read.schema.field(field.name)
        assert got.metadata[b"PARQUET:field_id"] == str(i + 1).encode()
        if not pa.types.is_list(field.type):
            kind = got.type.storage_type if isinstance(got.type, pa.BaseExtensionType) else got.type
            assert kind == stored(field.type), field
        assert_equal(plain(read[field.name]), plain(table[field.name]), field.name)
    assert not read.schema.field("id").nullable
    assert set(read["_op"].to_pylist()) == {1} and set(read["_lsn"].to_pylist()) == {1}
    metadata = pq.read_metadata(path)
    assert metadata.metadata[b"plinth.kind"] == b"rows" and metadata.metadata[b"plinth.key"] == b"1"
    assert metadata.row_group(0).sorting_columns[0].column_index == 0
    statistics = metadata.row_group(0).column(table.column_names.index("date")).statistics
    if nulls < 1:
        assert statistics.min == pc.min(table["date"]).as_py() and statistics.max == pc.max(table["date"]).as_py()


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("nulls", [0, 0.1])
def test_duckdb_reads_every_type(tmp_path, codec, nulls):
    table = make_table(2, nulls)
    path = convert(tmp_path, table, "--key", "id", "--codec", codec)
    for field in table.schema:
        if pa.types.is_timestamp(field.type):  # as numbers: DuckDB keeps fewer units than Arrow
            unit = "us" if field.type.unit in ("s", "ms") else field.type.unit
            wanted = [None if v is None else v for v in table[field.name].cast(pa.timestamp(unit, field.type.tz)).cast(pa.int64()).to_pylist()]
            column = f'epoch_{unit}("{field.name}")'
        else:
            wanted, column = plain(table[field.name]), f'"{field.name}"'
        got = [row[0] for row in duckdb.execute(f"SELECT {column} FROM read_parquet(?) ORDER BY id", [str(path)]).fetchall()]
        if field.name == "uuid":
            got = [None if value is None else value.bytes for value in got]
        if pa.types.is_list(field.type):
            got = [None if value is None else list(value) for value in got]
        assert_equal(got, wanted, field.name)
    low, high = 1000, 1100
    count = duckdb.execute("SELECT count(*) FROM read_parquet(?) WHERE id >= ? AND id < ?", [str(path), low, high]).fetchall()
    assert count == [(high - low,)]


def test_a_table_without_a_key_keeps_every_row_in_its_order(tmp_path):
    table = make_table(3, 0.1).select(["string", "int32", "list_int"])
    path = convert(tmp_path, table)
    read = pq.read_table(path)
    assert read.column_names == table.column_names + SYSTEM_COLUMNS
    assert read["_ord"].to_pylist() == list(range(ROWS))
    for name in table.column_names:
        assert_equal(plain(read[name]), plain(table[name]), name)


def read_csv(name):
    options = pa.csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    with pa.CompressedInputStream(pa.OSFile(str(TABLES / name)), "zstd") as stream:
        return pa.csv.read_csv(stream, convert_options=options)


@pytest.mark.parametrize("name, key", [("pnw-flights.csv.zst", None), ("nyc-weather.csv.zst", None),
                                       ("nyc-planes.csv.zst", "tailnum"), ("nyc-airports.csv.zst", "faa")])
def test_real_tables_come_back(tmp_path, name, key):
    table = read_csv(name)
    path = convert(tmp_path, table, "--codec", "zstd", *(["--key", key] if key else []))
    wanted = table.sort_by(key) if key else table
    read = pq.read_table(path)
    assert duckdb.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchall() == [(table.num_rows,)]
    for column in table.column_names:
        assert_equal(plain(read[column]), plain(wanted[column]), column)
        null = duckdb.execute(f'SELECT count(*) - count("{column}") FROM read_parquet(?)', [str(path)]).fetchall()[0][0]
        assert null == table[column].null_count


def test_the_newest_version_of_each_row_by_the_sql_of_the_docs(tmp_path):
    """Three states of a table with the key (day, flight): rows, some of them again with a new column, some deleted."""
    rng = random.Random(5)
    keys = [(datetime.date(2013, 1, 1 + day), flight) for day in range(20) for flight in range(100)]
    model = {}

    def write(lsn, rows, *options):
        names = ["day", "flight", "delay", "note"][:len(rows[0])]
        kinds = [pa.date32(), pa.int32(), pa.int64(), pa.string()]
        fields = [pa.field(name, kind, nullable=i > 1) for i, (name, kind) in enumerate(zip(names, kinds))]
        table = pa.Table.from_arrays([pa.array(column, field.type) for column, field in zip(zip(*rows), fields)], schema=pa.schema(fields))
        convert(tmp_path, table, "--key", "day,flight", "--lsn", str(lsn), *options, name=f"segments/{lsn}/12-a.parquet")

    first = [(*key, rng.randrange(100)) for key in keys]
    write(10, first)
    model.update({key: (delay, None) for *key, delay in first for key in [tuple(key)]})
    second = [(*key, rng.randrange(100), f"changed {key[1]}") for key in rng.sample(keys, 500)]
    write(20, second)
    model.update({tuple(key): (delay, note) for *key, delay, note in second})
    third = rng.sample(keys, 300)
    write(30, third, "--delete")
    for key in third:
        del model[key]
    text = (ROOT / "docs" / "segments.md").read_text()
    sql = text[text.index("```sql\nSELECT * EXCLUDE"):].split("```")[1].removeprefix("sql\n")
    sql = sql.replace("plinth-data/store/segments/*/12-*.parquet", str(tmp_path / "store" / "segments" / "*" / "12-*.parquet"))
    rows = duckdb.connect().execute(sql).fetchall()
    assert {(day, flight): (delay, note) for day, flight, delay, note in rows} == model and len(rows) == len(model)
