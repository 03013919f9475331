"""Filters and aggregates over a table of 10 million rows, beside DuckDB on the same segment files in the same run.

The table is that of bench/ingest_rows.h, merged into one run. Plinth runs in a process of its own (scan_engine, embedded
API), DuckDB in this one with read_parquet over the table's segments; both have 1 thread, and then 2. Queries alternate:
one round of one engine, one of the other; the figure is the median of the rounds. Results have to be equal (floats to 9
digits). A result goes to its consumer as batches: Plinth's are read and dropped, DuckDB's are fetched as Arrow.

Ratios are Plinth's time by DuckDB's, below 1: Plinth is faster. The figure of a sort of query (aggregate, filter) is the
geometric mean over its queries, the worse of the two numbers of threads; the worst query is given, too.
"""
import argparse
import dataclasses
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb
import pyarrow as pa

KEY = ["host", "time"]


@dataclasses.dataclass
class Query:
    kind: str  # "agg" or "filter"
    name: str
    columns: str = ""
    where: str = ""
    aggregates: str = ""  # kind:column,...
    groups: str = ""

    def sql(self):
        """The same for DuckDB, with the types that Plinth's aggregates have."""
        parts = [g for g in self.groups.split(",") if g]
        for aggregate in [a for a in self.aggregates.split(",") if a]:
            kind, column = aggregate.split(":")
            parts.append(f"{kind}({column or '*'})")
        parts += [c for c in self.columns.split(",") if c]
        where = f" WHERE {self.where}" if self.where else ""
        groups = f" GROUP BY {self.groups}" if self.groups else ""
        return f"SELECT {', '.join(parts)} FROM metrics{where}{groups}"


QUERIES = [
    Query("agg", "count, sum, min, max", aggregates="count:,sum:bytes,min:requests,max:memory"),
    Query("agg", "avg of floats", aggregates="avg:cpu,avg:latency,max:latency"),
    Query("agg", "by region (8)", aggregates="count:,sum:bytes,avg:cpu", groups="region"),
    Query("agg", "by region and status (24)", aggregates="count:,sum:requests", groups="region,status"),
    Query("agg", "by host (4,000)", aggregates="count:,max:latency", groups="host"),
    Query("agg", "where status = 500", aggregates="count:,sum:bytes", where="status = 500"),
    Query("filter", "1 % by a number", columns="host,time,bytes", where="bytes < 15300"),
    Query("filter", "50 % by a number", columns="time,bytes,cpu", where="cpu < 50"),
    Query("filter", "by a string (1 in 8)", columns="time,requests,latency", where="region = 'eu-west'"),
    Query("filter", "by a rare string", columns="host,time,path,latency", where="path LIKE '/api/v1/users/123%'"),
    Query("filter", "two numbers", columns="host,time,cpu", where="status <> 200 AND latency > 49"),
]


class Engine:
    """scan_engine as a process."""

    def __init__(self, program, directory, rows):
        self.process = subprocess.Popen(
            [str(program), str(directory), str(rows)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit("scan_engine could not make its table")

    def run(self, query, threads, file=""):
        """Seconds, rows, stripes, skipped stripes."""
        fields = ["run", str(threads), query.columns, query.where, query.aggregates, query.groups, str(file)]
        self.process.stdin.write("\t".join(fields) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise SystemExit("scan_engine has ended")
        return int(answer[0]) / 1e9, *map(int, answer[1:])

    def close(self):
        self.process.stdin.close()
        if self.process.wait() != 0:
            raise SystemExit(f"scan_engine ended with {self.process.returncode}")


def duck_run(connection, query, threads):
    connection.execute(f"SET threads = {threads}")
    begin = time.perf_counter()
    table = connection.sql(query.sql()).to_arrow_table()
    return time.perf_counter() - begin, table


def check_equal(query, ours, theirs):
    """Both tables have the same rows in any order."""
    if ours.num_rows != theirs.num_rows:
        raise SystemExit(f"{query.name}: {ours.num_rows} rows, DuckDB has {theirs.num_rows}")
    names = [f"c{i}" for i in range(ours.num_columns)]
    ours, theirs = ours.rename_columns(names), theirs.rename_columns(names)
    if query.kind == "filter":
        check_filter(query, ours, theirs)
        return
    groups = len([g for g in query.groups.split(",") if g])
    left, right = ([tuple(row.values()) for row in t.to_pylist()] for t in (ours, theirs))
    for a, b in zip(sorted(left, key=lambda r: r[:groups]), sorted(right, key=lambda r: r[:groups])):
        for x, y in zip(a, b):
            near = math.isclose(x, y, rel_tol=1e-9) if isinstance(x, float) else x == y
            if not near:
                raise SystemExit(f"{query.name}: {a}, DuckDB has {b}")


def check_filter(query, ours, theirs):
    connection = duckdb.connect()
    connection.register("ours", ours)
    connection.register("theirs", theirs)
    for a, b in (("ours", "theirs"), ("theirs", "ours")):
        count = connection.execute(f"SELECT count(*) FROM (FROM {a} EXCEPT ALL FROM {b})").fetchone()[0]
        if count:
            raise SystemExit(f"{query.name}: {count} rows of {a} are not in {b}")


def verify(engine, connection, directory):
    for query in QUERIES:
        file = directory / "result.arrow"
        engine.run(query, 2, file)
        with pa.memory_map(str(file)) as source:
            ours = pa.ipc.open_stream(source).read_all()
            check_equal(query, ours, duck_run(connection, query, 2)[1])
            del ours
        file.unlink()


def measure(engine, connection, rounds):
    """{(query number, threads): (seconds, DuckDB's seconds, rows, stripes, skipped)}, medians."""
    results = {}
    for threads in (1, 2):
        for number, query in enumerate(QUERIES):
            engine.run(query, threads)
            duck_run(connection, query, threads)
            ours, theirs = [], []
            for _ in range(rounds):
                answer = engine.run(query, threads)
                ours.append(answer[0])
                theirs.append(duck_run(connection, query, threads)[0])
            results[number, threads] = (statistics.median(ours), statistics.median(theirs), *answer[1:])
    return results


def report(results, rows):
    ratios = {}
    print(f"{'':32}{'1 thread':>12}{'DuckDB':>9}{'ratio':>7}{'2 threads':>12}{'DuckDB':>9}{'ratio':>7}   result rows")
    for number, query in enumerate(QUERIES):
        line = f"  {query.kind:7}{query.name:23}"
        for threads in (1, 2):
            ours, theirs, count, _, _ = results[number, threads]
            ratios.setdefault((query.kind, threads), []).append(ours / theirs)
            line += f"{ours * 1e3:9.1f} ms{theirs * 1e3:6.1f} ms{ours / theirs:7.2f}"
        print(f"{line}   {count:,}")
    means = {key: statistics.geometric_mean(values) for key, values in ratios.items()}
    agg, filters = (max(means[kind, 1], means[kind, 2]) for kind in ("agg", "filter"))
    worst = {kind: max(max(ratios[kind, 1]), max(ratios[kind, 2])) for kind in ("agg", "filter")}
    print(
        f"scan agg_vs_duckdb={agg:.2f} filter_vs_duckdb={filters:.2f} rows={rows} "
        f"agg1_vs_duckdb={means['agg', 1]:.2f} agg2_vs_duckdb={means['agg', 2]:.2f} "
        f"filter1_vs_duckdb={means['filter', 1]:.2f} filter2_vs_duckdb={means['filter', 2]:.2f} "
        f"agg_worst={worst['agg']:.2f} filter_worst={worst['filter']:.2f}"
    )


def main():
    parser = argparse.ArgumentParser(prog="bench_scan", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", default=".", help="where to make the temporary data directory (.)")
    parser.add_argument("--keep", help="a directory that is kept, and used again when it is there")
    parser.add_argument("--build", default=os.environ.get("PLINTH_BUILD_DIR", "build/release"))
    options = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=options.dir))
    engine = None
    try:
        data = pathlib.Path(options.keep) if options.keep else work / "data"
        engine = Engine(pathlib.Path(options.build) / "bench" / "scan_engine", data, options.rows)
        files = sorted(str(f) for f in (data / "store" / "segments").rglob("*.parquet"))
        connection = duckdb.connect()
        connection.execute(f"CREATE VIEW metrics AS FROM read_parquet({files})")
        count = connection.execute("SELECT count(*) FROM metrics").fetchone()[0]
        size = sum(os.path.getsize(f) for f in files)
        print(f"{count:,} rows in {len(files)} segments of {size / 1e6:.0f} MB; DuckDB {duckdb.__version__}")
        verify(engine, connection, work)
        report(measure(engine, connection, options.rounds), count)
        engine.close()
    finally:
        if engine and engine.process.poll() is None:
            engine.process.kill()
            engine.process.wait()
        shutil.rmtree(work)


if __name__ == "__main__":
    sys.exit(main())
