"""The Ingestion and Query services over gRPC: payloads, streams, acknowledgements, rejects, errors, formats, look-ups.

What a table holds is compared with what was acknowledged: a request that is refused leaves nothing behind.
"""
import datetime
import decimal
import queue
import re
import signal
import struct
import threading
import time
import urllib.request

import grpc
import pyarrow as pa
import pytest

from tables import FORMAT_VALUES, Tables, to_ipc

COLUMNS = [("host", "string"), ("at", "int64"), ("v", "int32"), ("text", "string"), ("must", "int64", True)]


@pytest.fixture(scope="module")
def tables(shared_server):
    return Tables(shared_server)


_names = iter(range(1_000_000))


@pytest.fixture
def table(tables):
    name = f"t{next(_names)}"
    tables.create(name, COLUMNS, ["host", "at"])
    return name


def rows(count=3, first=0, **columns):
    """A batch with `count` rows of the usual table; columns given replace the usual ones."""
    usual = {
        "host": pa.array([f"h{i % 2}" for i in range(count)]),
        "at": pa.array(range(first, first + count), pa.int64()),
        "v": pa.array([i % 100 for i in range(count)], pa.int32()),
        "text": pa.array([f"text {i}" for i in range(count)]),
        "must": pa.array([i for i in range(count)], pa.int64()),
    }
    usual.update(columns)
    return pa.table({name: value for name, value in usual.items() if value is not None})


def held(tables, name):
    return tables.scan(name, ordered=True)[0].num_rows


def request(tables, name, batch=None, **fields):
    api = tables.api
    if batch is not None:
        fields["arrow_ipc"] = to_ipc(batch)
    return api.WriteRowsRequest(table=tables.table(name) if name else None, **fields)


def refused(call, code, *parts):
    with pytest.raises(grpc.RpcError) as error:
        call()
    details = error.value.details()
    assert error.value.code() == code, details
    for part in parts:
        assert part in details, details
    return details


INVALID = grpc.StatusCode.INVALID_ARGUMENT
NOT_FOUND = grpc.StatusCode.NOT_FOUND


# ---- writing: payloads


def test_arrow_and_values_write_the_same_rows(tables):
    api = tables.api
    types = [("k", "int32"), ("s", "string"), ("d", "date"), ("m", "decimal(10,2)"), ("f", "float64"), ("b", "bytes")]
    types += [("t", "timestamp(ms)"), ("u", "uint64"), ("y", "bool"), ("l", "list<int32>")]
    for name in ("as_arrow", "as_values"):
        tables.create(name, types, ["k"])
    day, moment = datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30)
    batch = pa.table(
        {
            "k": pa.array([1, 2], pa.int32()),
            "s": ["é", None],
            "d": pa.array([day, None]),
            "m": pa.array([decimal.Decimal("12.50"), None], pa.decimal128(10, 2)),
            "f": pa.array([0.1, None]),
            "b": pa.array([b"\0\xff", None]),
            "t": pa.array([moment, None], pa.timestamp("ms")),
            "u": pa.array([2**64 - 1, None], pa.uint64()),
            "y": pa.array([True, None]),
            "l": pa.array([[1, None], None], pa.list_(pa.int32())),
        }
    )
    tables.write("as_arrow", batch)
    value = api.Value
    first = [value(int_value=1), value(text_value="é"), value(text_value="2024-02-29"), value(text_value="12.50")]
    first += [value(float_value=0.1), value(bytes_value=b"\0\xff"), value(text_value="2024-02-29T12:30:00")]
    first += [value(uint_value=2**64 - 1), value(bool_value=True)]
    first += [value(list_value=api.ValueList(values=[value(int_value=1), value(null=True)]))]
    second = [value(int_value=2)] + [value(null=True)] * 8 + [value()]
    payload = api.RowSet(columns=batch.column_names, rows=[api.Row(values=first), api.Row(values=second)])
    answer = tables.ingestion.Write(request(tables, "as_values", rows=payload))
    assert answer.rows_written == 2
    assert tables.scan("as_arrow")[0].to_pylist() == tables.scan("as_values")[0].to_pylist() == batch.to_pylist()


def test_columns_are_matched_by_name_and_cast_without_loss(tables, table):
    batch = pa.table(
        {
            "must": pa.array([7], pa.int8()),
            "V": pa.array([5], pa.uint64()),
            "at": pa.array([1], pa.int16()),
            "host": pa.array(["x"]).dictionary_encode(),
        }
    )
    assert tables.write(table, batch).rows_written == 1
    assert tables.scan(table)[0].to_pylist() == [{"host": "x", "at": 1, "v": 5, "text": None, "must": 7}]


def test_names_are_utf8(tables):
    tables.create("utf8", [("schlüssel", "int64"), ("値", "string")], ["schlüssel"])
    tables.write("utf8", pa.table({"schlüssel": [1], "値": ["ok"]}))
    found, explain = tables.scan("utf8", "\"値\" = 'ok'", columns=["値"])
    assert found.to_pylist() == [{"値": "ok"}] and "値" in explain.predicate
    refused(lambda: tables.scan("utf8", columns=["wört"]), INVALID, '"wört"', '"utf8"')


def test_several_record_batches_of_a_request_are_one_write(tables, table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows().schema) as writer:
        for first in (0, 3, 6):
            writer.write_table(rows(first=first))
    answer = tables.ingestion.Write(request(tables, table, arrow_ipc=sink.getvalue().to_pybytes()))
    assert answer.rows_written == 9 and held(tables, table) == 9


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_bodies_are_read(tables, table, codec):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows().schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(rows(1000))
    assert tables.ingestion.Write(request(tables, table, arrow_ipc=sink.getvalue().to_pybytes())).rows_written == 1000
    assert tables.scan(table, ordered=True)[0].column("must").to_pylist().count(5) == 1


def test_the_last_of_equal_keys_counts_and_no_rows_are_no_error(tables, table):
    batch = rows(3, host=pa.array(["h"] * 3), at=pa.array([1, 1, 1], pa.int64()))
    assert tables.write(table, batch).rows_written == 3
    assert [row["must"] for row in tables.scan(table)[0].to_pylist()] == [2]
    assert tables.write(table, batch.slice(0, 0)).rows_written == 0


def test_rows_are_deleted_by_key(tables, table):
    tables.write(table, rows(6))
    keys = pa.table({"at": pa.array([0, 3, 99], pa.int64()), "host": ["h0", "h1", "none"]})
    assert tables.write(table, keys, delete=True).rows_written == 3
    assert tables.scan(table)[0].column("at").to_pylist().__len__() == 4
    refused(lambda: tables.write(table, rows(1), delete=True), INVALID, '"v"', "not part of the key")
    refused(lambda: tables.write(table, pa.table({"host": ["h"]}), delete=True), INVALID, '"at"', "missing")
    tables.create("no_key", [("v", "int64")])
    refused(lambda: tables.write("no_key", pa.table({"v": [1]}), delete=True), INVALID, '"no_key"', "no key")


# ---- writing: what is wrong with the rows


def test_rows_that_cannot_be_written_are_told_by_number_and_column(tables, table):
    batch = rows(
        5,
        host=pa.array(["a", None, "c", "d", "e"]),
        v=pa.array([1, 2, 2**40, 4, 5], pa.int64()),
        must=pa.array([1, 2, 3, None, 5], pa.int64()),
    )
    answer = tables.write(table, batch)
    assert (answer.rows_written, answer.rows_rejected) == (2, 3)
    assert [reject.row for reject in answer.rejects] == [1, 2, 3]
    reasons = [reject.reason for reject in answer.rejects]
    assert '"host"' in reasons[0] and "primary key" in reasons[0]
    assert '"v"' in reasons[1] and str(2**40) in reasons[1]
    assert '"must"' in reasons[2] and "NOT NULL" in reasons[2]
    assert tables.scan(table, ordered=True)[0].column("host").to_pylist() == ["a", "e"]


def test_only_the_first_thousand_reasons_are_told(tables, table):
    answer = tables.write(table, rows(3000, host=pa.array([None] * 3000, pa.string())))
    assert (answer.rows_written, answer.rows_rejected, len(answer.rejects)) == (0, 3000, 1000)
    assert held(tables, table) == 0


@pytest.mark.parametrize("field", ["atomic", "no_reject"])
def test_one_bad_row_fails_a_write_that_takes_no_rejects(tables, table, field):
    batch = rows(2000, must=pa.array([None if i == 1234 else i for i in range(2000)], pa.int64()))
    refused(lambda: tables.write(table, batch, **{field: True}), INVALID, "row 1234", '"must"')
    assert held(tables, table) == 0
    assert tables.write(table, rows(2000), **{field: True}).rows_written == 2000
    assert held(tables, table) == 2000


def test_columns_that_do_not_fit_the_table_are_named(tables, table):
    for batch, parts in [
        (rows(extra=pa.array([1, 2, 3])), ['no column', '"extra"']),
        (rows(must=None), ['"must"', "missing", "NOT NULL"]),
        (rows(host=None), ['"host"', "missing", "primary key"]),
        (rows(v=pa.array(["1", "2", "3"])), ['"v"']),
        (rows(text=pa.array([1.5, 2.5, 3.5])), ['"text"']),
        (rows(V=pa.array([1, 2, 3])), ['"V"', '"v"', "both"]),
    ]:
        refused(lambda b=batch: tables.write(table, b), INVALID, *parts)
    assert held(tables, table) == 0


def test_values_that_do_not_fit_are_named_by_row_and_column(tables):
    api, name = tables.api, "values"
    tables.create(name, [("k", "int64"), ("small", "int8"), ("day", "date"), ("flag", "bool")], ["k"])

    def write(column, *values):
        given = [api.Row(values=[api.Value(int_value=i), v]) for i, v in enumerate(values)]
        payload = api.RowSet(columns=["k", column], rows=given)
        return lambda: tables.ingestion.Write(request(tables, name, rows=payload, no_reject=True))

    one = api.Value(int_value=1)
    refused(write("small", one, api.Value(int_value=300)), INVALID, "row 1", '"small"', "300")
    refused(write("small", api.Value(text_value="many")), INVALID, "row 0", '"small"', "many")
    refused(write("day", api.Value(text_value="2023-02-29")), INVALID, '"day"', "2023-02-29")
    refused(write("flag", one), INVALID, '"flag"')
    refused(write("small", api.Value(list_value=api.ValueList())), INVALID, '"small"', "list")
    refused(write("nothing", one), INVALID, '"nothing"')
    short = api.RowSet(columns=["k", "small"], rows=[api.Row(values=[one])])
    refused(lambda: tables.ingestion.Write(request(tables, name, rows=short, atomic=True)), INVALID, "row 0", "1 values", "2 columns")
    refused(lambda: tables.ingestion.Write(request(tables, name, rows=api.RowSet())), INVALID, "rows.columns")
    assert held(tables, name) == 0


def test_values_that_do_not_fit_reject_their_row_only(tables):
    api, name = tables.api, "some_values"
    tables.create(name, [("k", "int64"), ("n", "int8", True), ("b", "bool"), ("l", "list<int32>"), ("s", "string")], ["k"])
    number, text = lambda n: api.Value(int_value=n), lambda t: api.Value(text_value=t)
    numbers = lambda *values: api.Value(list_value=api.ValueList(values=[number(v) for v in values]))
    yes = api.Value(bool_value=True)
    mixed = api.Value(list_value=api.ValueList(values=[number(8), number(9), text("x")]))
    given = [
        [number(0), number(1), yes, numbers(1, 2), text("first")],
        [number(1), number(300), yes, numbers(3), text("too large")],
        [number(2), number(2), yes, mixed, text("half a list")],
        [number(3), number(3), number(1), numbers(4), text("no bool")],
        [number(4), number(4), yes],
        [text("five"), number(5), yes, numbers(5), text("a text for a key")],
        [number(6), api.Value(null=True), yes, numbers(6), text("null")],
        [number(7), number(7), api.Value(), numbers(7, 8), text("last")],
    ]
    payload = api.RowSet(columns=["k", "n", "b", "l", "s"], rows=[api.Row(values=row) for row in given])
    for field in ("atomic", "no_reject"):
        refused(lambda f=field: tables.ingestion.Write(request(tables, name, rows=payload, **{f: True})), INVALID, "row 1", "6 of 8")
    assert held(tables, name) == 0
    answer = tables.ingestion.Write(request(tables, name, rows=payload))
    assert (answer.rows_written, answer.rows_rejected) == (2, 6)
    assert [reject.row for reject in answer.rejects] == [1, 2, 3, 4, 5, 6]
    parts = [('"n"', "300"), ('"l"', "x"), ('"b"', "number"), ("3 values", "5 columns"), ('"k"', "five"), ('"n"', "NOT NULL")]
    for reject, wanted in zip(answer.rejects, parts):
        assert all(part in reject.reason for part in wanted), reject.reason
    assert tables.scan(name, ordered=True)[0].to_pylist() == [
        {"k": 0, "n": 1, "b": True, "l": [1, 2], "s": "first"},
        {"k": 7, "n": 7, "b": None, "l": [7, 8], "s": "last"},
    ]
    many = [api.Row(values=[number(i), text("no number")]) for i in range(3000)] + [api.Row(values=[number(-1), number(1)])]
    answer = tables.ingestion.Write(request(tables, name, rows=api.RowSet(columns=["k", "n"], rows=many)))
    assert (answer.rows_written, answer.rows_rejected, len(answer.rejects)) == (1, 3000, 1000)
    assert all("no number" in reject.reason for reject in answer.rejects)


def test_requests_that_are_incomplete_say_what_is_missing(tables, table):
    api = tables.api
    refused(lambda: tables.ingestion.Write(request(tables, table)), INVALID, "payload")
    refused(lambda: tables.ingestion.Write(request(tables, None, rows())), INVALID, "table.name")
    refused(lambda: tables.write("nowhere", rows()), NOT_FOUND, '"nowhere"')
    refused(lambda: tables.write(table, rows(), write=api.WriteOptions(producer_id=3)), INVALID)
    refused(lambda: tables.ingestion.Write(request(tables, table, rows(), operation=7)), INVALID, "operation")
    refused(lambda: tables.write("default", rows()), INVALID, "key space")


# ---- malformed Arrow


def ipc_messages(data):
    """(metadata begin, metadata bytes, body begin, end) of each message of a stream, without the end marker."""
    at, found = 0, []
    while at < len(data):
        marker, size = struct.unpack_from("<II", data, at)
        assert marker == 0xFFFFFFFF
        if size == 0:
            break
        message = pa.ipc.read_message(pa.BufferReader(data[at:]))
        body = at + 8 + size
        end = body + (len(message.body) if message.body else 0)
        found.append((at + 8, size, body, end))
        at = end
    return found


def test_arrow_that_is_cut_anywhere_is_refused_and_nothing_is_written(tables, table):
    data = to_ipc(rows(50))
    (_, _, _, schema_end), (_, _, _, batch_end) = ipc_messages(data)
    for size in [1, 7, 8, schema_end - 1, schema_end + 5, schema_end + 100, batch_end - 1]:
        details = refused(lambda s=size: tables.ingestion.Write(request(tables, table, arrow_ipc=data[:s])), INVALID)
        assert "arrow_ipc" in details
    assert held(tables, table) == 0
    # A stream without its end marker is whole.
    assert tables.ingestion.Write(request(tables, table, arrow_ipc=data[:batch_end])).rows_written == 50


def test_what_is_no_arrow_at_all_is_an_invalid_argument(tables, table):
    for junk in (b"junk", b"host,at\nh1,5\n", b"PAR1" * 10, b"{}", b"\0" * 100):
        refused(lambda j=junk: tables.ingestion.Write(request(tables, table, arrow_ipc=j)), INVALID, "arrow_ipc")


def test_arrow_behind_the_end_of_a_stream_is_refused(tables, table):
    data = to_ipc(rows(5))
    refused(lambda: tables.ingestion.Write(request(tables, table, arrow_ipc=data + data)), INVALID, "arrow_ipc", "behind the end")
    assert held(tables, table) == 0


def test_arrow_with_offsets_out_of_bounds_is_refused(tables, table):
    data = bytearray(to_ipc(rows(50)))
    _, (_, _, body, end) = ipc_messages(bytes(data))
    # host's offsets are the first buffer: 0, 2, 4, ... The last one is made to point behind the bytes.
    for value in (2**31 - 1, 0xFFFFFFFF, 1):
        broken = bytearray(data)
        struct.pack_into("<I", broken, body + 50 * 4, value)
        refused(lambda b=broken: tables.ingestion.Write(request(tables, table, arrow_ipc=bytes(b))), INVALID, "arrow_ipc")
    assert held(tables, table) == 0 and end == len(data) - 8


def test_text_that_is_not_utf8_is_rejected_or_refused(tables, table):
    batch = rows(3, text=pa.array([b"ok", b"\xff\xfe", b"fine"], pa.binary()))
    answer = tables.write(table, batch)
    assert answer.rows_rejected == 1 and answer.rejects[0].row == 1
    assert '"text"' in answer.rejects[0].reason and "UTF-8" in answer.rejects[0].reason
    invalid = pa.StringArray.from_buffers(1, pa.py_buffer(struct.pack("<II", 0, 2)), pa.py_buffer(b"\xff\xfe"))
    refused(lambda: tables.write(table, rows(1, text=invalid, first=100)), INVALID, "UTF-8")
    assert held(tables, table) == 2


def test_dictionaries_that_are_wrong_are_refused(tables, table):
    good = rows(4, text=pa.array(["a", "b", "a", None]).dictionary_encode())
    assert tables.write(table, good).rows_written == 4
    assert tables.scan(table, ordered=True)[0].column("text").to_pylist().count("a") == 2
    indexes = pa.array([0, 9, 0, 1], pa.int32())
    outside = pa.DictionaryArray.from_arrays(indexes, pa.array(["x", "y"]), safe=False)
    refused(lambda: tables.write(table, rows(4, text=outside, first=50)), INVALID, "arrow_ipc", "dictionary")
    data = to_ipc(good)
    messages = ipc_messages(data)
    _, (_, _, _, schema_end) = None, messages[0]
    without = data[:schema_end] + data[messages[1][3] :]  # the dictionary's message is left out
    refused(lambda: tables.ingestion.Write(request(tables, table, arrow_ipc=without)), INVALID, "arrow_ipc")
    assert held(tables, table) == 4


def test_a_batch_over_the_limit_is_refused_whole(tables):
    tables.create("wide", [("k", "int64"), ("v", "string")], ["k"])
    huge = pa.table({"k": pa.array([1], pa.int64()), "v": ["x" * (17 << 20)]})
    with pytest.raises(grpc.RpcError) as error:
        tables.write("wide", huge)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    # Small on the wire, but not when it is unpacked.
    sink = pa.BufferOutputStream()
    batch = pa.table({"k": pa.array(range(80), pa.int64()), "v": ["y" * (1 << 20)] * 80})
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(batch)
    data = sink.getvalue().to_pybytes()
    assert len(data) < 1 << 20
    with pytest.raises(grpc.RpcError) as error:
        tables.ingestion.Write(request(tables, "wide", arrow_ipc=data))
    assert error.value.code() in (INVALID, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert re.search(r"\d{6,}", error.value.details()), error.value.details()
    # One row that fits into no log record is left out; the others are in.
    mixed = pa.table({"k": pa.array([1, 2], pa.int64()), "v": ["small", "z" * (2 << 20)]})
    answer = tables.write("wide", mixed)
    assert (answer.rows_written, answer.rows_rejected) == (1, 1) and answer.rejects[0].row == 1
    assert held(tables, "wide") == 1


# ---- exactly once


def test_a_repeated_batch_is_answered_with_its_first_position(tables, table):
    options = tables.api.WriteOptions(producer_id=77, sequence=5)
    first = tables.write(table, rows(3), write=options)
    tables.write(table, rows(1, first=500))
    again = tables.write(table, rows(3), write=options)
    assert again.duplicate and not first.duplicate and again.sequence == 5
    assert again.position.token == first.position.token
    assert held(tables, table) == 4


# ---- streams of batches


def open_stream(tables):
    """A WriteStream that is fed by hand: (send, answers, end)."""
    import queue

    requests = queue.Queue()
    answers = tables.ingestion.WriteStream(iter(requests.get, None))
    return requests.put, answers, lambda: requests.put(None)


def test_a_stream_is_answered_in_order_by_sequence(tables, table):
    api = tables.api

    def requests():
        for i in range(60):
            yield request(
                tables, table if i == 0 else None, rows(20, first=i * 20), write=api.WriteOptions(producer_id=9, sequence=i + 1)
            )

    answers = list(tables.ingestion.WriteStream(requests()))
    assert [a.sequence for a in answers] == list(range(1, 61))
    assert all(a.rows_written == 20 and not a.HasField("error") for a in answers)
    assert held(tables, table) == 1200
    again = list(tables.ingestion.WriteStream(requests()))
    assert all(a.duplicate for a in again)
    assert [a.position.token for a in again] == [a.position.token for a in answers]
    assert held(tables, table) == 1200


def test_later_requests_of_a_stream_need_no_schema(tables, table):
    data = to_ipc(rows(4))
    schema_end = ipc_messages(data)[0][3]
    send, answers, end = open_stream(tables)
    send(request(tables, table, arrow_ipc=data[:schema_end]))
    assert next(answers).rows_written == 0
    for i in range(3):
        part = to_ipc(rows(4, first=10 * i))
        send(request(tables, None, arrow_ipc=part[schema_end : ipc_messages(part)[1][3]]))
        assert next(answers).rows_written == 4
    send(request(tables, None, rows(4, first=100)))  # with a schema again
    assert next(answers).rows_written == 4
    end()
    assert list(answers) == []
    assert held(tables, table) == 16


def test_a_stream_changes_its_table_and_goes_on_after_an_error(tables, table):
    tables.create(table + "b", [("k", "int64")], ["k"])
    send, answers, end = open_stream(tables)
    send(request(tables, table, rows(2)))
    assert next(answers).rows_written == 2
    send(request(tables, table + "b", pa.table({"k": [1, 2, 3]})))
    assert next(answers).rows_written == 3
    for bad, code, part in [
        (request(tables, None, rows(2)), 3, '"host"'),
        (request(tables, None, arrow_ipc=b"\xff\xff\xff\xff\x10\0\0\0nothing of the kind"), 3, "arrow_ipc"),
        (request(tables, "nowhere", rows(2)), 5, '"nowhere"'),
        (request(tables, table, rows(2, must=pa.array([1, None], pa.int64())), atomic=True), 3, '"must"'),
    ]:
        send(bad)
        answer = next(answers)
        assert answer.error.code == code and part in answer.error.message, answer
    send(request(tables, table, rows(2, first=50)))
    assert next(answers).rows_written == 2
    end()
    assert list(answers) == []
    assert held(tables, table) == 4 and held(tables, table + "b") == 3


def test_batches_without_schema_after_a_change_of_table_are_refused(tables, table):
    tables.create(table + "b", COLUMNS, ["host", "at"])
    data = to_ipc(rows(4))
    _, (metadata, _, _, batch_end) = ipc_messages(data)
    send, answers, end = open_stream(tables)
    send(request(tables, table, arrow_ipc=data))
    assert next(answers).rows_written == 4
    send(request(tables, table + "b", arrow_ipc=data[metadata - 8 : batch_end]))
    assert "schema" in next(answers).error.message
    end()
    assert held(tables, table + "b") == 0


def test_a_table_dropped_during_a_stream_is_named(tables, table):
    send, answers, end = open_stream(tables)
    send(request(tables, table, rows(2)))
    assert next(answers).rows_written == 2
    tables.admin.DropTable(tables.api.DropTableRequest(table=tables.table(table)))
    send(request(tables, None, rows(2, first=10)))
    answer = next(answers)
    assert answer.error.code == 5 and f'"{table}"' in answer.error.message
    tables.create(table, [("other", "int64")], ["other"])
    send(request(tables, None, rows(2, first=20)))
    assert '"' in next(answers).error.message
    end()
    assert list(answers) == [] and held(tables, table) == 0


def test_a_stream_of_nothing_ends_well(tables):
    assert list(tables.ingestion.WriteStream(iter(()))) == []


def test_many_streams_at_once_write_all_they_acknowledge(tables, table):
    answers = []

    def feed(number):
        batches = (request(tables, table, rows(50, first=number * 10_000 + i * 50)) for i in range(40))
        answers.extend(tables.ingestion.WriteStream(batches))

    threads = [threading.Thread(target=feed, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.error.message for answer in answers if answer.rows_written != 50] == []
    assert len(answers) == 240 and held(tables, table) == 12_000


# ---- schemas that change


def test_two_writers_that_bring_one_column_with_two_types_conflict(tables):
    tables.create("grows", [("k", "int64")], ["k"], adds_columns=True)
    assert tables.write("grows", pa.table({"k": [1], "new": ["text"]})).rows_written == 1
    answer_or_error = None
    try:
        answer = tables.write("grows", pa.table({"k": [2], "new": pa.array([1.5])}))
        answer_or_error = f"{answer.rows_rejected} {[r.reason for r in answer.rejects]}"
        assert answer.rows_written == 0
    except grpc.RpcError as error:
        answer_or_error = error.details()
        assert error.code() == INVALID
    assert '"new"' in answer_or_error
    assert tables.scan("grows")[0].to_pylist() == [{"k": 1, "new": "text"}]
    # At once: one of them makes the column, the others agree or are refused; no column comes twice.
    outcomes = []

    def write(number):
        kind = pa.array([number], pa.int64()) if number % 2 else pa.array([f"t{number}"])
        try:
            outcomes.append(tables.write("grows", pa.table({"k": [100 + number], "raced": kind})).rows_written)
        except grpc.RpcError as error:
            outcomes.append(error.details())

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(1) >= 4, outcomes
    assert all(o in (0, 1) or '"raced"' in o for o in outcomes), outcomes
    found = tables.scan("grows", "k >= 100")[0]
    assert found.column_names.count("raced") == 1 and found.num_rows == outcomes.count(1)


# ---- reading: rows by key and index


@pytest.fixture(scope="module")
def looked_up(tables):
    api, name = tables.api, "looked_up"
    tables.create(name, [("k", "int64"), ("a", "string"), ("n", "int32"), ("m", "decimal(8,2)")], ["k"])
    index = api.Index(name="by_a_n", kind=api.INDEX_KIND_SORTED, columns=["a", "n"])
    tables.admin.CreateIndex(api.CreateIndexRequest(table=tables.table(name), index=index))
    count = 2000
    batch = pa.table(
        {
            "k": pa.array(range(count), pa.int64()),
            "a": [None if i % 10 == 0 else f"a{i % 10}" for i in range(count)],
            "n": pa.array([None if i % 7 == 0 else i for i in range(count)], pa.int32()),
            "m": pa.array([decimal.Decimal(i).scaleb(-2) for i in range(count)], pa.decimal128(8, 2)),
        }
    )
    tables.write(name, batch.slice(0, 1500))
    tables.admin.Flush(api.FlushRequest())
    tables.write(name, batch.slice(1500))
    return name, batch.to_pylist()


def get_row(tables, name, *key, **fields):
    return tables.query.GetRow(tables.api.GetRowRequest(table=tables.table(name), key=key, **fields))


def test_a_row_is_answered_by_key_from_memory_and_from_segments(tables, looked_up):
    name, expected = looked_up
    for k in (0, 7, 1499, 1500, 1999):
        for _ in range(2):
            answer = get_row(tables, name, tables.api.Value(int_value=k))
            assert pa.ipc.open_stream(answer.arrow_ipc).read_all().to_pylist() == [expected[k]]
            assert answer.version.token
        answer = get_row(tables, name, tables.api.Value(text_value=str(k)), columns=["m", "k"], format=FORMAT_VALUES)
        assert list(answer.rows.columns) == ["m", "k"]
        assert answer.rows.rows[0].values[0].text_value == f"{k / 100:.2f}"
        assert answer.rows.rows[0].values[1].int_value == k
    refused(lambda: get_row(tables, name, tables.api.Value(int_value=5000)), NOT_FOUND, f'"{name}"')


def test_what_is_wrong_with_a_key_is_told(tables, looked_up):
    name, _ = looked_up
    api = tables.api
    refused(lambda: get_row(tables, name), INVALID, "1 columns", "0 values")
    refused(lambda: get_row(tables, name, api.Value(text_value="seven")), INVALID, "column k", "seven")
    refused(lambda: get_row(tables, name, api.Value(int_value=1), columns=["x"]), INVALID, '"x"')
    refused(lambda: get_row(tables, "nowhere", api.Value(int_value=1)), NOT_FOUND, '"nowhere"')
    refused(lambda: get_row(tables, name, api.Value(list_value=api.ValueList())), INVALID, "list")
    refused(lambda: get_row(tables, name, *[api.Value(int_value=1)] * 20), INVALID, "20 values")
    refused(lambda: get_row(tables, name, api.Value(int_value=1), format=9), INVALID, "format")
    # No int64 is 2^64 - 1 or 1.5: there is no such row.
    refused(lambda: get_row(tables, name, api.Value(uint_value=2**64 - 1)), NOT_FOUND)
    refused(lambda: get_row(tables, name, api.Value(float_value=1.5)), NOT_FOUND)


def by_index(tables, name, **fields):
    request = tables.api.GetRowsByIndexRequest(table=tables.table(name), index="by_a_n", **fields)
    return tables.read(tables.query.GetByIndex(request))[0].to_pylist()


def test_rows_come_by_index_in_its_order(tables, looked_up):
    name, expected = looked_up
    value = tables.api.Value
    order = lambda row: (row["a"] is not None, row["a"] or "", row["n"] is not None, row["n"] or 0, row["k"])
    a3 = sorted((r for r in expected if r["a"] == "a3"), key=order)
    assert by_index(tables, name, values=[value(text_value="a3")]) == a3
    assert by_index(tables, name, values=[value(text_value="a3")], limit=5) == a3[:5]
    assert by_index(tables, name, values=[value(text_value="a3"), value(int_value=303)]) == [expected[303]]
    bounded = [r for r in a3 if r["n"] is not None and 400 <= r["n"] <= 1600]
    bounds = {"lower": value(int_value=400), "upper": value(int_value=1600)}
    assert by_index(tables, name, values=[value(text_value="a3")], **bounds) == bounded
    nulls = sorted((r for r in expected if r["a"] is None), key=order)
    assert by_index(tables, name, values=[value(null=True)]) == nulls
    assert by_index(tables, name, values=[value(text_value="a3"), value()]) == [r for r in a3 if r["n"] is None]
    low = sorted((r for r in expected if r["a"] and r["a"] >= "a8"), key=order)
    assert by_index(tables, name, lower=value(text_value="a8")) == low
    assert by_index(tables, name, lower=value(text_value="b")) == []
    assert by_index(tables, name, values=[value(text_value="a3")], columns=["k"], limit=1) == [{"k": a3[0]["k"]}]


def test_look_ups_by_index_are_the_same_cold_and_warm(make_server):
    server = make_server()
    tables = Tables(server)
    api, name = tables.api, "cold"
    tables.create(name, [("k", "int64"), ("a", "string"), ("n", "int32"), ("m", "string")], ["k"])
    index = api.Index(name="by_a_n", kind=api.INDEX_KIND_SORTED, columns=["a"])
    tables.admin.CreateIndex(api.CreateIndexRequest(table=tables.table(name), index=index))
    count = 20000
    numbers = pa.array(range(count), pa.int32())
    batch = pa.table({"k": numbers.cast(pa.int64()), "a": [f"a{i % 200}" for i in range(count)], "n": numbers, "m": [f"m{i}" for i in range(count)]})
    tables.write(name, batch)
    tables.admin.Flush(api.FlushRequest())
    tables.write(name, batch.slice(0, 1000).set_column(3, "m", pa.array(["new"] * 1000)))
    server.restart()
    tables = Tables(server)
    expected = batch.to_pylist()
    for row in expected[:1000]:
        row["m"] = "new"
    for a in (3, 7, 199):
        wanted = [row for row in expected if row["a"] == f"a{a}"]
        for columns in ([], ["k", "m"]):
            for _ in range(3):
                found = by_index(tables, name, values=[api.Value(text_value=f"a{a}")], columns=columns)
                assert found == [{c: row[c] for c in columns or row} for row in wanted]
    everything = by_index(tables, name, lower=api.Value(text_value="a"))
    assert len(everything) == count and everything == by_index(tables, name, lower=api.Value(text_value="a"))


def test_a_batch_over_many_partitions_is_flushed_whole(make_server):
    """More partitions than segments may be open at once, more than once over: several threads write them."""
    server = make_server()
    tables = Tables(server)
    api, name, day = tables.api, "many_days", 86_400_000_000
    tables.create(name, [("k", "int64"), ("at", "timestamp(us)"), ("a", "string")], ["k", "at"], partition_by="at", partition_us=day)
    for index, column in (("by_a_n", "a"), ("by_at", "at")):
        index = api.Index(name=index, kind=api.INDEX_KIND_SORTED, columns=[column])
        tables.admin.CreateIndex(api.CreateIndexRequest(table=tables.table(name), index=index))
    count = 1000
    moments = pa.array([(i * 7919 % 333) * day + i for i in range(count)], pa.timestamp("us"))
    batch = pa.table({"k": pa.array(range(count), pa.int64()), "at": moments, "a": [f"a{i % 50}" for i in range(count)]})
    tables.write(name, batch)
    tables.admin.Flush(api.FlushRequest(), timeout=120)
    expected = batch.to_pylist()
    for restart in (False, True):
        if restart:
            server.restart()
            tables = Tables(server)
        found, explain = tables.scan(name, ordered=True)
        assert found.to_pylist() == expected
        assert explain.segments == 333 and explain.memory_rows == 0
        wanted = [row for row in expected if row["a"] == "a7"]
        assert by_index(tables, name, values=[api.Value(text_value="a7")]) == wanted
    *findings, last = tables.admin.Verify(api.VerifyRequest())
    assert findings == [] and last.summary.problems == 0


def test_what_is_wrong_with_a_look_up_by_index_is_told(tables, looked_up):
    name, _ = looked_up
    value = tables.api.Value
    text = value(text_value="a3")
    refused(lambda: by_index(tables, name), INVALID, "values")
    refused(lambda: by_index(tables, name, values=[text] * 3), INVALID, '"by_a_n"', "2 columns")
    refused(lambda: by_index(tables, name, values=[text, text], lower=text), INVALID, '"by_a_n"')
    refused(lambda: by_index(tables, name, values=[text, value(text_value="x")]), INVALID, "column n", "'x'")
    refused(lambda: by_index(tables, name, values=[text], lower=value(null=True)), INVALID, "lower", "null")
    missing = tables.api.GetRowsByIndexRequest(table=tables.table(name), index="none", values=[text])
    refused(lambda: list(tables.query.GetByIndex(missing)), NOT_FOUND, '"none"')


# ---- reading: scans and groups


def test_formats_carry_the_same_rows(tables, looked_up):
    name, expected = looked_up
    for form in (0, 1, 2):
        assert tables.scan(name, ordered=True, format=form)[0].to_pylist() == expected
    request = tables.api.ScanRowsRequest(table=tables.table(name), ordered=True, format=FORMAT_VALUES, limit=1200)
    answers = list(tables.query.Scan(request))
    got = [row for answer in answers for row in answer.rows.rows]
    assert len(got) == 1200 and not any(answer.arrow_ipc for answer in answers)
    assert all(list(answer.rows.columns) == ["k", "a", "n", "m"] for answer in answers if answer.rows.rows)
    for row, wanted in zip(got, expected):
        k, a, n, m = row.values
        assert k.int_value == wanted["k"] and m.text_value == str(wanted["m"])
        assert (a.null and wanted["a"] is None) or a.text_value == wanted["a"]
        assert (n.null and wanted["n"] is None) or n.int_value == wanted["n"]


def test_the_first_message_has_the_position_and_the_last_the_explanation(tables, looked_up):
    name, expected = looked_up
    request = tables.api.ScanRowsRequest(table=tables.table(name), explain=True, predicate={"sql": "k < 10"})
    answers = list(tables.query.Scan(request))
    assert answers[0].position.token and not any(a.position.token for a in answers[1:])
    explain = answers[-1].explain
    assert explain.path == "key" and explain.rows_matched == 10 and "k < 10" in explain.predicate
    again = tables.api.ReadOptions(snapshot=answers[0].position)
    assert tables.scan(name, read=again)[0].num_rows == len(expected)
    found, explain = tables.scan(name, "a = 'a3'", explain_only=True)
    assert found.num_rows == 0 and explain.path and explain.rows_read == 0


def test_a_bloom_filter_is_named_where_it_is_asked(tables):
    api, name = tables.api, "bloomed"
    tables.create(name, [("k", "int64"), ("v", "string"), ("w", "string")], ["k"])
    index = api.Index(name="v_bloom", kind=api.INDEX_KIND_BLOOM, columns=["v"])
    tables.admin.CreateIndex(api.CreateIndexRequest(table=tables.table(name), index=index))
    text = [f"v{i * 7919 % 5000}" for i in range(5000)]
    tables.write(name, pa.table({"k": pa.array(range(5000), pa.int64()), "v": text, "w": text}))
    tables.admin.Flush(api.FlushRequest())
    found, explain = tables.scan(name, "v = 'v3000x' AND k >= 0")
    assert found.num_rows == 0 and explain.index == "v_bloom" and explain.stripes_skipped_by_bloom == explain.stripes > 0
    assert tables.scan(name, "w = 'v3000x'")[1].index == ""


def test_what_is_wrong_with_a_scan_is_told(tables, looked_up):
    name, _ = looked_up
    api = tables.api
    refused(lambda: tables.scan(name, columns=["x"]), INVALID, '"x"')
    refused(lambda: tables.scan(name, "x = 1"), INVALID, "no column x")
    refused(lambda: tables.scan(name, "n = 'many'"), INVALID, "column n", "many")
    refused(lambda: tables.scan(name, "n = = 1"), INVALID)
    refused(lambda: tables.scan(name, reverse=True), INVALID, "reverse")
    refused(lambda: tables.scan(name, format=17), INVALID, "format")
    refused(lambda: tables.scan("nowhere"), NOT_FOUND, '"nowhere"')
    refused(lambda: tables.scan(""), INVALID, "table.name")
    empty = api.ScanRowsRequest(table=tables.table(name), predicate=api.Predicate())
    refused(lambda: list(tables.query.Scan(empty)), INVALID, "predicate")


def test_groups_and_what_is_wrong_with_them(tables, looked_up):
    name, expected = looked_up
    got = tables.aggregate(name, [("count", ""), ("sum", "n"), ("avg", "m"), ("min", "k")], ["a"], "k < 100")
    for row in got:
        mine = [r for r in expected if r["a"] == row["a"] and r["k"] < 100]
        assert row["count"] == len(mine) and row["min_k"] == min(r["k"] for r in mine)
        assert row["sum_n"] == sum(r["n"] for r in mine if r["n"] is not None)
        assert abs(row["avg_m"] - float(sum(r["m"] for r in mine)) / len(mine)) < 1e-9
    assert [row["a"] for row in got] == [None] + [f"a{i}" for i in range(1, 10)]
    assert tables.aggregate(name, [("sum", "n"), ("count", "")], where="k < 0") == [{"sum_n": None, "count": 0}]
    assert tables.aggregate(name, [], ["a"], "k < 3") == [{"a": None}, {"a": "a1"}, {"a": "a2"}]
    refused(lambda: tables.aggregate(name, []), INVALID, "functions")
    refused(lambda: tables.aggregate(name, [("sum", "a")]), INVALID, '"a"', "sum")
    refused(lambda: tables.aggregate(name, [("sum", "")]), INVALID, "column")
    refused(lambda: tables.aggregate(name, [("min", "x")]), INVALID, '"x"')
    refused(lambda: tables.aggregate(name, [("count", "")], ["x"]), INVALID, '"x"')
    refused(lambda: tables.aggregate(name, [("unspecified", "")]), INVALID, "function")
    tables.create("large", [("k", "int64"), ("v", "int64")], ["k"])
    tables.write("large", pa.table({"k": [1, 2], "v": [2**63 - 1, 1]}))
    refused(lambda: tables.aggregate("large", [("sum", "v")]), INVALID, "64 bits")


# ---- readers that are slow, or go


@pytest.fixture(scope="module")
def long_table(tables):
    tables.create("long", [("k", "int64"), ("text", "string")], ["k"])
    for i in range(8):
        first = i * 20_000
        batch = pa.table({"k": range(first, first + 20_000), "text": [f"{k:0200d}" for k in range(20_000)]})
        tables.write("long", batch)
    tables.admin.Flush(tables.api.FlushRequest())
    return "long"


def query_threads(server):
    """Threads of the server that work on queries."""
    import pathlib

    names = [p.read_text().strip() for p in pathlib.Path(f"/proc/{server.process.pid}/task").glob("*/comm")]
    return names.count("query")


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_slow_reader_gets_everything(tables, long_table):
    parts = []
    for answer in tables.query.Scan(tables.api.ScanRowsRequest(table=tables.table(long_table), ordered=True)):
        parts.append(answer.arrow_ipc)
        time.sleep(0.01)
    found = pa.ipc.open_stream(b"".join(parts)).read_all()
    assert found.column("k").to_pylist() == list(range(160_000))


def test_a_cancelled_scan_leaves_nothing_behind(shared_server, tables, long_table):
    calls = []
    for _ in range(5):
        call = tables.query.Scan(tables.api.ScanRowsRequest(table=tables.table(long_table)))
        next(call)
        calls.append(call)
    wait_until(lambda: query_threads(shared_server) > 0)
    for call in calls:
        call.cancel()
    wait_until(lambda: query_threads(shared_server) == 0)
    # Their views are gone, too: what they read can be dropped and its files go.
    metrics = urllib.request.urlopen(f"http://127.0.0.1:{shared_server.http_port}/metrics").read().decode()
    assert "plinth_" in metrics
    assert tables.scan(long_table, limit=10)[0].num_rows == 10


def test_a_scan_past_its_deadline_ends(shared_server, tables, long_table):
    call = tables.query.Scan(tables.api.ScanRowsRequest(table=tables.table(long_table)), timeout=0.3)
    with pytest.raises(grpc.RpcError) as error:
        for _ in call:
            time.sleep(0.2)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: query_threads(shared_server) == 0)


def test_a_scan_goes_on_when_its_table_is_dropped(tables):
    tables.create("brief", [("k", "int64"), ("text", "string")], ["k"])
    for i in range(5):
        tables.write("brief", pa.table({"k": range(i * 9000, i * 9000 + 9000), "text": ["x" * 200] * 9000}))
    call = tables.query.Scan(tables.api.ScanRowsRequest(table=tables.table("brief")))
    parts = [next(call).arrow_ipc]
    tables.admin.DropTable(tables.api.DropTableRequest(table=tables.table("brief")))
    parts += [answer.arrow_ipc for answer in call]
    assert pa.ipc.open_stream(b"".join(parts)).read_all().num_rows == 45_000
    refused(lambda: tables.scan("brief"), NOT_FOUND, '"brief"')


def test_an_open_stream_does_not_hold_up_a_server_that_stops(make_server):
    server = make_server()
    ours = Tables(server)
    ours.create("idle", COLUMNS, ["host", "at"])
    batches = queue.Queue()
    batches.put(ours.api.WriteRowsRequest(table=ours.table("idle"), arrow_ipc=to_ipc(rows())))
    answers = ours.ingestion.WriteStream(iter(batches.get, None))
    assert next(answers).rows_written == 3
    ended = []

    def take_the_end():
        with pytest.raises(grpc.RpcError) as error:
            next(answers)
        ended.append(error.value)

    taker = threading.Thread(target=take_the_end)
    taker.start()
    process, began = server.process, time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert time.monotonic() - began < 10  # calls may take 30 s to end
    taker.join(20)
    batches.put(None)
    assert ended[0].code() == grpc.StatusCode.UNAVAILABLE and "is answered" in ended[0].details()
    server.process = None
    server.start()
    assert held(Tables(server), "idle") == 3
