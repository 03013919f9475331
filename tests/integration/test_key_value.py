"""plinth.v1.KeyValue through grpcio: every method, what it gives and what it refuses."""
import itertools
import threading
import time

import grpc
import pytest


numbers = itertools.count()


@pytest.fixture
def kv(shared_server):
    return shared_server.kv


@pytest.fixture
def space(shared_server, api, request):
    """A key space of the test's own."""
    made = api.Space(database="tests", name=f"{request.node.originalname[:80]}.{next(numbers)}")
    shared_server.admin.CreateSpace(api.CreateSpaceRequest(space=made))
    return made


def refused(call, request, code, *parts, **options):
    with pytest.raises(grpc.RpcError) as raised:
        answer = call(request, **options)
        if hasattr(answer, "__next__"):
            list(answer)
    assert raised.value.code() == code, raised.value.details()
    for part in parts:
        assert part in raised.value.details()


def rows_of(kv, request):
    return [row for chunk in kv.Scan(request) for row in chunk.rows]


# ---- Get, Set, Delete


def test_what_is_set_is_got_and_deleted(api, kv, space):
    wrote = kv.Set(api.SetRequest(key=b"cat", value=b"K AE1 T", space=space))
    assert wrote.position.token
    got = kv.Get(api.GetRequest(key=b"cat", space=space))
    assert got.value == b"K AE1 T"
    assert got.version == wrote.position
    kv.Delete(api.DeleteRequest(key=b"cat", space=space))
    refused(kv.Get, api.GetRequest(key=b"cat", space=space), grpc.StatusCode.NOT_FOUND, "key not found")
    kv.Delete(api.DeleteRequest(key=b"cat", space=space))  # not an error


def test_space_and_database_may_be_left_out(api, kv):
    kv.Set(api.SetRequest(key=b"plain", value=b"1"))
    for space in (api.Space(), api.Space(database="default"), api.Space(database="default", name="default")):
        assert kv.Get(api.GetRequest(key=b"plain", space=space)).value == b"1"


def test_a_value_over_the_limit_is_refused(api, kv, space):
    value = b"v" * ((64 << 20) + 1)
    refused(kv.Set, api.SetRequest(key=b"k", value=value, space=space), grpc.StatusCode.RESOURCE_EXHAUSTED, "67108865")
    refused(kv.Get, api.GetRequest(key=b"k", space=space), grpc.StatusCode.NOT_FOUND)


def test_large_values_in_batches_scans_and_by_index(api, kv, space):
    operation, set_ = api.BatchRequest.Operation, api.BatchRequest.Set
    blue = [api.IndexValue(index="color", value=b"blue")]
    values = [bytes([i]) * (1 << 20) for i in range(8)]
    kv.Batch(api.BatchRequest(operations=[operation(set=set_(key=b"%d" % i, value=value, indexes=blue))
                                          for i, value in enumerate(values)], space=space))
    assert [row.value for row in rows_of(kv, api.ScanRequest(space=space))] == values
    entries = entries_of(kv, api, index="color", exact=b"blue", with_values=True, space=space)
    assert [entry.value for entry in entries] == values


@pytest.mark.parametrize("size", [0, 1, 100, 16383, 16384, 65535, 512 << 10, 5 << 20, 64 << 20])
def test_values_of_every_size(api, kv, space, size):
    value = bytes(i * 31 % 256 for i in range(min(size, 4096))) * (size // 4096 + 1)
    kv.Set(api.SetRequest(key=b"k", value=value[:size], space=space))
    assert kv.Get(api.GetRequest(key=b"k", space=space)).value == value[:size]


@pytest.mark.parametrize("key", [b"\0", b"\0\0", b"\xff" * 10, bytes(range(256)), b"x" * (64 << 10), "grün".encode()])
def test_keys_are_any_bytes(api, kv, space, key):
    kv.Set(api.SetRequest(key=key, value=key[:5], space=space))
    assert kv.Get(api.GetRequest(key=key, space=space)).value == key[:5]
    assert [row.key for row in rows_of(kv, api.ScanRequest(space=space))] == [key]


@pytest.mark.parametrize("durability", [0, 1, 2, 3])
def test_every_durability_is_acknowledged_and_visible(api, kv, space, durability):
    wrote = kv.Set(api.SetRequest(key=b"k", value=b"v", space=space, write=api.WriteOptions(durability=durability)))
    read = api.ReadOptions(position_min=wrote.position)
    assert kv.Get(api.GetRequest(key=b"k", space=space, read=read)).value == b"v"


def test_a_repeated_write_is_applied_once_and_answered_with_its_first_position(api, kv, space):
    write = api.WriteOptions(producer_id=4711, sequence=1)
    first = kv.Set(api.SetRequest(key=b"k", value=b"one", space=space, write=write))
    kv.Set(api.SetRequest(key=b"k", value=b"two", space=space))
    again = kv.Set(api.SetRequest(key=b"k", value=b"one", space=space, write=write))
    assert again.position == first.position
    assert kv.Get(api.GetRequest(key=b"k", space=space)).value == b"two"


def test_a_position_that_never_was_is_refused(api, kv, space):
    far = api.Position(token=encode_position(1, 1 << 40))  # written as the server writes them
    for read in (api.ReadOptions(position_min=far), api.ReadOptions(snapshot=far)):
        refused(kv.Get, api.GetRequest(key=b"k", space=space, read=read), grpc.StatusCode.INVALID_ARGUMENT,
                "never durable", timeout=5)


def encode_position(epoch, lsn):
    def varint(value):
        out = b""
        while value >= 0x80:
            out += bytes([value & 0x7F | 0x80])
            value >>= 7
        return out + bytes([value])

    body = b"\x01" + varint(epoch) + varint(lsn)
    return body + bytes([crc32c(body) & 0xFF])


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# ---- secondary indexes


def entries_of(kv, api, **fields):
    entries, token = [], b""
    while True:
        page = kv.GetByIndex(api.GetByIndexRequest(page_token=token, **fields))
        entries += page.entries
        token = page.next_page_token
        if not token:
            return entries


@pytest.fixture
def rhymes(api, kv, space):
    words = {b"cat": b"AE T", b"hat": b"AE T", b"dog": b"AO G", b"fog": b"AO G", b"sun": b"AH N", b"at": b"AE T"}
    for word, rhyme in words.items():
        indexes = [api.IndexValue(index="rhyme", value=rhyme), api.IndexValue(index="size", value=b"%d" % len(word))]
        kv.Set(api.SetRequest(key=word, value=word.upper(), indexes=indexes, space=space))
    return words


def test_keys_are_found_by_exact_value_prefix_and_range(api, kv, space, rhymes):
    exact = entries_of(kv, api, index="rhyme", exact=b"AE T", space=space)
    assert [e.key for e in exact] == [b"at", b"cat", b"hat"]
    assert all(e.index_value == b"AE T" and e.value == b"" for e in exact)
    prefix = entries_of(kv, api, index="rhyme", prefix=b"A", space=space)
    assert [(e.index_value, e.key) for e in prefix] == sorted((v, k) for k, v in rhymes.items())
    ranged = entries_of(kv, api, index="rhyme", range=api.IndexRange(lower=b"AE", upper=b"AH O"), space=space)
    assert [e.key for e in ranged] == [b"at", b"cat", b"hat", b"sun"]
    whole = entries_of(kv, api, index="size", range=api.IndexRange(), space=space, reverse=True, with_values=True)
    assert [e.key for e in whole] == [b"sun", b"hat", b"fog", b"dog", b"cat", b"at"]
    assert all(e.value == e.key.upper() for e in whole)


def test_pages_meet_without_gap_or_overlap(api, kv, space):
    keys = [b"k%04d" % i for i in range(257)]
    for start in range(0, len(keys), 64):
        sets = [
            api.BatchRequest.Operation(set=api.BatchRequest.Set(key=k, value=b"v", indexes=[api.IndexValue(index="i", value=k[-1:])]))
            for k in keys[start : start + 64]
        ]
        kv.Batch(api.BatchRequest(operations=sets, space=space))
    wanted = sorted((k[-1:], k) for k in keys)
    for page_size in (1, 7, 256, 257, 258):
        for reverse in (False, True):
            got = entries_of(kv, api, index="i", prefix=b"", space=space, page_size=page_size, reverse=reverse)
            assert [(e.index_value, e.key) for e in got] == (wanted[::-1] if reverse else wanted)


def test_a_page_ends_before_it_is_too_large(api, kv, space):
    for i in range(20):
        kv.Set(api.SetRequest(key=b"%02d" % i, value=b"x" * (400 << 10), space=space,
                              indexes=[api.IndexValue(index="i", value=b"1")]))
    page = kv.GetByIndex(api.GetByIndexRequest(index="i", exact=b"1", space=space, with_values=True))
    assert page.next_page_token and 1 <= len(page.entries) < 20
    assert page.ByteSize() < 4 << 20
    assert len(entries_of(kv, api, index="i", exact=b"1", space=space, with_values=True)) == 20


def test_index_entries_follow_overwrite_and_delete(api, kv, space, rhymes):
    kv.Set(api.SetRequest(key=b"cat", value=b"new", space=space, indexes=[api.IndexValue(index="rhyme", value=b"X")]))
    kv.Delete(api.DeleteRequest(key=b"hat", space=space))
    kv.Set(api.SetRequest(key=b"at", value=b"none", space=space))
    assert entries_of(kv, api, index="rhyme", exact=b"AE T", space=space) == []
    assert [e.key for e in entries_of(kv, api, index="rhyme", exact=b"X", space=space)] == [b"cat"]
    assert [e.key for e in entries_of(kv, api, index="size", exact=b"3", space=space)] == [b"dog", b"fog", b"sun"]


def test_a_page_token_belongs_to_its_request(api, kv, space, rhymes):
    page = kv.GetByIndex(api.GetByIndexRequest(index="rhyme", prefix=b"A", space=space, page_size=2))
    token = page.next_page_token
    for changed in (dict(prefix=b"AE"), dict(prefix=b"A", reverse=True), dict(prefix=b"A", with_values=True), dict(exact=b"A")):
        refused(kv.GetByIndex, api.GetByIndexRequest(index="rhyme", space=space, page_token=token, **changed),
                grpc.StatusCode.INVALID_ARGUMENT, "page_token", "another request")
    refused(kv.GetByIndex, api.GetByIndexRequest(index="rhyme", prefix=b"A", page_token=b"nonsense", space=space),
            grpc.StatusCode.INVALID_ARGUMENT, "page_token")
    resized = kv.GetByIndex(api.GetByIndexRequest(index="rhyme", prefix=b"A", space=space, page_token=token, page_size=100))
    assert len(resized.entries) == 4


# ---- Scan


@pytest.fixture
def thousands(api, kv, space):
    keys = [b"%05d" % i for i in range(5000)]
    for start in range(0, len(keys), 1000):
        sets = [api.BatchRequest.Operation(set=api.BatchRequest.Set(key=k, value=b"v" + k)) for k in keys[start : start + 1000]]
        kv.Batch(api.BatchRequest(operations=sets, space=space))
    return keys


def test_a_scan_gives_all_rows_in_order_in_chunks(api, kv, space, thousands):
    chunks = list(kv.Scan(api.ScanRequest(space=space)))
    assert len(chunks) >= 5 and all(len(c.rows) <= 1000 for c in chunks)
    assert [r.key for c in chunks for r in c.rows] == thousands
    assert all(r.value == b"v" + r.key and r.version.token for c in chunks for r in c.rows)
    assert chunks[0].position.token and not any(c.position.token for c in chunks[1:])


def test_a_scan_has_bounds_direction_and_limit(api, kv, space, thousands):
    def keys(**fields):
        return [r.key for r in rows_of(kv, api.ScanRequest(space=space, **fields))]

    assert keys(prefix=b"0123") == thousands[1230:1240]
    assert keys(lower=b"00010", upper=b"00020") == thousands[10:20]
    assert keys(prefix=b"0001", lower=b"00015") == thousands[15:20]
    assert keys(reverse=True, limit=3) == thousands[:-4:-1]
    assert keys(limit=1001) == thousands[:1001]
    assert keys(lower=b"2", upper=b"1") == []
    assert all(not r.value for r in rows_of(kv, api.ScanRequest(space=space, keys_only=True, limit=10)))


def test_an_empty_scan_tells_its_position(api, kv, space):
    (chunk,) = kv.Scan(api.ScanRequest(space=space))
    assert not chunk.rows and chunk.position.token


def test_a_scan_sees_one_state_while_writes_go_on(api, kv, space, thousands):
    scan = kv.Scan(api.ScanRequest(space=space))
    first = next(scan)
    for key in thousands[::7]:
        kv.Set(api.SetRequest(key=key, value=b"changed", space=space, write=api.WriteOptions(durability=1)))
        if len(key) % 2:
            kv.Delete(api.DeleteRequest(key=key, space=space, write=api.WriteOptions(durability=1)))
    rows = list(first.rows) + [r for c in scan for r in c.rows]
    assert [r.key for r in rows] == thousands
    assert all(r.value == b"v" + r.key for r in rows)


def test_a_slow_reader_gets_everything_and_a_gone_one_frees_the_scan(api, shared_server, kv, space):
    value = b"x" * 100_000
    for i in range(300):
        wrote = kv.Set(api.SetRequest(key=b"%04d" % i, value=value, space=space, write=api.WriteOptions(durability=1)))
    read = api.ReadOptions(position_min=wrote.position)
    slow = shared_server.kv.Scan(api.ScanRequest(space=space, read=read))
    rows = 0
    for chunk in slow:
        rows += len(chunk.rows)
        time.sleep(0.01)
    assert rows == 300
    for _ in range(5):
        gone = shared_server.kv.Scan(api.ScanRequest(space=space))
        next(gone)
        gone.cancel()
    deadline = time.monotonic() + 10
    while shared_server.admin.Status(api.StatusRequest()).numbers["grpc_calls_open"] > 1:
        assert time.monotonic() < deadline, "cancelled scans are still open"
        time.sleep(0.02)


def test_a_scan_ends_at_its_deadline(api, shared_server, kv, space):
    value = b"x" * 100_000
    for i in range(200):
        wrote = kv.Set(api.SetRequest(key=b"%04d" % i, value=value, space=space, write=api.WriteOptions(durability=1)))
    read = api.ReadOptions(position_min=wrote.position)
    with pytest.raises(grpc.RpcError) as raised:
        for _ in shared_server.kv.Scan(api.ScanRequest(space=space, read=read), timeout=0.5):
            time.sleep(0.2)
    assert raised.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


# ---- Batch


def test_a_batch_is_applied_in_order_and_in_spaces_of_its_own(api, shared_server, kv, space):
    other = api.Space(database="tests", name=space.name + ".other")
    shared_server.admin.CreateSpace(api.CreateSpaceRequest(space=other))
    operation, set_, delete = api.BatchRequest.Operation, api.BatchRequest.Set, api.BatchRequest.Delete
    wrote = kv.Batch(
        api.BatchRequest(
            operations=[
                operation(set=set_(key=b"a", value=b"1")),
                operation(set=set_(key=b"a", value=b"2", indexes=[api.IndexValue(index="i", value=b"x")])),
                operation(set=set_(key=b"b", value=b"1")),
                operation(delete=delete(key=b"b")),
                operation(set=set_(key=b"c", value=b"3"), space=other),
            ],
            space=space,
        )
    )
    got = kv.Get(api.GetRequest(key=b"a", space=space))
    assert got.value == b"2" and got.version == wrote.position
    refused(kv.Get, api.GetRequest(key=b"b", space=space), grpc.StatusCode.NOT_FOUND)
    assert kv.Get(api.GetRequest(key=b"c", space=other)).value == b"3"
    assert [e.key for e in entries_of(kv, api, index="i", exact=b"x", space=space)] == [b"a"]


def test_a_batch_with_one_wrong_operation_writes_nothing(api, kv, space):
    operation, set_ = api.BatchRequest.Operation, api.BatchRequest.Set
    good = operation(set=set_(key=b"good", value=b"1"))
    for bad, code, named in [
        (operation(set=set_(key=b"", value=b"1")), grpc.StatusCode.INVALID_ARGUMENT, "key"),
        (operation(), grpc.StatusCode.INVALID_ARGUMENT, "operations[1]"),
        (operation(set=set_(key=b"x" * 65537)), grpc.StatusCode.RESOURCE_EXHAUSTED, "key"),
        (operation(set=set_(key=b"k"), space=api.Space(name="nowhere")), grpc.StatusCode.NOT_FOUND, "nowhere"),
        (operation(set=set_(key=b"k", indexes=[api.IndexValue(index="a b", value=b"")])), grpc.StatusCode.INVALID_ARGUMENT, "index"),
    ]:
        refused(kv.Batch, api.BatchRequest(operations=[good, bad], space=space), code, named)
    refused(kv.Batch, api.BatchRequest(space=space), grpc.StatusCode.INVALID_ARGUMENT, "operations")
    large = [operation(set=set_(key=b"%d" % i, value=b"x" * 250_000)) for i in range(5)]
    refused(kv.Batch, api.BatchRequest(operations=large, space=space), grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert rows_of(kv, api.ScanRequest(space=space)) == []


# ---- CompareAndSet


def test_compare_and_set_with_every_condition(api, kv, space):
    def cas(**fields):
        return kv.CompareAndSet(api.CompareAndSetRequest(key=b"k", space=space, with_previous_value=True, **fields))

    set_ = api.BatchRequest.Set
    assert not cas(absent=False, set=set_(value=b"0")).applied
    first = cas(absent=True, set=set_(value=b"1"))
    assert first.applied and not first.existed and first.position.token
    refused_one = cas(absent=True, set=set_(value=b"2"))
    assert not refused_one.applied and refused_one.existed and refused_one.previous_value == b"1"
    assert refused_one.previous_version == first.position
    assert not cas(value=b"wrong", set=set_(value=b"2")).applied
    second = cas(value=b"1", set=set_(key=b"k", value=b"2"))
    assert second.applied and second.previous_value == b"1"
    assert not cas(version=first.position, set=set_(value=b"3")).applied
    third = cas(version=second.position, set=set_(value=b"3"))
    assert third.applied
    assert cas(set=set_(value=b"4")).previous_value == b"3"
    look = cas()
    assert not look.applied and look.existed and look.previous_value == b"4" and not look.position.token
    gone = cas(value=b"4", delete=True)
    assert gone.applied
    assert not cas().existed
    refused(kv.CompareAndSet, api.CompareAndSetRequest(key=b"k", space=space, set=set_(key=b"other")),
            grpc.StatusCode.INVALID_ARGUMENT, "set.key")
    refused(kv.CompareAndSet, api.CompareAndSetRequest(key=b"k", space=space, delete=False),
            grpc.StatusCode.INVALID_ARGUMENT, "delete")


def test_of_many_that_compare_and_set_one_wins_each_round(api, shared_server, space):
    clients = [shared_server.kv for _ in range(4)]
    clients[0].Set(api.SetRequest(key=b"n", value=b"0", space=space))
    wins = [0] * len(clients)

    def run(i):
        for _ in range(40):
            now = clients[i].Get(api.GetRequest(key=b"n", space=space))
            after = api.BatchRequest.Set(value=b"%d" % (int(now.value) + 1))
            wins[i] += clients[i].CompareAndSet(
                api.CompareAndSetRequest(key=b"n", version=now.version, set=after, space=space)
            ).applied

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(wins) > 0
    assert int(clients[0].Get(api.GetRequest(key=b"n", space=space)).value) == sum(wins)


# ---- snapshots


def test_a_kept_snapshot_is_read_until_it_is_released(api, kv, space):
    kv.Set(api.SetRequest(key=b"k", value=b"old", space=space, indexes=[api.IndexValue(index="i", value=b"old")]))
    position = kv.CreateSnapshot(api.CreateSnapshotRequest(ttl_ms=60000)).position
    kv.Set(api.SetRequest(key=b"k", value=b"new", space=space))
    kv.Set(api.SetRequest(key=b"l", value=b"new", space=space))
    read = api.ReadOptions(snapshot=position)
    assert kv.Get(api.GetRequest(key=b"k", space=space, read=read)).value == b"old"
    refused(kv.Get, api.GetRequest(key=b"l", space=space, read=read), grpc.StatusCode.NOT_FOUND)
    assert [r.value for r in rows_of(kv, api.ScanRequest(space=space, read=read))] == [b"old"]
    assert len(entries_of(kv, api, index="i", exact=b"old", space=space, read=read)) == 1
    assert entries_of(kv, api, index="i", exact=b"old", space=space) == []
    kv.ReleaseSnapshot(api.ReleaseSnapshotRequest(position=position))
    kv.ReleaseSnapshot(api.ReleaseSnapshotRequest(position=position))  # gone already: not an error
    refused(kv.CreateSnapshot, api.CreateSnapshotRequest(ttl_ms=3600001), grpc.StatusCode.INVALID_ARGUMENT, "ttl_ms")
    refused(kv.ReleaseSnapshot, api.ReleaseSnapshotRequest(), grpc.StatusCode.INVALID_ARGUMENT, "position")


def test_a_snapshot_lives_through_flush_and_compaction_and_ends_with_its_time(api, shared_server, kv, space):
    kv.Set(api.SetRequest(key=b"k", value=b"old", space=space))
    position = kv.CreateSnapshot(api.CreateSnapshotRequest(ttl_ms=60000)).position
    brief = kv.CreateSnapshot(api.CreateSnapshotRequest(ttl_ms=1))
    assert brief.position == position
    kv.Set(api.SetRequest(key=b"k", value=b"new", space=space))
    shared_server.admin.Compact(api.CompactRequest())
    assert kv.Get(api.GetRequest(key=b"k", space=space, read=api.ReadOptions(snapshot=position))).value == b"old"
    for _ in range(2):
        kv.ReleaseSnapshot(api.ReleaseSnapshotRequest(position=position))
    kv.Set(api.SetRequest(key=b"k", value=b"newer", space=space))
    shared_server.admin.Compact(api.CompactRequest())
    refused(kv.Get, api.GetRequest(key=b"k", space=space, read=api.ReadOptions(snapshot=position)),
            grpc.StatusCode.OUT_OF_RANGE)
