"""Indexes of typed tables: on functions of columns and on the elements of lists, built while rows are written, against a
model; after flushes, merges, rebuilds and a crash. Every path must give the rows that a scan gives."""
import datetime
import json
import random
import threading
import time

import pyarrow as pa
import pytest

from tables import Tables

COLUMNS = "id int64 primary key, email string, at timestamp(us), tags list<string>, n int32"
SCHEMA = pa.schema([("id", pa.int64()), ("email", pa.string()), ("at", pa.timestamp("us")),
                    ("tags", pa.list_(pa.string())), ("n", pa.int32())])
NAMES = ["Ada", "aDA", "BOB", "bob", "Çelik", "ÇELIK", "", "Zoë"]
TAGS = ["red", "green", "blue", "", "Red", "x" * 300]
DAY = datetime.timedelta(days=1)
START = datetime.datetime(1969, 12, 28)


def ascii_lower(text):
    return "".join(c.lower() if c.isascii() else c for c in text)


def any_row(rng, key):
    tags = None if rng.random() < 0.1 else [None if rng.random() < 0.1 else rng.choice(TAGS)
                                             for _ in range(rng.randrange(5))]
    return {"id": key, "email": None if rng.random() < 0.1 else rng.choice(NAMES),
            "at": None if rng.random() < 0.1 else START + rng.randrange(8 * 86400) * datetime.timedelta(seconds=1),
            "tags": tags, "n": rng.randrange(100)}


def write(tables, model, rows):
    for row in rows:
        model[row["id"]] = row
    last = list({row["id"]: row for row in rows}.values())
    tables.write("people", pa.RecordBatch.from_pylist(last, schema=SCHEMA))


def delete(tables, model, keys):
    for key in keys:
        model.pop(key, None)
    keys = pa.RecordBatch.from_pylist([{"id": key} for key in sorted(set(keys))], schema=pa.schema([SCHEMA.field(0)]))
    tables.write("people", keys, delete=True)


def questions():
    for name in sorted({ascii_lower(n) for n in NAMES}) + ["none"]:
        yield f"lower(email) = '{name}'", "by_lower", lambda r, n=name: r["email"] is not None and ascii_lower(
            r["email"]) == n
    yield "lower(email) IN ('ada', 'bob')", "by_lower", lambda r: r["email"] is not None and ascii_lower(
        r["email"]) in ("ada", "bob")
    yield "lower(email) IS NULL", "by_lower", lambda r: r["email"] is None
    yield "lower(email) LIKE 'a%'", "by_lower", lambda r: r["email"] is not None and ascii_lower(
        r["email"]).startswith("a")
    for tag in TAGS + ["none"]:
        yield f"'{tag}' = ANY(tags)", "by_tag", lambda r, t=tag: r["tags"] is not None and t in r["tags"]
    yield "'red' = ANY(tags) AND 'blue' = ANY(tags)", "by_tag", lambda r: r["tags"] is not None and {
        "red", "blue"} <= set(r["tags"])
    for day in range(-1, 9):
        date = START.replace(hour=0) + day * DAY
        yield f"date_trunc('day', at) = '{date}'", "by_day", lambda r, d=date: r["at"] is not None and r["at"].replace(
            hour=0, minute=0, second=0) == d
    yield f"date_trunc('day', at) > '{START + 3 * DAY}'", "by_day", lambda r: r["at"] is not None and r["at"].replace(
        hour=0, minute=0, second=0) > START + 3 * DAY
    week = datetime.datetime(1969, 12, 29)
    yield f"date_trunc('week', at) = '{week}'", None, lambda r: r["at"] is not None and week <= r["at"] < week + 7 * DAY
    yield "date_trunc('month', at) = '1970-01-01'", None, lambda r: r["at"] is not None and r["at"].year == 1970
    yield "upper(email) = 'BOB'", None, lambda r: r["email"] in ("BOB", "bob")


def compare(server, tables, model):
    for where, index, holds in questions():
        expected = sorted(key for key, row in model.items() if holds(row))
        found, explain = tables.scan("people", where)
        assert sorted(found["id"].to_pylist()) == expected, where
        if len(expected) == 0 and index and "ANY" not in where:
            assert explain.index == index, where
    for name, values in (("by_lower", {ascii_lower(n) for n in NAMES}), ("by_tag", set(TAGS))):
        for value in values:
            request = tables.api.GetRowsByIndexRequest(
                table=tables.table("people"), index=name, values=[tables.api.Value(text_value=value)], columns=["id"])
            found, _ = tables.read(tables.query.GetByIndex(request))
            expected = sorted(key for key, row in model.items() if value == (
                row["email"] and ascii_lower(row["email"]) if name == "by_lower" else value) and (
                name == "by_lower" or value in (row["tags"] or [])))
            assert sorted(found["id"].to_pylist()) == expected, (name, value)
    done = server.cli("verify", "-o", "json", check=True).json()
    assert done["problems"] == 0, done


@pytest.fixture
def people(server):
    tables = Tables(server)
    server.cli("table", "create", "people", COLUMNS, check=True)
    return tables


INDEXES = [("by_lower", "lower(email)"), ("by_day", "date_trunc('day', at)"), ("by_tag", "tags")]


def test_functions_and_elements_are_indexed_before_and_after_the_rows(server, people):
    rng, model = random.Random(5), {}
    for name, columns in INDEXES[:1]:
        server.cli("index", "create", "people", name, "--columns", columns, check=True)
    for step in range(4):
        write(people, model, [any_row(rng, rng.randrange(600)) for _ in range(400)])
        delete(people, model, [rng.randrange(600) for _ in range(40)])
        if step % 2:
            server.cli("flush", check=True)
    for name, columns in INDEXES[1:]:
        server.cli("index", "create", "people", name, "--columns", columns, check=True)
    compare(server, people, model)
    write(people, model, [any_row(rng, rng.randrange(600)) for _ in range(200)])
    compare(server, people, model)
    server.crash()
    people = Tables(server)
    compare(server, people, model)
    server.cli("compact", check=True)
    compare(server, people, model)
    for name, _ in INDEXES:
        server.cli("index", "rebuild", "people", name, check=True)
    compare(server, people, model)
    listed = server.cli("index", "list", "people", "-o", "json", check=True).json()
    assert {i["index"]: i["columns"] for i in listed} == {name: [columns] for name, columns in INDEXES}


def test_find_takes_the_function_s_value_or_an_element(server, people):
    model = {}
    for name, columns in INDEXES:
        server.cli("index", "create", "people", name, "--columns", columns, check=True)
    rows = [{"id": 1, "email": "Ada", "at": START, "tags": ["red", "red", None], "n": 1},
            {"id": 2, "email": "ADA", "at": START, "tags": [], "n": 2},
            {"id": 3, "email": None, "at": None, "tags": None, "n": 3},
            {"id": 4, "email": "bob", "at": START + DAY, "tags": ["blue", "red"], "n": 4}]
    write(people, model, rows)

    def find(*args):
        out = server.cli("find", "people", *args, "--columns", "id", "--format", "jsonl", check=True).out
        return sorted(json.loads(line)["id"] for line in out.splitlines())

    for _ in range(2):
        assert find("by_lower", "ada") == [1, 2]
        assert find("by_lower", "Ada") == []  # the value of the function is asked for, as it is
        assert find("by_tag", "red") == [1, 4]
        assert find("by_tag", "blue") == [4]
        assert find("by_day", "1969-12-28") == [1, 2]
        assert find("by_day", "--lower", "1969-12-28", "--upper", "1969-12-29") == [1, 2, 4]
        server.cli("flush", check=True)
    wrong = server.cli("find", "people", "by_tag", "--lower", "a")
    assert wrong.code == 1 and "elements of a list" in wrong.err


def test_what_cannot_be_indexed_is_said(server, people):
    for columns, text in [("lower(n)", "which the function does not take"), ("date_trunc('day', email)", "not take"),
                          ("date_trunc('age', at)", "has no column"), ("lower(nothing)", "has no column"),
                          ("tags,tags", "twice")]:
        done = server.cli("index", "create", "people", "i", "--columns", columns)
        assert done.code in (1, 2, 3) and text in done.err, (columns, done.err)
    done = server.cli("index", "create", "people", "i", "--kind", "bitmap", "--columns", "lower(email)")
    assert done.code == 1 and "as it is" in done.err
    bad = server.cli("scan", "people", "--where", "lower(n) = 'a'")
    assert bad.code == 1 and "does not take" in bad.err


def states(server):
    return {i["index"]: i["state"] for i in server.cli("index", "list", "people", "-o", "json", check=True).json()}


def rows_of(ids, email):
    return [{"id": key, "email": email, "at": None, "tags": None, "n": 0} for key in ids]


def test_queries_of_what_a_covering_index_has_read_no_rows(server, people):
    rng, model = random.Random(9), {}
    server.cli("index", "create", "people", "by_n", "--columns", "n", "--include", "email,at", check=True)
    listed = server.cli("index", "list", "people", "-o", "json", check=True).json()
    assert listed[0]["columns"] == ["n"] and listed[0]["included"] == ["email", "at"]
    for step in range(4):
        write(people, model, [any_row(rng, rng.randrange(4000)) for _ in range(3000)])
        delete(people, model, [rng.randrange(4000) for _ in range(100)])
        if step % 2:
            server.cli("flush", check=True)
        for columns, only in ((["id", "n", "email", "at"], True), (["email"], True), (["id", "tags"], False)):
            for n in (3, 50, 200):
                found, explain = people.scan("people", f"n = {n}", columns=columns)
                wanted = [{c: r[c] for c in columns} for r in model.values() if r["n"] == n]
                order = lambda r: str(sorted(r.items(), key=str))
                assert sorted(found.to_pylist(), key=order) == sorted(wanted, key=order)
                assert explain.path == ("index only" if only else "index")
                assert explain.rows_read == (0 if only else len(wanted))
        if step == 2:
            server.cli("compact", check=True)
            server.crash()
            people = Tables(server)
    line = server.cli("scan", "people", "--where", "n = 3 AND email = 'bob'", "--columns", "id", "--explain", check=True)
    assert "index only" in line.out
    dropped = server.cli("table", "alter", "drop-column", "people", "email")
    assert dropped.code != 0 and "by_n" in dropped.err
    server.cli("index", "rebuild", "people", "by_n", check=True)
    assert people.scan("people", "n = 3", columns=["email"])[1].path == "index only"
    assert server.cli("verify", "-o", "json", check=True).json()["problems"] == 0


def test_other_ways_of_writing_keep_to_a_unique_index(server, people):
    server.cli("index", "create", "people", "one", "--columns", "email", "--unique", check=True)
    batch = lambda key, email: pa.RecordBatch.from_pylist(rows_of([key], email), schema=SCHEMA)
    put = lambda key, email, **more: people.write("people", batch(key, email), **more)
    assert put(1, "ada").rows_rejected == 0
    assert put(1, "ada", atomic=True).rows_rejected == 0
    answer = put(2, "ada", if_absent=True)
    assert answer.rows_rejected == 1 and "email = ada is that of the row with id = 1" in answer.rejects[0].reason
    updated = server.cli("rows", "update", "people", "--where", "id = 1", "--set", "email=bob")
    assert updated.code == 0, updated.err
    assert put(2, "ada").rows_rejected == 0
    refused = server.cli("rows", "update", "people", "--where", "id = 1", "--set", "email=ada")
    assert refused.code != 0 and 'unique index "one"' in refused.err
    assert server.cli("verify", "-o", "json", check=True).json()["problems"] == 0


def test_a_unique_index_keeps_values_apart(server, people):
    server.cli("index", "create", "people", "one", "--columns", "lower(email)", "--unique", check=True)
    tables = people

    def put(rows, **fields):
        return tables.write("people", pa.RecordBatch.from_pylist(rows, schema=SCHEMA), **fields)

    for flush in (False, True):
        base = 100 if flush else 0
        name = "Ada" if flush else "Bob"
        assert put(rows_of([base + 1], name)).rows_rejected == 0
        if flush:
            server.cli("flush", check=True)
        answer = put(rows_of([base + 2], name.upper()))
        assert answer.rows_rejected == 1 and "one" in answer.rejects[0].reason
        assert put(rows_of([base + 1], name.lower())).rows_rejected == 0  # its own value
        twice = put(rows_of([base + 3, base + 4], name + "x"))
        assert twice.rows_rejected == 1 and twice.rows_written == 1
        assert put(rows_of([base + 5, base + 6], None)).rows_rejected == 0  # nulls are not the same
        assert put(rows_of([base + 1], name + "y")).rows_rejected == 0
        assert put(rows_of([base + 2], name)).rows_rejected == 0  # the value is free again
        delete(tables, {}, [base + 2])
        assert put(rows_of([base + 7], name)).rows_rejected == 0
    assert server.cli("verify", "-o", "json", check=True).json()["problems"] == 0


def test_doubles_that_are_there_keep_a_unique_index_pending_until_they_go(server, people):
    tables = people
    write(tables, {}, rows_of(range(50), None) + rows_of([60, 61], "Ada") + rows_of([70], "Bob"))
    made = server.cli("index", "create", "people", "one", "--columns", "lower(email)", "--unique")
    assert made.code != 0 and "more than once" in made.err
    assert states(server) == {"one": "building"}
    answer = tables.write("people", pa.RecordBatch.from_pylist(rows_of([71], "BOB"), schema=SCHEMA))
    assert answer.rows_rejected == 1  # what comes is checked already
    server.crash()
    assert states(server) == {"one": "building"}
    tables = Tables(server)
    delete(tables, {}, [61])
    deadline = time.monotonic() + 30
    while states(server) != {"one": "ready"} and time.monotonic() < deadline:
        time.sleep(0.2)
    assert states(server) == {"one": "ready"}
    assert server.cli("verify", "-o", "json", check=True).json()["problems"] == 0


def test_of_writers_of_one_value_one_wins_also_while_the_index_is_built(server, people):
    write(people, {}, rows_of(range(1000, 3000), None))
    server.cli("index", "create", "people", "one", "--columns", "email", "--unique", "--no-wait", check=True)
    won = [0] * 40

    def run(thread):
        tables = Tables(server)
        for value in range(40):
            answer = tables.write("people", pa.RecordBatch.from_pylist(rows_of([thread], f"v{value}"), schema=SCHEMA))
            won[value] += answer.rows_rejected == 0

    threads = [threading.Thread(target=run, args=(t,)) for t in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found, _ = people.scan("people", "email IS NOT NULL")
    emails = found["email"].to_pylist()
    assert len(emails) == len(set(emails))
    assert all(count >= 1 for count in won)
    assert server.cli("verify", "-o", "json", check=True).json()["problems"] == 0
