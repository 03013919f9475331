"""KeyValue.Commit: transactions by clients that keep account of what they read."""
import random
import threading
import time

import grpc
import pytest

INVALID = grpc.StatusCode.INVALID_ARGUMENT


class Transaction:
    """What a client library would do: one snapshot, an account of what was read, writes kept back until the commit."""

    def __init__(self, api, kv, space):
        self.api, self.kv, self.space = api, kv, space
        self.snapshot = kv.CreateSnapshot(api.CreateSnapshotRequest(ttl_ms=60_000)).position
        self.keys, self.ranges, self.operations = [], [], []

    def get(self, key):
        self.keys.append(self.api.CommitRequest.KeyRead(key=key))
        try:
            read = self.api.ReadOptions(snapshot=self.snapshot)
            return self.kv.Get(self.api.GetRequest(key=key, space=self.space, read=read)).value
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            return None

    def scan(self, lower, upper):
        self.ranges.append(self.api.CommitRequest.RangeRead(lower=lower, upper=upper))
        read = self.api.ReadOptions(snapshot=self.snapshot)
        request = self.api.ScanRequest(lower=lower, upper=upper, space=self.space, read=read)
        return [(row.key, row.value) for chunk in self.kv.Scan(request) for row in chunk.rows]

    def set(self, key, value):
        batch = self.api.BatchRequest
        self.operations.append(batch.Operation(set=batch.Set(key=key, value=value)))

    def delete(self, key):
        batch = self.api.BatchRequest
        self.operations.append(batch.Operation(delete=batch.Delete(key=key)))

    def commit(self, **fields):
        request = self.api.CommitRequest(
            snapshot=self.snapshot, keys=self.keys, ranges=self.ranges, operations=self.operations, space=self.space, **fields
        )
        try:
            return self.kv.Commit(request)
        finally:
            self.kv.ReleaseSnapshot(self.api.ReleaseSnapshotRequest(position=self.snapshot))


@pytest.fixture
def kv(shared_server):
    return shared_server.kv


@pytest.fixture
def space(shared_server, api, request):
    made = api.Space(database="tests", name=request.node.originalname[:80])
    shared_server.admin.CreateSpace(api.CreateSpaceRequest(space=made))
    return made


def value_of(api, kv, space, key):
    return kv.Get(api.GetRequest(key=key, space=space)).value


def test_of_two_that_read_what_the_other_writes_one_has_to_begin_again(api, kv, space):
    kv.Set(api.SetRequest(key=b"left", value=b"on", space=space))
    kv.Set(api.SetRequest(key=b"right", value=b"on", space=space))
    a, b = Transaction(api, kv, space), Transaction(api, kv, space)
    for transaction in (a, b):
        assert transaction.get(b"left") == transaction.get(b"right") == b"on"
    a.set(b"left", b"off")
    b.set(b"right", b"off")
    won, lost = a.commit(), b.commit()
    assert won.outcome == api.CommitResponse.OUTCOME_COMMITTED and won.position.token
    assert lost.outcome == api.CommitResponse.OUTCOME_CONFLICT and not lost.position.token
    assert lost.conflict_key == b"left" and lost.conflict_space == space
    assert (value_of(api, kv, space, b"left"), value_of(api, kv, space, b"right")) == (b"off", b"on")


def test_a_row_that_appears_in_a_range_that_was_read_is_a_conflict(api, kv, space):
    transaction = Transaction(api, kv, space)
    assert transaction.scan(b"a", b"m") == []
    transaction.set(b"count", b"0")
    kv.Set(api.SetRequest(key=b"bee", value=b"1", space=space))
    assert transaction.commit().conflict_key == b"bee"
    transaction = Transaction(api, kv, space)
    assert transaction.scan(b"a", b"m") == [(b"bee", b"1")]
    transaction.set(b"count", b"1")
    transaction.delete(b"bee")
    kv.Set(api.SetRequest(key=b"owl", value=b"1", space=space))
    assert transaction.commit().outcome == api.CommitResponse.OUTCOME_COMMITTED
    assert [row.key for chunk in kv.Scan(api.ScanRequest(space=space)) for row in chunk.rows] == [b"count", b"owl"]


def test_keys_of_several_spaces_commit_as_one(api, kv, space, shared_server):
    other = api.Space(database="tests", name="other-space")
    shared_server.admin.CreateSpace(api.CreateSpaceRequest(space=other))
    kv.Set(api.SetRequest(key=b"k", value=b"1", space=other))
    snapshot = kv.CreateSnapshot(api.CreateSnapshotRequest()).position
    batch = api.BatchRequest
    request = api.CommitRequest(
        snapshot=snapshot,
        keys=[api.CommitRequest.KeyRead(key=b"k", space=other)],
        operations=[
            batch.Operation(set=batch.Set(key=b"here", value=b"1")),
            batch.Operation(set=batch.Set(key=b"k", value=b"2"), space=other),
        ],
        space=space,
    )
    assert kv.Commit(request).outcome == api.CommitResponse.OUTCOME_COMMITTED
    assert value_of(api, kv, space, b"here") == b"1" and value_of(api, kv, other, b"k") == b"2"
    again = kv.Commit(request)
    assert again.outcome == api.CommitResponse.OUTCOME_CONFLICT
    assert (again.conflict_key, again.conflict_space) == (b"k", other)


def test_a_commit_is_applied_once_for_its_sequence(api, kv, space):
    kv.Set(api.SetRequest(key=b"n", value=b"1", space=space))
    transaction = Transaction(api, kv, space)
    assert transaction.get(b"n") == b"1"
    transaction.set(b"n", b"2")
    write = api.WriteOptions(producer_id=99, sequence=1)
    first, second = transaction.commit(write=write), transaction.commit(write=write)
    assert first.outcome == second.outcome == api.CommitResponse.OUTCOME_COMMITTED
    assert first.position == second.position


def test_a_state_older_than_what_is_remembered_is_told_apart(api, kv, space, shared_server):
    kv.Set(api.SetRequest(key=b"n", value=b"1", space=space))
    transaction = Transaction(api, kv, space)
    assert transaction.get(b"n") == b"1"
    transaction.set(b"m", b"2")
    kv.Set(api.SetRequest(key=b"other", value=b"1", space=space))
    shared_server.admin.Flush(api.FlushRequest())
    assert transaction.commit().outcome == api.CommitResponse.OUTCOME_TOO_OLD


def test_wrong_requests_are_refused_by_name(api, kv, space):
    operation = api.BatchRequest.Operation(delete=api.BatchRequest.Delete(key=b"k"))
    snapshot = kv.CreateSnapshot(api.CreateSnapshotRequest()).position
    nowhere = api.Space(name="nowhere")
    key, span = api.CommitRequest.KeyRead, api.CommitRequest.RangeRead
    for fields, code, named in [
        ({}, INVALID, "operations"),
        ({"operations": [operation], "keys": [key(key=b"k")]}, INVALID, "snapshot"),
        ({"operations": [operation], "keys": [key()], "snapshot": snapshot}, INVALID, "keys[0]"),
        ({"operations": [operation], "snapshot": api.Position(token=b"x")}, INVALID, "snapshot"),
        ({"operations": [operation, api.BatchRequest.Operation()]}, INVALID, "operations[1]"),
        ({"operations": [operation], "ranges": [span(), span(space=nowhere)], "snapshot": snapshot}, grpc.StatusCode.NOT_FOUND, "ranges[1]"),
        ({"operations": [operation], "keys": [key(key=b"k", space=nowhere)], "snapshot": snapshot}, grpc.StatusCode.NOT_FOUND, "nowhere"),
        ({"operations": [operation], "snapshot": snapshot, "keys": [key(key=b"k" * 65537)]}, grpc.StatusCode.RESOURCE_EXHAUSTED, "keys[0]"),
    ]:
        with pytest.raises(grpc.RpcError) as raised:
            kv.Commit(api.CommitRequest(space=space, **fields))
        assert raised.value.code() == code, (fields, raised.value.details())
        assert named in raised.value.details(), raised.value.details()
    assert kv.Commit(api.CommitRequest(space=space, operations=[operation])).outcome == api.CommitResponse.OUTCOME_COMMITTED


ACCOUNTS, START = 8, 100


def total(api, kv, space):
    balances = [int(row.value) for chunk in kv.Scan(api.ScanRequest(prefix=b"account", space=space)) for row in chunk.rows]
    assert len(balances) == ACCOUNTS and min(balances) >= 0
    return sum(balances)


def move_money(api, server, space, seed, stopped, moved):
    """Until `stopped`; what becomes of calls that a kill cuts off is unknown, so they are not repeated."""
    dice = random.Random(seed)
    kv = server.kv
    while not stopped.is_set():
        try:
            transaction = Transaction(api, kv, space)
            a, b = (b"account%02d" % n for n in dice.sample(range(ACCOUNTS), 2))
            have, other = int(transaction.get(a)), int(transaction.get(b))
            amount = min(have, dice.randint(1, 40))
            transaction.set(a, b"%d" % (have - amount))
            transaction.set(b, b"%d" % (other + amount))
            moved[seed] += transaction.commit().outcome == api.CommitResponse.OUTCOME_COMMITTED
        except (grpc.RpcError, ValueError):  # the latter from a channel that was closed
            time.sleep(0.05)


def test_money_that_is_moved_about_stays_the_same_also_when_the_server_is_killed(api, server):
    space = api.Space(name="default")
    for n in range(ACCOUNTS):
        server.kv.Set(api.SetRequest(key=b"account%02d" % n, value=b"%d" % START, space=space))
    for life in range(3):
        stopped, moved = threading.Event(), [0] * 3
        threads = [threading.Thread(target=move_money, args=(api, server, space, i, stopped, moved)) for i in range(len(moved))]
        for thread in threads:
            thread.start()
        kv, until = server.kv, time.monotonic() + 20
        while sum(moved) < 60 and time.monotonic() < until:
            assert total(api, kv, space) == ACCOUNTS * START
            time.sleep(0.02)
        server.kill()
        stopped.set()
        for thread in threads:
            thread.join()
        assert sum(moved) >= 60
        server.start()
        assert total(api, server.kv, space) == ACCOUNTS * START
