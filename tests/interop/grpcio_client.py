"""grpcio, synchronous and asyncio, against plinth_interop_server: one line per case, exit status 1 when one fails.

Usage: grpcio_client.py address:port

Messages are made and read by hand (field 2 of SimpleRequest is the size of the answer), so that no generated code is
needed.
"""

import asyncio
import sys
import threading
import time

import grpc

SERVICE = "/grpc.testing.TestService/"


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, payload):
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def simple_request(response_size, body=b"", code=0, text=""):
    status = field(7, b"\x08" + varint(code) + field(2, text.encode())) if code else b""
    return b"\x10" + varint(response_size) + field(3, field(2, body)) + status


def output_request(sizes, interval_us=0):
    return b"".join(field(2, b"\x08" + varint(size) + b"\x10" + varint(interval_us)) for size in sizes)


class Cases:
    def __init__(self, channel):
        self.empty = channel.unary_unary(SERVICE + "EmptyCall")
        self.unary = channel.unary_unary(SERVICE + "UnaryCall")
        self.input = channel.stream_unary(SERVICE + "StreamingInputCall")
        self.output = channel.unary_stream(SERVICE + "StreamingOutputCall")
        self.duplex = channel.stream_stream(SERVICE + "FullDuplexCall")
        self.unknown = channel.unary_unary("/no.Service/Method")

    def empty_unary(self):
        assert self.empty(b"") == b""

    def large_unary(self):
        assert len(self.unary(simple_request(3 << 20, b"x" * (3 << 20)))) > 3 << 20

    def gzip_request(self):
        assert len(self.unary(simple_request(10, b"x" * 100000), compression=grpc.Compression.Gzip)) > 10

    def deflate_is_unimplemented(self):
        code, text = failure(lambda: self.unary(simple_request(1, b"x" * 1000), compression=grpc.Compression.Deflate))
        assert code == grpc.StatusCode.UNIMPLEMENTED, (code, text)

    def client_stream(self):
        sizes = [27182, 8, 1828, 45904]
        assert self.input(iter([field(1, field(2, b"x" * size)) for size in sizes])) == b"\x08" + varint(sum(sizes))

    def server_stream(self):
        assert len(list(self.output(output_request([1000] * 500)))) == 500

    def slow_reader(self):
        count = 0
        for _ in self.output(output_request([100000] * 100)):
            count += 1
            time.sleep(0.002)
        assert count == 100

    def duplex_stream(self):
        assert len(list(self.duplex(iter([output_request([10, 20])] * 20)))) == 40

    def status_and_text(self):
        code, text = failure(lambda: self.unary(simple_request(0, code=2, text="\t\ntest with \u2603 100%\r\n")))
        assert code == grpc.StatusCode.UNKNOWN and text == "\t\ntest with \u2603 100%\r\n", (code, text)

    def deadline(self):
        code, _ = failure(lambda: list(self.output(output_request([1], interval_us=5000000), timeout=0.05)))
        assert code == grpc.StatusCode.DEADLINE_EXCEEDED, code

    def cancel(self):
        call = self.output(output_request([10, 10], interval_us=100000))
        next(call)
        call.cancel()
        assert failure(lambda: next(call))[0] == grpc.StatusCode.CANCELLED

    def metadata(self):
        _, call = self.unary.with_call(simple_request(1), metadata=[("x-grpc-test-echo-initial", "first"),
                                                                    ("x-grpc-test-echo-trailing-bin", b"\x00\xff\n")])
        assert ("x-grpc-test-echo-initial", "first") in [tuple(entry) for entry in call.initial_metadata()]
        assert ("x-grpc-test-echo-trailing-bin", b"\x00\xff\n") in [tuple(entry) for entry in call.trailing_metadata()]

    def unknown_method(self):
        code, text = failure(lambda: self.unknown(b""))
        assert code == grpc.StatusCode.UNIMPLEMENTED and "/no.Service/Method" in text, (code, text)

    def many_threads(self):
        def work():
            for i in range(100):
                assert len(self.unary(simple_request(i))) >= i
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError("the call did not fail")


async def asyncio_calls(address):
    async with grpc.aio.insecure_channel(address) as channel:
        unary = channel.unary_unary(SERVICE + "UnaryCall")
        answers = await asyncio.gather(*(unary(simple_request(i)) for i in range(500)))
        assert all(len(answer) >= i for i, answer in enumerate(answers))
        duplex = channel.stream_stream(SERVICE + "FullDuplexCall")()
        for i in range(50):
            await duplex.write(output_request([i]))
            assert len(await duplex.read()) >= i
        await duplex.done_writing()
        assert await duplex.read() is grpc.aio.EOF


def main(address):
    options = [("grpc.max_receive_message_length", -1)]
    failed = 0
    with grpc.insecure_channel(address, options) as channel:
        cases = Cases(channel)
        names = [name for name in vars(Cases) if not name.startswith("_")]
        runs = [(name, getattr(cases, name)) for name in names]
        runs.append(("asyncio_calls", lambda: asyncio.run(asyncio_calls(address))))
        for name, run in runs:
            try:
                run()
                print(f"ok    grpcio {name}")
            except Exception as error:  # one bad case must not hide the others
                print(f"FAIL  grpcio {name}: {error!r}")
                failed += 1
    return 1 if failed else 0


sys.exit(main(sys.argv[1]))
