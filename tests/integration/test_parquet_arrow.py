"""The Arrow C Data interface itself: what Plinth hands out is taken over by pyarrow without a copy, lives as long as the arrays
do, and what goes in may come in any pieces."""
import ctypes
import gc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parquet_library import Stream, load_library
from parquet_schemas import random_table


class Array(ctypes.Structure):
    pass


Array._fields_ = [("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64),
                  ("n_buffers", ctypes.c_int64), ("n_children", ctypes.c_int64),
                  ("buffers", ctypes.POINTER(ctypes.c_void_p)), ("children", ctypes.POINTER(ctypes.POINTER(Array))),
                  ("dictionary", ctypes.c_void_p), ("release", ctypes.c_void_p), ("private_data", ctypes.c_void_p)]


class Schema(ctypes.Structure):
    _fields_ = [("head", ctypes.c_void_p * 3), ("numbers", ctypes.c_int64 * 2), ("rest", ctypes.c_void_p * 4)]


@pytest.fixture(scope="module")
def library():
    return load_library()


def addresses(array):
    """Those of all buffers, depth first."""
    own = [array.buffers[i] or 0 for i in range(array.n_buffers)]
    return own + [a for i in range(array.n_children) for a in addresses(array.children[i].contents)]


def addresses_in_pyarrow(array):
    """Array.buffers() has those of the children behind one another too."""
    return [b.address if b is not None else 0 for b in array.buffers()]


def call(pointer, *arguments, result=ctypes.c_int):
    return ctypes.CFUNCTYPE(result, *[ctypes.c_void_p] * len(arguments))(pointer)(*arguments)


def open_stream(library, path):
    stream = Stream()
    with library.open(path) as file:
        error = ctypes.create_string_buffer(1000)
        assert library.calls.plinth_parquet_read(file.handle, None, ctypes.byref(stream), error) == 0
    return stream


@pytest.mark.parametrize("seed", range(30))
def test_pyarrow_takes_over_the_very_buffers(library, tmp_path, seed):
    path = tmp_path / "rows.parquet"
    _, table = random_table(f"zero copy {seed}")
    library.write(path, table)
    stream, batches, compared = open_stream(library, path), [], 0
    here = ctypes.addressof(stream)
    while True:
        array, schema = Array(), Schema()
        assert call(stream.get_schema, here, ctypes.addressof(schema)) == 0
        assert call(stream.get_next, here, ctypes.addressof(array)) == 0
        if not array.release:
            call(ctypes.cast(schema.rest[2], ctypes.c_void_p).value, ctypes.addressof(schema), result=None)
            break
        given = [addresses(array.children[i].contents) for i in range(array.n_children)]
        batch = pa.RecordBatch._import_from_c(ctypes.addressof(array), ctypes.addressof(schema))
        batches.append(batch)
        for column, own in zip(batch.columns, given):
            theirs = addresses_in_pyarrow(column)
            if "null" in str(column.type):  # has a buffer in pyarrow, but none here
                theirs, own = [a for a in theirs if a], [a for a in own if a]
            assert len(theirs) == len(own)
            same = [a == b for a, b in zip(theirs, own) if a and b]
            assert all(same)
            compared += len(same)
    call(stream.release, here, result=None)
    path.unlink()
    gc.collect()
    assert pa.Table.from_batches(batches, table.schema).equals(table)  # after stream, file and all are gone
    assert compared > 0 or table.num_rows == 0


def test_the_same_rows_give_the_same_bytes_in_whatever_pieces(library, tmp_path):
    large = pa.table({"n": pa.array(range(400), pa.int64()), "b": pa.array([b"x" * (i % 7 * 20_000) for i in range(400)]),
                      "l": pa.array([[b"y" * 1000] * (i % 50) for i in range(400)])})
    for seed in range(-1, 20):  # pages end by their bytes, by their rows
        given = large if seed < 0 else random_table(f"pieces {seed}")[0]
        options = {"page_rows": 100, "row_group_rows": 333, "encoding": "PLAIN", "codec": "ZSTD"}
        files = []
        for pieces in (None, 1000, 7, 1):
            path = tmp_path / f"{pieces}.parquet"
            library.write(path, given.to_reader(max_chunksize=pieces), **options)
            files.append(path.read_bytes())
        assert all(f == files[0] for f in files), seed
        assert pq.read_table(tmp_path / "1.parquet").num_rows == given.num_rows
