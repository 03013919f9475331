"""Transactions.Commit over keys and rows, and deletes and updates by condition: by gRPC and on the command line."""
import importlib
import random
import threading
import time

import grpc
import pyarrow as pa
import pytest

import tables as tables_module
from tables import Tables, to_ipc

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
SCHEMA = pa.schema([("id", pa.int64()), ("v", pa.int64()), ("s", pa.string())])


def load_api():
    api = tables_module.load_api()
    for module in ("transactions_pb2", "transactions_pb2_grpc"):
        loaded = importlib.import_module(f"plinth.v1.{module}")
        for name in dir(loaded):
            if not name.startswith("_"):
                setattr(api, name, getattr(loaded, name))
    return api


API = None


@pytest.fixture(scope="module", autouse=True)
def stubs():
    global API
    API = load_api()


class Client:
    def __init__(self, server):
        channel = server.channel()
        self.kv = API.KeyValueStub(channel)
        self.query = API.QueryStub(channel)
        self.ingestion = API.IngestionStub(channel)
        self.transactions = API.TransactionsStub(channel)


class Transaction:
    """What a client library would do: one snapshot, an account of what was read, writes kept back until the commit."""

    def __init__(self, client, table):
        self.client, self.table = client, API.Table(name=table)
        self.snapshot = client.kv.CreateSnapshot(API.CreateSnapshotRequest(ttl_ms=60_000)).position
        self.request = API.CommitTransactionRequest(snapshot=self.snapshot)

    @property
    def read(self):
        return API.ReadOptions(snapshot=self.snapshot)

    def get_key(self, key):
        self.request.keys.add(key=key)
        try:
            return self.client.kv.Get(API.GetRequest(key=key, read=self.read)).value
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            return None

    def set_key(self, key, value):
        self.request.operations.add(set=API.BatchRequest.Set(key=key, value=value))

    def get_rows(self, ids):
        keys = pa.table({"id": pa.array(ids, pa.int64())})
        self.request.rows_read.add(table=self.table, arrow_ipc=to_ipc(keys))
        return self._scan(f"id IN ({', '.join(map(str, ids))})")

    def scan(self, where):
        read = self.request.rows_read.add(table=self.table)
        if where:
            read.conditions.add(sql=where)
        else:
            read.all = True
        return self._scan(where)

    def _scan(self, where):
        predicate = API.Predicate(sql=where) if where else None
        answers = self.client.query.Scan(
            API.ScanRowsRequest(table=self.table, predicate=predicate, read=self.read, ordered=True)
        )
        return pa.ipc.open_stream(b"".join(a.arrow_ipc for a in answers)).read_all().to_pylist()

    def upsert(self, *rows):
        batch = pa.Table.from_pylist([dict(zip(SCHEMA.names, row)) for row in rows], SCHEMA)
        self.request.rows_written.add(table=self.table, arrow_ipc=to_ipc(batch))

    def delete(self, *ids):
        batch = pa.table({"id": pa.array(ids, pa.int64())})
        self.request.rows_written.add(
            table=self.table, arrow_ipc=to_ipc(batch), operation=API.WriteRowsRequest.OPERATION_DELETE
        )

    def commit(self, **write):
        if write:
            self.request.write.CopyFrom(API.WriteOptions(**write))
        try:
            return self.client.transactions.Commit(self.request)
        finally:
            self.client.kv.ReleaseSnapshot(API.ReleaseSnapshotRequest(position=self.snapshot))


_names = iter(range(1_000_000))


@pytest.fixture
def tables(shared_server):
    return Tables(shared_server)


@pytest.fixture
def client(shared_server):
    return Client(shared_server)


@pytest.fixture
def table(tables, client):
    name = f"txn{next(_names)}"
    tables.create(name, [("id", "int64"), ("v", "int64"), ("s", "string")], ["id"])
    tables.write(name, pa.table({"id": [1, 2, 3], "v": [10, 20, 30], "s": ["a", "b", "c"]}, SCHEMA))
    while True:  # the server remembers rows from its first transaction on them on
        transaction = Transaction(client, name)
        transaction.get_rows([1])
        transaction.upsert((1, 10, "a"))
        if transaction.commit().outcome == API.CommitResponse.OUTCOME_COMMITTED:
            return name


def held(tables, name):
    return [tuple(row.values()) for row in tables.scan(name, ordered=True)[0].to_pylist()]


COMMITTED, CONFLICT = 1, 2


def test_keys_and_rows_are_read_and_written_as_one(tables, client, table):
    transaction = Transaction(client, table)
    assert transaction.get_key(b"txn/none") is None
    assert transaction.get_rows([2, 9]) == [{"id": 2, "v": 20, "s": "b"}]
    transaction.set_key(b"txn/a", b"1")
    transaction.upsert((2, 21, "x"), (4, 40, "d"))
    transaction.delete(3)
    answer = transaction.commit()
    assert answer.outcome == COMMITTED and answer.position.token
    assert held(tables, table) == [(1, 10, "a"), (2, 21, "x"), (4, 40, "d")]
    assert client.kv.Get(API.GetRequest(key=b"txn/a")).value == b"1"


def test_of_two_that_read_what_the_other_writes_one_learns_which_row(tables, client, table):
    a, b = Transaction(client, table), Transaction(client, table)
    for transaction in (a, b):
        transaction.get_rows([1, 2])
    a.upsert((1, 0, "off"))
    b.upsert((2, 0, "off"))
    assert a.commit().outcome == COMMITTED
    lost = b.commit()
    assert lost.outcome == CONFLICT and lost.conflict_table.name == table and lost.conflict_row == "id = 1"
    assert held(tables, table)[1] == (2, 20, "b")


def test_a_condition_reads_the_keys_that_it_leaves_open(tables, client, table):
    for where, written, outcome in [
        ("id < 3", 2, CONFLICT),
        ("id < 3", 3, COMMITTED),
        ("v = 77", 3, CONFLICT),
        ("", 3, CONFLICT),
        ("id IN (1, 2) AND v = 77", 3, COMMITTED),
    ]:
        transaction = Transaction(client, table)
        transaction.scan(where)
        transaction.set_key(b"txn/b", b"1")
        tables.write(table, pa.table({"id": [written], "v": [1], "s": ["y"]}, SCHEMA))
        assert transaction.commit().outcome == outcome, where


def test_a_commit_is_applied_once_for_its_sequence(tables, client, table):
    transaction = Transaction(client, table)
    transaction.get_rows([1])
    transaction.upsert((1, 11, "a"))
    first, second = (transaction.commit(producer_id=77, sequence=1) for _ in range(2))
    assert first.outcome == second.outcome == COMMITTED and first.position == second.position


def test_a_large_transaction_is_one(tables, client, table):
    transaction = Transaction(client, table)
    transaction.get_rows([1])
    transaction.upsert(*[(i, i, "x" * 100) for i in range(1000, 61000)])
    assert transaction.commit().outcome == COMMITTED
    assert tables.aggregate(table, [("count", "")])[0]["count"] == 60003


def test_wrong_requests_are_refused_by_name(client, table):
    request, named = API.CommitTransactionRequest, API.Table(name=table)
    rows = to_ipc(pa.table({"id": pa.array([1], pa.int64())}))
    nowhere = API.Table(name="nowhere")
    snapshot = client.kv.CreateSnapshot(API.CreateSnapshotRequest()).position
    write = [request.RowsWritten(table=named, arrow_ipc=rows)]
    for fields, code, part in [
        ({}, INVALID, "rows_written"),
        ({"rows_written": [request.RowsWritten(table=named)]}, INVALID, "rows_written[0]: payload"),
        ({"rows_written": [request.RowsWritten(table=nowhere, arrow_ipc=rows)]}, NOT_FOUND, "nowhere"),
        ({"rows_written": [request.RowsWritten(arrow_ipc=rows)]}, INVALID, "table.name"),
        ({"rows_written": write, "rows_read": [request.RowsRead(table=named, all=True)]}, INVALID, "snapshot"),
        ({"rows_written": write, "snapshot": snapshot, "rows_read": [request.RowsRead(table=named)]}, INVALID, "rows_read[0]"),
        (
            {"rows_written": write, "snapshot": snapshot, "rows_read": [request.RowsRead(table=named, conditions=[API.Predicate(sql="w = 1")])]},
            INVALID,
            "conditions[0]",
        ),
    ]:
        with pytest.raises(grpc.RpcError) as raised:
            client.transactions.Commit(request(**fields))
        assert raised.value.code() == code and part in raised.value.details(), raised.value.details()
    assert client.transactions.Commit(request(rows_written=write)).outcome == COMMITTED


# ---- deletes and updates by condition


def test_rows_are_deleted_and_updated_by_condition(tables, client, table):
    named = API.Table(name=table)
    update, assignment = API.UpdateWhereRequest, API.UpdateWhereRequest.Assignment
    answer = client.ingestion.UpdateWhere(
        update(
            table=named,
            predicate=API.Predicate(sql="v >= 20"),
            assignments=[assignment(column="s", value=API.Value(text_value="new")), assignment(column="v", from_column="id")],
        )
    )
    assert (answer.rows, answer.transactions) == (2, 1) and answer.position.token
    assert held(tables, table) == [(1, 10, "a"), (2, 2, "new"), (3, 3, "new")]
    answer = client.ingestion.DeleteWhere(API.DeleteWhereRequest(table=named, predicate=API.Predicate(sql="s = 'new'")))
    assert answer.rows == 2
    assert held(tables, table) == [(1, 10, "a")]
    for request, part in [
        (update(table=named, all_rows=True), "assignments"),
        (update(table=named, assignments=[assignment(column="v")], all_rows=True), "assignments[0]"),
        (update(table=named, assignments=[assignment(column="v", value=API.Value(int_value=1))]), "all_rows"),
        (update(table=named, assignments=[assignment(column="id", value=API.Value(int_value=1))], all_rows=True), "primary key"),
        (update(table=named, assignments=[assignment(column="v", value=API.Value(text_value="x"))], all_rows=True), "x"),
    ]:
        with pytest.raises(grpc.RpcError) as raised:
            client.ingestion.UpdateWhere(request)
        assert raised.value.code() == INVALID and part in raised.value.details(), raised.value.details()


def test_the_command_line_changes_rows_by_condition(shared_server, tables, table):
    cli = shared_server.cli
    assert cli("rows", "update", table, "--set", "s=it's", "--set-null", "v", "--where", "id > 1", "-o", "json", check=True).json() == {
        "rows_updated": 2,
        "transactions": 1,
    }
    assert held(tables, table) == [(1, 10, "a"), (2, None, "it's"), (3, None, "it's")]
    assert cli("rows", "update", table, "--set-from", "v=id", "--all", check=True).code == 0
    assert held(tables, table)[2] == (3, 3, "it's")
    assert cli("rows", "delete", table, "--where", "v = 2", "-o", "json", check=True).json() == {"rows_deleted": 1, "transactions": 1}
    assert cli("rows", "delete", table).code == 2
    assert cli("rows", "update", table, "--all").code == 2
    assert cli("rows", "update", table, "--all", "--set", "=3").code == 2
    assert cli("rows", "delete", table, "--all", "--in-parts", check=True).code == 0
    assert held(tables, table) == []


# ---- lists that are appended to, and money that is moved about: serializable, also across kills

LISTS = 6  # even ones are rows, odd ones keys
ACCOUNTS = 4  # likewise: the row of ACCOUNT + n, the key account/n
ACCOUNT, MONEY = 100, 50


def get_money(transaction, n):
    """What account n has: MONEY at first."""
    if n % 2:
        return int(transaction.get_key(b"account/%d" % n) or MONEY)
    rows = transaction.get_rows([ACCOUNT + n])
    return rows[0]["v"] if rows else MONEY


def put_money(transaction, n, money):
    if n % 2:
        transaction.set_key(b"account/%d" % n, b"%d" % money)
    else:
        transaction.upsert((ACCOUNT + n, money, ""))


class Appender(threading.Thread):
    """Appends to one list, reads others and moves money in each transaction. What becomes of a commit that a kill cuts
    off is not known."""

    def __init__(self, server, seed, stopped, history):
        super().__init__()
        self.server, self.seed, self.stopped, self.history = server, seed, stopped, history
        self.dice = random.Random(seed)

    def run(self):
        client, number = Client(self.server), 0
        while not self.stopped.is_set():
            number += 1
            try:
                self.attempt(client, f"{self.seed}.{number}")
            except (grpc.RpcError, ValueError):  # the latter from a channel that was closed
                time.sleep(0.02)

    def attempt(self, client, element):
        transaction = Transaction(client, "lists")
        reads = {}
        for n in self.dice.sample(range(LISTS), 3):
            if n % 2:
                text = (transaction.get_key(b"list/%d" % n) or b"").decode()
            else:
                rows = transaction.get_rows([n])
                text = rows[0]["s"] if rows else ""
            reads[n] = text.split()
        target = self.dice.choice(list(reads))
        text = " ".join(reads[target] + [element])
        if target % 2:
            transaction.set_key(b"list/%d" % target, text.encode())
        else:
            transaction.upsert((target, len(reads[target]) + 1, text))
        payer, payee = self.dice.sample(range(ACCOUNTS), 2)
        has = get_money(transaction, payer)
        amount = min(has, self.dice.randint(1, 20))
        put_money(transaction, payee, get_money(transaction, payee) + amount)
        put_money(transaction, payer, has - amount)
        event = {"element": element, "target": target, "reads": reads, "outcome": None}
        self.history.append(event)
        event["outcome"] = transaction.commit().outcome


def check_serializable(history, final):
    """Every list read is a beginning of the final one, nothing acknowledged is lost, nothing refused is there, and the
    orders in which transactions must have run (wrote before wrote, wrote before read, read before overwritten) have no
    cycle: Adya's conflict graph of a list-append workload."""
    by_element = {event["element"]: event for event in history}
    place = {}
    for n, elements in final.items():
        assert len(set(elements)) == len(elements)
        for i, element in enumerate(elements):
            place[element] = (n, i)
            assert by_element[element]["target"] == n and by_element[element]["outcome"] in (None, COMMITTED)
    done = [event for event in history if event["element"] in place]
    lost = [e for e in history if e["outcome"] == COMMITTED and e["element"] not in place]
    assert not lost, lost[:3]
    edges = {event["element"]: set() for event in done}
    for event in done:
        me = event["element"]
        for n, seen in event["reads"].items():
            assert final[n][: len(seen)] == seen
            if seen and seen[-1] != me:
                edges[seen[-1]].add(me)
            following = final[n][len(seen)] if len(seen) < len(final[n]) else None
            if following and following != me:
                edges[me].add(following)
        n, i = place[me]
        if i + 1 < len(final[n]):
            edges[me].add(final[n][i + 1])
    state = {}
    for start in edges:
        stack = [(start, iter(edges[start]))] if start not in state else []
        if stack:
            state[start] = 1
        while stack:
            node, rest = stack[-1]
            for other in rest:
                assert state.get(other) != 1, f"a cycle through {node} and {other}"
                if other not in state:
                    state[other] = 1
                    stack.append((other, iter(edges[other])))
                    break
            else:
                state[node] = 2
                stack.pop()
    return len(done)


def final_lists(server):
    client = Client(server)
    transaction = Transaction(client, "lists")
    rows = {row["id"]: row["s"].split() for row in transaction.scan("")}
    money = [get_money(transaction, n) for n in range(ACCOUNTS)]
    assert min(money) >= 0 and sum(money) == ACCOUNTS * MONEY, money
    return {n: rows.get(n, []) if n % 2 == 0 else (transaction.get_key(b"list/%d" % n) or b"").decode().split() for n in range(LISTS)}


def test_appended_lists_and_moved_money_are_serializable_also_across_kills(server):
    Tables(server).create("lists", [("id", "int64"), ("v", "int64"), ("s", "string")], ["id"])
    history, done = [], 0
    for life in range(3):
        stopped = threading.Event()
        threads = [Appender(server, life * 10 + i, stopped, history) for i in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
        if life < 2:
            server.kill()
        stopped.set()
        for thread in threads:
            thread.join()
        if life < 2:
            server.start()
        done = check_serializable(history, final_lists(server))
    assert done > 30, done


def test_rows_are_inserted_only_where_their_key_has_none(tables, client, table):
    batch = to_ipc(pa.table({"id": [3, 4], "v": [1, 1], "s": ["new", "new"]}, SCHEMA))
    request = API.WriteRowsRequest(table=API.Table(name=table), arrow_ipc=batch, if_absent=True)
    answer = client.ingestion.Write(request)
    assert (answer.rows_written, answer.rows_rejected) == (1, 1)
    assert answer.rejects[0].row == 0 and "exists" in answer.rejects[0].reason
    assert held(tables, table)[2:] == [(3, 30, "c"), (4, 1, "new")]
    request.no_reject = True
    with pytest.raises(grpc.RpcError) as raised:
        client.ingestion.Write(request)
    assert raised.value.code() == grpc.StatusCode.ALREADY_EXISTS
