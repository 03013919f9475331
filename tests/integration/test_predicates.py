"""Filters in Plinth and in DuckDB: the same random table, the same random conditions, the same rows.

PLINTH_TEST_SEED chooses another table and other conditions; the seed is part of every failure's text."""
import datetime
import decimal
import os
import pathlib
import random
import subprocess
import uuid

import duckdb
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN_DIR = pathlib.Path(os.environ.get("PLINTH_BIN_DIR", ROOT / "build" / "release" / "bin"))
SEED = int(os.environ.get("PLINTH_TEST_SEED", "1"))
ROWS = 400
CONDITIONS = 1000
EPOCH = datetime.datetime(1970, 1, 1)

# name -> (Plinth's type, DuckDB's type)
TYPES = {
    "flag": ("bool", "BOOLEAN"),
    "i8": ("int8", "TINYINT"),
    "i16": ("int16", "SMALLINT"),
    "i32": ("int32", "INTEGER"),
    "i64": ("int64", "BIGINT"),
    "u8": ("uint8", "UTINYINT"),
    "u16": ("uint16", "USMALLINT"),
    "u32": ("uint32", "UINTEGER"),
    "u64": ("uint64", "UBIGINT"),
    "f32": ("float32", "FLOAT"),
    "f64": ("float64", "DOUBLE"),
    "price": ("decimal(12,2)", "DECIMAL(12,2)"),
    "name": ("string", "VARCHAR"),
    "raw": ("bytes", "BLOB"),
    "day": ("date", "DATE"),
    "sec": ("timestamp(s)", "TIMESTAMP_S"),
    "ms": ("timestamp(ms)", "TIMESTAMP_MS"),
    "us": ("timestamp(us)", "TIMESTAMP"),
    "instant": ("timestamp(us, utc)", "TIMESTAMPTZ"),
    "id": ("uuid", "UUID"),
    "tags": ("list<string>", "VARCHAR[]"),
}
RANGES = {"i8": (-128, 127), "i16": (-(2**15), 2**15 - 1), "i32": (-(2**31), 2**31 - 1), "i64": (-(2**63), 2**63 - 1),
          "u8": (0, 255), "u16": (0, 2**16 - 1), "u32": (0, 2**32 - 1), "u64": (0, 2**64 - 1)}
UNITS_US = {"sec": 1_000_000, "ms": 1000, "us": 1, "instant": 1}


# ---- values, as text that both read


def random_stamp(rng, unit_us):
    ticks = rng.choice([rng.randint(-5, 5), rng.randint(-200_000, 200_000)])
    return (EPOCH + datetime.timedelta(microseconds=ticks * unit_us)).isoformat(sep=" ")


def random_string(rng):
    return "".join(rng.choice(["a", "b", "A", "%", "_", "é", "€", " "]) for _ in range(rng.randint(0, 5)))


def random_value(rng, name):
    if name == "flag":
        return rng.choice(["true", "false"])
    if name in RANGES:
        low, high = RANGES[name]
        return str(rng.choice([rng.randint(max(low, -5), 5), rng.randint(max(low, -100), 100), low, high]))
    if name in ("f32", "f64"):
        return rng.choice(["nan", "inf", "-inf", "-0.0", "0.0", "0.1", str(rng.randint(-40, 40) / 8)])
    if name == "price":
        return str(decimal.Decimal(rng.randint(-500, 500)) / 100)
    if name == "name":
        return random_string(rng)
    if name == "raw":
        return bytes(rng.choice([0, 1, 0x61, 0xFF]) for _ in range(rng.randint(0, 3))).hex()
    if name == "day":
        return str((EPOCH + datetime.timedelta(days=rng.randint(-4, 4))).date())
    if name in UNITS_US:
        return random_stamp(rng, UNITS_US[name])
    if name == "id":
        return str(uuid.UUID(int=rng.choice([0, 1, 2, 3, 2**127, 2**127 + 1, 2**128 - 1])))
    return [rng.choice(["a", "b", "c", None]) for _ in range(rng.randint(0, 3))]


def plinth_field(name, value):
    if value is None:
        return "\\N"
    if name == "raw":
        return "\\x" + value
    if name == "tags":
        return "{" + ",".join("null" if tag is None else tag for tag in value) + "}"
    return value + "Z" if name == "instant" else value


def duckdb_value(name, value):
    if value is None:
        return "NULL"
    if name == "raw":
        return blob(value)
    if name == "tags":
        return "[" + ", ".join("NULL" if tag is None else f"'{tag}'" for tag in value) + "]::VARCHAR[]"
    return f"'{value}{'+00' if name == 'instant' else ''}'::{TYPES[name][1]}"


def blob(digits):
    return "'" + "".join(f"\\x{digits[i:i + 2]}" for i in range(0, len(digits), 2)) + "'::BLOB"


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """(path of Plinth's table, DuckDB's connection with table t and row numbers in it)"""
    rng = random.Random(SEED)
    rows = [{n: None if rng.random() < 0.15 else random_value(rng, n) for n in TYPES} for _ in range(ROWS)]
    path = tmp_path_factory.mktemp("predicates") / "table.txt"
    lines = ["\t".join(f"{name}:{types[0]}" for name, types in TYPES.items())]
    lines += ["\t".join(plinth_field(n, v) for n, v in row.items()) for row in rows]
    path.write_text("\n".join(lines) + "\n")
    connection = duckdb.connect()
    connection.execute("SET threads = 1; SET TimeZone = 'UTC'")
    connection.execute("CREATE TABLE t (row_number INTEGER, " + ", ".join(f"{n} {t[1]}" for n, t in TYPES.items()) + ")")
    for number, row in enumerate(rows):
        connection.execute(f"INSERT INTO t VALUES ({number}, " + ", ".join(duckdb_value(n, v) for n, v in row.items()) + ")")
    return path, connection


# ---- conditions, each as (Plinth's text, DuckDB's text)


def same(text):
    return text, text


def number_literal(rng, name):
    kind = rng.randrange(6)
    if kind == 0 and name not in ("f32", "f64"):
        return rng.choice(["-129", "300", "70000", "-1", "4294967296", "9223372036854775807", "18446744073709551615"])
    if kind == 1:
        return rng.choice(["2.5", "-0.5", "0.1", "1.0", "3.14159", "-2.25", "0.005"])
    return str(rng.randint(-6, 6))


def stamp_literal(rng):
    text = random_stamp(rng, rng.choice([1, 1000, 1_000_000, 43_200_000_000]))
    return f"TIMESTAMP '{text}'"


def literal(rng, name):
    if rng.random() < 0.03:
        return same("NULL")
    if name == "flag":
        return same(rng.choice(["TRUE", "FALSE"]))
    if name in ("f32", "f64") and rng.random() < 0.2:
        return same(rng.choice(["'nan'", "'inf'", "'-inf'"]) + ("::real" if name == "f32" else "::double precision"))
    if name in RANGES or name in ("f32", "f64", "price"):
        return same(number_literal(rng, name))
    if name == "name":
        return same("'" + random_string(rng) + "'")
    if name == "raw":
        digits = random_value(rng, "raw")
        return f"x'{digits}'", blob(digits)
    if name == "instant":
        return same("TIMESTAMP WITH TIME ZONE '" + random_stamp(rng, 1) + "+00'")
    if name == "day" and rng.random() < 0.6:
        return same(f"DATE '{random_value(rng, 'day')}'")
    if name in UNITS_US or name == "day":
        return same(stamp_literal(rng))
    return same("'" + random_value(rng, "id") + "'")


def like(rng):
    parts = ["a", "b", "%", "%", "_", "é", "\\%", "\\_", "A"]
    pattern = "".join(rng.choice(parts) for _ in range(rng.randint(0, 5)))
    negated = rng.choice(["", "NOT "])
    return f"name {negated}LIKE '{pattern}'", f"name {negated}LIKE '{pattern}' ESCAPE '\\'"


def contains(rng):
    tag = rng.choice("abcd")
    in_duckdb = (f"(CASE WHEN tags IS NULL THEN NULL WHEN list_contains(tags, '{tag}') THEN TRUE"
                 " WHEN list_count(tags) < len(tags) THEN NULL ELSE FALSE END)")
    return f"'{tag}' = ANY(tags)", in_duckdb


def condition(rng):
    """One condition on one column."""
    name = rng.choice(list(TYPES))
    kind = rng.randrange(12)
    if kind == 0:
        return same(f"{name} IS {rng.choice(['', 'NOT '])}NULL")
    if name == "tags":
        return contains(rng)
    if name == "flag" and kind < 5:
        return same(rng.choice(["flag", "NOT flag", "flag IS TRUE", "flag IS NOT TRUE", "flag IS NOT FALSE"]))
    if name == "name" and kind < 6:
        return like(rng) if kind < 5 else same(f"name ^@ '{random_string(rng)}'")
    if kind < 3:
        items = [literal(rng, name) for _ in range(rng.choice([1, 2, 5, 30]))]
        negated = rng.choice(["", "NOT "])
        return tuple(f"{name} {negated}IN ({', '.join(item[side] for item in items)})" for side in (0, 1))
    if kind == 3:
        low, high = literal(rng, name), literal(rng, name)
        negated = rng.choice(["", "NOT "])
        return tuple(f"{name} {negated}BETWEEN {low[side]} AND {high[side]}" for side in (0, 1))
    sign = rng.choice(["=", "<>", "<", "<=", ">", ">="])
    value = literal(rng, name)
    if rng.random() < 0.3:
        return tuple(f"{value[side]} {sign} {name}" for side in (0, 1))
    return tuple(f"{name} {sign} {value[side]}" for side in (0, 1))


def expression(rng, depth=0):
    if depth == 3 or rng.random() < 0.4:
        return condition(rng)
    if rng.random() < 0.2:
        return tuple(f"NOT ({side})" for side in expression(rng, depth + 1))
    parts = [expression(rng, depth + 1) for _ in range(rng.randint(2, 3))]
    word = rng.choice([" AND ", " OR "])
    return tuple("(" + word.join(part[side] for part in parts) + ")" for side in (0, 1))


def plinth_rows(path, filters):
    done = subprocess.run([BIN_DIR / "predicate_select", path], input="\n".join(filters) + "\n", capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_filters_select_the_rows_that_duckdb_selects(tables):
    path, connection = tables
    rng = random.Random(SEED + 1)
    filters = [expression(rng) for _ in range(CONDITIONS)]
    filters += [condition(rng) for _ in range(CONDITIONS)]
    answers = plinth_rows(path, [plinth for plinth, _ in filters])
    assert len(answers) == len(filters)
    selected = 0
    for (plinth, in_duckdb), answer in zip(filters, answers):
        rows = connection.execute(f"SELECT row_number FROM t WHERE {in_duckdb} ORDER BY 1").fetchall()
        expected = " ".join(["ok", *(str(row) for (row,) in rows)])
        assert answer == expected, f"PLINTH_TEST_SEED={SEED}: {plinth}"
        selected += 0 < len(rows) < ROWS
    assert selected > CONDITIONS


def test_filters_that_are_wrong_say_why(tables):
    path, _ = tables
    cases = {
        "nme = 'x'": "did you mean name?",
        "length(name) = 1": "function length() at character 1",
        "day = 'abc'": "column day: 'abc' is not a valid date",
        "name > 5": "5 is not a valid string",
        "i8 LIKE 'x'": "LIKE needs a string",
        "i8 = 1 AND": "syntax error at end of input",
    }
    for (text, part), answer in zip(cases.items(), plinth_rows(path, cases)):
        assert answer.startswith("error ") and part in answer, f"{text}: {answer}"
