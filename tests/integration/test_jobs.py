"""Background jobs: listed, paused, resumed, run and cancelled, through gRPC and the command line; files and log."""
import datetime
import itertools
import json
import os
import threading
import time

import grpc
import pytest
from conftest import run_cli


def listed(server):
    return json.loads(server.cli("jobs", "list", "-o", "json", check=True).out)


def of_kind(server, kind):
    return [job for job in listed(server) if job["kind"] == kind]


def refused(call, request, code, named, **options):
    with pytest.raises(grpc.RpcError) as raised:
        call(request, **options)
    assert raised.value.code() == code, raised.value.details()
    assert named in raised.value.details()


def numbers(api, server):
    return server.admin.Status(api.StatusRequest()).numbers


def write(api, server, megabytes, seed=0):
    kv = server.kv
    for i in range(megabytes * 16):
        kv.Set(api.SetRequest(key=b"%d-%05d" % (seed, i * 7919 % 100_000), value=os.urandom(64_000)))


def test_a_pause_holds_over_restarts_and_status_says_so(api, make_server):
    server = make_server(args=["--memtable-size", "1MiB"])
    assert listed(server) == []
    server.cli("jobs", "pause", "compaction", "trim", check=True)
    for _ in range(2):
        write(api, server, 6)
        server.admin.Flush(api.FlushRequest())
        assert numbers(api, server)["compactions"] == 0 and numbers(api, server)["jobs_paused"] == 2
        paused = [(job["kind"], job["state"], job["id"]) for job in listed(server) if job["state"] == "paused"]
        assert paused == [("compaction", "paused", None), ("trim", "paused", None)]
        status = server.admin.Status(api.StatusRequest())
        assert status.ready and "paused: compaction, trim" in status.reason
        failed = server.cli("jobs", "run", "compaction")
        assert failed.code == 1 and "compaction are paused" in failed.err
        server.crash()
    segments = numbers(api, server)["segments"]
    server.cli("jobs", "resume", "compaction", check=True)
    ran = json.loads(server.cli("jobs", "run", "compaction", "-o", "json", check=True).out)
    assert ran["kind"] == "compaction" and ran["duration_ms"] >= 0
    assert 0 < numbers(api, server)["segments"] < segments
    server.cli("jobs", "resume", "trim", check=True)
    assert not server.admin.Status(api.StatusRequest()).reason
    server.restart()
    assert numbers(api, server)["jobs_paused"] == 0


def test_a_merge_is_seen_explained_and_cancelled(api, make_server):
    server = make_server(args=["--memtable-size", "1MiB"])
    server.cli("jobs", "pause", "compaction", check=True)
    write(api, server, 24)
    server.admin.Flush(api.FlushRequest())
    server.cli("jobs", "resume", "compaction", check=True)
    processor = server.processor
    seen = None
    deadline = time.monotonic() + 60
    while not seen and time.monotonic() < deadline:
        jobs = processor.ListJobs(api.ListJobsRequest()).jobs
        seen = next((j for j in jobs if j.kind == api.JOB_KIND_COMPACTION and j.state == api.JOB_STATE_RUNNING), None)
    assert seen, "no merge was seen"
    assert seen.id and seen.why and seen.threads >= 1 and seen.total > 0
    assert (seen.table.database, seen.table.name, seen.index) == ("default", "default", "")
    assert abs(seen.started_us / 1e6 - time.time()) < 600
    try:
        processor.CancelJob(api.CancelJobRequest(id=seen.id))
    except grpc.RpcError as error:  # it was faster
        assert error.code() == grpc.StatusCode.NOT_FOUND
    else:
        held = [j for j in processor.ListJobs(api.ListJobsRequest()).jobs if j.id == seen.id]
        assert all(j.state in (api.JOB_STATE_HELD, api.JOB_STATE_RUNNING) for j in held)
    refused(processor.CancelJob, api.CancelJobRequest(id=1 << 40), grpc.StatusCode.NOT_FOUND, str(1 << 40))
    assert server.cli("jobs", "cancel", str(1 << 40)).code == 3
    server.cli("verify", check=True)


def test_a_run_ends_with_the_caller_s_patience(api, make_server):
    server = make_server(args=["--memtable-size", "1MiB"])
    server.cli("jobs", "pause", "compaction", check=True)
    write(api, server, 16)
    server.admin.Flush(api.FlushRequest())
    server.cli("jobs", "resume", "compaction", check=True)
    processor = server.processor
    with pytest.raises(grpc.RpcError) as raised:
        processor.RunJob(api.RunJobRequest(kind=api.JOB_KIND_COMPACTION), timeout=0.001)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    call = processor.RunJob.future(api.RunJobRequest(kind=api.JOB_KIND_COMPACTION))
    call.cancel()
    # and the workers that such runs take are free again
    for kind in (api.JOB_KIND_FLUSH, api.JOB_KIND_COMPACTION, api.JOB_KIND_RETENTION, api.JOB_KIND_CHECKPOINT,
                 api.JOB_KIND_TRIM, api.JOB_KIND_GARBAGE):
        assert processor.RunJob(api.RunJobRequest(kind=kind), timeout=120).duration_us >= 0
    assert not [j for j in listed(server) if j["state"] != "running"]


def test_wrong_requests_are_named(api, shared_server):
    processor = shared_server.processor
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    refused(processor.PauseJobs, api.PauseJobsRequest(), invalid, "kinds")
    refused(processor.PauseJobs, api.PauseJobsRequest(kinds=[api.JOB_KIND_FLUSH]), invalid, "flush")
    refused(processor.ResumeJobs, api.ResumeJobsRequest(kinds=[77]), invalid, "cannot be paused")
    refused(processor.RunJob, api.RunJobRequest(kind=api.JOB_KIND_VERIFY), invalid, "verify")
    refused(processor.RunJob, api.RunJobRequest(), invalid, "begun otherwise")
    for args, named in [
        (("pause", "flush"), "flush"),
        (("pause", "compactoin"), "compactoin"),
        (("run", "verify"), "verify"),
        (("cancel", "seven"), "seven"),
        (("cancel", "0"), "0"),
        (("pause",), "missing"),
    ]:
        failed = shared_server.cli("jobs", *args)
        assert failed.code in (1, 2) and named in failed.err, (args, failed)
    assert listed(shared_server) == []


def test_a_flush_that_fails_is_shown_and_tried_again(api, make_server, small_disk):
    server = make_server(data_dir=small_disk / "data", args=["--memtable-size", "1MiB"])
    kv = server.kv
    for key in (b"a", b"b"):
        kv.Set(api.SetRequest(key=key, value=os.urandom(400_000)))
    filler = small_disk / "filler"
    with open(filler, "wb") as file:
        try:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        except OSError:
            pass
    with pytest.raises(grpc.RpcError):
        server.admin.Flush(api.FlushRequest(), timeout=30)
    seen = []
    deadline = time.monotonic() + 30
    while not seen and time.monotonic() < deadline:
        seen = [job for job in of_kind(server, "flush") if job["failures"] >= 2]
    assert seen and "space" in seen[0]["error"].lower(), seen
    filler.unlink()
    deadline = time.monotonic() + 60
    while of_kind(server, "flush") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert of_kind(server, "flush") == []
    server.admin.Flush(api.FlushRequest())
    assert numbers(api, server)["segments"] > 0


# ---- files and log


def files_of(server, *args):
    found = json.loads(server.cli("files", *args, "-o", "json", check=True).out)
    return {file["path"]: file for file in found}


def on_disk(server):
    root = server.data_dir
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_every_file_is_listed_with_what_needs_it(api, make_server):
    server = make_server(args=["--memtable-size", "1MiB"])
    server.cli("table", "create", "days", "at timestamp(us), v int64, primary key (at)", "--partition-by", "at",
               "--every", "1 day", check=True)
    rows = server.work_dir / "days.csv"
    rows.write_text("at,v\n2026-01-01T05:00:00,1\n2026-01-03T06:00:00,2\n")
    server.cli("import", "days", str(rows), check=True)
    server.cli("kv", "set", "cat", "1", check=True)
    server.admin.Flush(api.FlushRequest())
    server.cli("kv", "set", "dog", "2", check=True)
    server.admin.Compact(api.CompactRequest())
    server.admin.KeepSnapshot(api.KeepSnapshotRequest(name="noon", with_log=True))
    server.cli("kv", "set", "emu", "2", check=True)
    server.admin.Flush(api.FlushRequest())
    files = files_of(server)
    assert set(files) == on_disk(server)
    for path, file in files.items():
        if not path.endswith((".tmp", ".log")):  # those are being made and written
            assert file["bytes"] == (server.data_dir / path).stat().st_size
            assert abs(file_time(file["modified"]) - (server.data_dir / path).stat().st_mtime) < 2
    segments = [file for file in files.values() if file["kind"] == "segment"]
    assert {file["table"] for file in segments} == {"default.default", "default.days"}
    assert all(file["needed_by"] == "the current state" and file["needed"] for file in segments)
    days = sorted((file["partition"], file["rows"]) for file in segments if file["table"] == "default.days")
    assert days == [("2026-01-01T00:00:00Z", 1), ("2026-01-03T00:00:00Z", 1)]
    keys = [file for file in segments if file["table"] == "default.default"]
    assert {(file["key_min"], file["key_max"]) for file in keys} == {("cat", "dog"), ("emu", "emu")}
    assert all(file["first_lsn"] <= file["last_lsn"] for file in keys)
    checkpoints = sorted(path for path in files if "checkpoints/" in path)
    assert [files[path]["needed_by"] for path in checkpoints] == ["opening, if the newest is damaged", "opening"]
    logs = [file for file in files.values() if file["kind"] == "log"]
    assert all("snapshot noon" in file["needed_by"] for file in logs)
    assert logs and "being written" in logs[-1]["needed_by"]
    # the same from the directory, beside the server and without it
    for _ in range(2):
        offline = files_of(server, str(server.data_dir))
        assert {path for path in offline if not path.endswith(".tmp")} == {p for p in on_disk(server) if not p.endswith(".tmp")}
        for path, file in offline.items():
            if file["kind"] == "segment":
                assert file == files[path]
        if server.running:
            server.stop()
    (server.data_dir / "store/segments/0000000000000003").mkdir(parents=True, exist_ok=True)
    (server.data_dir / "store/segments/0000000000000003/2-0.parquet").write_bytes(b"x")
    (server.data_dir / "notes.txt").write_text("mine")
    stray = json.loads(run_cli("files", str(server.data_dir), "--unneeded", "-o", "json", check=True).out)
    assert {file["path"]: file["needed_by"] for file in stray} == {
        "notes.txt": "nobody: not a file of Plinth",
        "store/segments/0000000000000003/2-0.parquet": "nobody: the log does not know it",
    }
    missing = run_cli("files", str(server.work_dir / "nothing"))
    assert missing.code == 3 and "FORMAT" in missing.err


def file_time(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_replaced_segments_are_needed_by_the_reads_that_look_at_them(api, make_server):
    server = make_server()
    kv = server.kv
    for round in range(2):
        for i in range(0, 800, 1 + 99 * round):
            kv.Set(api.SetRequest(key=b"%05d" % i, value=bytes([round]) * 80_000, write=api.WriteOptions(durability=api.DURABILITY_BUFFERED)))
        server.admin.Flush(api.FlushRequest())
    scan = kv.Scan(api.ScanRequest())  # of which not all fits into buffers
    next(scan)
    before = {path for path, file in files_of(server).items() if file["kind"] == "segment"}
    server.admin.Compact(api.CompactRequest())
    held = {path: file for path, file in files_of(server).items() if path in before}
    assert {file["needed_by"] for file in held.values()} == {"a read that began before it was replaced"}
    scan.cancel()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and before & set(files_of(server)):
        server.processor.RunJob(api.RunJobRequest(kind=api.JOB_KIND_GARBAGE))
        time.sleep(0.1)
    assert not before & set(files_of(server))


def records_of(server, *args):
    out = run_cli("log", "cat", str(server.data_dir), "--format", "jsonl", *args, check=True).out
    return [json.loads(line) for line in out.splitlines()]


def test_the_log_is_read_beside_a_server_and_without_it(api, make_server):
    server = make_server()
    server.kv.Set(api.SetRequest(key=b"cat", value=b"1"))
    server.kv.Delete(api.DeleteRequest(key=b"cat"))
    server.cli("table", "create", "birds", "name string, legs int32, primary key (name)", check=True)
    rows = server.work_dir / "birds.csv"
    rows.write_text("name,legs\nowl,2\nemu,2\n")
    server.cli("import", "birds", str(rows), check=True)
    server.cli("snapshot", "keep", "noon", check=True)
    server.cli("jobs", "pause", "trim", check=True)
    for state in ("running", "killed", "stopped"):
        records = records_of(server, "--all")
        known = records_of(server)
        assert records[: len(known)] == known and (state != "stopped" or len(records) == len(known))
        lsns = [record["lsn"] for record in records]
        assert lsns == sorted(set(lsns)) and lsns[0] == 1
        said = {(record["kind"], record["what"]) for record in records}
        wanted = {
            ("write", "1 set in default.default"),
            ("write", "1 delete in default.default"),
            ("rows", "2 rows upserted in default.birds, 2 columns"),
            ("jobs", "paused: trim"),
        }
        assert wanted <= said, said
        assert any(kind == "keep" and "noon" in what for kind, what in said)
        assert any(kind == "catalog" and "create table birds" in what for kind, what in said)
        assert all(record["verdict"] in ("applied", None) for record in records)
        assert all(abs(file_time(record["time"]) - time.time()) < 600 for record in records)
        assert [record["lsn"] for record in records_of(server, "--all", "--from", str(lsns[2]), "--limit", "2")] == lsns[2:4]
        listed = json.loads(run_cli("log", str(server.data_dir), "-o", "json", check=True).out)
        assert listed[0]["first_lsn"] == 1 and listed[0]["epoch"] == 1 and listed[-1]["needed"]
        if state == "running":
            server.kill()
        elif state == "killed":
            before = on_disk(server)
            server.start()
            server.stop()
            assert before != on_disk(server)
    table = run_cli("log", "cat", str(server.data_dir), "--limit", "1", check=True).out
    assert table.splitlines()[0].split() == ["lsn", "time", "kind", "what", "rows", "bytes", "durability", "producer", "verdict"]
    assert run_cli("log", str(server.work_dir / "nothing")).code == 3
    assert run_cli("log", "cat", str(server.data_dir), "--from", "x").code == 2


def test_looking_at_a_directory_changes_nothing(api, make_server):
    server = make_server()
    server.kv.Set(api.SetRequest(key=b"cat", value=b"1"))
    server.kill()

    def everything():
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in server.data_dir.rglob("*") if path.is_file()}

    before = everything()
    for args in (["files"], ["log"], ["log", "cat"]):
        run_cli(*args, str(server.data_dir), check=True)
    assert everything() == before


def test_the_log_is_read_while_it_is_written_trimmed_and_recycled(api, make_server):
    server = make_server(args=["--memtable-size", "1MiB"])
    stop = threading.Event()

    def load():
        kv = server.kv
        for i in itertools.count():
            if stop.is_set():
                return
            kv.Set(api.SetRequest(key=b"%d" % (i % 500), value=os.urandom(60_000), write=api.WriteOptions(durability=api.DURABILITY_BUFFERED)))

    writer = threading.Thread(target=load)
    writer.start()
    try:
        for _ in range(12):
            result = run_cli("log", "cat", str(server.data_dir), "--format", "jsonl")
            lsns = [json.loads(line)["lsn"] for line in result.out.splitlines()]
            assert lsns == sorted(set(lsns))
            assert result.code == 0 or "try again" in result.err or "missing" in result.err, result
            assert run_cli("files", str(server.data_dir)).code == 0
    finally:
        stop.set()
        writer.join()
