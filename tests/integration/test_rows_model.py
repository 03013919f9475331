"""Typed tables against a model in Python: random tables, batches, overwrites, deletes, filters, indexes, snapshots,
new columns, flushes, merges, restarts and crashes, from a seed that is printed and replays the run.

Every write goes to two tables, one with indexes of every kind and one without any: with and without an index the
answers are the same. PLINTH_MODEL_SEEDS (default 4) seeds of PLINTH_MODEL_STEPS (default 120) steps are run, beginning
with PLINTH_MODEL_SEED (default: the time).
"""
import datetime
import decimal
import os
import random
import time
import uuid

import grpc
import pyarrow as pa
import pytest

from tables import Tables

SEEDS = int(os.environ.get("PLINTH_MODEL_SEEDS", "4"))
STEPS = int(os.environ.get("PLINTH_MODEL_STEPS", "120"))
FIRST_SEED = int(os.environ.get("PLINTH_MODEL_SEED", time.time_ns() // 1000 % 1_000_000_000))

EPOCH = datetime.datetime(2024, 1, 1)
WORDS = ["alpha", "Beta", "gamma", "delta", "eps", "zeta", "été", "x", "y1"]
INDEXED, PLAIN = "indexed", "plain"


class Kind:
    """One column type: how values are made, and how they are written in SQL."""

    def __init__(self, text, arrow, make, sql=None, ordered=True):
        self.text, self.arrow, self.make, self.ordered = text, arrow, make, ordered
        self.sql = sql or (lambda v: str(v))


def quoted(text):
    return "'" + str(text).replace("'", "''") + "'"


def make_text(r):
    return " ".join(r.choice(WORDS) for _ in range(r.randrange(0, 4)))


KINDS = {
    "int8": Kind("int8", pa.int8(), lambda r: r.randrange(-3, 4)),
    "int32": Kind("int32", pa.int32(), lambda r: r.choice([-(2**31), 2**31 - 1, 0, 1, r.randrange(50)])),
    "int64": Kind("int64", pa.int64(), lambda r: r.choice([-(2**63), 2**63 - 1, r.randrange(300)])),
    "uint64": Kind("uint64", pa.uint64(), lambda r: r.choice([0, 2**64 - 1, r.randrange(20)])),
    "float64": Kind("float64", pa.float64(), lambda r: r.choice([0.0, -1.5, 1e300, r.randrange(40) / 4])),
    "bool": Kind("bool", pa.bool_(), lambda r: r.random() < 0.5, lambda v: "TRUE" if v else "FALSE"),
    "string": Kind("string", pa.string(), make_text, quoted),
    "bytes": Kind(
        "bytes", pa.binary(), lambda r: bytes(r.randrange(256) for _ in range(r.randrange(3))), lambda v: f"x'{v.hex()}'"
    ),
    "date": Kind("date", pa.date32(), lambda r: datetime.date(2024, 1, 1) + datetime.timedelta(r.randrange(-9, 9)), quoted),
    "decimal": Kind("decimal(12,2)", pa.decimal128(12, 2), lambda r: decimal.Decimal(r.randrange(-500, 500)).scaleb(-2)),
    "timestamp": Kind(
        "timestamp(us)", pa.timestamp("us"), lambda r: EPOCH + datetime.timedelta(minutes=r.randrange(-4000, 4000)), quoted
    ),
    "uuid": Kind("uuid", pa.uuid(), lambda r: uuid.UUID(int=r.randrange(30)), quoted),
    "list": Kind(
        "list<int32>", pa.list_(pa.int32()), lambda r: [r.choice([None, 1, 2, 3]) for _ in range(r.randrange(4))], None, False
    ),
}
KEY_KINDS = ["int8", "int32", "int64", "string", "bytes", "date", "decimal", "timestamp", "uuid", "bool", "float64"]


class Column:
    def __init__(self, name, kind, not_null):
        self.name, self.kind, self.not_null = name, KINDS[kind], not_null
        self.kind_name = kind

    def make(self, r):
        return None if not self.not_null and r.random() < 0.15 else self.kind.make(r)


class Model:
    """What the tables should hold: rows by key, or a list where there is no key."""

    def __init__(self, columns, key):
        self.columns, self.key = columns, key
        self.rows = {}
        self.arrivals = 0

    def key_of(self, row):
        return tuple(row[name] for name in self.key)

    def upsert(self, rows):
        for row in rows:
            if self.key:
                self.rows[self.key_of(row)] = row
            else:
                self.rows[self.arrivals] = row
                self.arrivals += 1

    def delete(self, rows):
        for row in rows:
            self.rows.pop(self.key_of(row), None)

    def copy(self):
        return list(self.rows.values())


# ---- predicates: SQL text, and a function row -> True, False or None


def compare(a, op, b):
    if a is None or b is None:
        return None
    return {"=": a == b, "<>": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b}[op]


def sql_not(value):
    return None if value is None else not value


def sql_and(values):
    return False if False in values else None if None in values else True


def sql_or(values):
    return True if True in values else None if None in values else False


def words_of(text):
    word, words = "", set()
    for letter in text:
        if letter.isascii() and not letter.isalnum():
            words.add(word)
            word = ""
        else:
            word += letter.lower() if letter.isascii() else letter
    words.add(word)
    words.discard("")
    return words


def any_value(r, column, rows):
    """A value to compare with: mostly one that is there."""
    if rows and r.random() < 0.8:
        value = r.choice(rows).get(column.name)
        if value is not None:
            return value
    return column.kind.make(r)


def make_term(r, columns, rows):
    column = r.choice([c for c in columns if c.kind.ordered])
    name, form = column.name, r.randrange(7)
    sql = column.kind.sql
    if form == 0:
        return f"{name} IS NULL", lambda row: row.get(name) is None
    if form == 1:
        values = [any_value(r, column, rows) for _ in range(r.randrange(1, 4))]
        return (
            f"{name} IN ({', '.join(sql(v) for v in values)})",
            lambda row: None if row.get(name) is None else row.get(name) in values,
        )
    if form == 2:
        low, high = sorted((any_value(r, column, rows), any_value(r, column, rows)))
        return (
            f"{name} BETWEEN {sql(low)} AND {sql(high)}",
            lambda row: sql_and([compare(row.get(name), ">=", low), compare(row.get(name), "<=", high)]),
        )
    if column.kind_name == "string" and form == 3:
        text = any_value(r, column, rows)[: r.randrange(1, 6)]
        if text:
            return (
                f"{name} LIKE {quoted(text + '%')}",
                lambda row: None if row.get(name) is None else row.get(name).startswith(text),
            )
    if column.kind_name == "string" and form in (4, 5):
        text = r.choice(WORDS) if r.random() < 0.7 else make_text(r)
        words = words_of(text)
        return f"{name} @@ {quoted(text)}", lambda row: None if row.get(name) is None else words <= words_of(row.get(name))
    op, value = r.choice(["=", "=", "=", "<>", "<", "<=", ">", ">="]), any_value(r, column, rows)
    return f"{name} {op} {sql(value)}", lambda row: compare(row.get(name), op, value)


def make_predicate(r, columns, rows, depth=0):
    form = r.randrange(10)
    if depth > 2 or form < 5:
        return make_term(r, columns, rows)
    if form == 5:
        text, test = make_predicate(r, columns, rows, depth + 1)
        return f"NOT ({text})", lambda row: sql_not(test(row))
    members = [make_predicate(r, columns, rows, depth + 1) for _ in range(r.randrange(2, 4))]
    word, join = ("AND", sql_and) if form < 9 else ("OR", sql_or)
    return f" {word} ".join(f"({m[0]})" for m in members), lambda row: join([m[1](row) for m in members])


# ---- comparing


def plain(value):
    """Values as pyarrow gives them and as the model has them, in one form that sorts."""
    return repr(value)


def storage(value):
    return value.bytes if isinstance(value, uuid.UUID) else value


def storage_type(arrow):
    return arrow.storage_type if isinstance(arrow, pa.BaseExtensionType) else arrow


def canonical(rows, names):
    return sorted(tuple(plain(row.get(name)) for name in names) for row in rows)


class Run:
    def __init__(self, server, seed):
        self.server, self.seed, self.random = server, seed, random.Random(seed)
        self.tables = Tables(server)
        self.snapshots = []
        self.sequence = 0
        self.log = []
        self.make_tables()

    def make_tables(self):
        r = self.random
        key_count = r.choice([0, 1, 1, 2, 2, 3])
        columns = [Column(f"k{i}", r.choice(KEY_KINDS), True) for i in range(key_count)]
        partition = {}
        if r.random() < 0.4:
            columns.append(Column("at", "timestamp", True))
            partition = {"partition_by": "at", "partition_us": 86_400_000_000}
        key = [c.name for c in columns] if key_count else []
        for i in range(r.randrange(2, 7)):
            columns.append(Column(f"v{i}", r.choice(list(KINDS)), False))
        columns.append(Column("text", "string", False))
        columns.append(Column("small", "int8", False))
        self.model = Model(columns, key)
        for name in (INDEXED, PLAIN):
            self.tables.create(
                name, [(c.name, c.kind.text, c.not_null) for c in columns], key, page_rows=r.choice([16, 64]), **partition
            )
        self.note(f"key {key}, {[(c.name, c.kind.text) for c in columns]}, {partition}")
        self.index_count = 0
        for kind in ("SORTED", "SORTED", "BLOOM", "BITMAP", "TOKEN"):
            if r.random() < 0.6:
                self.make_index(kind)

    def note(self, text):
        self.log.append(text)

    def make_index(self, kind):
        r, api = self.random, self.tables.api
        fitting = [c for c in self.model.columns if c.kind.ordered and (kind != "TOKEN" or c.kind_name == "string")]
        columns = r.sample(fitting, r.randrange(1, min(3, len(fitting) + 1)) if kind == "SORTED" else 1)
        name = f"i{self.index_count}"
        self.index_count += 1
        self.note(f"index {name} {kind} {[c.name for c in columns]}")
        index = api.Index(name=name, kind=api.IndexKind.Value(f"INDEX_KIND_{kind}"), columns=[c.name for c in columns])
        self.tables.admin.CreateIndex(api.CreateIndexRequest(table=self.tables.table(INDEXED), index=index))

    def arrow(self, rows, columns):
        return pa.table(
            {c.name: pa.array([storage(row.get(c.name)) for row in rows], storage_type(c.kind.arrow)) for c in columns}
        )

    def write(self):
        r, model = self.random, self.model
        rows = []
        for _ in range(r.choice([1, 3, 20, 200])):
            row = {c.name: c.make(r) for c in model.columns}
            if model.key and model.rows and r.random() < 0.4:
                old = model.rows[r.choice(list(model.rows))]
                row.update({name: old[name] for name in model.key})
            rows.append(row)
        fields = {"atomic": r.random() < 0.3}
        self.sequence += 1
        fields["write"] = self.tables.api.WriteOptions(producer_id=self.seed + 1, sequence=self.sequence)
        self.note(f"write {len(rows)} {fields['atomic']}")
        for name in (INDEXED, PLAIN):
            fields["write"].producer_id = self.seed + (1 if name == INDEXED else 2)
            for _ in range(2 if r.random() < 0.2 else 1):  # a retry
                answer = self.tables.write(name, self.arrow(rows, model.columns), **fields)
            assert answer.rows_written == len(rows) and not answer.rows_rejected, answer
        model.upsert(rows)

    def delete(self):
        r, model = self.random, self.model
        if not model.key:
            return
        count = min(len(model.rows), r.choice([1, 5, 40]))
        rows = [model.rows[k] for k in r.sample(list(model.rows), count)]
        rows.append({c.name: c.make(r) for c in model.columns})
        keys = [c for c in model.columns if c.name in model.key]
        self.note(f"delete {len(rows)}")
        for name in (INDEXED, PLAIN):
            self.tables.write(name, self.arrow(rows, keys), delete=True)
        model.delete(rows)

    def check(self, rows, read=None):
        """One random query over both tables, and the model's `rows`."""
        r, columns = self.random, self.model.columns
        where, test = make_predicate(r, columns, rows)
        expected = [row for row in rows if test(row) is True]
        names = [c.name for c in columns]
        ordered = r.random() < 0.3
        for table in (INDEXED, PLAIN):
            found, explain = self.tables.scan(table, where, read=read, ordered=ordered)
            got = found.to_pylist()
            path = f"{table} by {explain.path} {explain.index}: {where}"
            assert canonical(got, names) == canonical(expected, names), path
            if ordered and self.model.key:
                keys = [tuple(row[k] for k in self.model.key) for row in got]
                assert keys == sorted(keys), path
            count = self.tables.aggregate(table, [("count", "")], where=where, read=read)
            assert count == [{"count": len(expected)}], path
        limit = r.randrange(1, 20)
        found, _ = self.tables.scan(INDEXED, where, read=read, limit=limit)
        assert len(found) == min(limit, len(expected))
        assert set(canonical(found.to_pylist(), names)) <= set(canonical(expected, names))

    def check_groups(self, rows):
        column = self.random.choice(self.model.columns[-2:])
        groups = {}
        for row in rows:
            groups.setdefault(row.get(column.name), []).append(row.get("small"))
        expected = [
            {
                column.name: group,
                "count": len(values),
                "count_small": sum(v is not None for v in values),
                "sum_small": sum(v for v in values if v is not None) if any(v is not None for v in values) else None,
                "max_small": max((v for v in values if v is not None), default=None),
            }
            for group, values in groups.items()
        ]
        names = [column.name, "count", "count_small", "sum_small", "max_small"]
        functions = [("count", ""), ("count", "small"), ("sum", "small"), ("max", "small")]
        for table in (INDEXED, PLAIN):
            got = self.tables.aggregate(table, functions, [column.name])
            assert canonical(got, names) == canonical(expected, names), table

    def look_up(self):
        model, api = self.model, self.tables.api
        if not model.key or not model.rows:
            return
        row = self.random.choice(list(model.rows.values()))
        key = []
        for name in model.key:
            value = row[name]
            if isinstance(value, bool):
                key.append(api.Value(bool_value=value))
            elif isinstance(value, int):
                key.append(api.Value(int_value=value))
            elif isinstance(value, float):
                key.append(api.Value(float_value=value))
            elif isinstance(value, bytes):
                key.append(api.Value(bytes_value=value))
            else:
                key.append(api.Value(text_value=str(value)))
        answer = self.tables.query.GetRow(api.GetRowRequest(table=self.tables.table(INDEXED), key=key))
        found = pa.ipc.open_stream(answer.arrow_ipc).read_all().to_pylist()
        names = [c.name for c in model.columns]
        assert canonical(found, names) == canonical([row], names)

    def snapshot(self):
        kv = self.tables.api.KeyValueStub(self.server.channel())
        position = kv.CreateSnapshot(self.tables.api.CreateSnapshotRequest(ttl_ms=600_000)).position
        self.snapshots.append((position, self.model.copy()))

    def add_column(self):
        name = f"n{len(self.model.columns)}"
        kind = self.random.choice(list(KINDS))
        column = Column(name, kind, False)
        self.note(f"add column {name} {kind}")
        api = self.tables.api
        for table in (INDEXED, PLAIN):
            added = [api.Column(name=name, type=column.kind.text)]
            self.tables.admin.AddColumns(api.AddColumnsRequest(table=self.tables.table(table), columns=added))
        self.model.columns.insert(-2, column)

    def restart(self, crash):
        self.note("crash" if crash else "restart")
        self.snapshots = []  # they live in the server's memory
        if crash:
            self.server.crash()
        else:
            self.server.restart()
        self.tables = Tables(self.server)

    def step(self):
        r, api = self.random, self.tables.api
        action = r.randrange(100)
        if action < 38:
            self.write()
        elif action < 48:
            self.delete()
        elif action < 72:
            self.check(self.model.copy())
        elif action < 77:
            self.check_groups(self.model.copy())
        elif action < 83:
            self.look_up()
        elif action < 88:
            self.note("flush")
            self.tables.admin.Flush(api.FlushRequest())
        elif action < 91:
            self.note("compact")
            self.tables.admin.Compact(api.CompactRequest())
        elif action < 93:
            self.snapshot()
        elif action < 96:
            if self.snapshots:
                position, rows = r.choice(self.snapshots)
                self.check(rows, read=api.ReadOptions(snapshot=position))
        elif action < 97:
            self.add_column()
        elif action < 98:
            if self.index_count < 8:
                self.make_index(r.choice(["SORTED", "BLOOM", "BITMAP", "TOKEN"]))
        else:
            self.restart(crash=r.random() < 0.6)


@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + SEEDS))
def test_tables_answer_as_the_model(make_server, seed):
    print(f"PLINTH_MODEL_SEED={seed} PLINTH_MODEL_SEEDS=1 PLINTH_MODEL_STEPS={STEPS}")
    run = Run(make_server(), seed)
    try:
        for _ in range(STEPS):
            run.step()
        for _ in range(10):
            run.check(run.model.copy())
    except Exception:
        print("\n".join(run.log[-60:]))
        raise


def test_a_table_that_is_dropped_answers_with_its_name(server):
    tables = Tables(server)
    tables.create("gone", [("k", "int64"), ("v", "string")], ["k"])
    tables.write("gone", pa.table({"k": [1], "v": ["a"]}))
    tables.admin.DropTable(tables.api.DropTableRequest(table=tables.table("gone")))
    with pytest.raises(grpc.RpcError) as error:
        tables.scan("gone")
    assert error.value.code() == grpc.StatusCode.NOT_FOUND and '"gone"' in error.value.details()
