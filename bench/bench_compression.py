"""Bytes on disk of real tables with all their indexes, merged into one run, against CSV and Arrow.

A plinthd of its own gets each table through Ingestion, is asked to compact, and tells what lies in segments: rows with
bounds, page index, bloom filters, bitmaps and versions, and the sorted indexes. The files' sizes have to agree.

  CSV    the uncompressed file, header and line ends included
  Arrow  the same table as an uncompressed Arrow IPC stream, with the types that the table has in Plinth

Every table has the primary key that its rows have by nature, and the indexes that its readers would want. With --data
DIRECTORY each *.csv, *.csv.zst, *.parquet and *.arrow in it is added: types inferred, no key, and a sorted index on the
first column that can have one.
"""
import argparse
import dataclasses
import os
import pathlib
import statistics
import sys
import tempfile
import time

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

ROOT = pathlib.Path(__file__).resolve().parents[1]
BATCH_ROWS = 50_000
SETTLE_S = 60

FLIGHTS = {
    **dict.fromkeys(("year", "month", "day", "dep_time", "dep_delay", "arr_time", "arr_delay"), pa.int16()),
    **dict.fromkeys(("flight", "air_time", "distance", "hour", "minute"), pa.int16()),
    **dict.fromkeys(("carrier", "tailnum", "origin", "dest"), pa.string()),
}
FLIGHTS_KEY = ("year", "month", "day", "carrier", "flight", "origin")
FLIGHTS_INDEXES = (("sorted", "tailnum"), ("bitmap", "dest"), ("bitmap", "carrier"))


@dataclasses.dataclass
class Dataset:
    name: str
    path: pathlib.Path
    types: dict = None
    key: tuple = ()
    indexes: tuple = ()  # (kind, column)

    def read(self):
        name = self.path.name
        if name.endswith(".parquet"):
            return pa.parquet.read_table(self.path)
        if name.endswith(".arrow"):
            return pa.ipc.open_file(self.path).read_all()
        convert = pa.csv.ConvertOptions(
            column_types=self.types, null_values=["", "NA"], strings_can_be_null=True, timestamp_parsers=[pa.csv.ISO8601, "%Y-%m-%d %H:%M"]
        )
        return pa.csv.read_csv(self.path, convert_options=convert)

    def csv_bytes(self, table):
        """Of the file itself; of what is no CSV, as pyarrow would write it."""
        if ".csv" in self.path.name:
            with pa.input_stream(str(self.path)) as stream:
                return sum(len(piece) for piece in iter(lambda: stream.read(1 << 20), b""))
        sink = pa.BufferOutputStream()
        pa.csv.write_csv(table, sink, pa.csv.WriteOptions(quoting_style="needed"))
        return sink.getvalue().size


def fixed_set():
    examples, tables = ROOT / "examples" / "data", ROOT / "tests" / "data" / "tables"
    return [
        Dataset("nyc-flights", examples / "nyc-flights.csv.zst", FLIGHTS, FLIGHTS_KEY, FLIGHTS_INDEXES),
        Dataset("pnw-flights", tables / "pnw-flights.csv.zst", FLIGHTS, FLIGHTS_KEY, FLIGHTS_INDEXES),
        Dataset(
            "babynames",
            tables / "babynames.csv.zst",
            {"year": pa.int16(), "name": pa.string(), "sex": pa.string(), "births": pa.int32()},
            ("year", "name", "sex"),
            (("sorted", "name"),),
        ),
        Dataset(
            "anonreviews",
            tables / "anonreviews.csv.zst",
            {"reviewerId": pa.int32(), "vendorId": pa.int32(), "rating": pa.int8(), "date": pa.timestamp("s")},
            (),
            (("sorted", "vendorId"), ("bitmap", "rating")),
        ),
        Dataset(
            "cmudict",
            examples / "cmudict.csv.zst",
            {"key": pa.string(), "value": pa.string(), "rhyme": pa.string(), "syllables": pa.int8()},
            ("key",),
            (("sorted", "rhyme"), ("bitmap", "syllables")),
        ),
    ]


def more_of(directory):
    datasets = []
    for path in sorted(directory.iterdir()):
        stem, _, kind = path.name.partition(".")
        if kind in ("csv", "csv.zst", "csv.gz", "parquet", "arrow"):
            datasets.append(Dataset(stem, path))
    return datasets


TYPE_NAMES = {
    pa.int8(): "int8", pa.int16(): "int16", pa.int32(): "int32", pa.int64(): "int64",
    pa.uint8(): "uint8", pa.uint16(): "uint16", pa.uint32(): "uint32", pa.uint64(): "uint64",
    pa.float32(): "float32", pa.float64(): "float64", pa.bool_(): "bool", pa.string(): "string",
    pa.large_string(): "string", pa.binary(): "bytes", pa.date32(): "date", pa.null(): "string", pa.time32("s"): "int32",
}  # fmt: skip


def type_name(kind):
    if pa.types.is_timestamp(kind):
        return f"timestamp({kind.unit}{', utc' if kind.tz else ''})"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_dictionary(kind):
        return type_name(kind.value_type)
    return TYPE_NAMES[kind]


def arrow_bytes(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH_ROWS)
    return sink.getvalue().size


def create(tables, dataset, table):
    api = tables.api
    columns = [(f.name, type_name(f.type), f.name in dataset.key) for f in table.schema]
    tables.create(dataset.name, columns, dataset.key)
    for kind, column in dataset.indexes:
        kind = api.IndexKind.Value(f"INDEX_KIND_{kind.upper()}")
        index = api.Index(name=f"by_{column}", kind=kind, columns=[column])
        tables.admin.CreateIndex(api.CreateIndexRequest(table=tables.table(dataset.name), index=index))


def load(tables, dataset, table):
    written = 0
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        answer = tables.write(dataset.name, batch, no_reject=True)
        written += answer.rows_written
    if written != table.num_rows:
        raise SystemExit(f"{dataset.name}: {written} of {table.num_rows} rows were written")


def settle(server, described):
    """Waits until only live files lie there; their size."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        size = sum(f.stat().st_size for f in pathlib.Path(server.data_dir, "store", "segments").rglob("*.parquet"))
        if size == described or time.monotonic() > deadline:
            return size
        time.sleep(0.1)


def measure(server_of, dataset):
    """(disk, CSV, Arrow, index bytes)"""
    import tables as tables_module

    table = dataset.read()
    if dataset.types is None and not dataset.indexes:
        dataset.indexes = (("sorted", table.column_names[0]),)
    server = server_of()
    try:
        tables = tables_module.Tables(server)
        create(tables, dataset, table)
        load(tables, dataset, table)
        tables.admin.Compact(tables.api.CompactRequest())
        about = tables.admin.DescribeTable(tables.api.DescribeTableRequest(table=tables.table(dataset.name)))
        if about.rows != table.num_rows:
            raise SystemExit(f"{dataset.name}: {about.rows} rows are in segments, {table.num_rows} were written")
        described = about.bytes + about.index_bytes
        size = settle(server, described)
        if size != described:
            raise SystemExit(f"{dataset.name}: files of {size} bytes, the server tells of {described}")
        return size, dataset.csv_bytes(table), arrow_bytes(table), about.index_bytes
    finally:
        server.stop()


def report(results):
    print(f"{'':16}{'rows on disk':>14}{'of it indexes':>15}{'CSV':>14}{'Arrow':>14}{'disk/CSV':>10}{'disk/Arrow':>12}")
    for name, (disk, csv, arrow, index) in results.items():
        ratios = f"{disk / csv:10.3f}{disk / arrow:12.3f}"
        print(f"  {name:14}{disk:14,}{index:15,}{csv:14,}{arrow:14,}{ratios}")
    csv_ratios = {name: r[0] / r[1] for name, r in results.items()}
    arrow_ratios = {name: r[0] / r[2] for name, r in results.items()}
    worst = max(csv_ratios, key=csv_ratios.get)
    each = " ".join(f"{name.replace('-', '_')}={ratio:.3f}" for name, ratio in csv_ratios.items())
    print(
        f"compression csv_ratio_geomean={statistics.geometric_mean(csv_ratios.values()):.3f} "
        f"worst={csv_ratios[worst]:.3f} worst_dataset={worst} "
        f"arrow_ratio_geomean={statistics.geometric_mean(arrow_ratios.values()):.3f} "
        f"arrow_ratio_worst={max(arrow_ratios.values()):.3f} datasets={len(results)} {each}"
    )


def main():
    parser = argparse.ArgumentParser(prog="bench_compression", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, help="a directory with more tables")
    parser.add_argument("--only", help="only this table")
    parser.add_argument("--dir", default=".", help="where to make the temporary data directories (.)")
    parser.add_argument("--build", default=os.environ.get("PLINTH_BUILD_DIR", "build/release"))
    options = parser.parse_args()
    os.environ["PLINTH_BIN_DIR"] = str(pathlib.Path(options.build).resolve() / "bin")
    sys.path.insert(0, str(ROOT / "tests" / "integration"))
    import conftest

    conftest.pytest_configure(None)  # the API's stubs
    datasets = fixed_set() + (more_of(options.data) if options.data else [])
    results = {}
    for dataset in datasets:
        if options.only and dataset.name != options.only:
            continue
        with tempfile.TemporaryDirectory(prefix="bench-", dir=options.dir) as work:
            make = lambda: conftest.Server(pathlib.Path(work, "data"), work, ["--log-level", "warn"]).start()
            results[dataset.name] = measure(make, dataset)
    report(results)


if __name__ == "__main__":
    sys.exit(main())
