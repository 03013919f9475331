"""The plinth command line against a real server: output, exit codes, errors."""
import csv
import gzip
import io
import json
import os
import pathlib
import pty
import signal
import subprocess
import threading
import time

import grpc
import pytest

from conftest import BIN_DIR, ROOT, run_cli

EXAMPLE = ROOT / "examples" / "data" / "cmudict.csv.zst"


def cli(server, *args, input=None):
    """(exit code, bytes of stdout, bytes of stderr)"""
    command = [str(BIN_DIR / "plinth"), "--server", server.address, *map(str, args)]
    done = subprocess.run(command, input=input, capture_output=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def space(shared_server, request):
    name = f"{request.node.originalname[:80]}.{os.urandom(3).hex()}"
    assert shared_server.cli("space", "create", name).code == 0
    return name


# ---- help and usage


def test_help_is_everywhere():
    top = run_cli("--help")
    assert top.code == 0 and "Exit codes:" in top.out
    commands = [line.strip().split("  ")[0] for line in top.out.split("Commands:")[1].split("\n\n")[0].splitlines() if line]
    assert len(commands) >= 15 and "kv compare-and-set" in commands
    for command in commands:
        for form in ([*command.split(), "--help"], ["help", *command.split()], ["--help", *command.split()]):
            shown = run_cli(*form)
            assert shown.code == 0, form
            assert f"Usage: plinth {command}" in shown.out and "--server" in shown.out
            assert f"  plinth {command}" in shown.out or command == "completion", f"{command} has no example"
    assert run_cli("--version").out.startswith("plinth ")


@pytest.mark.parametrize(
    "args, named",
    [
        ([], "Usage"),
        (["kv"], "plinth kv set"),
        (["kv", "ste", "a", "b"], "did you mean 'kv set'"),
        (["statsu"], "did you mean 'status'"),
        (["frobnicate"], "unknown command 'frobnicate'"),
        (["kv", "get"], "an argument is missing"),
        (["kv", "get", "a", "b"], "too many arguments"),
        (["kv", "set", "a"], "VALUE is missing"),
        (["kv", "set", "a", "b", "--idnex", "x=y"], "did you mean '--index'"),
        (["kv", "set", "a", "b", "--index", "xy"], "NAME=VALUE"),
        (["kv", "set", "a", "b", "--if-absent", "--if-value", "c"], "only one of"),
        (["kv", "set", "a", "b", "--durability", "perhaps"], "--durability"),
        (["kv", "get", "--hex", "xyz"], "KEY: not hex"),
        (["kv", "get", "--base64", "%%%"], "KEY: not base64"),
        (["kv", "scan", "--limit", "many"], "--limit"),
        (["kv", "by-index", "i", "--value", "a", "--prefix", "b"], "only one of"),
        (["--output", "yaml", "status"], "yaml"),
        (["--timeout", "soon", "status"], "--timeout"),
        (["completion", "fish"], "fish"),
        (["kv", "import", "x", "--format", "xml"], "xml"),
        (["--server", "nowhere", "status"], "nowhere"),
    ],
)
def test_wrong_usage_is_exit_code_2(args, named):
    done = run_cli(*args)
    assert done.code == 2
    assert named in done.err and not done.out


def test_a_server_that_cannot_be_reached_is_exit_code_5():
    for command in (["status"], ["kv", "get", "k"], ["kv", "scan"], ["verify"]):
        done = run_cli(*command, address="127.0.0.1:1")
        assert done.code == 5 and "127.0.0.1:1" in done.err, command


def test_the_server_can_come_from_the_environment(shared_server):
    environment = {**os.environ, "PLINTH_SERVER": shared_server.address}
    done = subprocess.run([str(BIN_DIR / "plinth"), "status"], capture_output=True, env=environment, timeout=30)
    assert done.returncode == 0


def test_a_server_that_does_not_answer_is_exit_code_5(api, make_server):
    server = make_server()
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        done = server.cli("--timeout", "500ms", "kv", "get", "k")
        assert done.code == 5 and time.monotonic() - began < 10
        assert "0.5 s" in done.err
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


# ---- kv


def test_set_get_delete(shared_server, space):
    server = shared_server
    assert server.cli("-k", space, "kv", "set", "cat", "K AE1 T", "--index", "rhyme=AE T", "-i", "size=3").code == 0
    assert server.cli("kv", "get", "cat", "--space", space).out == "K AE1 T\n"
    done = server.cli("kv", "get", "cat", "--space", space, "-o", "json")
    assert done.json() == {"key": "cat", "value": "K AE1 T"}
    done = server.cli("kv", "get", "cat", "--space", space, "-o", "csv")
    assert list(csv.reader(io.StringIO(done.out))) == [["key", "value"], ["cat", "K AE1 T"]]
    assert server.cli("-q", "kv", "delete", "cat", "-k", space).out == ""
    missing = server.cli("kv", "get", "cat", "-k", space)
    assert missing.code == 3 and "key not found" in missing.err and not missing.out
    assert server.cli("kv", "get", "cat", "-k", "nowhere").code == 3
    for durability in ("buffered", "written", "synced"):
        assert server.cli("kv", "set", "d", durability, "-k", space, "--durability", durability).code == 0


def test_conditions_are_exit_code_4(shared_server, space):
    server = shared_server
    assert server.cli("-k", space, "kv", "set", "k", "1", "--if-absent").code == 0
    refused = server.cli("-k", space, "kv", "set", "k", "2", "--if-absent")
    assert refused.code == 4 and "exists" in refused.err
    assert server.cli("-k", space, "kv", "set", "k", "2", "--if-value", "9").code == 4
    assert server.cli("-k", space, "kv", "set", "k", "2", "--if-value", "1").code == 0
    cas = ["-k", space, "-o", "json", "kv", "compare-and-set", "k"]
    assert server.cli(*cas).json() == {"applied": False, "existed": True, "previous_value": "2"}
    assert server.cli(*cas, "--value", "2", "--set", "3", "--index", "i=x").json()["applied"] is True
    failed = server.cli(*cas, "--absent", "--set", "4")
    assert failed.code == 4 and failed.json() == {"applied": False, "existed": True, "previous_value": "3"}
    position = server.cli("-k", space, "-o", "json", "kv", "set", "k", "5").json()["position"]
    assert server.cli(*cas, "--version-is", position, "--set", "6").code == 0
    assert server.cli(*cas, "--version-is", position, "--set", "7").code == 4
    assert server.cli(*cas, "--present", "--delete").json()["applied"] is True
    assert server.cli(*cas, "--present", "--delete").code == 4
    assert server.cli(*cas).json() == {"applied": False, "existed": False, "previous_value": None}


def test_bytes_of_all_kinds(shared_server, space):
    server = shared_server
    everything = bytes(range(256))
    assert cli(server, "-k", space, "kv", "set", "--hex", "00ff", everything.hex())[0] == 0
    assert cli(server, "-k", space, "kv", "get", "--hex", "00ff", "--raw")[1] == everything
    assert cli(server, "-k", space, "kv", "get", "--hex", "00ff")[1].decode().strip() == everything.hex()
    assert cli(server, "-k", space, "kv", "get", "--base64", "AP8=", "-r")[1] == everything
    code, out, _ = cli(server, "-k", space, "kv", "scan")
    assert code == 0 and out.count(b"\n") == 2 and all(32 <= byte < 127 or byte == 10 for byte in out)
    assert rb"\x00\xff" in out and rb"\t\n\x0b" in out and rb"\\" in out
    (row,) = json.loads(cli(server, "-k", space, "kv", "scan", "-o", "json")[1])
    assert set(row) == {"key_base64", "value_base64"}
    # From a file and from standard input.
    assert cli(server, "-k", space, "kv", "set", "file", "--value-file", "-", input=everything)[0] == 0
    assert cli(server, "-k", space, "kv", "get", "file", "--raw")[1] == everything
    # Behind --, nothing is an option.
    assert cli(server, "-k", space, "kv", "set", "--", "-q", "--help")[0] == 0
    assert cli(server, "-k", space, "kv", "get", "--", "-q")[1] == b"--help\n"


def test_scan_and_by_index(shared_server, space):
    server = shared_server
    lines = [json.dumps({"key": f"k{i:02}", "value": str(i), "group": "odd" if i % 2 else "even"}) for i in range(40)]
    done = server.cli("-k", space, "kv", "batch", "-", input="\n".join(lines))
    assert done.code == 0

    def keys(*args):
        return [row["key"] for row in server.cli("-k", space, "-o", "json", *args).json()]

    assert keys("kv", "scan", "--prefix", "k0", "--limit", "3") == ["k00", "k01", "k02"]
    assert keys("kv", "scan", "--lower", "k10", "--upper", "k12") == ["k10", "k11"]
    assert keys("kv", "scan", "--reverse", "-n", "2", "--keys-only") == ["k39", "k38"]
    assert keys("kv", "by-index", "group", "--value", "odd") == [f"k{i:02}" for i in range(1, 40, 2)]
    assert keys("kv", "by-index", "group", "--prefix", "e", "--limit", "5") == [f"k{i:02}" for i in range(0, 10, 2)]
    assert len(keys("kv", "by-index", "group")) == 40
    assert keys("kv", "by-index", "group", "--lower", "f", "--reverse", "-n", "1") == ["k39"]
    (row,) = server.cli("-k", space, "-o", "json", "kv", "by-index", "group", "--value", "even", "--values", "-n", "1").json()
    assert row == {"index_value": "even", "key": "k00", "value": "0"}
    table = server.cli("-k", space, "kv", "scan", "-n", "2").out
    assert table == "key  value\nk00  0\nk01  1\n"
    assert server.cli("-k", space, "kv", "by-index", "nothing", "--value", "x").code == 3


def test_batch_files(shared_server, space, tmp_path):
    server = shared_server
    file = tmp_path / "changes.jsonl"
    file.write_text('{"key":"a","value":"1"}\n\n{"op":"set","key":"b","value":"2","i":"x"}\n{"op":"delete","key":"a"}\n')
    assert server.cli("-k", space, "kv", "batch", file).code == 0
    assert [row["key"] for row in server.cli("-k", space, "-o", "json", "kv", "scan").json()] == ["b"]
    for text, named in [
        ("nonsense\n", "line 1, column 1"),
        ('{"key":"a","value":"1"}\n{"key":"b"}', "line 2, value is missing"),
        ('{"op":"upsert","key":"a","value":"1"}', "op must be"),
        ('{"op":"delete","key":"a","value":"1"}', "delete"),
        ('{"value":"1"}', "key is missing"),
        ("", "no operations"),
    ]:
        file.write_text(text)
        done = server.cli("-k", space, "kv", "batch", file)
        assert done.code == 1 and named in done.err and str(file) in done.err
    assert server.cli("kv", "batch", "/no/such/file").code == 1


# ---- admin


def test_admin_commands(shared_server):
    server = shared_server
    server.cli("kv", "set", "k", "v")
    status = server.cli("status", "-o", "json").json()
    assert status["ready"] is True and status["sets"] >= 1 and status["data_directory"] == str(server.data_dir)
    rows = list(csv.DictReader(io.StringIO(server.cli("status", "-o", "csv").out)))
    assert len(rows) == 1 and int(rows[0]["sets"]) >= 1
    assert "acknowledged_lsn" in server.cli("status").out
    assert server.cli("flush", "-o", "json").json()["duration_ms"] >= 0
    compacted = server.cli("compact", "-o", "json").json()
    assert compacted["segments_after"] >= 1
    verified = server.cli("verify", "-o", "json").json()
    assert verified["problems"] == 0 and verified["rows"] >= 1
    assert server.cli("space", "create", "users", "--database", "shop").code == 0
    again = server.cli("space", "create", "users", "--database", "shop")
    assert again.code == 1 and "users" in again.err and "ALREADY_EXISTS" in again.err
    spaces = server.cli("space", "list", "-o", "json").json()
    assert {"database": "shop", "space": "users"} in spaces
    assert server.cli("space", "list", "-d", "shop", "-o", "csv").out == "database,space\nshop,default\nshop,users\n" or \
        server.cli("space", "list", "-d", "shop", "-o", "csv").out == "database,space\nshop,users\n"


# ---- completion


@pytest.mark.parametrize(
    "words, wanted, unwanted",
    [
        (["plinth", ""], ["kv", "status", "help"], ["set"]),
        (["plinth", "kv", "s"], ["set", "scan"], ["get"]),
        (["plinth", "--server", "x:1", "kv", "by"], ["by-index"], []),
        (["plinth", "kv", "set", "--if"], ["--if-absent", "--if-value"], ["--prefix"]),
        (["plinth", "kv", "scan", "--pre"], ["--prefix"], []),
        (["plinth", "completion", ""], ["bash", "zsh"], []),
        (["plinth", "space", ""], ["create", "list"], ["kv"]),
    ],
)
def test_bash_completion(tmp_path, words, wanted, unwanted):
    script = run_cli("completion", "bash")
    assert script.code == 0
    quoted = " ".join(f"'{word}'" for word in words)
    program = f"{script.out}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n_plinth_complete\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    done = subprocess.run(["bash", "-eu", "-c", program], capture_output=True, text=True, cwd=tmp_path, timeout=30)
    assert done.returncode == 0, done.stderr
    offered = done.stdout.split()
    assert set(wanted) <= set(offered) and not set(unwanted) & set(offered)


def test_zsh_completion_is_a_script():
    script = run_cli("completion", "zsh")
    assert script.code == 0 and script.out.startswith("#compdef plinth")


# ---- import and export


def test_the_example_is_imported_exported_and_imported_again(api, make_server, tmp_path):
    server = make_server()
    done = server.cli("kv", "import", EXAMPLE)
    assert done.code == 0 and "imported 135166 rows" in done.out, done.err
    rows = list(csv.reader(io.StringIO(subprocess.run(["zstd", "-dcq", str(EXAMPLE)], capture_output=True, check=True).stdout.decode())))
    wanted = sorted((row[0].encode(), row[1].encode()) for row in rows[1:])
    assert [(r.key, r.value) for c in server.kv.Scan(api.ScanRequest()) for r in c.rows] == wanted
    rhymes = sorted(row[0].encode() for row in rows[1:] if row[2] == "AE T")
    page = server.kv.GetByIndex(api.GetByIndexRequest(index="rhyme", exact=b"AE T", page_size=10000))
    assert [entry.key for entry in page.entries] == rhymes
    for name in ("one.csv", "one.jsonl"):
        space = "again-" + name.split(".")[1]
        assert server.cli("kv", "export", tmp_path / name).code == 0
        assert not list(tmp_path.glob("*.partial"))
        assert server.cli("space", "create", space).code == 0
        assert server.cli("-k", space, "kv", "import", tmp_path / name).code == 0
        twin = tmp_path / f"two.{name}"
        assert server.cli("-k", space, "kv", "export", twin).code == 0
        assert twin.read_bytes() == (tmp_path / name).read_bytes()
        assert [(r.key, r.value) for c in server.kv.Scan(api.ScanRequest(space=api.Space(name=space))) for r in c.rows] == wanted


@pytest.mark.parametrize("form", ["csv", "jsonl", "csv-hex", "csv-base64"])
def test_any_bytes_go_out_and_in_again(api, shared_server, space, tmp_path, form):
    kv = shared_server.kv
    here, there = api.Space(name=space), f"{space}.copy"
    shared_server.cli("space", "create", there)
    values = [b"", b"\0", b'"', b",", b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xff\xfe", bytes(range(256)), "grün\u2028".encode(), b"\\x00", b" a "]
    wanted = {}
    for i, value in enumerate(values):
        for key in (b"%02d" % i, value + b"%d" % i):
            kv.Set(api.SetRequest(key=key, value=value, space=here))
            wanted[key] = value
    flags = [f"--{form[4:]}"] if "-" in form else []
    file = tmp_path / f"out.{form.split('-')[0]}"
    assert cli(shared_server, "-k", space, *flags, "kv", "export", file)[0] == 0
    code, out, error = cli(shared_server, "-k", there, *flags, "kv", "import", file)
    assert code == 0, error
    assert {r.key: r.value for c in kv.Scan(api.ScanRequest(space=api.Space(name=there))) for r in c.rows} == wanted


def entries_of(api, kv, space, index):
    """All (index value, key) of an index; None when there is no such index."""
    request = api.GetByIndexRequest(index=index, prefix=b"", page_size=10000, space=api.Space(name=space))
    try:
        return [(entry.index_value, entry.key) for entry in kv.GetByIndex(request).entries]
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
        return None


# What CSV can hold: at most one value of each index on a key, and not the empty one.
SINGLE = {
    b"both": [("color", b"red"), ("size.1", b"9")],
    b"none": [],
    b"one": [("size.1", b"10")],
    b"text": [("color", 'a,"b"\r\n\u2028 c'.encode())],
    b"\xff\x00": [("color", b"\x00\xff\xfe"), ("other_base64", b"AAAA")],
}
MANY = {
    **SINGLE,
    b"empty": [("color", b"")],
    b"several": [("color", b""), ("color", b"\xc3"), ("color", b"blue"), ("size.1", b"1"), ("size.1", b"2")],
    b"names": [("key", b"k"), ("value", b"v"), ("indexes", b"i")],
}


@pytest.mark.parametrize("flags", [[], ["--hex"], ["--base64"]])
@pytest.mark.parametrize("form, wanted", [("csv", SINGLE), ("jsonl", SINGLE), ("jsonl", MANY)])
def test_index_values_go_out_and_in_again(api, shared_server, space, tmp_path, form, wanted, flags):
    kv = shared_server.kv
    copy = f"{space}.copy"
    assert shared_server.cli("space", "create", copy).code == 0
    for key, indexes in wanted.items():
        values = [api.IndexValue(index=name, value=value) for name, value in indexes]
        kv.Set(api.SetRequest(key=key, value=key[::-1], indexes=values, space=api.Space(name=space)))
    kv.Set(api.SetRequest(key=b"none", value=b"enon", space=api.Space(name=space)))
    files = [tmp_path / f"{name}.{form}" for name in ("first", "second")]
    assert cli(shared_server, "-k", space, *flags, "kv", "export", files[0])[0] == 0
    code, _, error = cli(shared_server, "-k", copy, *flags, "kv", "import", files[0])
    assert code == 0, error
    for where in (space, copy):
        rows = [row for chunk in kv.Scan(api.ScanRequest(space=api.Space(name=where), with_indexes=True)) for row in chunk.rows]
        assert {row.key: row.value for row in rows} == {key: key[::-1] for key in wanted}
        assert {row.key: sorted((i.index, i.value) for i in row.indexes) for row in rows} == {k: sorted(v) for k, v in wanted.items()}
        for index in {name for indexes in wanted.values() for name, _ in indexes}:
            found = sorted((value, key) for key, indexes in wanted.items() for name, value in indexes if name == index)
            assert entries_of(api, kv, where, index) == found, (where, index)
    assert cli(shared_server, "-k", copy, *flags, "kv", "export", files[1])[0] == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_export_says_what_csv_cannot_hold(api, shared_server, space, tmp_path):
    def export(*args):
        return shared_server.cli("-k", space, "kv", "export", tmp_path / "x.csv", *args)

    def put(key, *indexes):
        values = [api.IndexValue(index=name, value=value) for name, value in indexes]
        shared_server.kv.Set(api.SetRequest(key=key, value=b"v", indexes=values, space=api.Space(name=space)))

    put(b"cat", ("tag", b"a"), ("tag", b"b"))
    done = export()
    assert done.code == 1 and not list(tmp_path.iterdir())
    assert "'cat'" in done.err and "'tag'" in done.err and "several values" in done.err and "--format jsonl" in done.err
    put(b"cat", ("tag", b""))
    done = export()
    assert done.code == 1 and "'cat'" in done.err and "'tag'" in done.err and "empty" in done.err and "jsonl" in done.err
    put(b"cat", ("tag", b"a"))
    assert export().code == 0 and (tmp_path / "x.csv").read_text() == "key,value,tag\ncat,v,a\n"
    put(b"dog", ("value", b"a"))
    done = export()
    assert done.code == 1 and "'value'" in done.err and "jsonl" in done.err
    assert export("--no-indexes").code == 0 and (tmp_path / "x.csv").read_text() == "key,value\ncat,v\ndog,v\n"
    assert export("--format", "jsonl", "--no-indexes").code == 0
    assert (tmp_path / "x.csv").read_text() == '{"key":"cat","value":"v"}\n{"key":"dog","value":"v"}\n'


def test_large_rows_with_many_index_values_are_imported_in_batches_of_their_own(api, shared_server, space, tmp_path):
    copy = f"{space}.copy"
    assert shared_server.cli("space", "create", copy).code == 0
    for i in range(6):
        values = [api.IndexValue(index="large", value=b"%04d" % k + b"x" * 4000) for k in range(90 if i % 2 else 0)]
        value = b"v" * ((500 if i % 2 else 300) << 10)  # two of them together are too large for one record
        shared_server.kv.Set(api.SetRequest(key=b"%d" % i, value=value, indexes=values, space=api.Space(name=space)))
    file = tmp_path / "large.jsonl"
    assert shared_server.cli("-k", space, "kv", "export", file).code == 0
    done = shared_server.cli("-k", copy, "kv", "import", file)
    assert done.code == 0, done.err
    assert len(entries_of(api, shared_server.kv, copy, "large")) == 270


def test_batch_files_may_list_index_values(api, shared_server, space):
    line = '{"key":"a","value":"1","plain":"p","indexes":[{"index":"tag","value":"x"},{"index":"tag","value_base64":"/w=="}]}\n'
    assert shared_server.cli("-k", space, "kv", "batch", "-", input=line).code == 0
    assert entries_of(api, shared_server.kv, space, "tag") == [(b"x", b"a"), (b"\xff", b"a")]
    assert entries_of(api, shared_server.kv, space, "plain") == [(b"p", b"a")]
    done = shared_server.cli("-k", space, "kv", "batch", "-", input='{"op":"delete","key":"a","indexes":[]}\n')
    assert done.code == 1 and "a delete has nothing" in done.err


def test_import_from_a_pipe_and_from_gzip(shared_server, space, tmp_path):
    text = "key,value\n" + "".join(f"k{i},v{i}\n" for i in range(1000))
    code, out, _ = cli(shared_server, "-k", space, "kv", "import", "-", "-o", "json", input=text.encode())
    assert code == 0 and json.loads(out)["rows"] == 1000
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(text.encode()))
    assert cli(shared_server, "-q", "-k", space, "kv", "import", packed, "--batch", "7")[1] == b""
    assert len(shared_server.cli("-k", space, "-o", "json", "kv", "scan").json()) == 1000


@pytest.mark.parametrize(
    "text, named",
    [
        ("key,value\na,1\nb\n", "line 3: 1 fields, the header has 2"),
        ('key,value\na,"1\n', "line 2, column 3: the quote is never closed"),
        ("key,value\n,1\n", "line 2, column 1: the key is empty"),
        ("id,value\na,1\n", "--key-column"),
        ("key,value,a b\na,1,2\n", "cannot be the name of an index"),
        ("", "empty"),
    ],
)
def test_import_errors_name_file_line_and_column(shared_server, space, tmp_path, text, named):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    done = shared_server.cli("-k", space, "kv", "import", file)
    assert done.code == 1 and str(file) in done.err and named in done.err
    assert shared_server.cli("kv", "import", tmp_path / "missing.csv").code == 1


def test_an_oversized_row_names_its_line_and_the_rows_before_are_told(shared_server, space, tmp_path):
    file = tmp_path / "large.csv"
    file.write_text("key,value\n" + "".join(f"k{i},v\n" for i in range(1000)) + "big," + "x" * (5 << 20) + "\n")
    done = shared_server.cli("-k", space, "kv", "import", file, "--batch", "100")
    assert done.code == 1 and "line 1002, " in done.err and "the row is longer than 4 MiB" in done.err and "1000 rows before it are imported" in done.err
    assert len(shared_server.cli("-k", space, "-o", "json", "kv", "scan").json()) == 1000


def test_import_goes_on_over_a_restart_and_applies_every_batch_once(api, make_server, tmp_path):
    server = make_server()
    port = server.grpc_port
    server.stop()
    server.args = ["--listen", f"127.0.0.1:{port}"]
    server.start()
    rows = 300_000
    file = tmp_path / "many.csv"
    with open(file, "w") as out:
        out.write("key,value\n")
        out.writelines(f"k{i:07},{i}\n" for i in range(rows))
    result = []
    importer = threading.Thread(target=lambda: result.append(server.cli("kv", "import", file, "--batch", "20", "-o", "json")))
    importer.start()
    while server.admin.Status(api.StatusRequest()).numbers["sets"] < rows // 20:
        time.sleep(0.01)
    server.crash()
    importer.join()
    assert result[0].code == 0, result[0].err
    told = result[0].json()
    assert told["rows"] == rows and told["retries"] >= 1
    stored = [(r.key, r.value) for c in server.kv.Scan(api.ScanRequest()) for r in c.rows]
    assert stored == [(b"k%07d" % i, b"%d" % i) for i in range(rows)]


def test_progress_is_drawn_on_a_terminal_and_told_in_lines_elsewhere(shared_server, space, tmp_path):
    command = [str(BIN_DIR / "plinth"), "--server", shared_server.address, "-k", space, "kv", "import", str(EXAMPLE), "--batch", "50"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    drawn = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:
            break
        if not part:
            break
        drawn += part
    os.close(ours)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and b"imported 135166 rows" in out
    assert b"rows/s" in drawn and b"left" in drawn and b"%" in drawn
    assert b"\x1b" not in subprocess.run(command, capture_output=True, timeout=60).stderr


def test_export_to_a_full_disk_fails_and_leaves_nothing(shared_server, space, tmp_path):
    shared_server.cli("-k", space, "kv", "set", "k", "v" * 1000)
    if pathlib.Path("/dev/full").exists():
        with open("/dev/full", "w") as full:
            done = subprocess.run([str(BIN_DIR / "plinth"), "--server", shared_server.address, "-k", space, "kv", "export"],
                                  stdout=full, stderr=subprocess.PIPE, timeout=30)
        assert done.returncode == 1 and b"No space left" in done.stderr
    target = tmp_path / "no" / "such" / "file.csv"
    assert shared_server.cli("-k", space, "kv", "export", target).code == 1
    failed = shared_server.cli("-k", "nowhere", "kv", "export", tmp_path / "x.csv")
    assert failed.code == 3 and not list(tmp_path.iterdir())
