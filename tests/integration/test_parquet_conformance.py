"""The Parquet format's own conformance files (tests/data/parquet-testing): every valid one is read with the right values,
every bad one is refused with a reason. Values are compared with pyarrow's; where pyarrow does not read a file, with what
the file's documentation says. docs/parquet-conformance.md lists by whom each was judged; PLINTH_WRITE_DOCS=1 writes it anew."""
import ctypes
import json
import math
import os
import pathlib
import re
import struct
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parquet_library import BIN_DIR, ParquetError, load_library

FILES = pathlib.Path(__file__).resolve().parents[1] / "data" / "parquet-testing"

# What is wrong with the bad ones, as Plinth says it.
BAD = {
    "bad_data/ARROW-GH-41321.parquet": "RLE data ends too early",
    "bad_data/ARROW-GH-47662.parquet": "PLAIN values end too early",
    "bad_data/ARROW-RS-GH-6229-DICTHEADER.parquet": "column chunk of 322 bytes at offset 129",
    "bad_data/PARQUET-1481.parquet": "a column of unknown type",
    "data/datapage_v1-corrupt-checksum.parquet": "column a, page at offset 4: page checksum",
}
# In bad_data for the bug that it found in a reader: dictionary indices of no bits are allowed.
GOOD_AFTER_ALL = {"bad_data/ARROW-GH-43605.parquet"}
# A string of 1 GiB, a row: only with a limit that allows it.
LARGE = "data/large_string_map.brotli.parquet"
# pyarrow wants map keys to be required.
NOT_BY_PYARROW = {"data/incorrect_map_schema.parquet"}
INT96_BEYOND_NANOSECONDS = "data/int96_from_spark.parquet"


def names(pattern):
    return sorted(str(p.relative_to(FILES)) for p in FILES.rglob(pattern))


VALID = [n for n in names("*.parquet") if n not in BAD and n != LARGE]
COMPARED = [n for n in VALID if n not in NOT_BY_PYARROW and n != INT96_BEYOND_NANOSECONDS]


@pytest.fixture(scope="module")
def library():
    return load_library()


def plain(value):
    """NaN equal to itself, and -0.0 not to 0.0."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else (value, math.copysign(1, value))
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value.item() if hasattr(value, "item") else value


def assert_same(found, expected, context):
    assert found.schema.equals(expected.schema), f"{context}: {found.schema}\n{expected.schema}"
    for name, a, b in zip(found.column_names, found.columns, expected.columns):
        assert a.equals(b) or plain(a.to_pylist()) == plain(b.to_pylist()), f"{context}: column {name}"


def without_extensions(table):
    """pyarrow may show a logical type as an extension type: its storage, then."""
    arrays = [pa.chunked_array([c.storage for c in a.chunks], a.type.storage_type)
              if isinstance(a.type, pa.BaseExtensionType) else a for a in table.columns]
    return pa.Table.from_arrays(arrays, schema=pa.schema(
        [pa.field(f.name, a.type, f.nullable) for f, a in zip(table.schema, arrays)]))


@pytest.mark.parametrize("name", COMPARED)
def test_values_are_those_that_pyarrow_reads(library, name):
    expected = without_extensions(pq.read_table(FILES / name))
    assert_same(library.read(FILES / name), expected, name)
    with library.open(FILES / name) as file:
        assert file.info().row_count == expected.num_rows
    assert_same(library.read((FILES / name).read_bytes(), batch_rows=3), expected, f"{name} in memory")


def test_every_file_is_accounted_for():
    assert len(COMPARED) >= 120
    assert set(BAD) | GOOD_AFTER_ALL | NOT_BY_PYARROW | {LARGE, INT96_BEYOND_NANOSECONDS} <= set(names("*.parquet"))


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_files_are_refused(library, name):
    with pytest.raises(ParquetError, match=re.escape(BAD[name])):
        library.read(FILES / name)


def test_a_wrong_checksum_can_be_passed_over(library):
    name = "data/datapage_v1-corrupt-checksum.parquet"
    assert_same(library.read(FILES / name, no_checksums=True), pq.read_table(FILES / name), name)


@pytest.mark.parametrize("name", names("*.encrypted"))
def test_encrypted_files_are_a_clear_error(library, name):
    if "plaintext_footer" not in name:
        with pytest.raises(ParquetError, match="unsupported: .*the file's footer is encrypted"):
            library.read(FILES / name)
        return
    with pytest.raises(ParquetError, match="column float_field: encrypted"):
        library.read(FILES / name)
    with library.open(FILES / name) as file:
        encrypted = [file.chunk(0, c).is_encrypted for c in range(file.info().column_count)]
    assert any(encrypted) and not all(encrypted)


def test_int96_reaches_further_in_microseconds(library):
    """The times that int96_from_spark.md says were written: those of the years 9999 and 290000 are beyond nanoseconds."""
    path = FILES / INT96_BEYOND_NANOSECONDS
    with pytest.raises(ParquetError, match="column a: an INT96 time that its unit does not reach"):
        library.read(path)
    column = library.read(path, int96="us").column("a")
    assert column.cast(pa.int64()).to_pylist() == [
        1704141296123456, 1704070800000000, 253402225200000000, 1735599600000000, None, 9089380393200000000]


def test_map_keys_may_be_marked_optional(library):
    """incorrect_map_schema: one row, written by Presto."""
    table = library.read(FILES / "data/incorrect_map_schema.parquet")
    assert table.schema.field("my_map").type == pa.map_(pa.string(), pa.string())
    assert table.to_pydict() == {"my_map": [[("parent", "another"), ("name", "report")]]}


def test_a_large_string_is_read_within_its_limit(library):
    path = FILES / LARGE
    with pytest.raises(ParquetError, match="over the memory limit of 268435456"):
        library.read(path)
    if os.environ.get("PLINTH_LARGE_TESTS") != "1":
        return
    with library.open(path, memory_bytes_max=2**32) as file, file.stream(batch_rows=1) as reader:
        for batch in reader:
            keys = batch.column(0).keys
            assert [len(k.as_buffer()) for k in keys] == [2**30] and batch.column(0).items.to_pylist() == [1]


FLOATING_ORDERS = "data/floating_orders_nan_count.parquet"


def test_bounds_and_nan_counts_of_floating_columns_in_both_orders(library):
    """floating_orders_nan_count: row groups without NaN, with some, with nothing else, with zeros at either end."""
    formats = {"float": "<f", "double": "<d", "float16": "<e"}
    metadata, judged = pq.read_metadata(FILES / FLOATING_ORDERS), 0
    table = library.read(FILES / FLOATING_ORDERS)
    with library.open(FILES / FLOATING_ORDERS) as file:
        for g in range(metadata.num_row_groups):
            for c, name in enumerate(table.column_names):
                chunk = file.chunk(g, c)
                rows = [float(v) for v in table.column(name).slice(10 * g, 10).to_pylist()]
                numbers = [v for v in rows if not math.isnan(v)]
                assert chunk.has_nan_count and chunk.nan_count == len(rows) - len(numbers)
                if not numbers:  # bounds are NaN, or none
                    assert not chunk.min and not chunk.max
                if not chunk.min:
                    assert len(numbers) < len(rows)
                    continue
                kind = formats[name.split("_")[0]]
                low, high = (struct.unpack(kind, ctypes.string_at(at, size))[0]
                             for at, size in ((chunk.min, chunk.min_size), (chunk.max, chunk.max_size)))
                assert low == min(numbers) and high == max(numbers)
                judged += 1
                bound = struct.pack(kind, 1.0)
                with file.stream(bounds=[(name, bound, bound)]) as reader:
                    assert sum(b.num_rows for b in reader) == table.column(name).to_pylist().count(1.0)
    assert judged >= 20  # all but those where NaN took the place of a bound


# ---- The tool that prints files


@pytest.mark.parametrize("name", VALID)
def test_every_way_of_reading_gives_the_same(name):
    def dump(*options):
        done = subprocess.run([BIN_DIR / "parquet_dump", *options, FILES / name], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    scanned = dump()
    assert scanned["rows"] in (0, sum(group["rows"] for group in scanned["row_groups"]))  # some files do not say it
    for options in (["--mapped"], ["--stripes"], ["--mapped", "--stripes"]):
        assert dump(*options) == scanned


# ---- Who judged

DOCUMENT = FILES.parents[2] / "docs" / "parquet-conformance.md"
BY_DOCUMENT = {
    "data/incorrect_map_schema.parquet": "incorrect_map_schema.md",
    INT96_BEYOND_NANOSECONDS: "int96_from_spark.md",
    LARGE: "large_string_map.brotli.md: refused within 256 MiB, read within 4 GiB (`PLINTH_LARGE_TESTS=1`)",
}


def judgement(library, name):
    """(result, by whom): the run decides what stands here."""
    if name in BAD:
        with pytest.raises(ParquetError) as refusal:
            library.read(FILES / name)
        assert BAD[name] in str(refusal.value)
        return f"refused: {BAD[name]}", "it is a bad file"
    if name.endswith(".encrypted"):
        with pytest.raises(ParquetError, match="encrypted"):
            library.read(FILES / name)
        return "refused: " + ("its footer is encrypted" if "plaintext" not in name else "columns are encrypted"), "it is encrypted"
    if name == LARGE:
        return "1 row", BY_DOCUMENT[name]
    table = library.read(FILES / name, **({"int96": "us"} if name == INT96_BEYOND_NANOSECONDS else {}))
    result = f"{table.num_rows:,} row{'s' * (table.num_rows != 1)} of {table.num_columns}"
    if name in BY_DOCUMENT:
        return result, BY_DOCUMENT[name]
    assert_same(table, without_extensions(pq.read_table(FILES / name)), name)
    return result + " (in bad_data for a bug of a reader)" * (name in GOOD_AFTER_ALL), "pyarrow"


def test_the_document_says_by_whom_each_file_was_judged(library):
    files = names("*.parquet") + names("*.encrypted")
    lines = ["| file | Plinth | judged by |", "|---|---|---|"]
    shredded = [n for n in files if n.startswith("shredded_variant/")]
    for name in files:
        if name not in shredded:
            lines.append("| {} | {} | {} |".format(name, *judgement(library, name)))
    judged = {judgement(library, name)[1] for name in shredded}
    assert judged <= {"pyarrow"}
    lines.append(f"| shredded_variant/*: {len(shredded)} files | their rows, as the structs that they are stored as | pyarrow |")
    text = ("# The format's conformance files, and who judged\n\n"
            "What `tests/integration/test_parquet_conformance.py` finds, and makes this of; it fails when a run finds something else.\n"
            "\"pyarrow\": schema and all values are those that pyarrow 26 reads (NaN equal to itself, -0.0 not to 0.0), from the file\n"
            "and from memory, by batches of any size. Else what the file's own documentation says.\n\n" + "\n".join(lines) + "\n")
    if os.environ.get("PLINTH_WRITE_DOCS") == "1":
        DOCUMENT.write_text(text)
        pytest.skip("docs/parquet-conformance.md was written")
    assert DOCUMENT.read_text() == text
