"""grpcio's asyncio client: many calls at once on one connection, streams, cancellation."""
import asyncio

import grpc
import grpc.aio
import pytest


def run(server, api, body):
    """Runs `body(kv, admin)` with stubs on a channel of its own."""

    async def main():
        async with grpc.aio.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            return await asyncio.wait_for(body(api.KeyValueStub(channel), api.AdminStub(channel)), 60)

    return asyncio.run(main())


def test_many_calls_at_once(api, shared_server):
    async def body(kv, admin):
        keys = [b"async-%04d" % i for i in range(1000)]
        wrote = await asyncio.gather(*(kv.Set(api.SetRequest(key=key, value=key)) for key in keys))
        assert len({answer.position.token for answer in wrote}) == len(keys)
        got = await asyncio.gather(*(kv.Get(api.GetRequest(key=key)) for key in keys))
        assert [answer.value for answer in got] == keys
        versions = {answer.version.token for answer in got}
        assert versions == {answer.position.token for answer in wrote}

    run(shared_server, api, body)


def test_writes_of_every_durability_at_once(api, shared_server):
    async def body(kv, admin):
        calls = [
            kv.Set(api.SetRequest(key=b"mixed-%04d" % i, value=b"v", write=api.WriteOptions(durability=i % 4))) for i in range(600)
        ]
        calls += [kv.Delete(api.DeleteRequest(key=b"mixed-%04d" % i)) for i in range(0, 600, 3)]
        answers = await asyncio.gather(*calls)
        assert all(answer.position.token for answer in answers)

    run(shared_server, api, body)


def test_scans_and_calls_share_a_connection(api, shared_server):
    async def body(kv, admin):
        for start in range(0, 3000, 500):
            sets = [
                api.BatchRequest.Operation(set=api.BatchRequest.Set(key=b"scan-%05d" % i, value=b"x" * 100))
                for i in range(start, start + 500)
            ]
            await kv.Batch(api.BatchRequest(operations=sets))

        async def scan():
            return [row.key async for chunk in kv.Scan(api.ScanRequest(prefix=b"scan-")) for row in chunk.rows]

        *scans, status = await asyncio.gather(*(scan() for _ in range(8)), admin.Status(api.StatusRequest()))
        assert all(keys == [b"scan-%05d" % i for i in range(3000)] for keys in scans)
        assert status.ready

    run(shared_server, api, body)


def test_cancelled_calls_do_no_harm(api, shared_server):
    async def body(kv, admin):
        for round_ in range(5):
            calls = [kv.Set(api.SetRequest(key=b"gone-%d" % i, value=b"v")) for i in range(100)]
            calls += [kv.Scan(api.ScanRequest()) for _ in range(10)]
            calls += [kv.CompareAndSet(api.CompareAndSetRequest(key=b"gone", set=api.BatchRequest.Set(value=b"1"))) for _ in range(10)]
            await asyncio.sleep(0.002 * round_)
            for call in calls[::2]:
                call.cancel()
            for call in calls[1:100:2]:
                assert (await call).position.token
            for call in calls[101::2]:
                call.cancel()
        assert (await admin.Status(api.StatusRequest())).ready

    run(shared_server, api, body)


def test_errors_carry_their_text(api, shared_server):
    async def body(kv, admin):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await kv.Set(api.SetRequest(value=b"v"))
        assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "key" in raised.value.details()

    run(shared_server, api, body)
