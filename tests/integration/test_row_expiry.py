"""Rows that expire, through gRPC and the command line."""
import datetime
import time

import grpc
import pyarrow as pa
import pytest

import tables

SESSIONS = [("id", "int64"), ("seen", "timestamp(ms, utc)"), ("user", "string")]


@pytest.fixture
def tables_of(server):
    return lambda: tables.Tables(server)


def session_rows(*rows):
    """(id, seconds from now or None, user)"""
    now = datetime.datetime.now(datetime.timezone.utc)
    seen = [None if after is None else now + datetime.timedelta(seconds=after) for _, after, _ in rows]
    return pa.record_batch({"id": pa.array([row[0] for row in rows], pa.int64()),
                            "seen": pa.array(seen, pa.timestamp("ms", "UTC")),
                            "user": pa.array([row[2] for row in rows])})


def ids(server, *options):
    shown = server.cli("scan", "sessions", "--columns", "id", "--ordered", "-o", "json", *options, check=True)
    return [row["id"] for row in shown.json()]


def wait_for_ids(server, wanted):
    for _ in range(300):
        if ids(server) == wanted:
            return
        time.sleep(0.02)
    pytest.fail(f"{ids(server)} instead of {wanted}")


def test_rows_are_gone_after_their_time_by_every_call(server, tables_of):
    rows = tables_of()
    rows.create("sessions", SESSIONS, ["id"], expire_by="seen", expire_us=3_600_000_000)
    server.cli("index", "create", "sessions", "by_user", "--kind", "sorted", "--columns", "user", check=True)
    rows.write("sessions", session_rows((1, -1800, "ann"), (2, -3605, "ann"), (3, 0, "bob"), (4, None, "ann")))
    assert ids(server) == [1, 3, 4]
    rows.write("sessions", session_rows((1, -3597, "ann")))  # three seconds are left to it
    rows.admin.Flush(rows.api.FlushRequest())
    wait_for_ids(server, [3, 4])
    for _ in range(2):
        assert server.cli("row", "sessions", "1").code == 3
        assert server.cli("row", "sessions", "4").code == 0
        found = server.cli("find", "sessions", "by_user", "ann", "-o", "json", check=True).json()
        assert [row["id"] for row in found] == [4]
        counted = server.cli("scan", "sessions", "--aggregate", "count", "-o", "json", check=True).json()
        assert list(counted[0].values()) == [2]
        server.cli("compact", check=True)
        server.crash()
    assert server.cli("verify", check=True).code == 0


def test_expiry_is_set_shown_and_changed_by_the_command_line(server, tmp_path):
    cli = lambda *arguments, **more: server.cli(*arguments, check=True, **more)
    described = lambda: cli("table", "describe", "sessions", "-o", "json").json()["expire"]
    cli("table", "create", "sessions", "id int64, seen timestamp(ms), primary key (id)", "--expire", "seen + 30 days")
    assert described() == "seen + 30 days"
    cli("import", "sessions", "-", "--format", "csv", input="id,seen\n1,2020-01-01T00:00:00\n2,2999-01-01T00:00:00\n3,\n")
    assert ids(server) == [2, 3]
    out = tmp_path / "sessions.csv"
    cli("export", "sessions", str(out))
    assert len(out.read_text().splitlines()) == 3
    cli("table", "alter", "set-options", "sessions", "--expire", "none")
    assert described() is None and ids(server) == [1, 2, 3]
    cli("table", "alter", "set-options", "sessions", "--expire", "seen")
    server.crash()
    assert described() == "seen" and ids(server) == [2, 3]
    wrong = server.cli("table", "alter", "set-options", "sessions", "--expire", "id")
    assert wrong.code == 1 and 'column "id" is of type int64; rows expire by a date or timestamp' in wrong.err
    assert server.cli("table", "create", "x", "id int64", "--expire", "id + soon").code == 2
    dropped = server.cli("table", "alter", "drop-column", "sessions", "seen")
    assert dropped.code == 1 and 'the rows of the table expire by column "seen"' in dropped.err


def test_expiry_is_described_and_altered_by_grpc(tables_of):
    rows = tables_of()
    rows.create("sessions", SESSIONS, ["id"], expire_by="seen", expire_us=5)
    describe = lambda: rows.admin.DescribeTable(rows.api.DescribeTableRequest(table=rows.table("sessions"))).options
    assert (describe().expire_by, describe().expire_us) == ("seen", 5)
    options = rows.api.Alteration.SetOptions(set_expiry=True, expire_by="seen", expire_us=7_000_000)
    request = rows.api.AlterTableRequest(table=rows.table("sessions"), alterations=[rows.api.Alteration(set_options=options)])
    rows.admin.AlterTable(request)
    assert describe().expire_us == 7_000_000
    options.expire_by = "nothing"
    request = rows.api.AlterTableRequest(table=rows.table("sessions"), alterations=[rows.api.Alteration(set_options=options)])
    with pytest.raises(grpc.RpcError) as raised:
        rows.admin.AlterTable(request)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
