"""Typed tables and their indexes: the commands, the Admin service, and directories of earlier versions."""
import importlib
import io
import pathlib
import tarfile
import threading

import grpc
import pyarrow as pa
import pytest

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
METRICS = "host string, at timestamp(ms), load float64, note text, primary key (host, at)"


def code_of(call, *args):
    with pytest.raises(grpc.RpcError) as raised:
        call(*args)
    return raised.value.code(), raised.value.details()


@pytest.fixture(name="api")
def api_fixture():
    """Messages and stubs, with those of ingestion."""
    from conftest import load_api

    api = load_api()
    for module in ("ingestion_pb2", "predicate_pb2", "ingestion_pb2_grpc"):
        loaded = importlib.import_module(f"plinth.v1.{module}")
        for name in dir(loaded):
            if not name.startswith("_"):
                setattr(api, name, getattr(loaded, name))
    return api


def write(server, api, table, columns):
    """Write an Arrow table by the Ingestion service."""
    batch = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_table(batch)
    request = api.WriteRowsRequest(table=api.Table(name=table), arrow_ipc=sink.getvalue())
    return api.IngestionStub(server.channel()).Write(request)


# ---- the commands


def test_a_table_is_made_described_and_dropped(server):
    made = server.cli("table", "create", "metrics", METRICS, "--partition-by", "at", "--every", "1 day", "--retention",
                      "30 days", "--codec", "zstd", "--page-rows", "512", "--add-columns", "-o", "json", check=True)
    assert made.json() == {"database": "default", "table": "metrics"}
    assert server.cli("table", "list", "-o", "csv", check=True).out.splitlines()[1:] == [
        "default,default,space,2", "default,metrics,table,3"]
    for _ in range(2):
        table = server.cli("table", "describe", "metrics", "-o", "json", check=True).json()
        assert table["columns"] == [
            {"column": "host", "type": "string", "not_null": True, "key": 1, "id": 1, "default": None},
            {"column": "at", "type": "timestamp(ms)", "not_null": True, "key": 2, "id": 2, "default": None},
            {"column": "load", "type": "float64", "not_null": False, "key": None, "id": 3, "default": None},
            {"column": "note", "type": "string", "not_null": False, "key": None, "id": 4, "default": None}]
        assert table["primary_key"] == ["host", "at"]
        assert (table["partition_by"], table["every"], table["retention"]) == ("at", "1 day", "30 days")
        assert (table["codec"], table["page_rows"], table["add_columns"]) == ("zstd", 512, True)
        assert table["indexes"] == [] and table["rows"] == 0
        server.crash()
    shown = server.cli("table", "describe", "metrics", check=True).out
    assert "partition_by  at" in shown and "note    string" in shown
    columns = server.cli("table", "describe", "metrics", "-o", "csv", check=True).out.splitlines()
    assert columns[:2] == ["column,type,not_null,key,id,default", "host,string,true,1,1,"]
    server.cli("table", "drop", "metrics", check=True)
    gone = server.cli("table", "describe", "metrics")
    assert gone.code == 3 and 'table "metrics" does not exist in database "default"' in gone.err


def test_partitions_may_stand_behind_the_columns(server):
    server.cli("table", "create", "events", "at timestamp not null, what text PARTITION BY at '12 hours'", check=True)
    table = server.cli("table", "describe", "events", "-o", "json", check=True).json()
    assert (table["partition_by"], table["every"], table["retention"]) == ("at", "12 hours", None)
    assert table["primary_key"] == []


def test_columns_are_added(server):
    server.cli("table", "create", "metrics", METRICS, "-d", "shop", check=True)
    server.cli("table", "alter", "add-column", "metrics", "cpu decimal(5,2)", '"odd name" int[]', "-d", "shop", check=True)
    table = server.cli("table", "describe", "metrics", "-d", "shop", "-o", "json", check=True).json()
    assert [(c["column"], c["type"], c["id"]) for c in table["columns"]][4:] == [
        ("cpu", "decimal(5,2)", 5), ("odd name", "list<int32>", 6)]
    twice = server.cli("table", "alter", "add-column", "metrics", "more int", "cpu decimal(5,2)", "-d", "shop")
    assert twice.code == 1 and 'column "cpu" exists already' in twice.err
    other = server.cli("table", "alter", "add-column", "metrics", "cpu text", "-d", "shop")
    assert 'column "cpu" exists already with type decimal(5,2), not string' in other.err
    assert len(server.cli("table", "describe", "metrics", "-d", "shop", "-o", "json").json()["columns"]) == 6


def test_a_table_is_altered(server):
    cli = lambda *arguments, **more: server.cli(*arguments, check=True, **more)
    alter = lambda *arguments: server.cli("table", "alter", *arguments)
    cli("table", "create", "users", "id int64, name string not null, visits int16, primary key (id)")
    cli("import", "users", "-", "--format", "csv", input="id,name,visits\n1,ann,1\n2,bob,2\n")
    cli("flush")
    cli("snapshot", "keep", "before")
    cli("table", "alter", "add-column", "users", "country string not null default 'no, where'", "score decimal(4,1) default 1.5")
    cli("table", "alter", "widen-column", "users", "visits", "int64")
    cli("import", "users", "-", "--format", "csv", input="id,name,visits\n3,cid,5000000000\n")
    cli("table", "alter", "set-default", "users", "score", "2.5")
    cli("import", "users", "-", "--format", "csv", input="id,name,visits,country\n4,dan,4,DE\n")
    rows = [{"id": 1, "name": "ann", "visits": 1, "country": "no, where", "score": "1.5"},
            {"id": 2, "name": "bob", "visits": 2, "country": "no, where", "score": "1.5"},
            {"id": 3, "name": "cid", "visits": 5000000000, "country": "no, where", "score": "1.5"},
            {"id": 4, "name": "dan", "visits": 4, "country": "DE", "score": "2.5"}]
    scan = lambda table, *arguments: cli("scan", table, "--ordered", "-o", "json", *arguments).json()
    shown = lambda found: [{**row, "score": str(row["score"])} for row in found]
    assert shown(scan("users")) == rows
    assert shown(scan("users", "--where", "visits < 3 and score = 1.5")) == rows[:2]
    assert scan("users", "--snapshot", "before") == [{"id": 1, "name": "ann", "visits": 1}, {"id": 2, "name": "bob", "visits": 2}]
    cli("index", "create", "users", "by_country", "--columns", "country")
    kept = alter("drop-column", "users", "country")
    assert kept.code == 1 and 'is indexed by "by_country"' in kept.err
    assert 'column "id" is part of the primary key' in alter("drop-column", "users", "id").err
    assert 'does not become int32' in alter("widen-column", "users", "visits", "int32").err
    assert alter("drop-column", "users", "nothing").code == 3
    cli("table", "alter", "drop-column", "users", "country", "--cascade")
    cli("table", "alter", "rename-column", "users", "name", "first_name")
    cli("table", "alter", "set-nullable", "users", "first_name")
    cli("table", "alter", "set-default", "users", "score", "--none")
    cli("table", "alter", "set-options", "users", "--codec", "zstd", "--page-rows", "64", "--add-columns", "yes")
    cli("table", "alter", "rename", "users", "people")
    for _ in range(2):
        table = cli("table", "describe", "people", "-o", "json").json()
        assert [(c["column"], c["type"], c["not_null"], c["id"], c["default"]) for c in table["columns"]] == [
            ("id", "int64", True, 1, None), ("first_name", "string", False, 2, None), ("visits", "int64", False, 3, None),
            ("score", "decimal(4,1)", False, 5, None)]
        assert (table["codec"], table["page_rows"], table["add_columns"], table["indexes"]) == ("zstd", 64, True, [])
        assert [row["first_name"] for row in scan("people")] == ["ann", "bob", "cid", "dan"]
        assert scan("people", "--snapshot", "before", "--where", "name = 'bob'") == [{"id": 2, "name": "bob", "visits": 2}]
        cli("compact")
        server.crash()
    assert server.cli("verify", check=True).code == 0


def test_indexes_are_made_listed_and_dropped(server):
    server.cli("table", "create", "metrics", METRICS, check=True)
    server.cli("index", "create", "metrics", "by_load", "--kind", "sorted", "--columns", "load,host", check=True)
    server.cli("index", "create", "metrics", "words", "--kind", "token", "--columns", "note", check=True)
    server.cli("index", "create", "metrics", "host", check=True)  # sorted, of the column of its name
    for _ in range(2):
        assert server.cli("index", "list", "metrics", "-o", "json", check=True).json() == [
            {"index": "by_load", "kind": "sorted", "state": "ready", "percent": 100, "columns": ["load", "host"]},
            {"index": "words", "kind": "token", "state": "ready", "percent": 100, "columns": ["note"]},
            {"index": "host", "kind": "sorted", "state": "ready", "percent": 100, "columns": ["host"]}]
        server.crash()
    assert server.cli("index", "list", "metrics", "-o", "csv").out.splitlines()[1] == 'by_load,sorted,"load, host",ready,100'
    server.cli("index", "drop", "metrics", "words", check=True)
    gone = server.cli("index", "drop", "metrics", "words")
    assert gone.code == 3 and 'table "metrics" has no index "words"' in gone.err
    assert "words" not in server.cli("table", "describe", "metrics").out


@pytest.mark.parametrize("args, code, part", [
    (["table", "create", "t", "a int, b foo"], 1, 'column "b": "foo" is not a type'),
    (["table", "create", "t", "a int, A int"], 1, 'column "A" differs from column "a" only by upper and lower case'),
    (["table", "create", "t", "a int, _b int"], 1, "begin with an underscore"),
    (["table", "create", "t", "a int, primary key (b)"], 1, 'the primary key names "b", which is no column'),
    (["table", "create", "t", "a int[] primary key"], 1, 'column "a" is a list'),
    (["table", "create", "t", "a int not", ], 1, '"int not" is not a type'),
    (["table", "create", "t", "a int,"], 2, "the name of a column expected at the end"),
    (["table", "create", "bad name", "a int"], 1, "table name has byte 0x20"),
    (["table", "create", "default", "a int"], 1, 'key space "default" exists already'),
    (["table", "create", "t", "a date", "--partition-by", "a", "--every", "1 day"], 1, "has to be not null"),
    (["table", "create", "t", "a int primary key", "--partition-by", "a", "--every", "1 day"], 1, "is of type int32"),
    (["table", "create", "t", "a int", "--partition-by", "a"], 2, "--partition-by and --every go together"),
    (["table", "create", "t", "a int", "--retention", "1 month"], 2, "'1 month' is no length of time"),
    (["table", "create", "t", "a int", "--retention", "1 day"], 1, "needs a column to partition by"),
    (["table", "create", "t", "a int", "--codec", "zip"], 2, "'zip' is none of default, lz4, zstd, none"),
    (["table", "create", "t", "a int", "--page-rows", "3"], 2, "--page-rows"),
    (["table", "drop", "nothing"], 3, 'table "nothing" does not exist'),
    (["table", "drop", "default"], 1, '"default" is a key space'),
    (["table", "alter", "add-column", "exists", "c int not null"], 1, 'column "c" has to be nullable'),
    (["table", "alter", "add-column", "exists", "c int, primary key (c)"], 2, "primary key and partitions stay"),
    (["table", "alter"], 2, "plinth table alter add-column"),
    (["table", "alter", "add-column", "exists", "c int default x"], 1, 'the default of column "c"'),
    (["table", "alter", "drop-column", "exists", "zz"], 3, 'table "exists" has no column "zz"'),
    (["table", "alter", "rename-column", "exists", "a", "s"], 1, 'column "s" exists already'),
    (["table", "alter", "widen-column", "exists", "s", "bytes"], 1, "only a wider type keeps every value"),
    (["table", "alter", "rename", "exists", "default"], 1, 'table "default" exists already'),
    (["table", "alter", "set-default", "exists", "a"], 2, "a column and its default"),
    (["table", "alter", "set-options", "exists"], 2, "no option is given"),
    (["table", "alter", "set-options", "exists", "--retention", "1 day"], 1, "needs a column to partition by"),
    (["table", "create", "t", "a int default 1"], 1, 'column "a" has a default'),
    (["index", "create", "exists", "i", "--columns", "b"], 3, 'table "exists" has no column "b"'),
    (["index", "create", "exists", "i", "--kind", "token", "--columns", "a"], 1, "a token index is of a string"),
    (["index", "create", "exists", "i", "--kind", "bloom", "--columns", "a,s"], 1, "names 2 columns; a bloom index has 1"),
    (["index", "create", "exists", "i", "--kind", "hash"], 2, "'hash' is none of sorted, bloom, bitmap, token"),
    (["index", "create", "default", "i", "--columns", "value"], 1, '"default" is a key space'),
    (["index", "list", "nothing"], 3, 'table "nothing" does not exist'),
    (["space", "drop", "default"], 1, "always exists"),
    (["space", "drop", "exists"], 1, '"exists" is a table'),
])
def test_what_is_wrong_is_said(shared_server, args, code, part):
    shared_server.cli("table", "create", "exists", "a int, s text, primary key (a)")
    result = shared_server.cli(*args)
    assert result.code == code and part in result.err, result


def test_a_key_space_is_dropped(server):
    server.cli("space", "create", "users", check=True)
    server.cli("kv", "set", "a", "1", "--index", "i=x", "-k", "users", check=True)
    server.cli("flush", check=True)
    assert len(server.segment_files()) == 2
    server.cli("space", "drop", "users", check=True)
    assert server.cli("kv", "get", "a", "-k", "users").code == 3
    server.restart()
    assert server.segment_files() == []
    assert server.cli("space", "drop", "users").code == 3
    assert server.cli("verify", check=True).code == 0


# ---- the service


def test_errors_have_codes(server, api):
    admin = server.admin
    table = api.Table(name="t")
    column = api.Column(name="a", type="int32")
    admin.CreateTable(api.CreateTableRequest(table=table, columns=[column]))
    status = grpc.StatusCode
    create = api.CreateTableRequest(table=table, columns=[column])
    assert code_of(admin.CreateTable, create)[0] == status.ALREADY_EXISTS
    assert code_of(admin.CreateTable, api.CreateTableRequest(columns=[column])) == (
        status.INVALID_ARGUMENT, "table.name: must not be empty")
    nothing = api.CreateTableRequest(table=api.Table(name="u"))
    assert code_of(admin.CreateTable, nothing) == (status.INVALID_ARGUMENT, "a table needs a column")
    nine = api.CreateTableRequest(table=api.Table(name="u"), columns=[column], options=api.TableOptions(codec=9))
    assert code_of(admin.CreateTable, nine) == (status.INVALID_ARGUMENT, "unknown codec 9")
    lost = api.Table(name="lost")
    assert code_of(admin.DescribeTable, api.DescribeTableRequest(table=lost))[0] == status.NOT_FOUND
    assert code_of(admin.DropTable, api.DropTableRequest(table=lost))[0] == status.NOT_FOUND
    assert code_of(admin.ListIndexes, api.ListIndexesRequest(table=lost))[0] == status.NOT_FOUND
    again = api.AddColumnsRequest(table=table, columns=[column])
    assert code_of(admin.AddColumns, again)[0] == status.ALREADY_EXISTS
    other = api.AddColumnsRequest(table=table, columns=[api.Column(name="a", type="text")])
    assert code_of(admin.AddColumns, other)[0] == status.ABORTED
    index = api.Index(name="i", columns=["a"])
    assert code_of(admin.CreateIndex, api.CreateIndexRequest(table=table, index=index)) == (
        status.INVALID_ARGUMENT, 'index "i": unknown kind 0')
    assert code_of(admin.DropIndex, api.DropIndexRequest(table=table, index="i"))[0] == status.NOT_FOUND


def test_key_spaces_are_described_as_tables(server, api):
    server.cli("kv", "set", "a", "1", "--index", "i=x", check=True)
    table = server.admin.DescribeTable(api.DescribeTableRequest())
    assert table.is_space and table.table.name == "default"
    assert [(c.name, c.type) for c in table.columns] == [("key", "bytes"), ("value", "bytes")]
    assert [(i.name, i.kind) for i in table.indexes] == [("i", api.INDEX_KIND_SPACE)]


def test_an_index_is_built_from_rows_and_kept(server, api):
    server.cli("table", "create", "items", "id int64, value int32, words text, primary key (id)", check=True)
    count = 20000
    columns = {"id": pa.array(range(count), pa.int64()), "value": pa.array([i % 97 for i in range(count)], pa.int32()),
               "words": pa.array([f"word{i % 11} of many" for i in range(count)])}
    write(server, api, "items", columns)
    table = server.cli("table", "describe", "items", "-o", "json", check=True).json()
    assert (table["rows"], table["memory_rows"]) == (0, count)
    for kind, column in (("sorted", "value"), ("bloom", "value"), ("bitmap", "value"), ("token", "words")):
        server.cli("index", "create", "items", f"{kind}_{column}", "--kind", kind, "--columns", column, check=True)
    table = server.admin.DescribeTable(api.DescribeTableRequest(table=api.Table(name="items")))
    assert table.rows == count and table.bytes > 0 and table.index_bytes > 0
    assert all(index.state == api.INDEX_STATE_READY for index in table.indexes)
    write(server, api, "items", {name: column.slice(0, 100) for name, column in columns.items()})
    server.crash()
    server.cli("compact", check=True)
    assert server.cli("verify").code == 0
    table = server.admin.DescribeTable(api.DescribeTableRequest(table=api.Table(name="items")))
    assert table.rows == count and len(table.indexes) == 4
    server.cli("table", "drop", "items", check=True)
    server.restart()
    assert server.segment_files() == []


def test_writers_that_bring_new_columns_agree(server, api):
    server.cli("table", "create", "wide", "id int64 primary key", "--add-columns", check=True)
    failed = []

    def bring(number):
        for i in range(10):
            try:
                write(server, api, "wide", {"id": pa.array([number * 100 + i], pa.int64()),
                                            f"new{i}": pa.array([i], pa.int32())})
            except grpc.RpcError as error:
                failed.append(error)

    threads = [threading.Thread(target=bring, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    table = server.admin.DescribeTable(api.DescribeTableRequest(table=api.Table(name="wide")))
    assert sorted(c.name for c in table.columns) == ["id"] + [f"new{i}" for i in range(10)]


# ---- earlier versions


def test_a_directory_of_feature_level_1_opens_and_grows(make_server, tmp_path, api):
    with tarfile.open(DATA / "directories" / "level_1.tar.gz") as archive:
        archive.extractall(tmp_path)
    server = make_server(data_dir=tmp_path / "data")
    for step in range(3):
        # merges raise it to 4, also those in the background
        assert server.admin.Status(api.StatusRequest()).feature_level in ((1, 4), (2, 4), (4,))[step]
        rows = {r["key"]: r for r in server.cli("kv", "scan", "-o", "json", check=True).json()}
        assert {k: r["value"] for k, r in rows.items()} == {
            "cat3": "again 3", "cat4": "again 4", "cat5": "K AE5 T", "cat6": "again 6", "tail": "unflushed"}
        found = server.cli("kv", "by-index", "rhyme", "--prefix", "X", "-o", "json", check=True).json()
        assert [r["key"] for r in found] == ["cat3", "cat4", "cat6"]
        users = server.cli("kv", "scan", "-d", "shop", "-k", "users", "-o", "csv", check=True).out
        assert "u2,two" in users
        assert server.cli("verify").code == 0
        if step == 0:
            server.cli("table", "create", "metrics", METRICS, check=True)
            server.crash()
        elif step == 1:
            server.cli("compact", check=True)
            server.restart()
    assert server.cli("table", "describe", "metrics").code == 0


def test_a_directory_of_feature_level_2_opens_and_grows(make_server, tmp_path, api):
    with tarfile.open(DATA / "directories" / "level_2.tar.gz") as archive:
        archive.extractall(tmp_path)
    server = make_server(data_dir=tmp_path / "data")

    def number(*args):
        return int(server.cli("scan", *args, "--count", "--format", "csv", check=True).out.split()[-1])

    for step in range(3):
        assert server.admin.Status(api.StatusRequest()).feature_level in ((2, 4), (3, 4), (4,))[step]
        assert (number("birds"), number("events")) == (2002, 500)
        assert number("birds", "--where", "wild and weight > 90") == 120
        assert number("birds", "--where", "notes like '%tall%'") == 554
        assert number("birds", "--where", "legs = 3") == 199 and number("birds", "--where", "colour = 'red'") == 1
        sums = server.cli("scan", "birds", "-a", "sum(price),count(notes)", "--format", "json", check=True).json()
        assert sums == [{"sum_price": 1007707.31, "count_notes": 1600}]
        found = server.cli("find", "birds", "by_weight", "--lower", "99", "--format", "csv", check=True).out
        assert len(found.splitlines()) == 24
        of_kind = server.cli("scan", "events", "--where", "kind = 'k3'", "-a", "count,sum(n)", "--format", "json", check=True)
        assert of_kind.json() == [{"count": 71, "sum_n": 5827964}]
        by_index = server.cli("kv", "by-index", "rhyme", "--prefix", "A", "-o", "json", check=True).json()
        assert [row["key"] for row in by_index] == ["cat", "owl"]
        assert server.cli("verify").code == 0
        if step == 0:
            server.cli("snapshot", "keep", "before", check=True)
            server.crash()
        elif step == 1:
            server.cli("compact", check=True)
            server.restart()
    assert number("birds", "--snapshot", "before") == 2002


def test_a_directory_of_feature_level_5_opens_and_grows(make_server, tmp_path, api):
    with tarfile.open(DATA / "directories" / "level_5.tar.gz") as archive:
        archive.extractall(tmp_path)
    server = make_server(data_dir=tmp_path / "data")
    level = server.admin.Status(api.StatusRequest()).feature_level

    def lines(*args):
        return server.cli(*args, check=True).out.splitlines()

    def count(*args):
        return int(lines("scan", *args, "--count", "--format", "csv")[-1])

    sessions = [f"session/{n}" for n in range(10, 40)]
    changes = None
    for step in range(3):
        assert level == 5
        left = [key for key in sessions if not key.startswith(("session/2", "session/30"))]
        keys = [line.split(",")[0] for line in lines("kv", "scan", "--keys-only", "-o", "csv")[1:]]
        assert keys == ["cat", "lease/long", *left, "tail", "value"]
        assert server.cli("kv", "get", "value", check=True).out.strip() == "v" * 300_000
        keys = [line.split(",")[0] for line in lines("kv", "scan", "--keys-only", "-o", "csv", "--snapshot", "before")[1:]]
        assert keys[-30:] == sessions
        assert lines("scan", "birds", "--limit", "1", "-o", "csv") == [
            "name,legs,weight,wing,labels,colour", 'Bird100,0,10.5,9,"{t2,all}",grey']
        assert lines("scan", "birds", "--limit", "1", "-o", "csv", "--snapshot", "first") == [
            "name,legs,weight,wing,tags,seen", 'Bird100,0,10.5,9,"{t2,all}",2026-01-10']
        assert (count("birds"), count("birds", "--where", "'t3' = ANY(labels)")) == (300, 43)
        assert [line.split(",")[0] for line in lines("find", "birds", "by_lower", "bird123", "-o", "csv")] == ["name", "Bird123"]
        assert len(lines("find", "birds", "by_legs", "3", "-o", "csv")) == 61
        assert len(lines("find", "birds", "covering", "3", "--columns", "legs,weight", "-o", "csv")) == 61
        stock = server.cli("scan", "stock", "-a", "count,sum(pieces),sum(price)", "-o", "json", check=True).json()
        assert stock == [{"count": 40, "sum_pieces": 8197, "sum_price": 290}]
        assert [row["id"] for row in server.cli("scan", "visits", "--ordered", "-o", "json", check=True).json()] == list(range(2, 41, 2))
        paused = server.cli("jobs", "list", "-o", "json", check=True).json()
        assert [job["kind"] for job in paused if job["state"] == "paused"] == ["retention"]
        feed = lines("changes", "--snapshot", "before")
        assert changes in (None, feed[:-1])  # the last line says how far it has come
        changes = feed[:-1]
        assert len(changes) == 415 and '"upper":"session/3"' in changes[0]
        assert server.cli("verify").code == 0
        if step == 0:
            server.crash()
        elif step == 1:
            server.cli("compact", check=True)
            server.restart()
