"""libplinth-parquet driven through ctypes: what it reads and writes, as pyarrow's record batches."""
import ctypes
import os
import pathlib

import pyarrow as pa
import pytest

BIN_DIR = pathlib.Path(os.environ.get("PLINTH_BIN_DIR", pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"))

CODECS = {"NONE": 0, "SNAPPY": 1, "GZIP": 2, "BROTLI": 4, "ZSTD": 6, "LZ4": 7}
ENCODINGS = {"CHOOSE": -1, "PLAIN": 0, "RLE": 3, "DELTA_BINARY_PACKED": 5, "DELTA_LENGTH_BYTE_ARRAY": 6,
             "DELTA_BYTE_ARRAY": 7, "DICTIONARY": 8, "BYTE_STREAM_SPLIT": 9}
STATUSES = {1: "invalid_argument", 2: "not_found", 5: "too_large", 7: "unsupported", 8: "corrupt", 9: "io_error",
            13: "out_of_memory"}
INT96_UNITS = {"ns": 0, "us": 1, "ms": 2}

_pointer, _text, _u32, _u64 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_uint64


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("text", ctypes.c_char * 480)]


class OpenOptions(ctypes.Structure):
    _fields_ = [("memory_bytes_max", _u64), ("no_checksums", ctypes.c_bool), ("allow_invalid_utf8", ctypes.c_bool),
                ("int96", ctypes.c_int), ("stream_bytes_max", _u64)]


class Info(ctypes.Structure):
    _fields_ = [("row_count", _u64), ("row_group_count", _u32), ("column_count", _u32), ("key_value_count", _u32),
                ("version", ctypes.c_int32), ("created_by", _text)]


class ChunkInfo(ctypes.Structure):
    _fields_ = [("row_count", _u64), ("value_count", _u64), ("codec", _text), ("encodings", _u32), ("offset", _u64),
                ("compressed_bytes", _u64), ("uncompressed_bytes", _u64), ("has_null_count", ctypes.c_bool),
                ("null_count", _u64), ("min", _pointer), ("max", _pointer), ("min_size", ctypes.c_size_t),
                ("max_size", ctypes.c_size_t), ("min_exact", ctypes.c_bool), ("max_exact", ctypes.c_bool),
                ("has_page_index", ctypes.c_bool), ("has_bloom_filter", ctypes.c_bool), ("is_encrypted", ctypes.c_bool),
                ("has_nan_count", ctypes.c_bool), ("has_unencoded_bytes", ctypes.c_bool), ("nan_count", _u64),
                ("unencoded_bytes", _u64), ("repetition_counts", ctypes.POINTER(_u64)),
                ("definition_counts", ctypes.POINTER(_u64))]


class Bounds(ctypes.Structure):
    _fields_ = [("column", _text), ("min", _text), ("max", _text), ("min_size", ctypes.c_size_t),
                ("max_size", ctypes.c_size_t)]


class Selection(ctypes.Structure):
    _fields_ = [("columns", ctypes.POINTER(_text)), ("column_count", _u32), ("row_begin", _u64), ("row_end", _u64),
                ("bounds", ctypes.POINTER(Bounds)), ("bounds_count", _u32), ("batch_rows", _u32), ("ranges", ctypes.POINTER(_u64)),
                ("range_count", _u64), ("bitmap", _text), ("bitmap_rows", _u64)]


class Finding(ctypes.Structure):
    _fields_ = [("row_group", ctypes.c_int64), ("column", _text), ("page", ctypes.c_int64), ("offset", ctypes.c_int64),
                ("text", _text)]


class ColumnOptions(ctypes.Structure):
    _fields_ = [("column", _text), ("has_codec", ctypes.c_bool), ("codec", ctypes.c_int), ("codec_level", ctypes.c_int),
                ("has_encoding", ctypes.c_bool), ("encoding", ctypes.c_int), ("bloom_filter", ctypes.c_bool)]


class Sorting(ctypes.Structure):
    _fields_ = [("column", _text), ("is_descending", ctypes.c_bool), ("nulls_first", ctypes.c_bool)]


class WriteOptions(ctypes.Structure):
    _fields_ = [("codec", ctypes.c_int), ("codec_level", ctypes.c_int), ("encoding", ctypes.c_int), ("page_rows", _u32),
                ("row_group_rows", _u64), ("data_page_version", ctypes.c_int), ("no_statistics", ctypes.c_bool),
                ("no_page_index", ctypes.c_bool), ("no_checksums", ctypes.c_bool), ("no_dictionary", ctypes.c_bool),
                ("columns", ctypes.POINTER(ColumnOptions)), ("column_count", _u32), ("sorting", ctypes.POINTER(Sorting)),
                ("sorting_count", _u32), ("created_by", _text), ("dictionary_bytes_max", _u32), ("threads", _u32)]


class Stream(ctypes.Structure):
    _fields_ = [(name, _pointer) for name in ("get_schema", "get_next", "get_last_error", "release", "private_data")]


class ParquetError(Exception):
    """`status` is the name of a plinth_status."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status


class Library:
    def __init__(self, path):
        self.calls = ctypes.CDLL(str(path))
        self.calls.plinth_parquet_write_options_default.restype = WriteOptions

    @staticmethod
    def _check(status, error):
        if status:
            raise ParquetError(STATUSES.get(status, str(status)), error.text.decode(errors="replace"))

    def open(self, source, **options):
        """A path, or bytes."""
        handle, error = _pointer(), Error()
        if "int96" in options:
            options["int96"] = INT96_UNITS[options["int96"]]
        own = OpenOptions(**options)
        if isinstance(source, bytes):
            status = self.calls.plinth_parquet_open_memory(source, ctypes.c_size_t(len(source)), ctypes.byref(own),
                                                           ctypes.byref(handle), ctypes.byref(error))
        else:
            status = self.calls.plinth_parquet_open(os.fsencode(source), ctypes.byref(own), ctypes.byref(handle),
                                                    ctypes.byref(error))
        self._check(status, error)
        return File(self, handle, source)

    def read(self, source, columns=None, bounds=(), rows=(0, 0), batch_rows=0, ranges=None, bitmap=None, **options):
        with self.open(source, **options) as file:
            return file.read(columns, bounds, rows, batch_rows, ranges, bitmap)

    def write(self, path, reader, column_options=(), sorting=(), **options):
        """All batches of a pyarrow RecordBatchReader, or a table."""
        if isinstance(reader, pa.Table):
            reader = reader.to_reader()
        own = self._write_options(column_options, sorting, options)
        stream, error = Stream(), Error()
        reader._export_to_c(ctypes.addressof(stream))
        status = self.calls.plinth_parquet_write_stream(os.fsencode(path), ctypes.byref(stream), ctypes.byref(own),
                                                        ctypes.byref(error))
        if stream.release:
            ctypes.CFUNCTYPE(None, _pointer)(stream.release)(ctypes.addressof(stream))
        self._check(status, error)

    def writer(self, write, schema, column_options=(), sorting=(), **options):
        """A Writer that gives its bytes to `write`, as memory views."""
        return Writer(self, write, schema, self._write_options(column_options, sorting, options))

    def _write_options(self, column_options, sorting, options):
        own = self.calls.plinth_parquet_write_options_default()
        for name, value in options.items():
            setattr(own, name, {"codec": CODECS, "encoding": ENCODINGS}.get(name, {}).get(value, value))
        own.columns = (ColumnOptions * len(column_options))(*(ColumnOptions(**o) for o in column_options))
        own.column_count = len(column_options)
        own.sorting = (Sorting * len(sorting))(*(Sorting(**s) for s in sorting))
        own.sorting_count = len(sorting)
        return own


class Writer:
    """Record batches into a function, by plinth_parquet_writer_open_function; finishes at the end of a with block."""

    def __init__(self, library, write, schema, options):
        def take(_context, data, size, _error):
            write(memoryview((ctypes.c_char * size).from_address(data)).cast("B"))
            return 0

        self.library, self.handle = library, _pointer()
        self.function = ctypes.CFUNCTYPE(ctypes.c_int, _pointer, _pointer, ctypes.c_size_t, _pointer)(take)
        exported, error = (ctypes.c_void_p * 9)(), Error()
        schema._export_to_c(ctypes.addressof(exported))
        status = library.calls.plinth_parquet_writer_open_function(
            self.function, None, ctypes.byref(exported), ctypes.byref(options), ctypes.byref(self.handle), ctypes.byref(error))
        pa.Schema._import_from_c(ctypes.addressof(exported))  # releases it
        library._check(status, error)

    def __enter__(self):
        return self

    def write(self, batch):
        exported, error = (ctypes.c_void_p * 10)(), Error()
        batch._export_to_c(ctypes.addressof(exported))
        status = self.library.calls.plinth_parquet_writer_write(self.handle, ctypes.byref(exported), ctypes.byref(error))
        pa.RecordBatch._import_from_c(ctypes.addressof(exported), batch.schema)
        self.library._check(status, error)

    def __exit__(self, kind, *_):
        error = Error()
        status = 0 if kind else self.library.calls.plinth_parquet_writer_finish(self.handle, None, ctypes.byref(error))
        self.library.calls.plinth_parquet_writer_destroy(self.handle)
        self.library._check(status, error)


class File:
    def __init__(self, library, handle, source):
        self.library, self.handle, self.source = library, handle, source

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.library.calls.plinth_parquet_close(self.handle)

    def info(self):
        info = Info()
        self.library.calls.plinth_parquet_get_info(self.handle, ctypes.byref(info))
        return info

    def chunk(self, row_group, column):
        info, error = ChunkInfo(), Error()
        self.library._check(self.library.calls.plinth_parquet_get_chunk(
            self.handle, _u32(row_group), _u32(column), ctypes.byref(info), ctypes.byref(error)), error)
        return info

    def verify(self):
        """What of the file is not true: (row group, column, page, text)."""
        findings, error = [], Error()

        def add(_context, finding):
            column = finding.contents.column
            findings.append((finding.contents.row_group, column and column.decode(), finding.contents.page,
                             finding.contents.text.decode(errors="replace")))
            return True

        report = ctypes.CFUNCTYPE(ctypes.c_bool, _pointer, ctypes.POINTER(Finding))(add)
        self.library._check(self.library.calls.plinth_parquet_verify(self.handle, report, None, None, ctypes.byref(error)), error)
        return findings

    def stream(self, columns=None, bounds=(), rows=(0, 0), batch_rows=0, ranges=None, bitmap=None):
        """`bounds`: (column, least, greatest) with the values' bytes or None; `ranges`: (begin, end); `bitmap`: a list of
        bools. The stream keeps the file open."""
        stream, error = Stream(), Error()
        selection = Selection(row_begin=rows[0], row_end=rows[1], batch_rows=batch_rows)
        if columns is not None:
            selection.columns = (_text * max(1, len(columns)))(*(c.encode() for c in columns))
            selection.column_count = len(columns)
        texts = [(c.encode(), low, high, len(low or b""), len(high or b"")) for c, low, high in bounds]
        selection.bounds = (Bounds * len(texts))(*(Bounds(*t) for t in texts))
        selection.bounds_count = len(texts)
        if ranges is not None:
            selection.ranges = (_u64 * max(1, 2 * len(ranges)))(*(n for pair in ranges for n in pair))
            selection.range_count = len(ranges)
        if bitmap is not None:
            selection.bitmap = sum(1 << i for i, wanted in enumerate(bitmap) if wanted).to_bytes(len(bitmap) // 8 + 1, "little")
            selection.bitmap_rows = len(bitmap)
        status = self.library.calls.plinth_parquet_read(self.handle, ctypes.byref(selection), ctypes.byref(stream),
                                                        ctypes.byref(error))
        self.library._check(status, error)
        return pa.RecordBatchReader._import_from_c(ctypes.addressof(stream))

    def read(self, columns=None, bounds=(), rows=(0, 0), batch_rows=0, ranges=None, bitmap=None):
        """All rows as a table; every batch is validated by pyarrow."""
        with self.stream(columns, bounds, rows, batch_rows, ranges, bitmap) as reader:
            batches = []
            while True:
                try:
                    batch = reader.read_next_batch()
                except StopIteration:
                    break
                except (OSError, pa.ArrowException, MemoryError, NotImplementedError) as error:
                    raise ParquetError("stream", str(error)) from None
                batch.validate(full=True)
                batches.append(batch)
            return pa.Table.from_batches(batches, reader.schema)


def load_library():
    path = BIN_DIR.parent / "lib" / "libplinth-parquet.so"
    if not path.exists():
        pytest.skip(f"{path} is not built")
    try:
        return Library(path)
    except OSError as error:  # a sanitizer's runtime must be loaded first
        pytest.skip(str(error))
