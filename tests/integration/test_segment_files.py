"""The data directory's segments, as pyarrow and DuckDB see them: the same keys and values, byte for byte.

The SQL that takes the newest version of each key is the one in docs/segments.md."""
import csv
import io
import random
import subprocess

import duckdb
import pyarrow.parquet as pq
import pytest

from conftest import ROOT, load_api

NEWEST = """
    SELECT key, value FROM (
        SELECT key, value, _op, row_number() OVER (PARTITION BY key ORDER BY _lsn DESC) AS age
        FROM read_parquet($files)
    ) WHERE age = 1 AND _op = 1 ORDER BY key
"""


def space_files(server, table=2):
    return [str(path) for path in server.segment_files() if path.name.startswith(f"{table}-")]


def newest_by_duckdb(files):
    return [(bytes(k), bytes(v)) for k, v in duckdb.execute(NEWEST, {"files": files}).fetchall()]


def newest_by_pyarrow(files):
    newest = {}
    for path in files:
        rows = pq.read_table(path).to_pydict()
        for key, value, lsn, op in zip(rows["key"], rows["value"], rows["_lsn"], rows["_op"]):
            if key not in newest or newest[key][0] < lsn:
                newest[key] = (lsn, op, value)
    return sorted((key, value) for key, (lsn, op, value) in newest.items() if op == 1)


def check(server, expected):
    files = space_files(server)
    assert files
    wanted = sorted(expected.items())
    assert newest_by_duckdb(files) == wanted
    assert newest_by_pyarrow(files) == wanted
    for path in files:
        table = pq.read_table(path)
        keys = table["key"].to_pylist()
        lsns = table["_lsn"].to_pylist()
        order = list(zip(keys, [-lsn for lsn in lsns]))
        assert order == sorted(order), f"{path} is not in key order, newest version first"
        metadata = pq.read_metadata(path)
        assert metadata.num_rows == table.num_rows
        assert metadata.row_group(0).sorting_columns[0].column_index == 0
        statistics = metadata.row_group(0).column(0).statistics
        rows_of_group = metadata.row_group(0).num_rows
        assert statistics.min == min(keys[:rows_of_group])
        assert statistics.max == max(keys[:rows_of_group])


def test_the_example_key_set_reads_the_same_from_its_segments(make_server):
    server = make_server()
    source = ROOT / "examples" / "data" / "cmudict.csv.zst"
    server.cli("kv", "import", str(source), check=True)
    text = subprocess.run(["zstdcat", source], check=True, capture_output=True).stdout
    expected = {row["key"].encode(): row["value"].encode() for row in csv.DictReader(io.StringIO(text.decode()))}
    assert len(expected) >= 100_000
    server.cli("flush", check=True)
    check(server, expected)
    server.cli("compact", check=True)
    assert len(space_files(server)) == 1
    check(server, expected)
    # An index is a segment too: its entries are the escaped index value, 00 01, and the key.
    entries = duckdb.execute(
        "SELECT count(*) FROM read_parquet($files)",
        {"files": [str(p) for p in server.segment_files() if not p.name.startswith("2-")]},
    ).fetchone()[0]
    assert entries == 2 * len(expected)


@pytest.mark.parametrize("seed", [1, 20261121])
def test_random_bytes_survive_overwrites_deletes_flushes_and_compaction(make_server, seed):
    api = load_api()
    server = make_server(args=["--memtable-size", "1MiB"])
    dice = random.Random(seed)
    keys = [dice.randbytes(dice.choice([1, 2, 8, 16, 40, 300])) for _ in range(1500)]
    keys += [b"\x00", b"\xff" * 20, b"\x00\x01", b"plain", dice.randbytes(64 << 10)]
    expected = {}
    for step in range(6):
        operations = []
        for key in dice.sample(keys, 900):
            if dice.random() < 0.3:
                operations.append(api.BatchRequest.Operation(delete=api.BatchRequest.Delete(key=key)))
                expected.pop(key, None)
            else:
                value = dice.randbytes(dice.choice([0, 1, 10, 100, 1000]))
                indexes = [api.IndexValue(index="first", value=value[:1])]
                operations.append(api.BatchRequest.Operation(set=api.BatchRequest.Set(key=key, value=value, indexes=indexes)))
                expected[key] = value
        for at in range(0, len(operations), 100):
            server.kv.Batch(api.BatchRequest(operations=operations[at : at + 100]))
        server.cli("flush", check=True)
        server.stop()  # so that no merge replaces files while they are read
        check(server, expected)
        server.start()
    server.crash()
    server.cli("compact", check=True)
    server.cli("verify", check=True)
    server.stop()
    check(server, expected)
    server.start()
