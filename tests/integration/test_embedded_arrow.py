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


HEADER = (ROOT / "include" / "plinth.h").read_text()
NUMBERS = {
    "bool": ctypes.c_bool,
    "size_t": ctypes.c_size_t,
    "unsigned": ctypes.c_uint,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
}


def structure(name, *others):
    """struct plinth_NAME as the header has it, so that a field it gains is not read from behind ours."""
    body = re.search(rf"^struct plinth_{name} {{(.*?)^}};", HEADER, re.S | re.M).group(1)
    known = {f"struct plinth_{other.__name__}": other for other in others}
    fields = []
    for declaration in re.sub(r"/\*.*?\*/", "", body, flags=re.S).split(";")[:-1]:
        kind, stars, field = re.fullmatch(r"\s*(?:const )?([\w ]+?) ?(\*(?:const \*)?|)(\w+)", declaration).groups()
        if stars == "*const *" and kind == "char":
            found = ctypes.POINTER(ctypes.c_char_p)
        elif stars == "*" and kind == "char":
            found = ctypes.c_char_p
        elif stars == "*":
            found = ctypes.POINTER(known[kind]) if kind in known else ctypes.c_void_p
        elif kind.startswith("enum "):
            found = ctypes.c_int
        else:
            found = known.get(kind) or NUMBERS[kind]
        fields.append((field, found))
    return type(name, (ctypes.Structure,), {"_fields_": fields})


Column = structure("column")
Definition = structure("table_definition", Column)
Aggregate = structure("aggregate")
Position = structure("position")
ReadOptions = structure("read_options", Position)
QueryOptions = structure("query_options", Aggregate, ReadOptions)


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
