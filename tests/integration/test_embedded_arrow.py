"""The embedded engine with pyarrow, in one process and without a copy: batches in through the Arrow C Data interface,
query results out as an Arrow C stream."""
import ctypes
import datetime
import decimal
import re

import pyarrow as pa
import pytest

from conftest import BIN_DIR, ROOT


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("text", ctypes.c_char * 480)]


class Column(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_char_p),
        ("nullable", ctypes.c_bool),
        ("id", ctypes.c_uint32),
        ("default_value", ctypes.c_char_p),
    ]


class Definition(ctypes.Structure):
    _fields_ = [
        ("columns", ctypes.POINTER(Column)),
        ("column_count", ctypes.c_size_t),
        ("key", ctypes.POINTER(ctypes.c_char_p)),
        ("key_count", ctypes.c_size_t),
        ("partition_by", ctypes.c_char_p),
        ("partition_us", ctypes.c_uint64),
        ("retention_us", ctypes.c_uint64),
        ("codec", ctypes.c_int),
        ("page_rows", ctypes.c_uint32),
        ("adds_columns", ctypes.c_bool),
    ]


class Aggregate(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_int), ("column", ctypes.c_char_p)]


class Position(ctypes.Structure):
    _fields_ = [("epoch", ctypes.c_uint64), ("lsn", ctypes.c_uint64)]


class ReadOptions(ctypes.Structure):
    _fields_ = [
        ("snapshot", ctypes.c_void_p),
        ("as_of", Position),
        ("snapshot_name", ctypes.c_char_p),
        ("as_of_time_us", ctypes.c_uint64),
        ("position_min", Position),
        ("wait_ms_max", ctypes.c_uint32),
        ("memory_only", ctypes.c_bool),
    ]


class QueryOptions(ctypes.Structure):
    _fields_ = [
        ("where", ctypes.c_char_p),
        ("columns", ctypes.POINTER(ctypes.c_char_p)),
        ("column_count", ctypes.c_size_t),
        ("limit", ctypes.c_uint64),
        ("ordered", ctypes.c_bool),
        ("reverse", ctypes.c_bool),
        ("aggregates", ctypes.POINTER(Aggregate)),
        ("aggregate_count", ctypes.c_size_t),
        ("group_by", ctypes.POINTER(ctypes.c_char_p)),
        ("group_by_count", ctypes.c_size_t),
        ("read", ReadOptions),
        ("threads", ctypes.c_uint),
        ("memory_bytes_max", ctypes.c_uint64),
    ]


def names(*words):
    return (ctypes.c_char_p * len(words))(*[w.encode() for w in words])


class Engine:
    def __init__(self, library, path):
        self.library, self.db, self.error = library, ctypes.c_void_p(), Error()
        self.call("plinth_open", str(path).encode(), None, ctypes.byref(self.db))

    def call(self, function, *args):
        status = getattr(self.library, function)(*args, ctypes.byref(self.error))
        if status:
            raise RuntimeError(self.error.text.decode())

    def create(self, name, columns, key):
        columns = (Column * len(columns))(*[Column(n.encode(), t.encode(), True) for n, t in columns])
        definition = Definition(columns=columns, column_count=len(columns), key=names(*key), key_count=len(key))
        self.call("plinth_table_create", self.db, None, name.encode(), ctypes.byref(definition))

    def write(self, name, batch):
        schema, array = (ctypes.c_byte * 72)(), (ctypes.c_byte * 80)()
        batch._export_to_c(ctypes.addressof(array), ctypes.addressof(schema))
        self.call("plinth_rows_write", self.db, None, name.encode(), schema, array, None, None)

    def query(self, name, **fields):
        options, stream = QueryOptions(**fields), (ctypes.c_byte * 40)()
        self.call("plinth_query", self.db, None, name.encode(), ctypes.byref(options), stream)
        return pa.RecordBatchReader._import_from_c(ctypes.addressof(stream))

    def close(self):
        self.library.plinth_close(self.db)


@pytest.mark.parametrize("structure", [Column, Definition, Aggregate, Position, ReadOptions, QueryOptions])
def test_structures_are_those_of_the_header(structure):
    """A field that the header has gained would else be read from behind these structures."""
    name = {Definition: "table_definition"}.get(structure) or re.sub(r"(?<!^)([A-Z])", r"_\1", structure.__name__).lower()
    header = (ROOT / "include" / "plinth.h").read_text()
    body = re.search(rf"struct plinth_{name} {{(.*?)^}};", header, re.S | re.M).group(1)
    body = re.sub(r"/\*.*?\*/", "", body, flags=re.S)
    assert re.findall(r"(\w+);", body) == [field[0] for field in structure._fields_]


@pytest.fixture()
def engine(tmp_path):
    path = BIN_DIR.parent / "lib" / "libplinth.so"
    if not path.exists():
        pytest.skip(f"{path} is not built")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:  # a sanitizer's runtime must be loaded first
        pytest.skip(str(error))
    made = Engine(library, tmp_path / "db")
    yield made
    made.close()


ROWS = 20_000


def make_batch():
    start = datetime.datetime(2024, 1, 1)
    return pa.record_batch(
        {
            "host": [f"host{i % 7}" for i in range(ROWS)],
            "at": [start + datetime.timedelta(seconds=i) for i in range(ROWS)],
            "load": [None if i % 11 == 0 else i / 4 for i in range(ROWS)],
            "price": pa.array([decimal.Decimal(i).scaleb(-2) for i in range(ROWS)], pa.decimal128(12, 2)),
            "tags": [[] if i % 3 == 0 else None if i % 5 == 0 else ["a", None, str(i)] for i in range(ROWS)],
        }
    )


COLUMNS = [("host", "string"), ("at", "timestamp(us)"), ("load", "float64"), ("price", "decimal(12,2)"), ("tags", "list<string>")]


def test_pyarrow_reads_what_it_wrote(engine):
    batch = make_batch()
    engine.create("load", COLUMNS, ["host", "at"])
    engine.write("load", batch)
    for prepare in (None, "plinth_flush", "plinth_compact"):
        if prepare:
            engine.call(prepare, engine.db)
        found = engine.query("load", ordered=True).read_all()
        expected = pa.table(batch).sort_by([("host", "ascending"), ("at", "ascending")])
        assert found.to_pylist() == expected.to_pylist(), prepare


def test_conditions_projection_and_groups(engine):
    engine.create("load", COLUMNS, ["host", "at"])
    engine.write("load", make_batch())
    some = engine.query("load", where=b"host = 'host3' AND load IS NULL", columns=names("at", "price"), column_count=2).read_all()
    assert some.column_names == ["at", "price"]
    assert len(some) == sum(i % 7 == 3 and i % 11 == 0 for i in range(ROWS))
    functions = (Aggregate * 2)(Aggregate(1, None), Aggregate(4, b"price"))
    groups = engine.query("load", aggregates=functions, aggregate_count=2, group_by=names("host"), group_by_count=1)
    assert groups.read_all().to_pylist() == [
        {
            "host": f"host{h}",
            "count": len(range(h, ROWS, 7)),
            "sum_price": sum(decimal.Decimal(i).scaleb(-2) for i in range(h, ROWS, 7)),
        }
        for h in range(7)
    ]


def test_a_reader_may_stop_early(engine):
    engine.create("load", COLUMNS, ["host", "at"])
    engine.write("load", make_batch())
    reader = engine.query("load")
    assert reader.read_next_batch().num_rows > 0
    del reader


def test_errors_name_what_is_wrong(engine):
    engine.create("load", COLUMNS, ["host", "at"])
    with pytest.raises(RuntimeError, match='"nothing"'):
        engine.query("nothing")
    with pytest.raises(RuntimeError, match="colour"):
        engine.query("load", where=b"colour = 'red'")
    with pytest.raises(RuntimeError, match="SELECT at character 9"):
        engine.query("load", where=b"load > (SELECT 1)")
