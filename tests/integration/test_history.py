"""Named snapshots and history: states of the past by name and by time, through gRPC and the command line."""
import json
import time

import grpc
import pytest


def refused(call, request, code, named):
    with pytest.raises(grpc.RpcError) as raised:
        call(request)
    assert raised.value.code() == code, raised.value.details()
    assert named in raised.value.details()


def get(api, kv, key, **read):
    try:
        return kv.Get(api.GetRequest(key=key, read=api.ReadOptions(**read))).value
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND or "key not found" not in error.details():
            raise
        return None


def test_a_named_snapshot_outlives_merges_and_restarts(api, server):
    server.kv.Set(api.SetRequest(key=b"cat", value=b"1", indexes=[api.IndexValue(index="sound", value=b"meow")]))
    kept = server.admin.KeepSnapshot(api.KeepSnapshotRequest(name="first"))
    assert kept.position.token
    server.kv.Set(api.SetRequest(key=b"cat", value=b"2"))
    server.kv.Set(api.SetRequest(key=b"dog", value=b"2"))
    server.kv.Delete(api.DeleteRequest(key=b"cat"))
    for _ in range(2):
        server.admin.Compact(api.CompactRequest())
        server.crash()
        assert get(api, server.kv, b"cat", snapshot_name="first") == b"1"
        assert get(api, server.kv, b"dog", snapshot_name="first") is None
        assert get(api, server.kv, b"cat") is None
        read = api.ReadOptions(snapshot_name="first")
        entries = server.kv.GetByIndex(api.GetByIndexRequest(index="sound", exact=b"meow", read=read)).entries
        assert [entry.key for entry in entries] == [b"cat"]
        assert not server.kv.GetByIndex(api.GetByIndexRequest(index="sound", exact=b"meow")).entries
    listed = server.admin.ListSnapshots(api.ListSnapshotsRequest())
    assert [s.name for s in listed.snapshots] == ["first"] and listed.snapshots[0].position == kept.position
    assert abs(listed.snapshots[0].time_us / 1e6 - time.time()) < 600
    refused(server.admin.KeepSnapshot, api.KeepSnapshotRequest(name="first"), grpc.StatusCode.ALREADY_EXISTS, "first")
    server.admin.DropSnapshot(api.DropSnapshotRequest(name="first"))
    read = api.ReadOptions(snapshot_name="first")
    refused(server.kv.Get, api.GetRequest(key=b"cat", read=read), grpc.StatusCode.NOT_FOUND, "first")
    refused(server.admin.DropSnapshot, api.DropSnapshotRequest(name="first"), grpc.StatusCode.NOT_FOUND, "first")
    server.admin.Compact(api.CompactRequest())
    read = api.ReadOptions(snapshot=kept.position)
    refused(server.kv.Get, api.GetRequest(key=b"cat", read=read), grpc.StatusCode.OUT_OF_RANGE, "position")


def test_a_history_is_read_by_time(api, server):
    server.admin.KeepHistory(api.KeepHistoryRequest(seconds=3600))
    assert server.admin.ListSnapshots(api.ListSnapshotsRequest()).history_seconds == 3600
    times = []
    for n in range(3):
        server.kv.Set(api.SetRequest(key=b"cat", value=b"%d" % n))
        time.sleep(0.3)
        times.append(int(time.time() * 1e6))
        time.sleep(1.5)
    server.admin.Compact(api.CompactRequest())
    server.crash()
    # a state is noted a second before at most, so each is there by the time of the next set
    for n in range(3):
        assert get(api, server.kv, b"cat", as_of_time_us=times[n] + 1_200_000) == b"%d" % n
    read = api.ReadOptions(as_of_time_us=times[0] - 3_600_000_000)
    refused(server.kv.Get, api.GetRequest(key=b"cat", read=read), grpc.StatusCode.OUT_OF_RANGE, "gone")
    read = api.ReadOptions(as_of_time_us=times[0], snapshot_name="x")
    refused(server.kv.Get, api.GetRequest(key=b"cat", read=read), grpc.StatusCode.INVALID_ARGUMENT, "only one of")
    server.admin.KeepHistory(api.KeepHistoryRequest())
    read = api.ReadOptions(as_of_time_us=times[0])
    refused(server.kv.Get, api.GetRequest(key=b"cat", read=read), grpc.StatusCode.OUT_OF_RANGE, "no history")
    refused(server.admin.KeepHistory, api.KeepHistoryRequest(seconds=1 << 40), grpc.StatusCode.INVALID_ARGUMENT, "history")


def test_rows_and_keys_of_the_past_on_the_command_line(server, tmp_path):
    def rows(*args):
        return json.loads(server.cli("scan", "birds", "--ordered", "--format", "json", *args, check=True).out)

    server.cli("table", "create", "birds", "name string not null, legs int32, primary key (name)", check=True)
    server.cli("history", "2 hours", check=True)
    assert "2 h" in server.cli("history", check=True).out
    data = tmp_path / "birds.csv"
    data.write_text("name,legs\nowl,2\nemu,2\n")
    server.cli("import", "birds", str(data), check=True)
    server.cli("kv", "set", "cat", "1", check=True)
    server.cli("snapshot", "keep", "noon", check=True)
    time.sleep(1.2)
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    time.sleep(2)
    data.write_text("name,legs\nowl,3\nauk,2\n")
    server.cli("import", "birds", str(data), "--restart", check=True)
    server.cli("kv", "set", "cat", "2", check=True)
    server.cli("compact", check=True)
    server.restart()
    before, now = [{"name": "emu", "legs": 2}, {"name": "owl", "legs": 2}], [{"name": "auk", "legs": 2}, {"name": "emu", "legs": 2}, {"name": "owl", "legs": 3}]
    assert rows() == now
    assert rows("--snapshot", "noon") == rows("--as-of", moment) == before
    count = server.cli("scan", "birds", "--count", "--snapshot", "noon", "--format", "json", check=True).out
    assert json.loads(count)[0]["count"] == 2
    assert server.cli("kv", "get", "cat", "--raw", "--snapshot", "noon", check=True).out == "1"
    assert server.cli("kv", "get", "cat", "--raw", "--as-of", moment, check=True).out == "1"
    assert server.cli("kv", "get", "cat", "--raw", check=True).out == "2"
    listed = json.loads(server.cli("snapshot", "list", "-o", "json", check=True).out)
    assert [snapshot["snapshot"] for snapshot in listed] == ["noon"]
    server.cli("snapshot", "keep", "again", "--as-of", listed[0]["position"], check=True)
    server.cli("snapshot", "drop", "noon", check=True)
    assert rows("--snapshot", "again") == before
    for args, named in [
        (("scan", "birds", "--snapshot", "noon"), "noon"),
        (("scan", "birds", "--as-of", "yesterday"), "yesterday"),
        (("scan", "birds", "--as-of", "00", "--snapshot", "again"), "only one"),
        (("snapshot", "drop", "noon"), "noon"),
        (("history", "often"), "often"),
    ]:
        failed = server.cli(*args)
        assert failed.code != 0 and named in failed.err, (args, failed)
