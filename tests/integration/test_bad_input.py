"""What clients get wrong: each a status of its own with a message that names the thing, and the server goes on."""
import zlib

import grpc
import pytest

GET = "/plinth.v1.KeyValue/Get"
SET = "/plinth.v1.KeyValue/Set"


@pytest.fixture(autouse=True)
def still_serving(shared_server, api):
    yield
    shared_server.kv.Set(api.SetRequest(key=b"alive", value=b"1"))


def raw(channel, path, message, **options):
    return channel.unary_unary(path, request_serializer=lambda b: b, response_deserializer=lambda b: b)(message, **options)


def refused(call, code, *parts):
    with pytest.raises(grpc.RpcError) as raised:
        call()
    assert raised.value.code() == code, raised.value.details()
    for part in parts:
        assert part in raised.value.details()


INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
NOT_FOUND = grpc.StatusCode.NOT_FOUND


def test_empty_keys(shared_server, api):
    kv = shared_server.kv
    for call, request in [
        (kv.Get, api.GetRequest()),
        (kv.Set, api.SetRequest(value=b"v")),
        (kv.Delete, api.DeleteRequest()),
        (kv.CompareAndSet, api.CompareAndSetRequest(absent=True)),
    ]:
        refused(lambda: call(request), INVALID, "key")


def test_oversized_keys_values_and_index_values(shared_server, api):
    kv = shared_server.kv
    key, value = b"k" * (64 * 1024 + 1), b"v" * ((64 << 20) + 1)
    refused(lambda: kv.Get(api.GetRequest(key=key)), EXHAUSTED, "key", "65537")
    refused(lambda: kv.Set(api.SetRequest(key=key, value=b"v")), EXHAUSTED, "key")
    refused(lambda: kv.Delete(api.DeleteRequest(key=key)), EXHAUSTED, "key")
    refused(lambda: kv.Set(api.SetRequest(key=b"k", value=value)), EXHAUSTED, "value")
    index = api.IndexValue(index="i", value=b"x" * 4097)
    refused(lambda: kv.Set(api.SetRequest(key=b"k", value=b"v", indexes=[index])), EXHAUSTED, "index")
    refused(lambda: kv.Get(api.GetRequest(key=b"k")), NOT_FOUND)


def test_messages_over_the_limit(shared_server):
    channel = shared_server.channel()
    refused(lambda: raw(channel, SET, b"\x0a\x01k\x12\xfe\xff\xbf\x02" + b"v" * (66 << 20)), EXHAUSTED)
    refused(lambda: raw(channel, GET, b"\x0a\xfe\xff\xbf\x02" + b"v" * (17 << 20)), EXHAUSTED)


@pytest.mark.parametrize(
    "message, named",
    [
        (b"\x0a\x05ab", "plinth.v1.GetRequest: malformed protobuf at byte 0"),
        (b"\x0a\x01k\x12\x02\x0a\x09", "plinth.v1.Space: malformed"),
        (b"\xff" * 20, "malformed"),
        (b"\x08\x01", "plinth.v1.GetRequest"),
        (b"\x0a\x01k\x12\x03\x12\x01\xff", "plinth.v1.Space.name: not UTF-8"),
    ],
)
def test_malformed_protobuf(shared_server, message, named):
    refused(lambda: raw(shared_server.channel(), GET, message), INVALID, named)


@pytest.mark.parametrize("path", ["/plinth.v1.KeyValue/Steal", "/plinth.v1.Nothing/Get", "/Get", "/"])
def test_unknown_methods(shared_server, path):
    refused(lambda: raw(shared_server.channel(), path, b""), grpc.StatusCode.UNIMPLEMENTED)


def test_unknown_spaces_databases_and_indexes(shared_server, api):
    kv = shared_server.kv
    space = api.Space(name="nowhere")
    for call in [
        lambda: kv.Get(api.GetRequest(key=b"k", space=space)),
        lambda: kv.Set(api.SetRequest(key=b"k", value=b"v", space=space)),
        lambda: kv.Delete(api.DeleteRequest(key=b"k", space=space)),
        lambda: kv.CompareAndSet(api.CompareAndSetRequest(key=b"k", space=space)),
        lambda: list(kv.Scan(api.ScanRequest(space=space))),
        lambda: kv.GetByIndex(api.GetByIndexRequest(index="i", exact=b"", space=space)),
    ]:
        refused(call, NOT_FOUND, "nowhere")
    refused(lambda: kv.Get(api.GetRequest(key=b"k", space=api.Space(database="elsewhere"))), NOT_FOUND, "elsewhere")
    refused(lambda: kv.GetByIndex(api.GetByIndexRequest(index="no-index", exact=b"")), NOT_FOUND, "no-index")


def test_wrong_fields(shared_server, api):
    kv, admin = shared_server.kv, shared_server.admin
    write = api.WriteOptions
    for options, named in [
        (write(durability=7), "write.durability"),
        (write(producer_id=1), "write.sequence"),
        (write(sequence=1), "write.producer_id"),
        (write(chunk=1, chunk_count=2), "write.chunk"),
        (write(chunk_count=2), "write.chunk"),
    ]:
        refused(lambda: kv.Set(api.SetRequest(key=b"k", value=b"v", write=options)), INVALID, named)
    for bad in (b"x", b"\x01\x01\x01", b"\x02\x01\x01\x00", b"\x01" + b"\xff" * 12):
        position = api.Position(token=bad)
        refused(lambda: kv.Get(api.GetRequest(key=b"k", read=api.ReadOptions(position_min=position))), INVALID, "read.position_min")
        refused(lambda: kv.Get(api.GetRequest(key=b"k", read=api.ReadOptions(snapshot=position))), INVALID, "read.snapshot")
        refused(lambda: kv.ReleaseSnapshot(api.ReleaseSnapshotRequest(position=position)), INVALID, "position")
    refused(lambda: kv.GetByIndex(api.GetByIndexRequest(exact=b"")), INVALID, "index")
    refused(lambda: kv.GetByIndex(api.GetByIndexRequest(index="i")), INVALID, "match")
    refused(lambda: kv.GetByIndex(api.GetByIndexRequest(index="i", exact=b"", page_size=10001)), INVALID, "page_size")
    refused(lambda: kv.Set(api.SetRequest(key=b"k", indexes=[api.IndexValue(index="", value=b"x")])), INVALID, "index")
    refused(lambda: kv.Set(api.SetRequest(key=b"k", indexes=[api.IndexValue(index="x" * 129, value=b"x")])), INVALID, "index")
    refused(lambda: admin.CreateSpace(api.CreateSpaceRequest()), INVALID, "space.name")
    refused(lambda: admin.CreateSpace(api.CreateSpaceRequest(space=api.Space(name="a/b"))), INVALID, "space name", "0x2f")


def test_a_message_of_millions_of_parts(shared_server):
    refused(lambda: raw(shared_server.channel(), SET, b"\x0a\x01k" + b"\x1a\x00" * (2 << 20)), EXHAUSTED)


def test_gzip_is_read(shared_server, api):
    channel = shared_server.channel()
    request = api.SetRequest(key=b"squeezed", value=b"a" * 100_000)
    call = api.KeyValueStub(channel)
    call.Set(request, compression=grpc.Compression.Gzip)
    assert call.Get(api.GetRequest(key=b"squeezed")).value == b"a" * 100_000


def test_deflate_is_refused(shared_server, api):
    kv = shared_server.kv
    refused(
        lambda: kv.Set(api.SetRequest(key=b"k", value=b"a" * 1000), compression=grpc.Compression.Deflate),
        grpc.StatusCode.UNIMPLEMENTED,
        "grpc-encoding",
        "gzip",
    )


def test_a_gzip_bomb_is_refused(shared_server):
    import socket
    import struct

    # grpcio would not send one: HTTP/2 by hand, one HEADERS and one DATA frame.
    squeezed = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = squeezed.compress(b"\0" * (64 << 20)) + squeezed.flush()
    message = b"\x01" + struct.pack(">I", len(body)) + body

    def literal(name, value):
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value

    headers = b"\x83\x86" + literal(b":path", SET.encode()) + literal(b":authority", b"localhost")
    headers += literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers") + literal(b"grpc-encoding", b"gzip")

    def frame(kind, flags, stream, payload):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    with socket.create_connection(("127.0.0.1", shared_server.grpc_port), 10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 4, 1, headers))
        for at in range(0, len(message), 16000):
            connection.sendall(frame(0, 1 if at + 16000 >= len(message) else 0, 1, message[at : at + 16000]))
        connection.settimeout(10)
        received = b""
        while not ended(received):
            part = connection.recv(4096)
            assert part, "the connection was closed without a status"
            received += part


def ended(received):
    """Whether stream 1 has been ended, by END_STREAM or RST_STREAM."""
    while len(received) >= 9:
        size, kind, flags = int.from_bytes(received[:3], "big"), received[3], received[4]
        stream = int.from_bytes(received[5:9], "big")
        if stream == 1 and (kind == 3 or (kind in (0, 1) and flags & 1)):
            return True
        received = received[9 + size :]
    return False


def test_garbage_instead_of_http2(shared_server):
    import socket

    for garbage in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\0" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 50):
        with socket.create_connection(("127.0.0.1", shared_server.grpc_port), 10) as connection:
            connection.sendall(garbage)
            connection.settimeout(5)
            try:
                while connection.recv(4096):
                    pass
            except (ConnectionResetError, TimeoutError):
                pass
