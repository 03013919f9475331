"""libplinth-parquet beside pyarrow and DuckDB: the same tables, in one process, by turns, on one thread each.

Plinth is called through include/plinth_parquet.h, rows go in and out by the Arrow C Stream interface, so that all three
write the same Arrow table from memory and read into an Arrow table. Rounds alternate, and each figure is the best of
them: what else runs on the machine only ever adds time. All that is compared is first checked to be equal.

  write     the table in memory to a file, ZSTD level 3 (and Snappy, for the table of figures only)
  size      of that file, against pyarrow's
  read      a whole file to an Arrow table; each reads the files of all three writers
  filtered  1 % of the rows by the key that the table is sorted by, all columns; all read Plinth's file
  footer    opening a file of 1,000 columns x 100 row groups, written by pyarrow
  point     rows by key in the generated table: parquet_point

Tables: those of bench_compression.py, two more of tests/data/tables, those of --data DIRECTORY, and a generated one.
Numbers with "vs" say how many times as fast Plinth is, as geometric mean over the tables; size: bytes by bytes.
"""
import argparse
import array
import gc
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import bench_compression

ROOT = pathlib.Path(__file__).resolve().parents[1]
ENGINES = ("plinth", "pyarrow", "duckdb")
LEVEL = 3
POINT_PAGE_ROWS = 1024
POINT_DICTIONARY_BYTES = 16 << 10
POINT_PROBES = 20_000
FOOTER_COLUMNS, FOOTER_ROW_GROUPS = 1000, 100

# What a row of the generated table is: measurements of 4,000 hosts in the order of time. `id` rises with gaps.
GENERATED = """
    SELECT i * 7 + hash(i) % 7 AS id,
           make_timestamp(1700000000000000 + i * 1000 + (hash(i + 1) % 900)::BIGINT) AS time,
           'host-' || lpad((hash(i + 2) % 4000)::VARCHAR, 5, '0') || '.example' AS host,
           ['eu-west', 'eu-north', 'us-east', 'us-west', 'ap-south', 'ap-east', 'sa-east', 'af-south']
               [(hash(i + 3) % 8 + 1)::BIGINT] AS region,
           '/api/v1/users/' || (power(hash(i + 4) % 1000000 / 1e6, 3) * 20000)::INT AS path,
           [200, 200, 200, 200, 200, 404, 500][(hash(i + 5) % 7 + 1)::BIGINT]::SMALLINT AS status,
           (hash(i + 6) % 1500000)::BIGINT AS bytes,
           (hash(i + 7) % 300)::INT AS requests,
           round((hash(i + 8) % 1000000) / 1e4, 2) AS cpu,
           round((hash(i + 9) % 1000000) / 2e4, 3) AS latency,
           hash(i + 10) % 10 < 7 AS cached,
           CASE WHEN hash(i + 11) % 10 > 0 THEN 'user-' || hash(i + 12) % 3000000 END AS user
    FROM range({begin}, {end}) t(i)"""


def generate(rows):
    connection = duckdb.connect()
    piece = 1_000_000
    sql = [GENERATED.format(begin=b, end=min(b + piece, rows)) for b in range(0, rows, piece)]
    tables = [connection.sql(s).to_arrow_table() for s in sql]
    table = pa.concat_tables(tables)
    return table.set_column(0, "id", table.column("id").cast(pa.int64()))


def real_tables(more):
    """(name, function that reads it, the column to sort by)"""
    keys = {"nyc-flights": "tailnum", "pnw-flights": "tailnum", "babynames": "name", "anonreviews": "vendorId", "cmudict": "key"}
    tables = ROOT / "tests" / "data" / "tables"
    others = [bench_compression.Dataset(n.split(".")[0], tables / n) for n in ("mosaic-flights-200k.parquet", "vega-flights-200k.arrow")]
    datasets = bench_compression.fixed_set() + others + (bench_compression.more_of(more) if more else [])
    return [(d.name, d.read, keys.get(d.name)) for d in datasets]


def plain(table):
    """Without what only Arrow knows: dictionaries as their values, metadata."""
    columns = [c.cast(c.type.value_type) if pa.types.is_dictionary(c.type) else c for c in table.columns]
    return pa.Table.from_arrays(columns, names=table.column_names).combine_chunks()


class Engines:
    """What each of the three does, by name."""

    def __init__(self, library):
        self.library = library
        self.connection = duckdb.connect()
        self.connection.execute("SET threads = 1")

    def writers(self, table, codec):
        level = {"compression_level": LEVEL} if codec == "zstd" else {}
        duck_level = f", COMPRESSION_LEVEL {LEVEL}" if codec == "zstd" else ""
        own_level = {"codec_level": LEVEL} if codec == "zstd" else {}
        self.connection.register("source", table)
        return {
            "plinth": lambda path: self.library.write(path, table, codec=codec.upper(), **own_level),
            "pyarrow": lambda path: pq.write_table(table, path, compression=codec, **level),
            "duckdb": lambda path: self.connection.execute(
                f"COPY source TO '{path}' (FORMAT parquet, COMPRESSION {codec}{duck_level})"
            ),
        }

    def plinth_read(self, path, bounds=()):
        with self.library.open(path) as file, file.stream(bounds=bounds) as reader:
            return reader.read_all()

    def readers(self, path):
        return {
            "plinth": lambda: self.plinth_read(path),
            "pyarrow": lambda: pq.read_table(path, use_threads=False),
            "duckdb": lambda: self.connection.sql(f"FROM read_parquet('{path}')").to_arrow_table(),
        }

    def filtered(self, path, column, kind, low, high):
        bounds = [(column, in_bytes(low, kind), in_bytes(high, kind))]
        expression = [(column, ">=", low), (column, "<=", high)]
        sql = f"""SELECT * FROM read_parquet('{path}') WHERE "{column}" BETWEEN ? AND ?"""
        return {
            "plinth": lambda: self.plinth_read(path, bounds),
            "pyarrow": lambda: pq.read_table(path, use_threads=False, filters=expression),
            "duckdb": lambda: self.connection.sql(sql, params=[low.as_py(), high.as_py()]).to_arrow_table(),
        }

    def openers(self, path):
        def plinth():
            with self.library.open(path):
                pass

        return {"plinth": plinth, "pyarrow": lambda: pq.ParquetFile(path).close()}


def in_bytes(value, kind):
    """A bound in the column's physical form."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return value.as_py().encode()
    wide = 8 if kind.bit_width == 64 else 4
    integer = pa.types.is_integer(kind)
    raw = value.cast(pa.int64() if wide == 8 else pa.int32()) if not pa.types.is_floating(kind) or integer else value
    return raw_bytes(pa.array([raw.as_py()], raw.type), wide)


def raw_bytes(values, wide):
    return values.buffers()[1].to_pybytes()[:wide]


def check_equal(what, table, others):
    for name, other in others.items():
        if other.num_rows != table.num_rows:
            raise SystemExit(f"{what}: {name} has {other.num_rows} rows of {table.num_rows}")
        for column in table.column_names:
            left, right = table.column(column), other.column(column)
            if not left.equals(right.cast(left.type)):
                raise SystemExit(f"{what}: {name} has other values in {column}")


clock = time.perf_counter  # --cpu: time.process_time


def best_of(rounds, functions, budget_s=None):
    """Seconds of each function: the best of rounds in which they take turns."""
    best = dict.fromkeys(functions, math.inf)
    began = time.monotonic()
    for number in range(rounds):
        for name, function in functions.items():
            gc.collect()
            begin = clock()
            result = function()
            best[name] = min(best[name], clock() - begin)
            del result
        if budget_s and number >= 2 and time.monotonic() - began > budget_s:
            break
    return best


class Report:
    def __init__(self):
        self.ratios = {}  # (what, peer): one a table
        self.sizes = []

    def add(self, what, table, seconds, rows, counts=True):
        """`counts`: goes into the last line."""
        line = f"  {what:24}{table:20}{seconds['plinth'] * 1e3:10.1f} ms"
        for peer in ENGINES[1:]:
            if peer not in seconds:
                continue
            ratio = seconds[peer] / seconds["plinth"]
            line += f"   {peer} {seconds[peer] * 1e3:8.1f} ms {ratio:6.2f}"
            if counts:
                self.ratios.setdefault((what.split()[0], peer), []).append(ratio)
        print(f"{line}   {rows:,} rows", flush=True)

    def mean(self, what, peer):
        return statistics.geometric_mean(self.ratios.get((what, peer), [math.nan]))


def measure_writes(engines, report, name, table, work, rounds):
    """The files of all three, by writer."""
    paths = {}
    for codec in ("zstd", "snappy"):
        writers = engines.writers(table, codec)
        paths[codec] = {writer: f"{work}/{name}-{writer}-{codec}.parquet" for writer in writers}
        calls = {writer: lambda f=f, w=writer: f(paths[codec][w]) for writer, f in writers.items()}
        report.add(f"write {codec}", name, best_of(rounds, calls), table.num_rows, codec == "zstd")
    sizes = {writer: os.path.getsize(path) for writer, path in paths["zstd"].items()}
    report.sizes.append(sizes["plinth"] / sizes["pyarrow"])
    print(f"  {'size zstd':24}{name:20}" + "   ".join(f"{w} {s:,} bytes" for w, s in sizes.items()) + f"   {report.sizes[-1]:.3f}")
    return paths


def measure_reads(engines, report, name, table, paths, rounds):
    for codec, files in paths.items():
        for writer, path in files.items():
            readers = engines.readers(path)
            check_equal(f"{name} by {writer}", table, {reader: f() for reader, f in readers.items()})
            report.add(f"read {codec} of {writer}", name, best_of(rounds, readers), table.num_rows, codec == "zstd")


def key_of(table, wanted):
    """The column to sort by: the one named, or the one of the most values, of those whose order all three agree on."""
    fields = [table.schema.field(wanted)] if wanted else table.schema
    fits = lambda kind: pa.types.is_integer(kind) and kind.bit_width >= 16 or pa.types.is_string(kind) or pa.types.is_float64(kind)
    fields = [f for f in fields if fits(f.type)]
    if not fields:
        return None, None
    best = max(fields, key=lambda f: len(table.column(f.name).unique())) if len(fields) > 1 else fields[0]
    return best.name, best.type


def measure_filtered(engines, report, name, table, wanted, work, rounds):
    column, kind = key_of(table, wanted)
    if not column:
        print(f"  {'filtered':24}{name:20} has no column to sort by")
        return
    if name != "generated":
        table = table.filter(pc.is_valid(table.column(column))).sort_by(column)
    middle, many = table.num_rows // 2, max(1, table.num_rows // 100)
    low, high = table.column(column)[middle], table.column(column)[middle + many - 1]
    files = {"plinth": f"{work}/{name}-sorted-plinth.parquet", "pyarrow": f"{work}/{name}-sorted-pyarrow.parquet",
             "duckdb": f"{work}/{name}-sorted-duckdb.parquet"}
    for writer, write in engines.writers(table, "zstd").items():
        write(files[writer])
    keys = table.column(column)
    expected = table.filter(pc.and_(pc.greater_equal(keys, low), pc.less_equal(keys, high)))
    for writer, path in files.items():
        calls = engines.filtered(path, column, kind, low, high)
        check_equal(f"{name} between keys", expected, {reader: f() for reader, f in calls.items()})
        seconds = best_of(3 * rounds, calls, 20)
        report.add(f"filtered of {writer}", name, seconds, expected.num_rows, writer == "plinth")
    for path in files.values():
        os.unlink(path)


def measure_footer(engines, report, work, rounds):
    path = f"{work}/footer.parquet"
    kinds = [pa.int64(), pa.float64(), pa.string(), pa.int32()]
    columns = {f"column_{i}": pa.array(range(FOOTER_ROW_GROUPS)).cast(kinds[i % 4]) for i in range(FOOTER_COLUMNS)}
    pq.write_table(pa.table(columns), path, row_group_size=1, compression="zstd")
    seconds = best_of(3 * rounds, engines.openers(path))
    report.add("footer", f"{os.path.getsize(path):,} bytes", seconds, FOOTER_ROW_GROUPS)
    os.unlink(path)


def measure_points(engines, table, work, build):
    """{"p50", "p99", ...} of whole rows' parts by key."""
    path, keys = f"{work}/point.parquet", f"{work}/point.keys"
    engines.library.write(path, table, codec="ZSTD", codec_level=LEVEL, page_rows=POINT_PAGE_ROWS,
                          dictionary_bytes_max=POINT_DICTIONARY_BYTES)
    draw = random.Random(7)
    ids = table.column("id").combine_chunks()
    picked = array.array("q", (ids[draw.randrange(len(ids))].as_py() for _ in range(POINT_PROBES)))
    pathlib.Path(keys).write_bytes(picked.tobytes())
    results = []
    for columns in (("time", "bytes", "latency"), ("region", "status", "cpu"), ("host", "path", "user")):
        run = subprocess.run([f"{build}/bench/parquet_point", path, keys, "id", *columns], stdout=subprocess.PIPE, text=True, check=True)
        answer = dict(pair.split("=") for pair in run.stdout.split())
        print(f"  {'point':24}{'id, ' + ', '.join(columns):32}" + "   ".join(f"{k} {v}" for k, v in answer.items()))
        results.append({k: float(v) for k, v in answer.items()})
    os.unlink(path)
    return results[0]


def columns_line(build, rows):
    """Keys of bench_parquet, which measures column by column."""
    run = subprocess.run([f"{build}/bench/bench_parquet", str(rows)], stdout=subprocess.PIPE, text=True, check=True)
    print(run.stdout, end="")
    return run.stdout.splitlines()[-1].removeprefix("parquet ")


def main():
    parser = argparse.ArgumentParser(prog="bench_parquet", description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the generated table (10,000,000)")
    parser.add_argument("--column-rows", type=int, default=1_000_000, help="of each column measured alone (1,000,000)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=pathlib.Path, help="a directory with more tables")
    parser.add_argument("--only", help="only this table ('generated': the one made here)")
    parser.add_argument("--parts", default="columns,write,filtered,footer,point", help="which to run; 'write' includes reads")
    parser.add_argument("--cpu", action="store_true", help="compare processor time: for a machine that has other things to do")
    parser.add_argument("--dir", default=".", help="where to make the temporary directory (.)")
    parser.add_argument("--build", default=os.environ.get("PLINTH_BUILD_DIR", "build/release"))
    options = parser.parse_args()
    build = pathlib.Path(options.build).resolve()
    if options.cpu:
        global clock
        clock = time.process_time
    sys.path.insert(0, str(ROOT / "tests" / "integration"))
    import parquet_library

    pa.set_cpu_count(1)
    engines, report, parts = Engines(parquet_library.Library(build / "lib" / "libplinth-parquet.so")), Report(), options.parts.split(",")
    points = {"p50_us": math.nan, "p99_us": math.nan}
    print(f"pyarrow {pa.__version__}, DuckDB {duckdb.__version__}; times are the best of {options.rounds} rounds; ratio: peer / Plinth")
    columns = columns_line(build, options.column_rows) if "columns" in parts else ""
    tables = real_tables(options.data) + [("generated", lambda: generate(options.rows), "id")]
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.dir) as work:
        for name, read, key in tables:
            if options.only and options.only != name:
                continue
            table = plain(read())
            if "write" in parts:
                paths = measure_writes(engines, report, name, table, work, options.rounds)
                measure_reads(engines, report, name, table, paths, options.rounds)
                for path in [p for files in paths.values() for p in files.values()]:
                    os.unlink(path)
            if "filtered" in parts:
                measure_filtered(engines, report, name, table, key, work, options.rounds)
            if "point" in parts and name == "generated":
                points = measure_points(engines, table, work, build)
        if "footer" in parts:
            measure_footer(engines, report, work, options.rounds)
    both = " ".join(
        f"{what}_vs_{peer}={report.mean(what, peer):.2f}" for what in ("write", "read", "filtered") for peer in ENGINES[1:]
    )
    size = statistics.geometric_mean(report.sizes or [math.nan])
    print(
        f"parquet {both} size_vs_pyarrow={size:.3f} point_p50_us={points['p50_us']:.1f} point_p99_us={points['p99_us']:.1f} "
        f"footer_vs_pyarrow={report.mean('footer', 'pyarrow'):.2f} {columns}".rstrip()
    )


if __name__ == "__main__":
    sys.exit(main())
