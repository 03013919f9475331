"""Real tables through their whole life: loaded, overwritten in part, crashed, flushed, indexed, merged and restarted; after
each step the table is what DuckDB reads from the source, and from the segment files by the SQL of docs/segments.md."""
import duckdb
import pyarrow.parquet as pq
import pytest

from test_table_import import FLIGHTS, TABLES, columns_of, differences, imported, source_of_csv

FLIGHT = ["year", "month", "day", "carrier", "flight", "origin"]


@pytest.fixture(autouse=True)
def state_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("PLINTH_STATE_DIR", str(tmp_path / "state"))


def exported(server, table, tmp_path):
    out = tmp_path / "out.parquet"
    server.cli("export", table, out, check=True)
    return f"'{out}'"


def segment_files(server, table):
    """The table's own files; index entries lie in others."""
    number = server.cli("table", "describe", table, "-o", "json", check=True).json()["id"]
    return [path for path in server.segment_files() if path.name.startswith(f"{number}-")]


def from_segments(files, types, key):
    columns = ", ".join(f'"{name}"' for name in types)
    return (
        f"(SELECT {columns} FROM (SELECT *, row_number() OVER (PARTITION BY {', '.join(key)} ORDER BY _lsn DESC) AS age"
        f" FROM read_parquet({[str(path) for path in files]}, union_by_name = true)) WHERE age = 1 AND _op = 1)"
    )


@pytest.mark.parametrize(
    "path, key, indexes",
    [
        (FLIGHTS, FLIGHT, [("sorted", "tailnum"), ("bitmap", "dest")]),
        (TABLES / "pnw-flights.csv.zst", FLIGHT, [("sorted", "arr_delay"), ("bloom", "tailnum")]),
        (TABLES / "nyc-weather.csv.zst", ["origin", "time_hour"], [("sorted", "temp")]),
        (TABLES / "nyc-planes.csv.zst", ["tailnum"], [("token", "manufacturer")]),
        (TABLES / "anonreviews.csv.zst", ["reviewerId", "vendorId", "date"], [("bitmap", "rating")]),
    ],
    ids=lambda value: value.name.split(".")[0] if hasattr(value, "name") else "",
)
def test_a_real_table_stays_what_its_source_says(make_server, tmp_path, path, key, indexes):
    server = make_server()
    imported(server, "real", path, "--create", "--key", ",".join(key), "--null", "NA")
    types = columns_of(server, "real")
    # Rows of one key, in the source's order: the last one counts.
    numbered = f"(SELECT *, row_number() OVER () AS place FROM {source_of_csv(path, types)})"
    columns = ", ".join(f'"{name}"' for name in types)
    source = (
        f"(SELECT {columns} FROM {numbered} QUALIFY row_number() OVER (PARTITION BY {', '.join(key)}"
        " ORDER BY place DESC) = 1)"
    )

    def check(step):
        assert differences(source, exported(server, "real", tmp_path)) == [[], []], step

    check("loaded")
    server.crash()
    check("crashed")
    for kind, column in indexes:
        server.cli("index", "create", "real", f"by_{column}", "--kind", kind, "--columns", column, check=True)
    check("indexed")
    half = tmp_path / "half.csv"
    server.cli("export", "real", half, "--limit", "5000", check=True)
    imported(server, "real", half, "--restart")  # the same rows again: newer versions of them
    server.cli("flush", check=True)
    check("overwritten and flushed")
    files = segment_files(server, "real")
    assert len(files) > 1
    assert differences(source, from_segments(files, types, key)) == [[], []]
    server.crash()
    check("crashed again")
    server.cli("compact", check=True)
    server.restart()
    check("merged and restarted")
    files = segment_files(server, "real")
    assert differences(source, f"(SELECT {columns} FROM read_parquet({[str(f) for f in files]}))") == [[], []]
    rows = sum(pq.read_table(file).num_rows for file in files)
    assert rows == duckdb.sql(f"SELECT count(*) FROM {source}").fetchall()[0][0]
    verified = server.cli("verify", "-o", "json", timeout=300)
    assert verified.code == 0, verified.out + verified.err
