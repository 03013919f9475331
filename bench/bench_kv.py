"""Keys: the embedded engine by itself (kv_engine), then one workload (kv_workload.c) by turns on Plinth, RocksDB, LMDB and
BadgerDB, each a process of its own. What is compared are medians over the rounds.

bench_kv.py [--rounds N] [--stores NAME,NAME...] [--no-engine] [OPTION of the workload...]"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("PLINTH_BUILD_DIR", ROOT / "build" / "release"))
STORES = {
    "plinth": BUILD / "bench" / "kv_plinth",
    "rocksdb": ROOT / "build" / "peers" / "bin" / "kv_rocksdb",
    "rocksdb_packaged": ROOT / "build" / "peers" / "bin" / "kv_rocksdb_packaged",
    "lmdb": ROOT / "build" / "peers" / "bin" / "kv_lmdb",
    "badger": ROOT / "build" / "peers" / "bin" / "kv_badger",
}
# Key of the line, figure of the workload, peer. Rates, where more is better, but for the last two: latency and bytes.
RATIOS = [
    ("set_vs_rocksdb", "set_per_s", "rocksdb"),
    ("batch_vs_rocksdb", "batch_per_s", "rocksdb"),
    ("syncset32_vs_rocksdb", "syncset32_per_s", "rocksdb"),
    ("get_vs_lmdb", "get_per_s", "lmdb"),
    ("get2_vs_lmdb", "get2_per_s", "lmdb"),
    ("seek_vs_rocksdb", "seek_per_s", "rocksdb"),
    ("rww_vs_rocksdb", "rww_per_s", "rocksdb"),
    ("rww_p99_vs_rocksdb", "rww_p99_us", "rocksdb"),
    ("size_vs_rocksdb", "bytes_per_key", "rocksdb"),
]


def run(program, arguments):
    """Prints what the program prints but its last line, whose figures it returns."""
    process = subprocess.Popen([str(program), *arguments], stdout=subprocess.PIPE, text=True)
    last = ""
    for line in process.stdout:
        if last:
            print(last, end="", flush=True)
        last = line
    if process.wait():
        sys.exit(f"{program} failed")
    return {key: float(value) for key, value in re.findall(r"(\w+)=([\d.]+)", last)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--no-engine", action="store_true", help="the comparison only")
    options, rest = parser.parse_known_args()
    unknown = set(options.stores.split(",")) - set(STORES)
    if unknown:
        parser.error(f"no such store: {', '.join(sorted(unknown))}")
    line = {}
    if not options.no_engine:
        line.update(run(BUILD / "bench" / "kv_engine", []))
    rounds = {name: [] for name in options.stores.split(",")}
    if not all(STORES[name].exists() for name in rounds):
        subprocess.run([str(ROOT / "scripts" / "kv_peers.sh")], check=False)
    for name in [name for name in rounds if not STORES[name].exists()]:
        print(f"{name} is not there: left out")
        del rounds[name]
    for _ in range(options.rounds):
        for name, results in rounds.items():
            results.append(run(STORES[name], rest))
    medians = {name: {key: statistics.median(r[key] for r in results) for key in results[0]} for name, results in rounds.items()}
    names = list(medians["plinth"]) if "plinth" in medians else []
    print(f"{'median of ' + str(options.rounds):20}" + "".join(f"{name:>18}" for name in medians))
    for key in names:
        print(f"{key:20}" + "".join(f"{medians[name][key]:18,.1f}" for name in medians))
    for key, figure, peer in RATIOS:
        if "plinth" in medians and peer in medians:
            line[key] = f"{medians['plinth'][figure] / medians[peer][figure]:.2f}"
    if "plinth" in medians:
        ours = medians["plinth"]
        line["syncset32_vs_disk"] = f"{ours['syncset32_per_s'] / (32 * ours['fdatasync_per_s']):.2f}"
    print("kv " + " ".join(f"{key}={value:.0f}" if isinstance(value, float) else f"{key}={value}" for key, value in line.items()))


if __name__ == "__main__":
    main()
