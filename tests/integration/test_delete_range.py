"""Range deletes through gRPC and the command line."""
import grpc
import pytest

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def kv(shared_server):
    return shared_server.kv


@pytest.fixture
def space(shared_server, api, request):
    made = api.Space(database="tests", name=request.node.originalname[:80])
    shared_server.admin.CreateSpace(api.CreateSpaceRequest(space=made))
    return made


def keys_of(api, kv, space, **fields):
    return [row.key for chunk in kv.Scan(api.ScanRequest(space=space, **fields)) for row in chunk.rows]


def fill(api, kv, space, keys):
    batch = api.BatchRequest
    operations = [batch.Operation(set=batch.Set(key=key, value=b"v")) for key in keys]
    kv.Batch(batch(operations=operations, space=space))


def delete_range(api, kv, space, **bounds):
    return kv.DeleteRange(api.DeleteRangeRequest(range=api.BatchRequest.DeleteRange(**bounds), space=space))


def test_bounds_and_prefixes_say_what_goes(api, kv, space):
    keys = [b"a", b"b1", b"b2", b"c", b"\xff\xff", b"\xff\xffz"]
    fill(api, kv, space, keys)
    assert delete_range(api, kv, space, prefix=b"b").position.token
    assert keys_of(api, kv, space) == [b"a", b"c", b"\xff\xff", b"\xff\xffz"]
    delete_range(api, kv, space, prefix=b"\xff\xff")
    assert keys_of(api, kv, space, reverse=True) == [b"c", b"a"]
    delete_range(api, kv, space, upper=b"b")
    assert keys_of(api, kv, space) == [b"c"]
    delete_range(api, kv, space, lower=b"d")
    assert keys_of(api, kv, space) == [b"c"]
    delete_range(api, kv, space, all=True)
    assert keys_of(api, kv, space) == []


def test_what_is_unclear_is_refused(api, kv, space):
    fill(api, kv, space, [b"a"])
    wrong = [{}, {"prefix": b"a", "lower": b"a"}, {"all": True, "upper": b"b"}, {"lower": b"b", "upper": b"b"}]
    for bounds in wrong:
        with pytest.raises(grpc.RpcError) as raised:
            delete_range(api, kv, space, **bounds)
        assert raised.value.code() == INVALID, bounds
    with pytest.raises(grpc.RpcError) as raised:
        kv.DeleteRange(api.DeleteRangeRequest(space=space))
    assert raised.value.code() == INVALID
    assert keys_of(api, kv, space) == [b"a"]


def test_in_a_batch_the_order_decides(api, kv, space):
    batch = api.BatchRequest
    fill(api, kv, space, [b"a", b"b", b"x"])
    operations = [
        batch.Operation(set=batch.Set(key=b"c", value=b"1")),
        batch.Operation(delete_range=batch.DeleteRange(upper=b"m")),
        batch.Operation(set=batch.Set(key=b"b", value=b"2")),
    ]
    kv.Batch(batch(operations=operations, space=space))
    assert keys_of(api, kv, space) == [b"b", b"x"]
    snapshot = kv.CreateSnapshot(api.CreateSnapshotRequest(ttl_ms=60_000)).position
    read = [api.CommitRequest.KeyRead(key=b"x")]
    delete_range(api, kv, space, prefix=b"x")
    request = api.CommitRequest(snapshot=snapshot, keys=read, operations=operations, space=space)
    assert kv.Commit(request).outcome == api.CommitResponse.OUTCOME_CONFLICT
    scan = api.ScanRequest(space=space, read=api.ReadOptions(snapshot=snapshot))
    assert [row.key for chunk in kv.Scan(scan) for row in chunk.rows] == [b"b", b"x"]


def test_deleted_ranges_stay_deleted_over_crashes_and_merges(api, server):
    fill(api, server.kv, None, [b"k%04d" % n for n in range(2000)])
    server.admin.Flush(api.FlushRequest())
    delete_range(api, server.kv, None, lower=b"k0100", upper=b"k1900")
    fill(api, server.kv, None, [b"k0500"])
    wanted = [b"k%04d" % n for n in [*range(100), 500, *range(1900, 2000)]]
    for step in range(4):
        assert keys_of(api, server.kv, None) == wanted
        if step == 1:
            server.admin.Flush(api.FlushRequest())
        if step == 2:
            server.admin.Compact(api.CompactRequest())
        server.crash()
    *findings, _ = server.admin.Verify(api.VerifyRequest())
    assert not findings


def test_the_command_line_deletes_ranges(server):
    for key in ("a/1", "a/2", "b/1", "c/1"):
        server.cli("kv", "set", key, "v", check=True)
    server.cli("kv", "delete-range", "--prefix", "a/", check=True)
    server.cli("kv", "delete-range", "--lower", "c", "--upper", "d", check=True)
    left = server.cli("kv", "scan", "--keys-only", "-o", "csv", check=True).out
    assert left.split() == ["key", "b/1"]
    assert server.cli("kv", "delete-range").code == 2
    server.cli("kv", "delete-range", "--all", check=True)
    assert server.cli("kv", "scan", "--keys-only", "-o", "csv", check=True).out.split() == ["key"]
