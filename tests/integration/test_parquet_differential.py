"""Random schemas, values and options between Plinth, pyarrow and DuckDB, in both directions. The seed is printed by each
failure; PLINTH_PARQUET_SEEDS=FIRST:COUNT runs others, the issue's 500 and more by PLINTH_PARQUET_SEEDS=0:600."""
import os
import random

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from parquet_library import load_library
from parquet_schemas import random_table

FIRST, COUNT = (int(n) for n in os.environ.get("PLINTH_PARQUET_SEEDS", "0:120").split(":"))
SEEDS = range(FIRST, FIRST + COUNT)
CHUNK = 20
BATCHES = [SEEDS[i : i + CHUNK] for i in range(0, len(SEEDS), CHUNK)]

INTEGERS = ("INT32", "INT64")


@pytest.fixture(scope="module")
def library():
    return load_library()


def assert_same(found, expected, context):
    assert found.schema.equals(expected.schema), f"{context}:\n{found.schema}\n--- expected:\n{expected.schema}"
    for name, a, b in zip(found.column_names, found.columns, expected.columns):
        assert a.equals(b), f"{context}: column {name} of {b.type}"


def plinth_options(rng, table):
    """Anything that the writer takes."""
    options = {
        "codec": rng.choice(["NONE", "SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4"]),
        "encoding": rng.choice(["CHOOSE", "CHOOSE", "PLAIN", "RLE", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY",
                                "DELTA_BYTE_ARRAY", "DICTIONARY", "BYTE_STREAM_SPLIT"]),
        "page_rows": rng.choice([0, 1, 10, 100]),
        "row_group_rows": rng.choice([0, 0, 64, 333]),
        "data_page_version": rng.choice([0, 1, 2]),
        "no_statistics": rng.random() < 0.1,
        "no_page_index": rng.random() < 0.3,
        "no_checksums": rng.random() < 0.3,
        "no_dictionary": rng.random() < 0.2,
    }
    columns = [{"column": name.encode(), "bloom_filter": rng.random() < 0.5,
                "has_codec": rng.random() < 0.3, "codec": rng.choice([0, 1, 6])}
               for name in table.column_names if rng.random() < 0.4]
    return {**options, "column_options": columns}


def pyarrow_options(rng, table):
    options = {
        "compression": rng.choice(["NONE", "SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4"]),
        "data_page_version": rng.choice(["1.0", "2.0"]),
        "row_group_size": rng.choice([None, 64, 333]),
        "data_page_size": rng.choice([None, 64, 1000]),
        "write_batch_size": rng.choice([None, 7, 100]),
        "write_statistics": rng.random() < 0.8,
        "write_page_index": rng.random() < 0.5,
        "write_page_checksum": rng.random() < 0.5,
        "store_schema": False,
        "store_decimal_as_integer": rng.random() < 0.5,
        "use_compliant_nested_type": True,
    }
    kind = rng.choice(["dictionary", "plain", "split", "delta"])
    options["use_dictionary"] = kind == "dictionary"
    leaves = pq_leaves(table.schema, options["store_decimal_as_integer"])
    if kind == "split":
        options["column_encoding"] = {path: "BYTE_STREAM_SPLIT" for path, physical in leaves
                                      if physical in (*INTEGERS, "FLOAT", "DOUBLE", "FIXED_LEN_BYTE_ARRAY")}
    if kind == "delta":
        of = {"INT32": "DELTA_BINARY_PACKED", "INT64": "DELTA_BINARY_PACKED", "BYTE_ARRAY": rng.choice(
            ["DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"]), "FIXED_LEN_BYTE_ARRAY": "DELTA_BYTE_ARRAY", "BOOLEAN": "RLE"}
        options["column_encoding"] = {path: of[physical] for path, physical in leaves if physical in of}
    return options


def pq_leaves(schema, decimals_as_integers):
    sink = pa.BufferOutputStream()
    pq.write_table(schema.empty_table(), sink, store_decimal_as_integer=decimals_as_integers)
    leaves = pq.ParquetFile(sink.getvalue()).schema
    return [(leaves.column(i).path, leaves.column(i).physical_type) for i in range(len(leaves))]


def check_chosen_rows(library, path, table, names, rng, context):
    """Rows by ranges, by a bitmap, and by both."""
    rows = table.num_rows
    density = rng.choice([0.01, 0.3, 0.5, 0.9])
    step = rng.choice([1, 1, 1, 5, 100])
    bits = [bit for _ in range(rows // step + 1) for bit in [rng.random() < density] * step][:rng.choice([rows, rows, rows // 2])]
    cuts = sorted(rng.sample(range(rows + 10), min(rows, 2 * rng.randint(0, 30)) // 2 * 2))
    ranges = list(zip(cuts[::2], cuts[1::2]))
    in_ranges = [False] * (rows + 10)
    for begin, end in ranges:
        in_ranges[begin:end] = [True] * (end - begin)
    padded = bits + [False] * (rows - len(bits))
    for options, mask in (({"bitmap": bits}, padded), ({"ranges": ranges}, in_ranges[:rows]),
                          ({"bitmap": bits, "ranges": ranges}, [a and b for a, b in zip(padded, in_ranges)])):
        found = library.read(path, columns=names, batch_rows=rng.choice([0, 3, 50]), **options)
        assert_same(found, table.filter(pa.array(mask[:rows], pa.bool_())), f"{context} {options}")


def check_list_bounds(library, path, table, name, rng, context):
    """Rows of which any value lies between the bounds."""
    lists = table.column(name).to_pylist()
    values = [v for row in lists for v in row or [] if v is not None] or [7]
    low, high = sorted((rng.choice(values), rng.choice([rng.choice(values), rng.randint(-100, 100)])))
    leaf = next(p for p, _ in pq_leaves(pq.read_schema(path), True) if p.split(".")[0] == name)
    found = library.read(path, bounds=[(leaf, low.to_bytes(8, "little", signed=True), high.to_bytes(8, "little", signed=True))])
    mask = [any(v is not None and low <= v <= high for v in row or []) for row in lists]
    assert_same(found, table.filter(pa.array(mask, pa.bool_())), f"{context} {low} <= any {name} <= {high}")


def check_selections(library, path, table, rng, context):
    """Parts of the rows and columns are parts of the whole."""
    rows = table.num_rows
    begin = rng.randint(0, rows)
    end = rng.randint(begin, rows) or 0
    names = rng.sample(table.column_names, rng.randint(1, table.num_columns))
    expected = table.select([n for n in table.column_names if n in names])
    if end:
        found = library.read(path, columns=names, rows=(begin, end), batch_rows=rng.choice([0, 1, 50]))
        assert_same(found, expected.slice(begin, end - begin), f"{context} rows {begin} to {end} of {names}")
    check_chosen_rows(library, path, expected, names, rng, context)
    for name in names:
        kind = table.schema.field(name).type
        if pa.types.is_list(kind) and pa.types.is_int64(kind.value_type):
            check_list_bounds(library, path, table, name, rng, context)
        if not pa.types.is_int64(kind) or rows == 0:
            continue
        low, high = sorted(rng.choice([rng.randint(-100, 100), rng.randint(-(2**63), 2**63 - 1)]) for _ in range(2))
        values = [v for v in table.column(name).to_pylist() if v is not None]
        if values and rng.random() < 0.7:
            low = high = rng.choice(values)
            high = max(low, rng.choice([low, rng.choice(values)]))
        found = library.read(path, bounds=[(name, low.to_bytes(8, "little", signed=True), high.to_bytes(8, "little", signed=True))])
        column = table.column(name)
        mask = pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high))
        assert_same(found, table.filter(pc.fill_null(mask, False)), f"{context} {low} <= {name} <= {high}")


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda s: f"seeds {s[0]} to {s[-1]}")
def test_what_plinth_writes_is_read_by_pyarrow_and_plinth(library, tmp_path, seeds):
    path = tmp_path / "plinth.parquet"
    for seed in seeds:
        rng = random.Random(f"plinth {seed}")
        given, canonical = random_table(f"plinth {seed}")
        options = plinth_options(rng, given)
        context = f"seed {seed} {options}"
        library.write(path, given.to_reader(max_chunksize=rng.choice([None, 1000, 61])), **options)
        assert_same(pq.read_table(path, page_checksum_verification=True), canonical, f"pyarrow, {context}")
        assert_same(library.read(path, batch_rows=rng.choice([0, 0, 10])), canonical, f"Plinth, {context}")
        check_selections(library, path, canonical, rng, context)
        check_truth(library, path, context)
        again = path.read_bytes()
        library.write(path, given.to_reader(max_chunksize=None), **options)
        library.write(tmp_path / "same", given.to_reader(max_chunksize=None), **options)
        assert path.read_bytes() == (tmp_path / "same").read_bytes(), context
        assert len(again) > 12


def check_truth(library, path, context):
    """Statistics, indexes, sizes and filters agree with the data."""
    with library.open(path) as file:
        assert file.verify() == [], context


def check_statistics(library, path, context):
    """Null counts and bounds are those that pyarrow sees."""
    metadata = pq.read_metadata(path)
    with library.open(path) as file:
        for g in range(metadata.num_row_groups):
            for c in range(metadata.num_columns):
                theirs, ours = metadata.row_group(g).column(c), file.chunk(g, c)
                assert ours.value_count == theirs.num_values, context
                if theirs.is_stats_set and theirs.statistics.has_null_count:
                    assert ours.has_null_count and ours.null_count == theirs.statistics.null_count, context


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda s: f"seeds {s[0]} to {s[-1]}")
def test_what_pyarrow_writes_is_read_by_plinth(library, tmp_path, seeds):
    path = tmp_path / "pyarrow.parquet"
    for seed in seeds:
        rng = random.Random(f"pyarrow {seed}")
        _, table = random_table(f"pyarrow {seed}", forms=False)
        options = pyarrow_options(rng, table)
        context = f"seed {seed} {options}"
        pq.write_table(table, path, **options)
        assert_same(library.read(path, batch_rows=rng.choice([0, 0, 10])), table, context)
        check_statistics(library, path, context)
        check_selections(library, path, table, rng, context)


def duckdb_rows(connection, source):
    return connection.execute(f"SELECT * FROM {source}").to_arrow_table()


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda s: f"seeds {s[0]} to {s[-1]}")
def test_duckdb_reads_the_same_from_plinth_as_from_pyarrow(library, tmp_path, seeds):
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    ours, theirs = tmp_path / "plinth.parquet", tmp_path / "pyarrow.parquet"
    for seed in seeds:
        rng = random.Random(f"duckdb {seed}")
        given, canonical = random_table(f"duckdb {seed}", for_duckdb=True)
        options = plinth_options(rng, given)
        if options["encoding"] == "BYTE_STREAM_SPLIT":  # DuckDB has it for numbers only
            options["encoding"] = "CHOOSE"
        library.write(ours, given, **options)
        pq.write_table(canonical, theirs, store_schema=False)
        assert_same(duckdb_rows(connection, f"read_parquet('{ours}')"), duckdb_rows(connection, f"read_parquet('{theirs}')"),
                    f"seed {seed} {options}")


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda s: f"seeds {s[0]} to {s[-1]}")
def test_what_duckdb_writes_is_read_by_plinth(library, tmp_path, seeds):
    connection = duckdb.connect()
    connection.execute("SET TimeZone='UTC'")
    path = tmp_path / "duckdb.parquet"
    for seed in seeds:
        rng = random.Random(f"from duckdb {seed}")
        _, table = random_table(f"from duckdb {seed}", for_duckdb=True)
        codec = rng.choice(["uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4_raw"])
        version = rng.choice(["v1", "v2"])
        connection.register("given", table)
        connection.execute(f"COPY (SELECT * FROM given) TO '{path}' (FORMAT parquet, COMPRESSION {codec}, "
                           f"PARQUET_VERSION {version}, ROW_GROUP_SIZE {rng.choice([2048, 100000])})")
        connection.unregister("given")
        context = f"seed {seed} {codec} {version}"
        found = library.read(path)
        connection.register("found", found)
        given = duckdb_rows(connection, "found")
        assert_same(given, duckdb_rows(connection, f"read_parquet('{path}')").cast(given.schema), context)
        connection.unregister("found")
        check_statistics(library, path, context)
