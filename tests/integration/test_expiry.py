"""Keys that expire, through gRPC and the command line."""
import time

import grpc
import pytest


def exists(api, kv, key):
    try:
        kv.Get(api.GetRequest(key=key))
        return True
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
        return False


def wait_until_gone(api, kv, key):
    for _ in range(300):
        if not exists(api, kv, key):
            return
        time.sleep(0.02)
    pytest.fail(f"{key} is still there")


def test_a_key_is_gone_after_its_time_and_stays_gone(api, server):
    server.kv.Set(api.SetRequest(key=b"lease", value=b"old"))
    server.admin.Flush(api.FlushRequest())
    server.kv.Set(api.SetRequest(key=b"lease", value=b"new", ttl_ms=1500, indexes=[api.IndexValue(index="of", value=b"me")]))
    server.kv.Set(api.SetRequest(key=b"past", value=b"x", expires_at_us=int(time.time() * 1e6) - 1_000_000))
    server.kv.Set(api.SetRequest(key=b"far", value=b"x", expires_at_us=int(time.time() * 1e6) + 3_600_000_000))
    assert exists(api, server.kv, b"lease") and exists(api, server.kv, b"far") and not exists(api, server.kv, b"past")
    wait_until_gone(api, server.kv, b"lease")
    for _ in range(2):
        assert not server.kv.GetByIndex(api.GetByIndexRequest(index="of", exact=b"me")).entries
        assert [row.key for chunk in server.kv.Scan(api.ScanRequest()) for row in chunk.rows] == [b"far"]
        server.admin.Compact(api.CompactRequest())
        server.crash()
    assert not exists(api, server.kv, b"lease")


def test_a_lease_can_be_taken_again_when_it_has_expired(api, server):
    taken = server.cli("kv", "set", "lock", "a", "--ttl", "1 second", "--if-absent")
    assert taken.code == 0
    assert server.cli("kv", "set", "lock", "b", "--if-absent").code != 0
    wait_until_gone(api, server.kv, b"lock")
    assert server.cli("kv", "set", "lock", "b", "--if-absent").code == 0
    assert server.cli("kv", "set", "x", "y", "--ttl", "soon").code == 2


def test_two_times_are_refused(api, server):
    with pytest.raises(grpc.RpcError) as raised:
        server.kv.Set(api.SetRequest(key=b"a", value=b"b", ttl_ms=1, expires_at_us=1))
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
