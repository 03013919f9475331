"""plinthd as a process: starting, what it refuses, draining, crashing, starting again."""
import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

import grpc
import pytest

from conftest import BIN_DIR, ServerDied


def run(*args, **options):
    return subprocess.run([str(BIN_DIR / "plinthd"), *map(str, args)], capture_output=True, text=True, timeout=30, **options)


def one_line(text):
    """The last line, which must be the only one that speaks for plinthd itself."""
    lines = [line for line in text.splitlines() if line.startswith("plinthd: ")]
    assert lines, text
    return lines[0]


# ---- starting


def test_help_version_and_settings():
    done = run("--help")
    assert done.returncode == 0 and "--data-dir" in done.stdout and "PLINTH_LISTEN" in done.stdout
    done = run("--version")
    assert done.returncode == 0 and done.stdout.startswith("plinthd ")
    done = run("--print-config", "--loops", "3", env={**os.environ, "PLINTH_CACHE_SIZE": "1GiB"})
    assert done.returncode == 0
    assert "loops          = 3" in done.stdout and "# option" in done.stdout
    assert "1GiB" in done.stdout and "# PLINTH_CACHE_SIZE" in done.stdout


@pytest.mark.parametrize(
    "args, named",
    [
        (["--frobnicate"], "--frobnicate"),
        (["--data-dri", "x"], "did you mean '--data-dir'"),
        (["--listen", "nowhere"], "--listen"),
        (["--memtable-size", "much"], "--memtable-size"),
        (["--durability", "perhaps"], "--durability"),
        (["--loops"], "--loops"),
        (["serve"], "serve"),
    ],
)
def test_bad_flags_are_usage_errors(args, named):
    done = run(*args)
    assert done.returncode == 2
    assert named in one_line(done.stderr)


def test_the_ports_file_is_written_whole(make_server):
    server = make_server()
    ports = json.loads((server.work_dir / "ports.json").read_text())
    assert ports == {"grpc": server.grpc_port, "http": server.http_port}
    assert not list(server.work_dir.glob("ports.json.*"))


def test_a_ports_file_that_cannot_be_written(tmp_path):
    done = run("--data-dir", tmp_path / "data", "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
               "--ports-file", tmp_path / "no" / "such" / "ports.json")
    assert done.returncode == 1 and "ports.json" in one_line(done.stderr)


def test_a_second_server_on_the_same_directory(api, server, make_server):
    with pytest.raises(ServerDied) as died:
        make_server(data_dir=server.data_dir)
    assert died.value.code == 1
    assert str(server.data_dir) in one_line(died.value.log)
    assert str(server.process.pid) in one_line(died.value.log) or "lock" in one_line(died.value.log).lower()
    server.kv.Set(api.SetRequest(key=b"k", value=b"v"))


@pytest.mark.parametrize("flag", ["--listen", "--http-listen"])
def test_a_port_in_use(tmp_path, flag):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        addresses = {"--listen": "127.0.0.1:0", "--http-listen": "127.0.0.1:0", flag: f"127.0.0.1:{port}"}
        done = run("--data-dir", tmp_path / "data", *[word for pair in addresses.items() for word in pair])
    assert done.returncode == 1
    assert str(port) in one_line(done.stderr) and "in use" in one_line(done.stderr)


def test_an_address_that_is_not_ours(tmp_path):
    done = run("--data-dir", tmp_path / "data", "--listen", "203.0.113.1:0", "--http-listen", "127.0.0.1:0")
    assert done.returncode == 1 and "203.0.113.1" in one_line(done.stderr)


def test_a_directory_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    done = run("--data-dir", path, "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
    assert done.returncode == 1 and str(path) in one_line(done.stderr)
    assert path.read_text() == "x"


def test_a_directory_whose_parent_is_missing(tmp_path):
    path = tmp_path / "no" / "such" / "data"
    done = run("--data-dir", path, "--listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0")
    assert done.returncode == 1 and str(path) in one_line(done.stderr)


def test_a_directory_of_another_format_version(api, make_server):
    server = make_server()
    server.kv.Set(api.SetRequest(key=b"k", value=b"v"))
    server.stop()
    marker = server.data_dir / "FORMAT"
    before = marker.read_text()
    assert any(character.isdigit() for character in before)
    marker.write_text("".join("9" if character.isdigit() else character for character in before))
    with pytest.raises(ServerDied) as died:
        server.start()
    assert died.value.code == 1 and "format 9" in one_line(died.value.log)
    marker.write_text(before)
    server.start()
    assert server.kv.Get(api.GetRequest(key=b"k")).value == b"v"


def test_a_damaged_log_is_named_and_nothing_is_cut(api, make_server):
    server = make_server()
    for i in range(200):
        server.kv.Set(api.SetRequest(key=b"%d" % i, value=b"x" * 2000))
    server.kill()
    log = min(server.data_dir.rglob("*.log"))
    before = log.read_bytes()
    with open(log, "r+b") as file:
        file.seek(20_000)
        file.write(b"\xff" * 64)
    damaged = log.read_bytes()
    assert damaged != before
    with pytest.raises(ServerDied) as died:
        server.start()
    assert died.value.code == 1 and log.name in died.value.log
    assert log.read_bytes() == damaged
    log.write_bytes(before)
    server.start()
    assert server.kv.Get(api.GetRequest(key=b"199")).value == b"x" * 2000


# ---- stopping


def test_sigterm_drains_calls_in_flight(api, make_server):
    server = make_server()
    value = b"x" * 100_000
    for i in range(200):
        wrote = server.kv.Set(api.SetRequest(key=b"%04d" % i, value=value, write=api.WriteOptions(durability=1)))
    scan = server.kv.Scan(api.ScanRequest(read=api.ReadOptions(position_min=wrote.position)))
    rows = len(next(scan).rows)
    channel = server.channel()
    kv = api.KeyValueStub(channel)
    kv.Get(api.GetRequest(key=b"0000"))
    process, server.process = server.process, None
    process.send_signal(signal.SIGTERM)
    refusal = None
    deadline = time.monotonic() + 10
    while not refusal and time.monotonic() < deadline:
        try:
            kv.Get(api.GetRequest(key=b"0000"), timeout=5)
        except grpc.RpcError as error:
            refusal = error.code()
    assert refusal == grpc.StatusCode.UNAVAILABLE
    try:
        with urllib.request.urlopen(server.url("/readyz"), timeout=5) as answer:
            pytest.fail(f"ready while stopping: {answer.read()}")
    except urllib.error.HTTPError as error:
        assert error.code == 503 and json.loads(error.read())["reasons"] == ["stopping"]
    assert process.poll() is None, "it did not wait for the scan"
    rows += sum(len(chunk.rows) for chunk in scan)
    assert rows == 200
    assert process.wait(30) == 0


def test_writes_in_flight_at_sigterm_are_answered_and_kept(api, make_server):
    server = make_server()
    acknowledged, unknown = [], []

    def write(name):
        kv = server.kv
        for i in range(100_000):
            key = b"%s-%05d" % (name, i)
            try:
                kv.Set(api.SetRequest(key=key, value=key))
                acknowledged.append(key)
            except grpc.RpcError as error:
                unknown.append((error.code(), error.details()))
                return

    threads = [threading.Thread(target=write, args=(b"t%d" % n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    process, server.process = server.process, None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    for thread in threads:
        thread.join()
    assert {code for code, _ in unknown} == {grpc.StatusCode.UNAVAILABLE}, unknown
    server.start()
    kv = server.kv
    assert len(acknowledged) > 10
    for key in acknowledged:
        assert kv.Get(api.GetRequest(key=key)).value == key


def test_the_drain_is_bounded(api, make_server):
    server = make_server(args=["--drain-timeout", "1s"])
    for i in range(200):
        wrote = server.kv.Set(api.SetRequest(key=b"%04d" % i, value=b"x" * 500_000, write=api.WriteOptions(durability=1)))
    scan = server.kv.Scan(api.ScanRequest(read=api.ReadOptions(position_min=wrote.position)))
    next(scan)  # and never reads on
    process, server.process = server.process, None
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert time.monotonic() - began < 15
    with pytest.raises(grpc.RpcError):
        for _ in range(100):
            next(scan)


def test_a_second_signal_ends_at_once(api, make_server):
    server = make_server()
    for i in range(200):
        wrote = server.kv.Set(api.SetRequest(key=b"%04d" % i, value=b"x" * 500_000, write=api.WriteOptions(durability=1)))
    scan = server.kv.Scan(api.ScanRequest(read=api.ReadOptions(position_min=wrote.position)))
    next(scan)
    process, server.process = server.process, None
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    assert "second signal" in server.log()
    scan.cancel()


# ---- crashing


def test_acknowledged_keys_outlive_kill_9(api, make_server):
    server = make_server(args=["--memtable-size", "1MiB"])
    acknowledged = {}
    for round_ in range(3):
        stop = threading.Event()

        def write(name):
            kv = server.kv
            i = 0
            while not stop.is_set():
                key, value = b"%d-%s-%05d" % (round_, name, i), b"v%d" % i * 50
                try:
                    kv.Set(api.SetRequest(key=key, value=value, indexes=[api.IndexValue(index="i", value=name)]))
                except grpc.RpcError:
                    return
                acknowledged[key] = value
                i += 1

        threads = [threading.Thread(target=write, args=(b"t%d" % n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.7)
        process, server.process = server.process, None
        process.kill()
        process.wait()
        stop.set()
        for thread in threads:
            thread.join()
        server.start()
    kv = server.kv
    stored = {row.key: row.value for chunk in kv.Scan(api.ScanRequest()) for row in chunk.rows}
    lost = [key for key, value in acknowledged.items() if stored.get(key) != value]
    assert not lost, f"{len(lost)} of {len(acknowledged)} lost, first {lost[:3]}"
    *findings, last = server.admin.Verify(api.VerifyRequest())
    assert findings == [] and last.summary.rows == len(stored)


def test_settings_that_change_how_it_runs(api, make_server):
    server = make_server(args=["--loops", "3", "--workers", "2", "--durability", "buffered", "--log-format", "json",
                               "--log-level", "debug", "--cache-size", "1MiB"])
    wrote = server.kv.Set(api.SetRequest(key=b"k", value=b"v"))
    assert server.kv.Get(api.GetRequest(key=b"k", read=api.ReadOptions(position_min=wrote.position))).value == b"v"
    server.stop()
    events = [json.loads(line) for line in server.log().splitlines()]
    assert any(event.get("event") == "ready" for event in events)


# ---- disks that are full or read-only


def test_a_full_disk_refuses_writes_loses_nothing_and_goes_on_after_a_restart(api, make_server, small_disk):
    server = make_server(data_dir=small_disk / "data", args=["--memtable-size", "4MiB"])
    kv = server.kv
    acknowledged, refusals = {}, []
    for i in range(4000):
        key, value = b"%05d" % i, os.urandom(60_000)
        try:
            kv.Set(api.SetRequest(key=key, value=value), timeout=30)
            acknowledged[key] = value[:16]
        except grpc.RpcError as error:
            refusals.append((error.code(), error.details()))
            if len(refusals) == 3:
                break
    assert len(refusals) == 3, "the disk was never full"
    assert len(acknowledged) > 100
    for code, text in refusals:
        assert code in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE), text
        assert "space" in text.lower() or "full" in text.lower(), text
    for key in list(acknowledged)[::97]:
        assert kv.Get(api.GetRequest(key=key)).value[:16] == acknowledged[key]
    reason = server.admin.Status(api.StatusRequest()).reason
    assert "is full" in reason and "bytes are free" in reason and str(small_disk / "data") in reason, reason
    server.kill()
    subprocess.run(["mount", "-o", "remount,size=600m", small_disk], check=True)
    server.start()
    kv = server.kv
    for key, head in acknowledged.items():
        assert kv.Get(api.GetRequest(key=key)).value[:16] == head
    kv.Set(api.SetRequest(key=b"after", value=b"1"))
    assert not server.admin.Status(api.StatusRequest()).reason


def test_a_read_only_disk_is_named(api, make_server, small_disk):
    server = make_server(data_dir=small_disk / "data")
    server.kv.Set(api.SetRequest(key=b"k", value=b"v"))
    server.stop()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(ServerDied) as died:
        server.start()
    assert died.value.code == 1
    line = one_line(died.value.log)
    assert str(server.data_dir) in line and "read-only" in line.lower()
