"""Background jobs: listed, paused, resumed, run and cancelled, through gRPC and the command line."""
import json
import os
import time

import grpc
import pytest


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
