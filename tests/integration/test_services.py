"""Admin, health, reflection and the HTTP pages."""
import json
import os
import threading
import time
import urllib.error
import urllib.request

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def fetch(server, path):
    """(status, content type, body) of an HTTP page."""
    try:
        with urllib.request.urlopen(server.url(path), timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def metrics(server):
    """The samples of /metrics by their full name with labels."""
    samples = {}
    for line in fetch(server, "/metrics")[2].splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in samples, f"{name} twice"
            samples[name] = float(value)
    return samples


# ---- Admin


def test_status_tells_what_the_server_is(api, shared_server):
    before = shared_server.admin.Status(api.StatusRequest())
    shared_server.kv.Set(api.SetRequest(key=b"k", value=b"v"))
    status = shared_server.admin.Status(api.StatusRequest())
    assert status.version and status.data_directory == str(shared_server.data_dir)
    assert status.ready and not status.reason
    assert status.feature_level >= 1
    assert status.acknowledged_lsn > before.acknowledged_lsn and status.acknowledged != before.acknowledged
    assert status.numbers["sets"] == before.numbers["sets"] + 1
    assert status.uptime_ms >= before.uptime_ms


def test_flush_and_compact_make_segments(api, shared_server):
    kv, admin = shared_server.kv, shared_server.admin
    for round_ in range(3):
        for i in range(50):
            kv.Set(api.SetRequest(key=b"%03d" % i, value=b"%d" % round_, write=api.WriteOptions(durability=1)))
        assert admin.Flush(api.FlushRequest()).position.token
    assert shared_server.segment_files()
    compacted = admin.Compact(api.CompactRequest())
    assert 1 <= compacted.segments_after <= compacted.segments_before
    assert kv.Get(api.GetRequest(key=b"007")).value == b"2"


def test_verify_ends_with_a_summary(api, shared_server):
    kv, admin = shared_server.kv, shared_server.admin
    kv.Set(api.SetRequest(key=b"k", value=b"v", indexes=[api.IndexValue(index="i", value=b"x")]))
    admin.Flush(api.FlushRequest())
    *findings, last = admin.Verify(api.VerifyRequest())
    assert findings == []
    assert last.summary.rows >= 1 and last.summary.index_entries >= 1 and last.summary.problems == 0


def test_a_damaged_segment_is_found_and_named(api, make_server):
    server = make_server()
    for i in range(500):
        server.kv.Set(api.SetRequest(key=b"%04d" % i, value=os.urandom(100), write=api.WriteOptions(durability=1)))
    server.admin.Flush(api.FlushRequest())
    server.stop()
    segment = max(server.segment_files(), key=lambda path: path.stat().st_size)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0xFF  # in the values: most of the file
    segment.write_bytes(data)
    server.start()
    *findings, last = server.admin.Verify(api.VerifyRequest())
    assert last.summary.problems == len(findings) > 0
    assert any(segment.name in f.finding.object + f.finding.problem for f in findings)
    result = server.cli("verify")
    assert result.code == 6 and segment.name in result.err
    with pytest.raises(grpc.RpcError) as raised:
        for i in range(500):
            server.kv.Get(api.GetRequest(key=b"%04d" % i))
    assert raised.value.code() == grpc.StatusCode.DATA_LOSS and segment.name in raised.value.details()


def test_spaces_are_made_once_and_listed(api, shared_server):
    admin = shared_server.admin
    space = api.Space(database="shop", name="users")
    admin.CreateSpace(api.CreateSpaceRequest(space=space))
    with pytest.raises(grpc.RpcError) as raised:
        admin.CreateSpace(api.CreateSpaceRequest(space=space))
    assert raised.value.code() == grpc.StatusCode.ALREADY_EXISTS and "users" in raised.value.details()
    spaces = [(s.space.database, s.space.name) for s in admin.ListSpaces(api.ListSpacesRequest()).spaces]
    assert ("shop", "users") in spaces and ("default", "default") in spaces and spaces == sorted(spaces)
    indexes = [api.IndexValue(index="b", value=b"1"), api.IndexValue(index="a", value=b"2")]
    shared_server.kv.Set(api.SetRequest(key=b"k", value=b"shop", indexes=indexes, space=space))
    described = {(s.space.database, s.space.name): s for s in admin.ListSpaces(api.ListSpacesRequest()).spaces}
    assert list(described["shop", "users"].indexes) == ["b", "a"]
    assert "a" not in described["default", "default"].indexes
    assert len({s.table for s in described.values()}) == len(described)
    with pytest.raises(grpc.RpcError):
        shared_server.kv.Get(api.GetRequest(key=b"k", space=api.Space(database="shop")))


# ---- health


def test_health_by_service(shared_server):
    health = health_pb2_grpc.HealthStub(shared_server.channel())
    for name in ("", "plinth.v1.KeyValue", "plinth.v1.Admin", "plinth.v1.Processor"):
        assert health.Check(health_pb2.HealthCheckRequest(service=name)).status == SERVING
    with pytest.raises(grpc.RpcError) as raised:
        health.Check(health_pb2.HealthCheckRequest(service="nothing"))
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_watch_tells_changes_and_ends_with_the_server(make_server):
    server = make_server()
    health = health_pb2_grpc.HealthStub(server.channel())
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == SERVING
    unknown = health.Watch(health_pb2.HealthCheckRequest(service="nothing"))
    assert next(unknown).status == SERVICE_UNKNOWN
    unknown.cancel()
    process, server.process = server.process, None
    process.terminate()
    assert next(watch).status == NOT_SERVING
    with pytest.raises(grpc.RpcError) as raised:
        next(watch)
    assert raised.value.code() == grpc.StatusCode.UNAVAILABLE
    assert process.wait(30) == 0


# ---- reflection


def test_the_reflection_client_finds_everything(shared_server):
    database = ProtoReflectionDescriptorDatabase(shared_server.channel())
    assert set(database.get_services()) == {
        "plinth.v1.KeyValue",
        "plinth.v1.Admin",
        "plinth.v1.Ingestion",
        "plinth.v1.ChangeFeed",
        "plinth.v1.Transactions",
        "plinth.v1.Query",
        "plinth.v1.Processor",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    from google.protobuf.descriptor_pool import DescriptorPool

    pool = DescriptorPool(database)
    service = pool.FindServiceByName("plinth.v1.KeyValue")
    assert "CompareAndSet" in service.methods_by_name
    assert pool.FindMessageTypeByName("plinth.v1.BatchRequest").fields_by_name["operations"]
    assert pool.FindFileByName("plinth/v1/types.proto").package == "plinth.v1"
    with pytest.raises(KeyError):
        pool.FindServiceByName("plinth.v1.Nothing")


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_many_questions_in_one_stream_are_answered_in_order(shared_server, version):
    request, response = reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
    ask = shared_server.channel().stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    questions = [
        request(host="here", list_services=""),
        request(file_containing_symbol="plinth.v1.KeyValue.Get"),
        request(file_containing_symbol="plinth.v1.Nothing"),
        request(file_by_filename="plinth/v1/admin.proto"),
        request(file_by_filename="nothing.proto"),
        request(all_extension_numbers_of_type="plinth.v1.GetRequest"),
        request(file_containing_extension=reflection_pb2.ExtensionRequest(containing_type="plinth.v1.GetRequest", extension_number=5)),
        request(),
    ] * 5
    answers = list(ask(iter(questions)))
    kinds = [a.WhichOneof("message_response") for a in answers]
    assert kinds == [
        "list_services_response",
        "file_descriptor_response",
        "error_response",
        "file_descriptor_response",
        "error_response",
        "all_extension_numbers_response",
        "error_response",
        "error_response",
    ] * 5
    assert answers[0].valid_host == "here" and answers[0].original_request == questions[0]
    assert answers[2].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


# ---- HTTP


def test_pages(shared_server):
    assert fetch(shared_server, "/healthz")[:1] == (200,)
    status, content_type, body = fetch(shared_server, "/readyz")
    assert status == 200 and content_type == "application/json"
    assert json.loads(body) == {"ready": True, "reasons": []}
    assert fetch(shared_server, "/nothing")[0] == 404
    request = urllib.request.Request(shared_server.url("/metrics"), data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(request, timeout=10)
    assert raised.value.code == 405


def test_metrics_count_calls_and_time_them(api, shared_server):
    before = metrics(shared_server)
    for i in range(10):
        shared_server.kv.Set(api.SetRequest(key=b"m%d" % i, value=b"v"))
    for _ in range(3):
        with pytest.raises(grpc.RpcError):
            shared_server.kv.Get(api.GetRequest(key=b"not there"))
    after = metrics(shared_server)

    def more(name):
        return after[name] - before.get(name, 0)

    assert more('plinth_grpc_calls{method="plinth.v1.KeyValue/Set",code="OK"}') == 10
    assert more('plinth_grpc_calls{method="plinth.v1.KeyValue/Get",code="NOT_FOUND"}') == 3
    latency = 'plinth_grpc_latency_seconds{}{{method="plinth.v1.KeyValue/Set"{}}}'
    assert more(latency.format("_count", "")) == 10
    assert more(latency.format("_bucket", ',le="+Inf"')) == 10
    assert more(latency.format("_sum", "")) > 0
    assert more("plinth_sets") == 10
    assert after["plinth_writable"] == 1
    status = shared_server.admin.Status(api.StatusRequest())
    for name in status.numbers:
        assert f"plinth_{name}" in after


def test_metrics_are_prometheus_text(shared_server):
    status, content_type, body = fetch(shared_server, "/metrics")
    assert status == 200 and content_type.startswith("text/plain; version=0.0.4")
    typed = {line.split()[2] for line in body.splitlines() if line.startswith("# TYPE")}
    helped = {line.split()[2] for line in body.splitlines() if line.startswith("# HELP")}
    assert typed == helped
    for line in body.splitlines():
        if not line.startswith("#"):
            name = line.split("{")[0].split(" ")[0]
            assert any(name == t or name in (f"{t}_bucket", f"{t}_sum", f"{t}_count") for t in typed), name


def test_pages_are_answered_under_load(api, shared_server):
    """HTTP has a thread of its own: writes do not hold it up."""
    stop = threading.Event()

    def load():
        kv = shared_server.kv
        while not stop.is_set():
            kv.Set(api.SetRequest(key=b"load", value=b"x" * 1000))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            began = time.monotonic()
            assert fetch(shared_server, "/readyz")[0] == 200
            assert time.monotonic() - began < 5
    finally:
        stop.set()
        for thread in threads:
            thread.join()
