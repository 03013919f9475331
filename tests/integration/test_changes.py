"""Change feeds: through gRPC and the command line, resumed at any position, beside writers, restarts and slow readers."""
import importlib
import json
import os
import random
import threading
import time
import types

import grpc
import pyarrow as pa
import pytest

import tables


SEED = int(os.environ.get("PLINTH_MODEL_SEED", "1"))
STEPS = int(os.environ.get("PLINTH_MODEL_STEPS", "25"))


def load_api():
    api = types.SimpleNamespace(**vars(tables.load_api()))
    for module in ("change_feed_pb2", "change_feed_pb2_grpc", "transactions_pb2", "transactions_pb2_grpc"):
        loaded = importlib.import_module(f"plinth.v1.{module}")
        for name in dir(loaded):
            if not name.startswith("_"):
                setattr(api, name, getattr(loaded, name))
    return api


@pytest.fixture(scope="module")
def api():
    return load_api()


class Feed:
    """A running Changes call, read change by change."""

    def __init__(self, api, server, stub=None, **request):
        self.api = api
        stub = stub or api.ChangeFeedStub(server.channel())
        request["tables"] = [api.Table(name=name) for name in request.get("tables", [])]
        if "where" in request:
            request["predicate"] = api.Predicate(sql=request.pop("where"))
        self.call = stub.Changes(api.ChangesRequest(**request))
        first = next(self.call)
        assert not first.changes and first.initial == request.get("initial_state", False)
        self.position = self.start = first.position

    def messages(self):
        for message in self.call:
            yield message
            self.position = message.position

    def changes(self):
        """Whole changes: the parts of one are put together."""
        whole = None
        for message in self.messages():
            for change in message.changes:
                if whole:
                    assert change.position == whole.position
                    whole.MergeFrom(change)
                else:
                    whole = change
                if change.continues:
                    continue
                whole.continues = False
                yield whole
                whole = None
        assert whole is None

    def take(self, count):
        changes = self.changes()
        taken = [next(changes) for _ in range(count)]
        self.call.cancel()
        return taken


def rows_of(piece):
    return pa.ipc.open_stream(piece).read_all().to_pylist() if piece else []


def feed_now(api, server, **request):
    """Everything up to now: (changes, the position at the end)."""
    feed = Feed(api, server, until_now=True, **request)
    changes = list(feed.changes())
    return changes, feed.position


def refused(api, server, code, named, **request):
    with pytest.raises(grpc.RpcError) as raised:
        feed_now(api, server, **request)
    assert raised.value.code() == code, raised.value.details()
    assert named in raised.value.details()


BIRDS = [("name", "string", True), ("legs", "int32"), ("note", "string")]


def birds(*rows):
    return pa.table({"name": [r[0] for r in rows], "legs": pa.array([r[1] for r in rows], pa.int32())})


def test_keys_and_rows_come_in_the_order_of_the_log_and_from_any_position(api, server):
    client = tables.Tables(server)
    client.create("birds", BIRDS, key=["name"])
    feed = Feed(api, server)
    server.kv.Set(api.SetRequest(key=b"cat", value=b"1", indexes=[api.IndexValue(index="sound", value=b"meow")]))
    client.write("birds", birds(("owl", 2), ("emu", 2)))
    operations = [
        api.BatchRequest.Operation(set=api.BatchRequest.Set(key=b"dog", value=b"2")),
        api.BatchRequest.Operation(delete=api.BatchRequest.Delete(key=b"cat")),
    ]
    server.kv.Batch(api.BatchRequest(operations=operations))
    client.write("birds", pa.table({"name": ["emu"]}), delete=True)
    changes = feed.take(4)
    assert [(k.kind, k.key, k.value) for k in changes[0].keys] == [(api.KeyChange.KIND_SET, b"cat", b"1")]
    assert [(i.index, i.value) for i in changes[0].keys[0].indexes] == [("sound", b"meow")]
    assert changes[0].keys[0].space == api.Space(database="default", name="default")
    assert abs(changes[0].time_us / 1e6 - time.time()) < 600
    assert changes[1].rows[0].table == api.Table(database="default", name="birds")
    assert rows_of(changes[1].rows[0].arrow_ipc) == [{"name": "emu", "legs": 2}, {"name": "owl", "legs": 2}]
    assert [(k.kind, k.key) for k in changes[2].keys] == [(api.KeyChange.KIND_SET, b"dog"), (api.KeyChange.KIND_DELETE, b"cat")]
    assert changes[3].rows[0].deleted and rows_of(changes[3].rows[0].arrow_ipc) == [{"name": "emu"}]
    for start in range(4):  # a position is an exact place to go on
        after = changes[start].position
        assert feed_now(api, server, after=after)[0] == changes[start + 1 :]
    assert feed_now(api, server, after=feed.start)[0] == changes
    server.crash()
    assert feed_now(api, server, after=feed.start)[0] == changes
    assert len(feed_now(api, server, after=feed.start, limit=2)[0]) == 2
    until = changes[2].position
    assert list(Feed(api, server, after=feed.start, until=until).changes()) == changes[:3]


def test_a_feed_gives_what_is_asked_for(api, server):
    client = tables.Tables(server)
    client.create("birds", BIRDS, key=["name"])
    client.create("fish", [("id", "int64", True), ("legs", "int32")], key=["id"])
    server.admin.CreateSpace(api.CreateSpaceRequest(space=api.Space(name="pets")))
    start = feed_now(api, server)[1]
    client.write("birds", birds(("auk", 1), ("emu", 5), ("owl", 9)))
    client.write("fish", pa.table({"id": [1], "legs": pa.array([0], pa.int32())}))
    server.kv.Set(api.SetRequest(key=b"a/1", value=b"x"))
    server.kv.Set(api.SetRequest(key=b"b/1", value=b"x"))
    server.kv.Set(api.SetRequest(key=b"a/1", value=b"y", space=api.Space(name="pets")))
    client.write("birds", birds(("emu", 9), ("owl", 1)))
    client.write("birds", pa.table({"name": ["auk", "emu", "roc"]}), delete=True)

    def seen(**request):
        changes, position = feed_now(api, server, after=start, **request)
        assert position.token
        found = []
        for change in changes:
            found += [(k.space.name, bytes(k.key), bytes(k.previous_value) if k.existed else None) for k in change.keys]
            for rows in change.rows:
                new, old = rows_of(rows.arrow_ipc), rows_of(rows.previous_arrow_ipc)
                for at, row in enumerate(new):
                    before = old[at] if old and old[at]["name"] is not None else None
                    found.append((rows.table.name, row.get("name", row.get("id")), row.get("legs"), before and before["legs"]))
        return found

    deleted = [("birds", name, None, None) for name in ("auk", "emu", "roc")]
    assert seen(tables=["pets", "fish"]) == [("fish", 1, 0, None), ("pets", b"a/1", None)]
    assert seen(tables=["default"], prefix=b"a/") == [("default", b"a/1", None)]
    assert seen(tables=["birds"], where="legs < 6") == [
        ("birds", "auk", 1, None), ("birds", "emu", 5, None), ("birds", "owl", 1, None), *deleted
    ]
    assert seen(tables=["birds"], where="legs < 6", with_previous=True) == [
        ("birds", "auk", 1, None), ("birds", "emu", 5, None),
        ("birds", "emu", 9, 5), ("birds", "owl", 1, 9), ("birds", "auk", None, 1),
    ]
    assert seen(tables=["birds"], where="name = 'auk' AND legs > 0") == [("birds", "auk", 1, None), ("birds", "auk", None, None)]
    assert seen(tables=["default", "pets"], where="value = 'y'") == [("pets", b"a/1", None)]
    values = feed_now(api, server, after=start, tables=["birds"], with_previous=True, format=tables.FORMAT_VALUES)[0]
    rows = values[1].rows[0]
    assert list(rows.rows.columns) == ["name", "legs"] and not rows.arrow_ipc
    assert [[v.WhichOneof("kind") and getattr(v, v.WhichOneof("kind")) for v in r.values] for r in rows.rows.rows] == [["emu", 9], ["owl", 1]]
    assert [r.values[1].int_value for r in rows.previous_rows.rows] == [5, 9]
    code = grpc.StatusCode
    refused(api, server, code.NOT_FOUND, "nowhere", tables=["nowhere"])
    refused(api, server, code.NOT_FOUND, "nobody", snapshot_name="nobody")
    refused(api, server, code.INVALID_ARGUMENT, "wings", tables=["birds"], where="wings = 2")
    refused(api, server, code.INVALID_ARGUMENT, "tables", where="wings = 2")
    refused(api, server, code.INVALID_ARGUMENT, "only one of", after=start, snapshot_name="x")
    refused(api, server, code.INVALID_ARGUMENT, "after", after=api.Position(token=b"mine"))
    refused(api, server, code.INVALID_ARGUMENT, "heartbeat", heartbeat_ms=1)
    refused(api, server, code.INVALID_ARGUMENT, "format", format=9)
    refused(api, server, code.OUT_OF_RANGE, "history", as_of_time_us=1)


def test_a_large_write_comes_in_parts(api, server):
    client = tables.Tables(server)
    client.create("big", [("id", "int64", True), ("text", "string")], key=["id"])
    start = feed_now(api, server)[1]
    before = server.kv.Set(api.SetRequest(key=b"a", value=b"1")).position
    count = 12000
    batch = pa.table({"id": list(range(count)), "text": [os.urandom(400).hex() for _ in range(count)]})
    client.write("big", batch, atomic=True)
    server.kv.Set(api.SetRequest(key=b"a", value=b"2"))
    channel = grpc.insecure_channel(server.address)  # with its own limit of 4 MiB a message
    stub = api.ChangeFeedStub(channel)
    for previous in (False, True):
        feed = Feed(api, server, stub, after=start, until_now=True, with_previous=previous)
        parts, positions, keys = [], set(), []
        for message in feed.messages():
            keys += [k.key for c in message.changes for k in c.keys]
            for change in message.changes:
                parts += [pa.ipc.open_stream(r.arrow_ipc).read_all() for r in change.rows]
                if change.continues:
                    assert message.position == before  # where the write begins again
                    positions.add(change.position.token)
        assert len(parts) > 4 and len(positions) == 1 and keys == [b"a", b"a"]
        assert pa.concat_tables(parts).sort_by("id").to_pydict() == batch.to_pydict()
    channel.close()


def test_a_feed_with_nothing_to_say_tells_how_far_it_has_come(api, server):
    server.kv.Set(api.SetRequest(key=b"a", value=b"1"))
    feed = Feed(api, server, prefix=b"none", heartbeat_ms=50)
    began = time.monotonic()
    server.kv.Set(api.SetRequest(key=b"a", value=b"2"))
    last = server.kv.Set(api.SetRequest(key=b"a", value=b"3")).position
    heartbeats = [next(feed.call) for _ in range(6)]
    assert time.monotonic() - began > 0.2
    assert not any(h.changes for h in heartbeats)
    feed.call.cancel()
    assert feed_now(api, server, after=heartbeats[-1].position)[0] == []
    assert [c.keys[0].value for c in feed_now(api, server, after=feed.start)[0]] == [b"2", b"3"]
    assert feed_now(api, server, after=last)[0] == []


@pytest.mark.parametrize("named", [False, True])
def test_the_state_comes_first_when_asked_for(api, server, named):
    client = tables.Tables(server)
    client.create("birds", BIRDS, key=["name"])
    client.create("nothing", BIRDS, key=["name"])
    server.admin.CreateSpace(api.CreateSpaceRequest(space=api.Space(name="pets")))
    indexes = [api.IndexValue(index="sound", value=b"meow")]
    for i in range(700):
        operation = api.BatchRequest.Operation(set=api.BatchRequest.Set(key=b"k%d" % i, value=os.urandom(2000), indexes=indexes))
        server.kv.Batch(api.BatchRequest(operations=[operation], write=api.WriteOptions(durability=api.DURABILITY_BUFFERED)))
    server.kv.Set(api.SetRequest(key=b"rex", value=b"dog", space=api.Space(name="pets")))
    client.write("birds", birds(*[(f"bird{i}", i) for i in range(20000)]))
    server.admin.Flush(api.FlushRequest())
    client.write("birds", birds(("owl", 2), ("bird7", 70)))
    server.kv.Delete(api.DeleteRequest(key=b"k5"))
    start = {}
    if named:
        server.admin.KeepSnapshot(api.KeepSnapshotRequest(name="here", with_log=True))
        server.kv.Set(api.SetRequest(key=b"k6", value=b"later"))
        start = {"snapshot_name": "here"}
    feed = Feed(api, server, initial_state=True, **start)
    assert not feed.start.token
    keys, rows, indexed, later = {}, {}, 0, []
    server.kv.Set(api.SetRequest(key=b"k1", value=b"new"))
    client.write("birds", birds(("emu", 1), ("bird8", 80)))
    for message in feed.call:
        assert message.initial == (not message.position.token)
        for change in message.changes:
            assert message.initial == (not change.position.token)
            later += [change.time_us] if not message.initial else []
            for key in change.keys:
                keys[key.space.name, key.key] = key.value
                indexed += len(key.indexes)
            for part in change.rows:
                rows.update({row["name"]: row["legs"] for row in rows_of(part.arrow_ipc)})
        if len(later) == 2 + named:
            break
    feed.call.cancel()
    assert indexed == 699 and len(keys) == 700 and keys["default", b"k1"] == b"new" and keys["pets", b"rex"] == b"dog"
    assert ("default", b"k5") not in keys and (not named or keys["default", b"k6"] == b"later")
    assert rows == {**{f"bird{i}": i for i in range(20000)}, "owl": 2, "bird7": 70, "emu": 1, "bird8": 80}
    few = Feed(api, server, tables=["birds"], where="legs < 3", initial_state=True, until_now=True)
    found = [row["name"] for m in few.call for c in m.changes for part in c.rows for row in rows_of(part.arrow_ipc)]
    assert sorted(found) == ["bird0", "bird1", "bird2", "emu", "owl"]
    code = grpc.StatusCode.INVALID_ARGUMENT
    refused(api, server, code, "predicate", tables=["default"], where="value = 'x'", initial_state=True)
    refused(api, server, code, "initial_state", after=feed_now(api, server)[1], initial_state=True)
    for _ in range(3):  # one who goes in the middle leaves nothing behind
        gone = Feed(api, server, initial_state=True)
        next(gone.call)
        gone.call.cancel()
    listed = lines(server.cli("changes", "pets", "--initial"))
    assert listed[0] == {"initial": True, "space": "pets", "op": "set", "key": "rex", "value": "dog"} and set(listed[1]) == {"position"}


def threads_of(server):
    return len(os.listdir(f"/proc/{server.process.pid}/task"))


def memory_of(server):
    with open(f"/proc/{server.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))


def test_idle_feeds_hold_no_thread(api, make_server):
    server = make_server(args=["--workers", "2"])
    client = tables.Tables(server)
    client.create("birds", BIRDS, key=["name"])
    threads = threads_of(server)
    stub = api.ChangeFeedStub(server.channel())
    feeds = [Feed(api, server, stub, tables=["default"], prefix=b"p%d/" % (i % 50)) for i in range(100)]
    numbers = server.admin.Status(api.StatusRequest()).numbers
    assert numbers["change_feeds"] == 100 and numbers["change_feed_lag"] < 10
    assert threads_of(server) == threads
    client.write("birds", birds(("owl", 2)))  # the workers are free
    assert client.scan("birds")[0].num_rows == 1
    for i in range(50):
        server.kv.Set(api.SetRequest(key=b"p%d/x" % i, value=b"%d" % i))
    for i, feed in enumerate(feeds):
        change = next(feed.changes())
        assert change.keys[0].value == b"%d" % (i % 50)
    assert threads_of(server) == threads
    began = time.monotonic()
    stopper = threading.Thread(target=server.process.terminate)
    stopper.start()
    with pytest.raises(grpc.RpcError) as raised:
        for _ in feeds[0].changes():
            pass
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE and "stopping" in raised.value.details()
    stopper.join()
    assert server.process.wait(30) == 0
    assert time.monotonic() - began < 20
    server.process = None


def test_a_slow_reader_costs_its_own_stream_only(api, server):
    stub = api.ChangeFeedStub(server.channel())
    slow = Feed(api, server, stub)
    quick = Feed(api, server)
    got = []

    def read():
        for change in quick.changes():
            got.append(change.keys[0].key)
            if change.keys[0].key == b"last":
                return

    reader = threading.Thread(target=read)
    reader.start()
    before = memory_of(server)
    kv, count, value = server.kv, 3000, os.urandom(20000)
    durability = api.WriteOptions(durability=api.DURABILITY_BUFFERED)
    keys = [b"k%d" % (i % 7) for i in range(count)]
    for call in [kv.Set.future(api.SetRequest(key=key, value=value, write=durability)) for key in keys]:
        call.result()
    kv.Set(api.SetRequest(key=b"last"))
    reader.join(60)
    assert not reader.is_alive() and len(got) == count + 1
    grown = memory_of(server) - before
    assert grown < 300 << 20, grown
    seen = []  # the slow one has lost nothing
    for change in slow.changes():
        seen.append(change.keys[0].key)
        if change.keys[0].key == b"last":
            break
    assert sorted(seen) == sorted([*keys, b"last"])
    slow.call.cancel()
    quick.call.cancel()


class Replica:
    """What a reader of changes has: keys and rows, and the position up to which they are."""

    def __init__(self, position):
        self.position = position
        self.keys = {}
        self.rows = {}
        self.times_seen = {}

    def apply(self, api, change):
        before_it = dict(self.keys)  # what is told is what was there before the whole write
        for key in change.keys:
            name = (key.space.name, bytes(key.key))
            if key.kind == api.KeyChange.KIND_DELETE_RANGE:
                inside = [n for n in self.keys if n[0] == name[0] and key.key <= n[1] and (not key.upper or n[1] < key.upper)]
                for gone in inside:
                    del self.keys[gone]
                continue
            assert key.existed == (name in before_it), name
            if key.existed:
                assert before_it[name] == key.previous_value
            self.times_seen[bytes(key.value)] = self.times_seen.get(bytes(key.value), 0) + 1
            if key.kind == api.KeyChange.KIND_SET:
                self.keys[name] = bytes(key.value)
            else:
                self.keys.pop(name, None)
        for rows in change.rows:
            table = self.rows.setdefault(rows.table.name, {})
            for row, before in zip(rows_of(rows.arrow_ipc), rows_of(rows.previous_arrow_ipc), strict=True):
                row.pop("wings", None)  # is added on the way, and stays null
                before.pop("wings", None)
                assert table.get(row["name"]) == (before if before["name"] is not None else None)
                if rows.deleted:
                    table.pop(row["name"], None)
                else:
                    table[row["name"]] = {"legs": None, "note": None, **row}
        self.position = change.position


@pytest.mark.parametrize("seed", [SEED + i for i in range(int(os.environ.get("PLINTH_MODEL_SEEDS", "2")))])
def test_a_reader_that_is_stopped_at_random_ends_with_the_same_state(api, make_server, seed):
    print(f"PLINTH_MODEL_SEED={seed} PLINTH_MODEL_SEEDS=1 PLINTH_MODEL_STEPS={STEPS}")
    rng = random.Random(seed)
    server = make_server(args=["--memtable-size", "1MiB"] if seed % 2 == 0 else [])
    tables.Tables(server).create("birds", BIRDS, key=["name"])
    tables.Tables(server).create("gone", BIRDS, key=["name"])
    server.admin.CreateSpace(api.CreateSpaceRequest(space=api.Space(name="pets")))
    start = server.admin.KeepSnapshot(api.KeepSnapshotRequest(name="replica", with_log=True)).position
    replica = Replica(start)
    written = 0
    acknowledged = []

    def write_some(client, kv):
        nonlocal written
        for _ in range(rng.randrange(1, 40)):
            written += 1
            value = b"%d" % written + b"x" * rng.randrange(300)
            key, space = b"k%d" % rng.randrange(30), api.Space(name=rng.choice(["default", "pets"]))
            what = rng.randrange(17)
            if what < 4:
                kv.Set(api.SetRequest(key=key, value=value, space=space))
                acknowledged.append(value)
            elif what < 5:
                kv.Delete(api.DeleteRequest(key=key, space=space))
            elif what < 7:
                operations = [
                    api.BatchRequest.Operation(set=api.BatchRequest.Set(key=b"k%d" % rng.randrange(30), value=value)),
                    api.BatchRequest.Operation(delete=api.BatchRequest.Delete(key=b"none")),
                ]
                kv.Batch(api.BatchRequest(operations=operations, space=space))
                acknowledged.append(value)
            elif what < 8:  # a transaction that may lose
                snapshot = kv.CreateSnapshot(api.CreateSnapshotRequest()).position
                if rng.randrange(2):
                    kv.Set(api.SetRequest(key=b"contended", value=value + b"!"))
                    acknowledged.append(value + b"!")
                    lost = True
                else:
                    lost = False
                commit = api.CommitRequest(
                    snapshot=snapshot,
                    keys=[api.CommitRequest.KeyRead(key=b"contended")],
                    operations=[api.BatchRequest.Operation(set=api.BatchRequest.Set(key=key, value=value))],
                )
                outcome = kv.Commit(commit).outcome
                assert (outcome == api.CommitResponse.OUTCOME_COMMITTED) == (not lost)
                if not lost:
                    acknowledged.append(value)
            elif what < 11:
                names = rng.sample(range(40), rng.randrange(1, 20))
                rows = [{"name": f"bird{n}", "legs": rng.choice([None, n])} for n in names]
                if rng.randrange(2):
                    rows = [{**row, "note": value.decode()} for row in rows]
                schema = [("name", pa.string()), ("legs", pa.int32())] + ([("note", pa.string())] if "note" in rows[0] else [])
                client.write("birds", pa.Table.from_pylist(rows, schema=pa.schema(schema)), atomic=bool(rng.randrange(2)))
            elif what < 12:
                names = rng.sample(range(40), 3)
                client.write("birds", pa.table({"name": [f"bird{n}" for n in names]}), delete=True)
            elif what < 14:
                transaction(value, key, space)
            elif what < 15:
                lower, upper = sorted(rng.sample(range(10), 2))
                ranges = api.BatchRequest.DeleteRange(lower=b"k%d" % lower, upper=b"k%d" % upper)
                operations = [api.BatchRequest.Operation(delete_range=ranges)]
                if rng.randrange(2):  # and one of them anew
                    operations.append(api.BatchRequest.Operation(set=api.BatchRequest.Set(key=b"k%d" % lower, value=value)))
                    acknowledged.append(value)
                kv.Batch(api.BatchRequest(operations=operations, space=space))
            else:  # by condition
                table = api.Table(name="birds")
                predicate = api.Predicate(sql=f"legs > {rng.randrange(20, 60)} AND note IS NULL")
                if rng.randrange(2):
                    client.ingestion.DeleteWhere(api.DeleteWhereRequest(table=table, predicate=predicate))
                else:
                    legs = api.UpdateWhereRequest.Assignment(column="legs", value=api.Value(int_value=rng.randrange(20)))
                    client.ingestion.UpdateWhere(
                        api.UpdateWhereRequest(table=table, predicate=predicate, assignments=[legs])
                    )

    def transaction(value, key, space):
        """Keys and rows as one; every third loses."""
        snapshot = server.kv.CreateSnapshot(api.CreateSnapshotRequest()).position
        loses = rng.randrange(3) == 0
        if loses:
            server.kv.Set(api.SetRequest(key=b"contended", value=value + b"!"))
            acknowledged.append(value + b"!")
        rows = {"name": [f"bird{rng.randrange(40)}"], "note": ["transaction"]}
        written = [
            api.CommitTransactionRequest.RowsWritten(table=api.Table(name="birds"), arrow_ipc=tables.to_ipc(pa.table(rows))),
            api.CommitTransactionRequest.RowsWritten(
                table=api.Table(name="birds"),
                arrow_ipc=tables.to_ipc(pa.table({"name": [f"bird{rng.randrange(40)}"]})),
                operation=api.WriteRowsRequest.OPERATION_DELETE,
            ),
        ]
        commit = api.CommitTransactionRequest(
            snapshot=snapshot,
            keys=[api.CommitRequest.KeyRead(key=b"contended")],
            operations=[api.BatchRequest.Operation(set=api.BatchRequest.Set(key=key, value=value), space=space)],
            rows_written=written,
        )
        outcome = api.TransactionsStub(server.channel()).Commit(commit).outcome
        assert (outcome == api.CommitResponse.OUTCOME_COMMITTED) == (not loses)
        if not loses:
            acknowledged.append(value)

    def consume():
        """Reads a while, and is stopped anywhere."""
        feed = Feed(api, server, after=replica.position, with_previous=True, until_now=True)
        left = rng.choice([0, 3, 10, 1000])
        for change in feed.changes():
            if not left:
                break
            left -= 1
            replica.apply(api, change)
        feed.call.cancel()
        if rng.randrange(2):
            server.admin.MoveSnapshot(api.MoveSnapshotRequest(name="replica", position=replica.position))

    for turn in range(STEPS):
        write_some(tables.Tables(server), server.kv)
        action = rng.randrange(10)
        if action < 4:
            consume()
        elif action < 5:
            server.admin.Flush(api.FlushRequest())
        elif action < 6:
            server.admin.Compact(api.CompactRequest())
        elif action < 7:
            server.crash()
        elif action < 8:
            server.restart()
        if turn == 10:
            tables.Tables(server).write("gone", birds(("dodo", 2)))
            server.admin.DropTable(api.DropTableRequest(table=api.Table(name="gone")))
            table = api.Table(name="birds")
            column = api.Column(name="wings", type="int32")
            server.admin.AddColumns(api.AddColumnsRequest(table=table, columns=[column]))
    for change in Feed(api, server, after=replica.position, with_previous=True, until_now=True).changes():
        replica.apply(api, change)
    keys = {}
    for name in ("default", "pets"):
        for answer in server.kv.Scan(api.ScanRequest(space=api.Space(name=name))):
            keys.update({(name, bytes(row.key)): bytes(row.value) for row in answer.rows})
    assert replica.keys == keys
    rows = {row["name"]: row for row in tables.Tables(server).scan("birds")[0].to_pylist()}
    for row in rows.values():
        assert row.pop("wings") is None
    assert replica.rows["birds"] == rows
    assert "gone" not in replica.rows
    for value in acknowledged:
        assert replica.times_seen[value] == 1, value


def lines(result):
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_changes_on_the_command_line(api, server, tmp_path):
    server.cli("table", "create", "birds", "name string not null, legs int32, primary key (name)", check=True)
    server.cli("space", "create", "pets", check=True)
    server.cli("snapshot", "keep", "replica", "--with-log", check=True)
    server.cli("kv", "set", "cat", "1", "--index", "sound=meow", check=True)
    server.cli("kv", "set", "cat", "2", check=True)
    server.cli("kv", "delete", "cat", check=True)
    server.cli("kv", "set", "--space", "pets", "dog", "3", check=True)
    data = tmp_path / "birds.csv"
    data.write_text("name,legs\nowl,2\nemu,3\n")
    server.cli("import", "birds", str(data), check=True)
    found = lines(server.cli("changes", "--snapshot", "replica"))
    assert [set(line) for line in found[-1:]] == [{"position"}]
    plain = [{k: v for k, v in line.items() if k not in ("position", "time")} for line in found[:-1]]
    assert plain == [
        {"space": "default", "op": "set", "key": "cat", "value": "1", "indexes": [{"index": "sound", "value": "meow"}]},
        {"space": "default", "op": "set", "key": "cat", "value": "2"},
        {"space": "default", "op": "delete", "key": "cat"},
        {"space": "pets", "op": "set", "key": "dog", "value": "3"},
        {"table": "birds", "op": "upsert", "row": {"name": "emu", "legs": 3}},
        {"table": "birds", "op": "upsert", "row": {"name": "owl", "legs": 2}},
    ]
    assert all(line["time"].startswith("20") and line["position"] for line in found[:-1])
    after = found[2]["position"]
    assert lines(server.cli("changes", "--after", after)) == found[3:]
    assert [line.get("key") for line in lines(server.cli("changes", "--space", "pets", "--snapshot", "replica"))] == ["dog", None]
    previous = lines(server.cli("changes", "default", "--snapshot", "replica", "--previous"))
    assert [line.get("previous") for line in previous] == [None, "1", "2", None]
    few = lines(server.cli("changes", "birds", "--snapshot", "replica", "--where", "legs > 2"))
    assert [line["row"]["name"] for line in few[:-1]] == ["emu"]
    assert lines(server.cli("changes", "--as-of", after)) == found[3:]
    server.cli("snapshot", "move", "replica", after, check=True)
    assert lines(server.cli("changes", "--snapshot", "replica"))[:-1] == found[3:-1]
    followed = server.cli("changes", "--snapshot", "replica", "--follow", "--limit", "2")
    assert [line["op"] for line in lines(followed) if "op" in line][:1] == ["set"]
    for args, named in [
        (("changes", "nowhere"), "nowhere"),
        (("changes", "--after", "zz"), "--after"),
        (("changes", "--after", "00"), "position"),
        (("changes", "--after", after, "--snapshot", "replica"), "only one"),
        (("changes", "-o", "csv"), "JSON"),
        (("changes", "--snapshot", "nobody"), "nobody"),
        (("snapshot", "move", "replica", "zz"), "POSITION"),
        (("snapshot", "move", "nobody", after), "nobody"),
    ]:
        failed = server.cli(*args)
        assert failed.code != 0 and named in failed.err, (args, failed)
