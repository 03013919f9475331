"""Fixtures of the end-to-end tests: a real plinthd on a directory and ports of its own, and clients for it.

    server        a fresh plinthd for one test
    make_server   a function that makes more of them: make_server(data_dir=..., args=[...], start=False)
    shared_server one plinthd for all tests of a module that do not mind each other

PLINTH_BIN_DIR says where plinthd and plinth are (default: build/release/bin). The Python stubs of the API are made
from api/ into build/python once a session.
"""
import dataclasses
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import types

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN_DIR = pathlib.Path(os.environ.get("PLINTH_BIN_DIR", ROOT / "build" / "release" / "bin"))
STUBS = ROOT / "build" / "python"
START_TIMEOUT_S = float(os.environ.get("PLINTH_START_TIMEOUT_S", "60"))
STOP_TIMEOUT_S = 60


def _generate_stubs():
    """Make the stubs anew when a .proto, or the packages that make them, are newer than they are."""
    protos = sorted((ROOT / "api" / "plinth").rglob("*.proto"))
    inputs = [*protos, pathlib.Path(__file__).with_name("requirements.txt")]
    stamp = STUBS / ".made"
    if not stamp.exists() or any(p.stat().st_mtime > stamp.stat().st_mtime for p in inputs):
        from grpc_tools import protoc

        STUBS.mkdir(parents=True, exist_ok=True)
        arguments = ["protoc", f"-I{ROOT / 'api'}", f"--python_out={STUBS}", f"--grpc_python_out={STUBS}"]
        if protoc.main(arguments + [str(p) for p in protos]) != 0:
            raise RuntimeError("the protos of api/ do not compile")
        stamp.touch()
    if str(STUBS) not in sys.path:
        sys.path.insert(0, str(STUBS))


def pytest_configure(config):
    _generate_stubs()


def load_api():
    """All messages and stubs of plinth.v1 in one namespace."""
    api = types.SimpleNamespace()
    for module in ("types_pb2", "key_value_pb2", "admin_pb2", "processor_pb2", "key_value_pb2_grpc", "admin_pb2_grpc", "processor_pb2_grpc"):
        loaded = importlib.import_module(f"plinth.v1.{module}")
        for name in dir(loaded):
            if not name.startswith("_"):
                setattr(api, name, getattr(loaded, name))
    return api


@dataclasses.dataclass
class CliResult:
    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


class ServerDied(Exception):
    """plinthd ended before it was ready; `code` and `log` say how."""

    def __init__(self, code, log):
        super().__init__(f"plinthd ended with {code}:\n{log}")
        self.code = code
        self.log = log


class Server:
    """One plinthd. Its data directory outlives it, so that it can be started again."""

    def __init__(self, data_dir, work_dir, args=()):
        self.data_dir = pathlib.Path(data_dir)
        self.work_dir = pathlib.Path(work_dir)
        self.args = list(args)
        self.log_path = self.work_dir / "plinthd.log"
        self.process = None
        self.grpc_port = None
        self.http_port = None
        self._channels = []

    # ---- life

    def start(self, env=None):
        """Start and wait until it serves. Raises ServerDied when it ends instead."""
        assert self.process is None
        ports_file = self.work_dir / "ports.json"
        ports_file.unlink(missing_ok=True)
        command = [BIN_DIR / "plinthd", "--data-dir", self.data_dir, "--listen", "127.0.0.1:0"]
        command += ["--http-listen", "127.0.0.1:0", "--ports-file", ports_file, *self.args]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(env or {})}
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            ports = self._read_ports(ports_file)
            if ports:
                break
            if self.process.poll() is not None:
                code, self.process = self.process.returncode, None
                raise ServerDied(code, self.log())
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"plinthd was not ready after {START_TIMEOUT_S} s:\n{self.log()}")
            time.sleep(0.01)
        self.grpc_port, self.http_port = ports["grpc"], ports["http"]
        return self

    @staticmethod
    def _read_ports(path):
        try:
            return json.loads(path.read_text())
        except (FileNotFoundError, json.JSONDecodeError):  # not there, or not written to its end
            return None

    def stop(self):
        """SIGTERM: it drains and must end with 0."""
        self._close_channels()
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"plinthd did not end within {STOP_TIMEOUT_S} s of SIGTERM:\n{self.log()}") from None
        assert code == 0, f"plinthd ended with {code}:\n{self.log()}"

    def kill(self):
        """SIGKILL: what it had not handed to the operating system is gone."""
        self._close_channels()
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def restart(self):
        self.stop()
        return self.start()

    def crash(self):
        self.kill()
        return self.start()

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # ---- clients

    @property
    def address(self):
        return f"127.0.0.1:{self.grpc_port}"

    def url(self, path):
        return f"http://127.0.0.1:{self.http_port}{path}"

    def channel(self, **options):
        """A grpcio channel of its own (no connection shared with others); closed with the server."""
        import grpc

        settings = {"grpc.use_local_subchannel_pool": 1, "grpc.max_receive_message_length": 66 << 20, **options}
        channel = grpc.insecure_channel(self.address, options=list(settings.items()))
        self._channels.append(channel)
        return channel

    @property
    def kv(self):
        return load_api().KeyValueStub(self.channel())

    @property
    def admin(self):
        return load_api().AdminStub(self.channel())

    @property
    def processor(self):
        return load_api().ProcessorStub(self.channel())

    def cli(self, *args, input=None, timeout=120, check=False):
        """Run the plinth CLI against this server."""
        return run_cli(*args, address=self.address, input=input, timeout=timeout, check=check)

    def segment_files(self):
        return sorted(self.data_dir.rglob("*.parquet"))

    def _close_channels(self):
        for channel in self._channels:
            channel.close()
        self._channels = []


def run_cli(*args, address=None, input=None, timeout=120, check=False):
    command = [str(BIN_DIR / "plinth")]
    if address:
        command += ["--server", address]
    done = subprocess.run(
        command + [str(a) for a in args],
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"plinth {' '.join(map(str, args))} ended with {done.returncode}: {done.stderr}"
    return CliResult(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def api():
    return load_api()


def _finish(servers):
    """Stop what still runs. A server that died by itself fails the test that used it."""
    problems = []
    for server in servers:
        if server.process is None:
            continue
        if server.process.poll() is not None:
            problems.append(f"plinthd ended with {server.process.returncode} during the test:\n{server.log()}")
            continue
        try:
            server.stop()
        except AssertionError as problem:
            problems.append(str(problem))
    if problems:
        pytest.fail("\n".join(problems))


@pytest.fixture
def make_server(tmp_path):
    servers = []

    def make(data_dir=None, args=(), start=True, env=None):
        work_dir = tmp_path / f"server{len(servers)}"
        work_dir.mkdir()
        server = Server(data_dir or work_dir / "data", work_dir, args)
        servers.append(server)
        return server.start(env) if start else server

    yield make
    _finish(servers)


@pytest.fixture
def server(make_server):
    return make_server()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("server")
    server = Server(work_dir / "data", work_dir).start()
    yield server
    _finish([server])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own; needs root and the right to mount."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "none", path], capture_output=True)
    if mounted.returncode:
        pytest.skip("cannot mount a file system here")
    yield path
    subprocess.run(["umount", "-l", path], check=True)
