"""The Parquet format's own conformance files (tests/data/parquet-testing): every valid one is read with the right values,
every bad one is refused with a reason. Values are compared with pyarrow's; where pyarrow does not read a file, with what
the file's documentation says."""
import json
import math
import os
import pathlib
import re
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
