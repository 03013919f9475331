"""Random tables between Plinth, polars and fastparquet, in both directions, and what pyarrow writes with options that change
the types. What both sides read from one file is compared; where a peer has a limit of its own, that is counted and named.
Seeds as in test_parquet_differential.py."""
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parquet_library import load_library
from parquet_schemas import WORDS, random_table
from test_parquet_differential import (BATCHES, assert_same, check_selections, check_statistics, plinth_options,
                                       pyarrow_options)

# What polars 2.1 says of files of pyarrow and of Plinth alike: encodings that it does not read in FIXED columns, and pages
# without values in encodings other than PLAIN below a group that is null.
POLARS_LIMITS = ("Not yet supported", "writing a missing value to required parquet column",
                 "validity mask length must match the number of values", "validity must be equal to the array's length")


@pytest.fixture(scope="module")
def library():
    return load_library()


def assert_read_alike(library, path, context):
    """pyarrow may have larger forms of the same values, by the Arrow schema that the file has as metadata."""
    ours = library.read(path)
    try:
        theirs = pq.read_table(path).replace_schema_metadata()
    except pa.ArrowInvalid:  # pyarrow 26 does not read some of its own lists of structs that end with a page
        assert ours.num_rows == pq.read_metadata(path).num_rows, context
        return ours
    try:
        theirs = theirs.cast(ours.schema)
    except pa.ArrowInvalid:  # it does not cast required fields below nulls
        assert ours.to_pylist() == theirs.to_pylist(), context
        return ours
    assert_same(ours, theirs, context)
    return ours


def known_limit(error):
    return any(limit in str(error) for limit in POLARS_LIMITS)


# ---- polars


def polars_read(polars, path):
    try:
        return polars.read_parquet(path)
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
        if known_limit(error):
            return None
        raise


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda s: f"seeds {s[0]} to {s[-1]}")
def test_polars_reads_the_same_from_plinth_as_from_pyarrow(library, tmp_path, seeds, monkeypatch):
    polars = pytest.importorskip("polars")
    monkeypatch.setenv("RUST_BACKTRACE", "0")
    ours, theirs = tmp_path / "plinth.parquet", tmp_path / "pyarrow.parquet"
    limited = 0
    for seed in seeds:
        rng = random.Random(f"polars {seed}")
        given, canonical = random_table(f"polars {seed}", for_duckdb=True)
        options = plinth_options(rng, given)
        library.write(ours, given, **options)
        pq.write_table(canonical, theirs, store_schema=False)
        found, expected = polars_read(polars, ours), polars.read_parquet(theirs)
        limited += found is None
        if found is not None:
            assert found.schema == expected.schema and found.equals(expected), f"seed {seed} {options}"
    assert limited <= len(seeds) // 4


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda s: f"seeds {s[0]} to {s[-1]}")
def test_what_polars_writes_is_read_by_plinth(library, tmp_path, seeds):
    polars = pytest.importorskip("polars")
    path = tmp_path / "polars.parquet"
    for seed in seeds:
        rng = random.Random(f"from polars {seed}")
        _, table = random_table(f"from polars {seed}", for_duckdb=True)
        frame = polars.from_arrow(table)
        codec = rng.choice(["uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4"])
        options = {
            "compression": codec,
            "compression_level": rng.choice([None, 1, 3]) if codec in ("gzip", "brotli", "zstd") else None,
            "statistics": rng.choice([True, False, "full", {"min": True, "null_count": False}]),
            "row_group_size": rng.choice([None, 64, 333]),
            "data_page_size": rng.choice([None, 64, 1000]),
            "metadata": rng.choice([None, {"a": "b"}]),
        }
        context = f"seed {seed} {options}"
        try:
            if rng.random() < 0.5:
                frame.lazy().sink_parquet(path, **options)
            else:
                frame.write_parquet(path, **options)
        except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as error:
            assert known_limit(error), context
            continue
        found = assert_read_alike(library, path, context)
        check_statistics(library, path, context)
        check_selections(library, path, found, rng, context)


# ---- fastparquet


def random_frame(pandas, rng):
    """Columns of all kinds that fastparquet writes, and how it is to encode objects."""
    rows = rng.choice([1, 7, 100, 1000])
    missing = rng.choice([0, 0, 0.1, 0.9])

    def some(make, null=None):
        return [null if rng.random() < missing else make() for _ in range(rows)]

    def whole(bits, signed):
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        return lambda: rng.choice([low, high, rng.randint(low, high)])

    def moments(unit, bits):
        return lambda: pandas.Series(some(lambda: pandas.Timestamp(rng.randrange(-(2**bits), 2**bits), unit=unit), pandas.NaT),
                                     dtype=f"datetime64[{unit}]")

    kinds = {
        **{f"{'' if s else 'u'}int{b}": (lambda b=b, s=s: pandas.Series(
            [whole(b, s)() for _ in range(rows)], dtype=f"{'' if s else 'u'}int{b}"))
           for b in (8, 16, 32, 64) for s in (True, False)},
        "Int32": lambda: pandas.Series(some(whole(32, True)), dtype="Int32"),
        "Int64": lambda: pandas.Series(some(whole(64, True)), dtype="Int64"),
        "boolean": lambda: pandas.Series(some(lambda: rng.random() < 0.5), dtype="boolean"),
        "bool": lambda: pandas.Series([rng.random() < 0.5 for _ in range(rows)]),
        "float32": lambda: pandas.Series(some(lambda: rng.randrange(1000) / 8, float("nan")), dtype="float32"),
        "float64": lambda: pandas.Series(some(rng.random, float("nan")), dtype="float64"),
        "utf8": lambda: pandas.Series(some(lambda: rng.choice(WORDS)), dtype=object),
        "bytes": lambda: pandas.Series(some(lambda: rng.randbytes(rng.randrange(9))), dtype=object),
        "json": lambda: pandas.Series(some(lambda: {"a": rng.randrange(9)}), dtype=object),
        "category": lambda: pandas.Series(some(lambda: rng.choice(["red", "green"])), dtype=object).astype("category"),
        "times ns": moments("ns", 60),
        "times us": moments("us", 50),
    }
    chosen = rng.sample(sorted(kinds), rng.randint(1, 5))
    frame = pandas.DataFrame({f"c{i}": kinds[k]() for i, k in enumerate(chosen)})
    encodings = {f"c{i}": k if k in ("utf8", "bytes", "json") else "infer" for i, k in enumerate(chosen)}
    return frame, encodings


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda s: f"seeds {s[0]} to {s[-1]}")
def test_what_fastparquet_writes_is_read_by_plinth(library, tmp_path, seeds, monkeypatch):
    fastparquet, pandas = pytest.importorskip("fastparquet"), pytest.importorskip("pandas")
    path = tmp_path / "fast.parquet"
    for seed in seeds:
        rng = random.Random(f"from fastparquet {seed}")
        frame, encodings = random_frame(pandas, rng)
        monkeypatch.setattr(fastparquet.writer, "DATAPAGE_VERSION", rng.choice([1, 2]))
        monkeypatch.setattr(fastparquet.writer, "MAX_PAGE_SIZE", rng.choice([500 * 2**20, 1000]))
        options = {
            "compression": rng.choice([None, "SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4_RAW", "LZ4"]),
            "row_group_offsets": rng.choice([None, 64, 333]),
            "has_nulls": True,
            "object_encoding": encodings,
            "times": rng.choice(["int64", "int96"]),
            "stats": rng.choice([True, False, "auto"]),
            "custom_metadata": rng.choice([None, {"a": "b"}]),
        }
        context = f"seed {seed} {options} {dict(frame.dtypes)}"
        fastparquet.write(str(path), frame, **options)
        found = assert_read_alike(library, path, context)
        check_statistics(library, path, context)
        check_selections(library, path, found, rng, context)


def test_repetitions_that_fastparquet_writes_as_booleans(library, tmp_path):
    """With has_nulls=None, which pyarrow takes for required columns all."""
    fastparquet, pandas = pytest.importorskip("fastparquet"), pytest.importorskip("pandas")
    path = tmp_path / "fast.parquet"
    values = {"n": [1, 2, 3], "s": ["a", None, "c"], "f": [0.5, 1.5, 2.5]}
    frame = pandas.DataFrame({**values, "s": pandas.Series(values["s"], dtype=object)})
    fastparquet.write(str(path), frame, has_nulls=None, object_encoding={"s": "utf8"})
    found = library.read(path)
    assert found.to_pydict() == values and [f.nullable for f in found.schema] == [False, True, False]


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda s: f"seeds {s[0]} to {s[-1]}")
def test_fastparquet_reads_the_same_from_plinth_as_from_pyarrow(library, tmp_path, seeds):
    """Of what it reads rightly from pyarrow: flat columns, pages of version 1, plain or by dictionary, BOOLEAN without runs.
    Whether it takes a type that has nulls hangs on the statistics."""
    fastparquet, pandas = pytest.importorskip("fastparquet"), pytest.importorskip("pandas")
    ours, theirs = tmp_path / "plinth.parquet", tmp_path / "pyarrow.parquet"
    for seed in seeds:
        rng = random.Random(f"fastparquet {seed}")
        given, canonical = random_table(f"fastparquet {seed}", for_duckdb=True, depth=0)
        if canonical.num_rows == 0:
            continue
        options = plinth_options(rng, given)
        options.update(encoding="PLAIN", data_page_version=1, column_options=[
            {"column": name.encode(), "has_encoding": True, "encoding": 8} for name in canonical.column_names
            if not pa.types.is_boolean(canonical.schema.field(name).type) and rng.random() < 0.5])
        library.write(ours, given, **options)
        pq.write_table(canonical, theirs, store_schema=False)
        found, expected = (fastparquet.ParquetFile(str(p)).to_pandas() for p in (ours, theirs))
        for name in canonical.column_names:
            lists = [[None if pandas.isna(v) else v.value if hasattr(v, "value") else v for v in frame[name]]
                     for frame in (found, expected)]
            if not pa.types.is_time(canonical.schema.field(name).type):
                assert lists[0] == lists[1], f"seed {seed} {options} {name}"


# ---- Options of pyarrow that change the types: the file says what it is


@pytest.mark.parametrize("seeds", BATCHES, ids=lambda s: f"seeds {s[0]} to {s[-1]}")
def test_every_option_of_pyarrow_gives_files_that_are_read_alike(library, tmp_path, seeds):
    path = tmp_path / "pyarrow.parquet"
    for seed in seeds:
        rng = random.Random(f"options {seed}")
        _, table = random_table(f"options {seed}", forms=False)
        options = pyarrow_options(rng, table)
        options.update(
            version=rng.choice(["1.0", "2.4", "2.6"]),
            use_compliant_nested_type=rng.random() < 0.5,
            store_schema=rng.random() < 0.5,
            flavor=rng.choice([None, "spark"]),
            coerce_timestamps=rng.choice([None, "ms", "us"]),
            allow_truncated_timestamps=True,
            write_time_adjusted_to_utc=rng.random() < 0.5,
            compression_level=3 if options["compression"] in ("GZIP", "BROTLI", "ZSTD") else None,
            max_rows_per_page=rng.choice([None, 1, 50]),
            dictionary_pagesize_limit=rng.choice([None, 100]),
            sorting_columns=rng.choice([None, [pq.SortingColumn(0, descending=True)]]),
        )
        if options["flavor"] == "spark" and rng.random() < 0.5:
            options["use_deprecated_int96_timestamps"] = True
        is_plain = not (options["flavor"] or options["coerce_timestamps"] or options["version"] != "2.6")
        if is_plain and not any(pa.types.is_nested(f.type) for f in table.schema) and rng.random() < 0.5:
            options["use_content_defined_chunking"] = True  # else pyarrow 26 aborts on values that it refuses
        if options.pop("column_encoding", None):  # which types have it hangs on all the others
            options["use_byte_stream_split"] = [n for n in table.column_names if pa.types.is_floating(table.schema.field(n).type)]
        if rng.random() < 0.5:
            options["bloom_filter_options"] = {
                name: {"ndv": 100, "fpp": 0.01} for name in table.column_names
                if pa.types.is_int64(table.schema.field(name).type) or pa.types.is_string(table.schema.field(name).type)}
        context = f"seed {seed} {options}"
        try:
            pq.write_table(table, path, **options)
        except pa.ArrowInvalid as error:  # below the root it does not truncate
            assert "would lose data" in str(error), context
            continue
        found = assert_read_alike(library, path, context)
        check_statistics(library, path, context)
        check_selections(library, path, found, rng, context)
