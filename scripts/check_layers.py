#!/usr/bin/env python3
"""Fail on an include that points up or sideways through the layers of src/.

A folder ("room") may include itself and the rooms before it in ORDER. Further rules:
  - rpc includes only base; only cmd includes service; nothing includes cmd;
  - `x_private.h`, and any header that includes one, is included only from its own room;
  - includes of Plinth's own headers are written "room/file.h", never relative;
  - the public headers in include/ include nothing of src/;
  - generated protobuf code (*.pb-c.h) is known to service and cmd only;
  - the libraries named by plinth_room(... DEPENDS ...) keep to the same order.
"""
import pathlib
import re
import sys

ORDER = "base column expr parquet store log table catalog engine query rpc cluster service cmd".split()
ONLY = {"rpc": {"base"}}
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
PUBLIC = re.compile(r"^plinth(_\w+)?\.h$")


def may_include(room, other):
    if room == other:
        return True
    if other == "cmd" or (other == "service" and room != "cmd"):
        return False
    if room in ONLY:
        return other in ONLY[room]
    return ORDER.index(other) < ORDER.index(room)


def find_private(src):
    """The names ("room/file.h") of the headers for one room only: *_private.h and what includes those."""
    headers = {str(p.relative_to(src)): p for p in src.rglob("*.h")}
    private = {name for name in headers if name.endswith("_private.h")}
    while True:
        more = {n for n, p in headers.items() if n not in private and any(i in private for _, i in includes_of(p))}
        if not more:
            return private
        private |= more


def check_include(room, name, private):
    """The complaint about one include in a file of a room, or None."""
    if PUBLIC.match(name):
        return None
    if name.endswith(".pb-c.h"):
        return None if room in ("service", "cmd") else "generated protobuf code belongs to service and cmd"
    if ".." in name.split("/") or "/" not in name:
        return 'write it as "room/file.h"'
    other = name.split("/")[0]
    if other not in ORDER:
        return f"{other!r} is no room of src/"
    if not may_include(room, other):
        return f"{room} may not include {other}"
    if name in private and other != room:
        return f"it is private to {other}"
    return None


def includes_of(file):
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        match = INCLUDE.match(line)
        if match:
            yield number, match.group(1)


def check_sources(root, complain):
    files = 0
    private = find_private(root / "src")
    for folder in sorted(p for p in (root / "src").iterdir() if p.is_dir()):
        if folder.name not in ORDER:
            complain(folder, 0, "this folder has no place in the layer order (scripts/check_layers.py)")
            continue
        for file in sorted(folder.rglob("*.[ch]")):
            files += 1
            for number, name in includes_of(file):
                problem = check_include(folder.name, name, private)
                if problem:
                    complain(file, number, f'#include "{name}": {problem}')
    for file in sorted((root / "include").glob("*.h")):
        files += 1
        for number, name in includes_of(file):
            if not PUBLIC.match(name):
                complain(file, number, f'#include "{name}": a public header includes public headers only')
    return files


def check_libraries(root, complain):
    for file in sorted((root / "src").glob("*/CMakeLists.txt")):
        text = re.sub(r"#.*", "", file.read_text(encoding="utf-8"))
        for room, body in re.findall(r"plinth_room\(\s*(\w+)([^)]*)\)", text):
            for other in re.findall(r"\bplinth_(\w+)", body.partition("DEPENDS")[2]):
                if room in ORDER and other in ORDER and not may_include(room, other):
                    complain(file, 0, f"plinth_{room} may not depend on plinth_{other}")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    complaints = []

    def complain(file, number, text):
        place = f"{file.relative_to(root)}:{number}" if number else str(file.relative_to(root))
        complaints.append(f"{place}: {text}")

    files = check_sources(root, complain)
    check_libraries(root, complain)
    for line in complaints:
        print(line)
    if complaints:
        sys.exit(1)
    print(f"{files} files keep to the layers")


if __name__ == "__main__":
    main()
