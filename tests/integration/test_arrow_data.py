"""The Arrow C Data interface between pyarrow and Plinth, both ways, in one process: pyarrow hands over record batches,
Plinth hands them back."""
import ctypes
import gc
import random

import pyarrow as pa
import pytest

from test_arrow_ipc import ALL_TYPES, BIN_DIR, PRIMITIVES, assert_same, random_table

TEXT_BYTES = 480
UNSUPPORTED = 7


RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class ArrowSchema(ctypes.Structure):
    _fields_ = [("format", ctypes.c_char_p), ("name", ctypes.c_char_p), ("metadata", ctypes.c_void_p),
                ("flags", ctypes.c_int64), ("n_children", ctypes.c_int64), ("children", ctypes.c_void_p),
                ("dictionary", ctypes.c_void_p), ("release", ctypes.c_void_p), ("private_data", ctypes.c_void_p)]


class ArrowArray(ctypes.Structure):
    _fields_ = [("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64),
                ("n_buffers", ctypes.c_int64), ("n_children", ctypes.c_int64), ("buffers", ctypes.c_void_p),
                ("children", ctypes.c_void_p), ("dictionary", ctypes.c_void_p), ("release", ctypes.c_void_p),
                ("private_data", ctypes.c_void_p)]


@pytest.fixture(scope="module")
def library():
    path = BIN_DIR / "libarrow_data_echo.so"
    if not path.exists():
        pytest.skip(f"{path} is not built")
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:  # a sanitizer's runtime must be loaded first
        pytest.skip(str(error))


def echo(library, batch, first=0, count=None):
    """What comes back, or (status, text)."""
    array_in, array_out, schema_in, schema_out = ArrowArray(), ArrowArray(), ArrowSchema(), ArrowSchema()
    batch._export_to_c(ctypes.addressof(array_in), ctypes.addressof(schema_in))
    text = ctypes.create_string_buffer(TEXT_BYTES)
    count = batch.num_rows - first if count is None else count
    status = library.arrow_data_echo(ctypes.byref(array_in), ctypes.byref(schema_in), first, count,
                                     ctypes.byref(array_out), ctypes.byref(schema_out), text)
    for given in (array_in, schema_in):  # what Plinth did not take
        if given.release:
            RELEASE(given.release)(ctypes.addressof(given))
    if status:
        return status, text.value.decode()
    return pa.RecordBatch._import_from_c(ctypes.addressof(array_out), ctypes.addressof(schema_out))


def random_batch(rng, kinds, rows, null_share):
    table = random_table(rng, kinds, rows, null_share).combine_chunks()
    columns = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in table.columns]
    return pa.record_batch(columns, schema=table.schema)


def check(library, batch, first=0, count=None):
    got = echo(library, batch, first, count)
    assert isinstance(got, pa.RecordBatch), got
    got.validate(full=True)
    wanted = batch.slice(first, count)
    del batch
    gc.collect()
    assert_same(pa.Table.from_batches([got]), pa.Table.from_batches([wanted]))


@pytest.mark.parametrize("null_share", [0, 0.3, 1])
@pytest.mark.parametrize("rows", [0, 1, 8, 77])
def test_every_type_goes_through_unchanged(library, rows, null_share):
    check(library, random_batch(random.Random(rows), ALL_TYPES, rows, null_share))


@pytest.mark.parametrize("seed", range(30))
def test_slices_of_slices_show_the_same_rows(library, seed):
    rng = random.Random(seed)
    kinds = [rng.choice(ALL_TYPES) for _ in range(1 + rng.randrange(12))]
    rows = rng.randrange(1, 200)
    start = rng.randrange(rows)
    batch = random_batch(rng, kinds, rows, rng.choice([0, 0.2])).slice(start, rng.randrange(rows - start + 1))
    first = rng.randrange(batch.num_rows + 1)
    check(library, batch, first, rng.randrange(batch.num_rows - first + 1))


def test_memory_is_given_back(library):
    batch = random_batch(random.Random(1), PRIMITIVES, 5000, 0.1)
    echo(library, batch)
    gc.collect()
    before = pa.total_allocated_bytes()
    for _ in range(20):
        got = echo(library, batch)
        assert got.num_rows == 5000
    del got
    gc.collect()
    assert pa.total_allocated_bytes() <= before


@pytest.mark.parametrize("kind,named", [
    (pa.float16(), "e"), (pa.decimal256(40, 2), "d:40,2"), (pa.struct([("a", pa.int8())]), "+s"),
    (pa.map_(pa.string(), pa.int8()), "+m"), (pa.string_view(), "vu"), (pa.list_(pa.list_(pa.int8())), "+l"),
    (pa.month_day_nano_interval(), "tin"), (pa.run_end_encoded(pa.int32(), pa.int8()), "+r"),
])
def test_what_is_not_supported_is_named(library, kind, named):
    if pa.types.is_run_end_encoded(kind):
        array = pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([1], pa.int8()))
    else:
        array = pa.nulls(2, kind)
    status, text = echo(library, pa.record_batch([array], names=["odd"]))
    assert status == UNSUPPORTED
    assert "column 'odd'" in text and f'"{named}' in text
