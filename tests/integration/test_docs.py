"""The examples of the documents, run as they are printed: each document against a fresh plinthd, its blocks in order.

Shell blocks (```sh, and indented lines that begin with a program) are run by bash, command by command; each must end with 0.
Blocks of Python are run in this process; where a print has a comment behind it, that is what it must print. What a document
takes for granted is made before (GIVEN), and what only looks like the real thing in print (a server's address, a position, a
job's number) is put in place (`real`)."""
import contextlib
import datetime
import io
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import time

import pyarrow as pa
import pytest

from conftest import BIN_DIR, ROOT

FOLLOW_S = 0.3  # what follows a feed is interrupted after this
TIME_S = 1.2  # passes where an example has "..."
COMMAND_S = 60

# What the examples of a document are about and it does not make itself; each is an argument list of `plinth`.
FLIGHTS = ["table", "create", "flights", "id int64, origin string, cancelled bool, primary key (id)"]
BIRDS = ["table", "create", "birds", "name string, legs int8, primary key (name)"]
GIVEN = {
    "docs/changes.md": [FLIGHTS, BIRDS, ["kv", "set", "user/1", "ann"]],
    "docs/deleting.md": [["space", "create", "scratch"], ["kv", "set", "session/2024-01", "x"]],
    "docs/history.md": [FLIGHTS, ["kv", "set", "cat", "1"]],
    "docs/indexes.md": [["table", "create", "metrics", "host string, at timestamp(us), load float64, primary key (host, at)"]],
    "docs/operations.md": [["kv", "set", "cat", "1"], ["flush"], ["kv", "set", "cat", "2"]],
    "docs/transactions.md": [
        FLIGHTS,
        ["table", "create", "users", "id int64, name string, nickname string, primary key (id)"],
        ["table", "create", "articles", "id int64, price int64, list_price int64, primary key (id)"],
    ],
}
# Commands that end with another code, because of what they are about.
CODES = {"plinth jobs cancel 17": 3}

DOCUMENTS = ["README.md"] + sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "docs").glob("*.md")
    if path.stem not in ("BENCHMARKS", "RELIABILITY", "parquet", "parquet-conformance", "segments")
)
PROGRAMS = ("plinth ", "printf ")


def blocks(text):
    """(kind, line number, text) of each block of code: "sh", "python" ... of fenced ones, "" of indented ones."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        fence = re.fullmatch(r"```(\w*)", lines[at])
        first = at + 1 if fence else at
        at = first
        if fence:
            while lines[at] != "```":
                at += 1
            yield fence[1], first + 1, "\n".join(lines[first:at])
        elif lines[at].startswith("    "):
            while at < len(lines) and lines[at].startswith("    "):
                at += 1
            yield "", first + 1, "\n".join(line[4:] for line in lines[first:at])
            continue
        at += 1


def commands(text):
    """Those of a block of shell: a command may have several lines, where its quotes do."""
    command = ""
    for line in text.splitlines():
        command += ("\n" if command else "") + line
        try:
            words = shlex.split(command, comments=True)
        except ValueError:  # no closing quotation
            continue
        if words:
            yield command
        command = ""
    assert not command, command


def expectations(code):
    """What the prints with a comment must print."""
    return re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)


def thin_out(source, target):
    """A part of a file of example data, with the flight that the documents look up."""
    with pa.input_stream(str(source), compression="zstd") as stream:
        lines = stream.read().splitlines(keepends=True)
    with pa.output_stream(str(target), compression="zstd") as stream:
        stream.write(b"".join(line for i, line in enumerate(lines) if i % 16 == 0 or b",1545,EWR," in line))


class Reader:
    """One who does what a document says."""

    def __init__(self, server, directory, data):
        self.server, self.directory = server, directory
        programs = directory / "bin"
        programs.mkdir()
        wrapper = programs / "plinth"
        wrapper.write_text(
            f"""#!/bin/sh
case " $* " in
*' --follow '*)
    timeout -s INT {FOLLOW_S} {BIN_DIR}/plinth "$@"
    [ $? -eq 124 ] ;;
*) exec {BIN_DIR}/plinth "$@" ;;
esac
"""
        )
        wrapper.chmod(0o755)
        (directory / "examples").symlink_to(data)
        (directory / "plinth-data").symlink_to(server.data_dir)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PLINTH_SERVER": server.address,
            "PLINTH_STATE_DIR": str(directory / "state"),
        }

    def real(self, text):
        """With what is there in place of what is printed."""
        for printed in ("localhost:50051", "127.0.0.1:50051"):
            text = text.replace(printed, self.server.address)
        text = text.replace("/var/lib/plinth", str(self.server.data_dir))
        if "0101b807e1" in text:
            position = re.search(r'"position":"(\w+)"', self.server.cli("changes", check=True).out)[1]
            text = text.replace("0101b807e1", position)
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return re.sub(r"(?<=--as-of )\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", now, text)

    def run_shell(self, text):
        for command in commands(text):
            if command == "...":
                time.sleep(TIME_S)
                continue
            if "jq " in command and not shutil.which("jq"):
                continue
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", self.real(command)],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_S,
                check=False,
            )
            said = f"{command}\nends with {done.returncode}: {done.stdout[-2000:]}{done.stderr}"
            assert done.returncode == CODES.get(command, 0), said

    def run_python(self, code):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.chdir(self.directory):
            exec(compile(self.real(code), "example", "exec"), {"__name__": "__main__"})  # pylint: disable=exec-used
        lines = iter(out.getvalue().splitlines())
        for wanted in expectations(code):
            assert wanted in lines, f"{wanted!r} is not printed: {out.getvalue()}"


def is_shell(kind, text):
    return kind in ("sh", "bash") or (not kind and text.startswith(PROGRAMS))


def examples(document):
    for kind, line, text in blocks((ROOT / document).read_text()):
        if is_shell(kind, text) or kind == "python":
            yield kind, line, text


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """What stands for examples/."""
    directory = tmp_path_factory.mktemp("examples")
    (directory / "data").mkdir()
    for source in (ROOT / "examples" / "data").glob("*.zst"):
        thin_out(source, directory / "data" / source.name)
    return directory


@pytest.mark.parametrize("document", [name for name in DOCUMENTS if list(examples(name))])
def test_what_a_document_says_can_be_done(make_server, tmp_path, data, document):
    reader = Reader(make_server(), tmp_path, data)
    for words in GIVEN.get(document, []):
        reader.server.cli(*words, check=True)
    for kind, line, text in examples(document):
        try:
            if kind == "python":
                reader.run_python(text)
            else:
                reader.run_shell(text)
        except BaseException as problem:
            raise AssertionError(f"{document}:{line}: {problem}") from problem


def test_every_page_about_a_feature_has_an_example():
    for page in ("transactions", "deleting", "expiry", "changes", "indexes", "operations", "history", "tables"):
        assert any(is_shell(kind, text) for kind, _, text in examples(f"docs/{page}.md")), page
