"""Files into typed tables and out again, by the command line: all formats, compared with DuckDB reading the same files;
bad rows; interruptions of client and server."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import time

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import BIN_DIR, ROOT

TABLES = ROOT / "tests" / "data" / "tables"
FLIGHTS = ROOT / "examples" / "data" / "nyc-flights.csv.zst"

SQL_TYPES = {
    "bool": "BOOLEAN", "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT",
    "float32": "FLOAT", "float64": "DOUBLE", "string": "VARCHAR", "date": "DATE",
    "timestamp(us)": "TIMESTAMP", "timestamp(us, utc)": "TIMESTAMPTZ",
}


@pytest.fixture(autouse=True)
def state_dir(tmp_path, monkeypatch):
    """States of interrupted imports stay within the test."""
    monkeypatch.setenv("PLINTH_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def table():
    return f"t_{os.urandom(4).hex()}"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Errors name files as they were given: short ones, in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def imported(server, *args, input=None):
    done = server.cli("import", *args, "-o", "json", input=input)
    assert done.code == 0, done.err
    return done.json()


def columns_of(server, table):
    described = server.cli("table", "describe", table, "-o", "json", check=True).json()
    return {column["column"]: column["type"] for column in described["columns"]}


def count(server, table):
    return server.cli("scan", table, "--count", "-o", "json", check=True).json()[0]["count"]


def rows(server, table, *args):
    return server.cli("scan", table, "--ordered", "-o", "json", *args, check=True).json()


def differences(left, right):
    """Rows that stand in one relation and not in the other."""
    connection = duckdb.connect()
    connection.sql("SET TimeZone='UTC'")
    return [
        connection.sql(f"SELECT * FROM (SELECT * FROM {a} EXCEPT ALL SELECT * FROM {b}) LIMIT 3").fetchall()
        for a, b in ((left, right), (right, left))
    ]


def source_of_csv(path, types):
    """The CSV as DuckDB reads it, NA and, but in texts, empty fields being nulls."""
    selected = ", ".join(
        f'"{name}"' if kind == "string" else f'CAST(nullif("{name}", \'\') AS {SQL_TYPES[kind]}) AS "{name}"'
        for name, kind in types.items()
    )
    return f"(SELECT {selected} FROM read_csv('{path}', nullstr='NA', all_varchar=true, header=true))"


# ---- whole tables, compared with DuckDB


@pytest.mark.parametrize(
    "path, rows_wanted",
    [
        (FLIGHTS, 336776),
        (TABLES / "nyc-planes.csv.zst", 3322),
        (TABLES / "nyc-airports.csv.zst", 1458),
        (TABLES / "nyc-airlines.csv.zst", 16),
        (TABLES / "nyc-weather.csv.zst", 26115),
        (TABLES / "pnw-flights.csv.zst", 162049),
        (TABLES / "babynames.csv.zst", 1690784),
        (TABLES / "anonreviews.csv.zst", 578805),
    ],
    ids=lambda value: value.name.split(".")[0] if isinstance(value, pathlib.Path) else "",
)
def test_csv_is_what_duckdb_reads(shared_server, tmp_path, table, path, rows_wanted):
    summary = imported(shared_server, table, path, "--create", "--null", "NA")
    assert summary["rows"] == rows_wanted and summary["rejected"] == 0
    types = columns_of(shared_server, table)
    out = tmp_path / "out.parquet"
    shared_server.cli("export", table, out, check=True)
    assert differences(source_of_csv(path, types), f"'{out}'") == [[], []]


def test_flights_have_nulls_in_eight_columns_and_numbers_for_numbers(shared_server, table):
    imported(shared_server, table, FLIGHTS, "--create", "--null", "NA", "--null", "")
    types = columns_of(shared_server, table)
    assert [name for name, kind in types.items() if kind == "string"] == ["carrier", "tailnum", "origin", "dest"]
    assert set(types.values()) == {"int64", "string"}
    nulls = {
        name: shared_server.cli("scan", table, "--count", "--where", f"{name} IS NULL", "-o", "json").json()[0]["count"]
        for name in types
    }
    assert len([name for name, n in nulls.items() if n]) == 8


@pytest.mark.parametrize(
    "path, relation",
    [(TABLES / "mosaic-flights-200k.parquet", "'{}'"), (TABLES / "vega-flights-200k.arrow", None)],
    ids=["parquet", "arrow"],
)
def test_columnar_files_keep_their_types_and_rows(shared_server, tmp_path, table, path, relation):
    summary = imported(shared_server, table, path, "--create")
    out = tmp_path / "out.parquet"
    shared_server.cli("export", table, out, check=True)
    if not relation:
        pq.write_table(pa.ipc.open_file(path).read_all(), tmp_path / "source.parquet")
        path, relation = tmp_path / "source.parquet", "'{}'"
    assert summary["rows"] == pq.read_metadata(path).num_rows
    assert pq.read_schema(out).types == pq.read_schema(path).types
    assert differences(relation.format(path), f"'{out}'") == [[], []]


def every_type():
    utc = pa.timestamp("us", tz="UTC")
    from datetime import date, datetime, timezone
    from decimal import Decimal

    return pa.table({
        "k": pa.array([3, 1, 2, 4], pa.int32()),
        "b": pa.array([True, None, False, True]),
        "i8": pa.array([-128, 127, None, 0], pa.int8()),
        "u64": pa.array([2**64 - 1, 0, None, 7], pa.uint64()),
        "f": pa.array([1.5, float("nan"), None, float("-inf")], pa.float64()),
        "f32": pa.array([0.1, None, -0.0, 1e30], pa.float32()),
        "d": pa.array([Decimal("12.50"), None, Decimal("-99999999.99"), Decimal(0)], pa.decimal128(10, 2)),
        "s": pa.array(["a,b", "", None, 'say "é"\nnext']),
        "y": pa.array([b"\x00\xff", b"", None, b"text"], pa.binary()),
        "day": pa.array([date(1970, 1, 1), None, date(1583, 2, 28), date(9999, 12, 31)]),
        "at": pa.array([datetime(2013, 1, 1, 5, 0, 0, 123456), None, datetime(1900, 1, 1), datetime(2100, 1, 1)], pa.timestamp("us")),
        "z": pa.array([datetime(2013, 1, 1, tzinfo=timezone.utc), None, None, datetime(1969, 12, 31, tzinfo=timezone.utc)], utc),
        "l": pa.array([[1, None, 3], [], None, [4]], pa.list_(pa.int64())),
        "ls": pa.array([["x", "a,\"b}"], None, [None], [""]], pa.list_(pa.string())),
    })


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.zst", "a.arrow", "a.arrow.gz", "a.parquet", "a.parquet.zst"])
def test_what_is_exported_is_imported_equal(shared_server, tmp_path, table, name):
    pq.write_table(every_type(), tmp_path / "source.parquet")
    assert imported(shared_server, table, tmp_path / "source.parquet", "--create", "--key", "k")["rows"] == 4
    types = ", ".join(f'"{column}" {kind}' for column, kind in columns_of(shared_server, table).items())
    shared_server.cli("export", table, tmp_path / name, "--order", "key", check=True)
    again = table + "_again"
    assert imported(shared_server, again, tmp_path / name, "--create", "--types", types, "--key", "k")["rows"] == 4
    for exported in (table, again):
        shared_server.cli("export", exported, tmp_path / f"{exported}.jsonl", "--order", "key", check=True)
    assert (tmp_path / f"{table}.jsonl").read_text() == (tmp_path / f"{again}.jsonl").read_text()
    wanted = every_type().sort_by("k").drop_columns(["f"]).to_pylist()
    shared_server.cli("export", again, tmp_path / "again.parquet", "--order", "key", check=True)
    assert pq.read_table(tmp_path / "again.parquet").drop_columns(["f"]).to_pylist() == wanted


def test_parquet_and_arrow_of_other_writers(shared_server, tmp_path, table):
    source = every_type()
    for name, write in {
        "v1.parquet": lambda p: pq.write_table(source, p, version="1.0", data_page_version="1.0", compression="gzip"),
        "int96.parquet": lambda p: pq.write_table(source, p, use_deprecated_int96_timestamps=True),
        "small.parquet": lambda p: pq.write_table(source, p, row_group_size=1),
        "lz4.arrow": lambda p: pa.ipc.new_file(p, source.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")),
        "zstd.arrow": lambda p: pa.ipc.new_stream(p, source.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")),
    }.items():
        path = tmp_path / name
        writer = write(path)
        if writer is not None:
            writer.write_table(source)
            writer.close()
        into = f"{table}_{name.replace('.', '_')}"
        assert imported(shared_server, into, path, "--create", "--key", "k")["rows"] == 4, name
        shared_server.cli("export", into, tmp_path / "out.parquet", "--order", "key", check=True)
        left = pq.read_table(tmp_path / "out.parquet").drop_columns(["f"]).cast(source.drop_columns(["f"]).schema)
        assert left.to_pylist() == source.sort_by("k").drop_columns(["f"]).to_pylist(), name


# ---- text


def test_types_are_guessed_and_formats_are_given(shared_server, here, table):
    (here / "a.csv").write_text(
        "id;when;day;ok;zip;share;mixed;none\n"
        "1;01/02/2013 05:06;31.12.2012;true;01234;1.5;1;\n"
        "2;12/31/2013 23:59;01.01.2013;false;99999;-2e3;x;\n"
    )
    formats = ["--delimiter", ";", "--date-format", "%d.%m.%Y", "--time-format", "%m/%d/%Y %H:%M"]
    imported(shared_server, table, "a.csv", "--create", "--key", "id", *formats)
    assert columns_of(shared_server, table) == {
        "id": "int64", "when": "timestamp(us)", "day": "date", "ok": "bool", "zip": "string", "share": "float64",
        "mixed": "string", "none": "string",
    }
    assert rows(shared_server, table)[0] == {
        "id": 1, "when": "2013-01-02T05:06:00", "day": "2012-12-31", "ok": True, "zip": "01234", "share": 1.5,
        "mixed": "1", "none": None,
    } or rows(shared_server, table)[0]["when"].replace(" ", "T") == "2013-01-02T05:06:00"


def test_nulls_are_empty_fields_or_what_is_asked_for(shared_server, here, table):
    (here / "a.csv").write_text('k,s,n\n1,NA,\n2,,NA\n3,"",4\n4,"NA",\\N\n')
    types = ["--create", "--types", "k int32, s string, n int64", "--key", "k"]
    imported(shared_server, table, "a.csv", "--null", "NA", "--null", "\\N", *types)
    assert [(r["s"], r["n"]) for r in rows(shared_server, table)] == [(None, None), ("", None), ("", 4), (None, None)]
    (here / "b.csv").write_text('k,s,n\n1,NA,\n2,,5\n3,"",4\n')
    imported(shared_server, table + "b", "b.csv", *types)
    assert [(r["s"], r["n"]) for r in rows(shared_server, table + "b")] == [("NA", None), (None, 5), ("", 4)]


def test_columns_are_mapped_left_out_named_and_added(shared_server, here, table):
    (here / "a.csv").write_text("ID,name,junk\n1,a,x\n")
    (here / "b.csv").write_text("2,b\n")
    (here / "c.csv").write_text("id,label,more\n3,c,7\n")
    imported(shared_server, table, "a.csv", "--create", "--types", "id int64, label string", "--key", "id",
             "--add-columns", "--map", "name=label", "--map", "junk=")
    imported(shared_server, table, "b.csv", "--columns", "id,label")
    imported(shared_server, table, "c.csv")
    assert rows(shared_server, table) == [
        {"id": 1, "label": "a", "more": None}, {"id": 2, "label": "b", "more": None}, {"id": 3, "label": "c", "more": 7},
    ]


def test_standard_input_and_json_lines(shared_server, table):
    lines = [{"id": i, "tags": ["x", None, str(i)], "n": 2**53 + i, "nested": {"a": i}} for i in range(3)]
    text = "\n".join(json.dumps(line) for line in lines)
    imported(shared_server, table, "-", "--format", "jsonl", "--create", "--key", "id", input=text)
    assert columns_of(shared_server, table) == {"id": "int64", "tags": "list<string>", "n": "int64", "nested": "string"}
    assert [r["n"] for r in rows(shared_server, table)] == [line["n"] for line in lines]
    assert rows(shared_server, table)[2]["tags"] == ["x", None, "2"]


def test_a_key_space_is_imported_and_exported_by_the_same_commands(shared_server, here):
    space = f"s.{os.urandom(3).hex()}"
    shared_server.cli("space", "create", space, check=True)
    (here / "a.csv").write_text("key,value,color\na,1,red\nb,2,blue\n")
    assert imported(shared_server, space, "a.csv")["rows"] == 2
    assert shared_server.cli("kv", "get", "a", "--space", space).out == "1\n"
    assert shared_server.cli("export", space).out == "key,value,color\na,1,red\nb,2,blue\n"


# ---- bad input

BAD_ROWS = [
    ("1,2,3\nabc,2,3\n", 3, "column a: 'abc' is not a number (int16)"),
    ("1,2,3\n99999,2,3\n", 3, "column a: '99999' is out of range (int16)"),
    ("1,2\n", 2, "2 fields, the header has 4"),
    ("1,2,3,4,5\n", 2, "5 fields, the header has 4"),
    (',2,3,\n', 2, "column a: is null, but it is part of the key"),
    ('1,"x"y,3,\n', 2, "byte 6 of the line: text behind a closing quote"),
    ('1,x"y,3,\n', 2, "byte 4 of the line: a quote inside an unquoted field"),
    ('1,2,3,\n1,"two\nlines', 3, "byte 3 of the line: the quote is never closed"),
    ("1,2,1e400x,\n", 2, "column c: '1e400x' is not a number (float64)"),
    ("1,2,3,2013-02-30\n", 2, "column d: '2013-02-30' is not a date (date)"),
]


@pytest.mark.parametrize("text, line, reason", BAD_ROWS)
def test_a_bad_row_is_told_by_file_line_and_column(shared_server, here, table, text, line, reason):
    text = "a,b,c,d\n" + "".join(row + (",\n" if row.count(",") == 2 and reason[0] == "c" else "\n") for row in text.splitlines())
    (here / "bad.csv").write_text(text)
    create = ["--create", "--types", "a int16, b string, c float64, d date", "--key", "a"]
    done = shared_server.cli("import", table, "bad.csv", *create)
    assert done.code == 1
    assert done.err.startswith(f"plinth: bad.csv:{line}: {reason}"), done.err


def test_bad_rows_are_skipped_and_kept_in_a_file(shared_server, here, table):
    good = "".join(f"{i},x{i}\n" for i in range(100))
    (here / "a.csv").write_bytes(b"k,s\n" + good.encode() + b"bad,1\n200,\xff\n300\n400,ok\n")
    create = ["--create", "--types", "k int64, s string", "--key", "k"]
    done = shared_server.cli("import", table, "a.csv", "--on-error", "file", *create)
    assert done.code == 0 and "imported 101 rows" in done.out and "3 rejected" in done.out
    assert (here / "a.csv.rejected").read_bytes() == (
        b"# a.csv:102: column k: 'bad' is not a number (int64)\nbad,1\n"
        b"# a.csv:103: column s: byte 1 of the text is not UTF-8 (0xff)\n200,\xff\n"
        b"# a.csv:104: 1 fields, the header has 2\n300\n"
    )
    assert count(shared_server, table) == 101
    skipped = imported(shared_server, table, "a.csv", "--on-error", "skip")
    assert (skipped["rows"], skipped["rejected"]) == (101, 3)


def test_rows_that_the_server_rejects_are_told_by_their_place(shared_server, here, table):
    source = pa.table({"k": pa.array([1, None, 3], pa.int64()), "n": pa.array([1, 2, 70000], pa.int64())})
    pq.write_table(source, "a.parquet")
    create = ["--create", "--types", "k int64, n int16", "--key", "k"]
    done = shared_server.cli("import", table, "a.parquet", *create)
    assert done.code == 1 and "a.parquet: row 2: " in done.err and '"k" is null' in done.err, done.err
    assert count(shared_server, table) == 0
    done = shared_server.cli("import", table, "a.parquet", "--on-error", "skip")
    assert done.code == 0 and "a.parquet: row 2: " in done.err and "a.parquet: row 3: " in done.err, done.err
    assert count(shared_server, table) == 1


@pytest.mark.parametrize(
    "name, text, error",
    [
        ("a.csv", "", "a.csv: empty: a header line is expected"),
        ("a.csv", "k,k\n1,2\n", "a.csv: columns 1 and 2 are both 'k'"),
        ("a.csv", "k,\n1,2\n", "a.csv: column 2 has no name"),
        ("a.csv", "other\n1\n", "a.csv: the table has no column 'other'; rename it with --map"),
        ("a.csv", "s\nx\n", "a.csv: no column for 'k', which is part of the key"),
        ("a.arrow", "no arrow", "a.arrow: "),
        ("a.parquet", "PAR1 no parquet", "a.parquet: "),
        ("a.xyz", "k\n1\n", "a.xyz: the name does not tell the format"),
        ("missing.csv", None, "missing.csv: cannot open"),
        ("a.jsonl", "[1]\n", "a.jsonl:1: column 1: '{' is expected"),
        ("a.jsonl", '{"k":1,"z":2}\n', "a.jsonl:1: no column 'z'"),
        ("a.jsonl", '{"k":"x"}\n', "a.jsonl:1: column k: 'x' is not a number (int64)"),
        ("a.jsonl", '{"s":"x"}\n', "a.jsonl:1: column k: is null, but it is part of the key"),
    ],
)
def test_a_bad_file_is_told_by_its_name(shared_server, here, table, name, text, error):
    shared_server.cli("table", "create", table, "k int64, s string, primary key (k)", check=True)
    if text is not None:
        (here / name).write_text(text)
    done = shared_server.cli("import", table, name)
    assert done.code in (1, 2) and done.err.startswith(f"plinth: {error}"), done.err
    assert count(shared_server, table) == 0


def test_a_table_that_is_not_there_is_made_only_when_asked(shared_server, here, table):
    (here / "a.csv").write_text("k\n1\n")
    done = shared_server.cli("import", table, "a.csv")
    assert done.code == 3 and "--create" in done.err
    done = shared_server.cli("import", table, "a.csv", "--types", "k int64")
    assert done.code == 2 and "--create" in done.err


def test_nested_parquet_is_refused_by_column(shared_server, here, table):
    pq.write_table(pa.table({"k": [1], "s": pa.array([{"a": 1, "b": 2}])}), "a.parquet")
    done = shared_server.cli("import", table, "a.parquet", "--create")
    assert done.code == 1 and "column 's' is nested" in done.err, done.err
    assert imported(shared_server, table, "a.parquet", "--create", "--map", "s=")["rows"] == 1


# ---- interruptions


@pytest.fixture(scope="module")
def big_csv(tmp_path_factory):
    """Many distinct rows, for a table without a key: one that is doubled or lost shows."""
    path = tmp_path_factory.mktemp("big") / "big.csv"
    with open(path, "w") as file:
        file.write("n,text\n")
        for i in range(1_500_000):
            file.write(f"{i},row number {i} of the file\n")
    return path


ROWS_OF_BIG = 1_500_000


def begin_import(server, table, path):
    command = [BIN_DIR / "plinth", "--server", server.address, "import", table, path, "--batch", "2000"]
    return subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_rows(server, table, least, process):
    deadline = time.monotonic() + 60
    while count(server, table) < least:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)


def is_whole(server, table):
    found = server.cli("scan", table, "--aggregate", "count, min(n), max(n), sum(n)", "-o", "csv", check=True).out
    return found.splitlines()[1] == f"{ROWS_OF_BIG},0,{ROWS_OF_BIG - 1},{ROWS_OF_BIG * (ROWS_OF_BIG - 1) // 2}"


def test_an_import_that_was_killed_goes_on_without_doubling(server, table, big_csv, state_dir):
    server.cli("table", "create", table, "n int64, text string", check=True)
    for least in (50_000, 400_000):
        process = begin_import(server, table, big_csv)
        wait_for_rows(server, table, least, process)
        process.kill()
        process.communicate()
        assert count(server, table) < ROWS_OF_BIG
    done = server.cli("import", table, big_csv, "--batch", "2000", timeout=300)
    assert done.code == 0 and "resuming" in done.err and "were there already" in done.out, (done.out, done.err)
    assert is_whole(server, table)
    assert not [name for name in os.listdir(state_dir) if not name.endswith(".lock")], "nothing is left to resume"


def test_an_import_that_was_killed_before_it_could_report_is_not_doubled(shared_server, here, table, state_dir):
    (here / "a.csv").write_text("n\n" + "".join(f"{i}\n" for i in range(1000)))
    shared_server.cli("table", "create", table, "n int64", check=True)
    reads, writes = os.pipe()  # full: the report waits
    os.set_blocking(writes, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writes, b"x" * 4096):
            pass
    os.set_blocking(writes, True)
    command = [str(BIN_DIR / "plinth"), "--server", shared_server.address, "import", table, "a.csv"]
    process = subprocess.Popen(command, stdout=writes, stderr=subprocess.DEVNULL)
    wait_for_rows(shared_server, table, 1000, process)
    time.sleep(0.3)  # it has nothing left to do but to report
    assert process.poll() is None
    process.kill()
    process.wait()
    os.close(reads)
    os.close(writes)
    again = imported(shared_server, table, "a.csv")
    assert (again["rows"], again["rows_before"]) == (0, 1000)
    assert imported(shared_server, table, "a.csv")["rows"] == 1000, "asked for once more"
    assert count(shared_server, table) == 2000


def test_an_import_goes_on_when_the_server_was_killed(make_server, table, big_csv):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = make_server(args=["--listen", f"127.0.0.1:{port}"])
    server.cli("table", "create", table, "n int64, text string", check=True)
    process = begin_import(server, table, big_csv)
    for least in (50_000, 300_000):
        wait_for_rows(server, table, least, process)
        server.crash()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and "sent again" in out, (out, err)
    assert is_whole(server, table)


def test_an_import_that_stopped_at_a_bad_row_goes_on_when_it_is_mended(shared_server, here, table):
    shared_server.cli("table", "create", table, "n int64", check=True)
    good = "".join(f"{i}\n" for i in range(1000))
    (here / "a.csv").write_text("n\n" + good + "x\n")
    done = shared_server.cli("import", table, "a.csv", "--batch", "100")
    assert done.code == 1 and "a.csv:1002: " in done.err and "1000 rows before it are imported" in done.err
    (here / "a.csv").write_text("n\n" + good + "1000\n")
    resumed = imported(shared_server, table, "a.csv", "--batch", "100")
    assert (resumed["rows"], resumed["rows_before"]) == (1, 1000)
    assert count(shared_server, table) == 1001
    assert imported(shared_server, table, "a.csv", "--batch", "100")["rows"] == 1001, "asked for once more"


def test_a_file_that_changed_since_it_was_interrupted_is_refused(shared_server, here, table):
    shared_server.cli("table", "create", table, "n int64", check=True)
    (here / "a.csv").write_text("n\n1\n2\nx\n")
    assert shared_server.cli("import", table, "a.csv", "--batch", "1").code == 1
    (here / "a.csv").write_text("n\n7\n8\n9\n")
    done = shared_server.cli("import", table, "a.csv", "--batch", "1")
    assert done.code == 1 and "has changed since an import of it was interrupted" in done.err and "--restart" in done.err
    assert imported(shared_server, table, "a.csv", "--restart")["rows"] == 3
    assert count(shared_server, table) == 5


def test_a_server_that_lost_its_data_gets_everything_again(make_server, here, table):
    (here / "a.csv").write_text("n\n1\n2\nx\n")
    for wiped in (False, True):
        server = make_server()
        server.cli("table", "create", table, "n int64", check=True)
        if wiped:
            (here / "a.csv").write_text("n\n1\n2\n3\n")
            assert imported(server, table, "a.csv", "--batch", "1")["rows"] == 3
            assert count(server, table) == 3
        else:
            assert server.cli("import", table, "a.csv", "--batch", "1").code == 1


# ---- reading


def test_rows_are_scanned_found_and_counted(shared_server, here, table):
    (here / "a.csv").write_text("k,s,n\n" + "".join(f"{i},s{i % 3},{i * 10}\n" for i in range(9)))
    imported(shared_server, table, "a.csv", "--create", "--key", "k")
    cli = shared_server.cli
    cli("index", "create", table, "s", check=True)
    assert cli("row", table, 4, "-o", "csv").out == "k,s,n\n4,s1,40\n"
    assert cli("row", table, 4).out.splitlines()[0].split() == ["k", "4"]
    assert cli("row", table, 99).code == 3
    assert cli("find", table, "s", "s1", "--columns", "k", "-o", "csv").out == "k\n1\n4\n7\n"
    assert cli("find", table, "nosuch", "s1").code == 3
    assert cli("scan", table, "--where", "n >= 70", "--columns", "n,k", "--reverse", "-o", "csv").out == "n,k\n80,8\n70,7\n"
    assert cli("scan", table, "--limit", 2, "--ordered", "--format", "jsonl").out == '{"k":0,"s":"s0","n":0}\n{"k":1,"s":"s1","n":10}\n'
    grouped = cli("scan", table, "--aggregate", "count, sum(n)", "--group-by", "s", "-o", "csv").out.splitlines()
    assert sorted(grouped[1:]) == ["s0,3,90", "s1,3,120", "s2,3,150"]
    explained = cli("scan", table, "--where", "s = 's2'", "--explain", "-o", "json").json()
    assert explained["rows_matched"] == 3 and explained["path"] in ("scan", "index", "key", "postings")
    bad = cli("scan", table, "--where", "nosuch = 1")
    assert bad.code == 1 and "nosuch" in bad.err
    assert cli("scan", table, "--aggregate", "median(n)").code == 2
    arrow = subprocess.run([BIN_DIR / "plinth", "--server", shared_server.address, "scan", table, "--format", "arrow"],
                           capture_output=True, check=True).stdout
    assert pa.ipc.open_stream(arrow).read_all().num_rows == 9


def test_segment_files_are_printed_without_a_server(server, here, table):
    (here / "a.csv").write_text("k,s\n1,a\n2,\n")
    imported(server, table, "a.csv", "--create", "--key", "k")
    server.cli("index", "create", table, "by_s", "--kind", "sorted", "--columns", "s", check=True)
    server.cli("kv", "set", "cat", "meow", "--index", "legs=4", check=True)
    server.cli("flush", check=True)
    files = [str(path) for path in server.segment_files()]
    server.stop()
    shown = {path: server_less("segment", "cat", path, "--format", "jsonl") for path in files}
    rows_shown = [json.loads(line) for text in shown.values() for line in text.splitlines()]
    rows_of_table = [[(k, r[k]) for k in r if k not in ("_lsn", "_op")] for r in rows_shown if "k" in r]
    assert [("k", 1), ("s", "a")] in rows_of_table and [("k", 2), ("s", None)] in rows_of_table
    # The index's entries: its columns and those of the key, in the order of the index, nulls first.
    of_files = [[json.loads(line) for line in text.splitlines()] for text in shown.values()]
    assert [(2, None), (1, "a")] in [[(r.get("k"), r.get("s")) for r in rows] for rows in of_files]
    assert {"index_value": "4", "key": "cat", "_op": "set"} in [{k: r[k] for k in r if k != "_lsn"} for r in rows_shown]
    keys = [r for r in rows_shown if "value" in r]
    assert len(keys) == 1 and keys[0]["key"] == "cat" and keys[0]["value"] == "meow" and keys[0]["_index"].endswith("=4")
    for path in files:
        assert "plinth.table" in server_less("segment", "info", path)
    (here / "no.parquet").write_text("nothing")
    assert subprocess.run([BIN_DIR / "plinth", "segment", "cat", "no.parquet"], capture_output=True).returncode == 1


def server_less(*args):
    return subprocess.run([str(BIN_DIR / "plinth"), *args], capture_output=True, text=True, check=True).stdout
