"""Helpers of the tests of typed tables: batches out of pyarrow, answers into pyarrow, over gRPC."""
import importlib
import types

import pyarrow as pa

import conftest

FORMAT_VALUES = 3


def load_api():
    """conftest's namespace with the messages and stubs of typed tables added."""
    api = types.SimpleNamespace(**vars(conftest.load_api()))
    names = ("predicate", "ingestion", "query")
    for module in [f"{n}_pb2" for n in names] + [f"{n}_pb2_grpc" for n in names]:
        loaded = importlib.import_module(f"plinth.v1.{module}")
        for name in dir(loaded):
            if not name.startswith("_"):
                setattr(api, name, getattr(loaded, name))
    return api


def to_ipc(batch):
    """A record batch or table as the bytes of an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write(batch)
    return sink.getvalue().to_pybytes()


class Tables:
    """A client of one server's tables."""

    def __init__(self, server):
        self.api = load_api()
        channel = server.channel()
        self.admin = self.api.AdminStub(channel)
        self.ingestion = self.api.IngestionStub(channel)
        self.query = self.api.QueryStub(channel)

    def table(self, name):
        return self.api.Table(name=name)

    def create(self, name, columns, key=(), **options):
        """columns: (name, type) or (name, type, not_null)."""
        columns = [self.api.Column(name=c[0], type=c[1], not_null=len(c) > 2 and c[2]) for c in columns]
        self.admin.CreateTable(
            self.api.CreateTableRequest(
                table=self.table(name), columns=columns, primary_key=list(key), options=self.api.TableOptions(**options)
            )
        )

    def write(self, name, batch, delete=False, **fields):
        """Writes one batch and returns the answer."""
        operation = self.api.WriteRowsRequest.OPERATION_DELETE if delete else self.api.WriteRowsRequest.OPERATION_UPSERT
        request = self.api.WriteRowsRequest(
            table=self.table(name), arrow_ipc=to_ipc(batch), operation=operation, **fields
        )
        return self.ingestion.Write(request)

    def read(self, answers):
        """A stream of RowsResponse as (pyarrow table, explain)."""
        parts, explain = [], None
        for answer in answers:
            parts.append(answer.arrow_ipc)
            if answer.HasField("explain"):
                explain = answer.explain
        return pa.ipc.open_stream(b"".join(parts)).read_all(), explain

    def scan(self, name, where=None, read=None, **fields):
        """(table, explain) of a scan with a predicate as SQL text."""
        predicate = self.api.Predicate(sql=where) if where else None
        request = self.api.ScanRowsRequest(
            table=self.table(name), predicate=predicate, read=read, explain=True, **fields
        )
        return self.read(self.query.Scan(request))

    def aggregate(self, name, functions, group_by=(), where=None, read=None):
        """functions: (kind, column) with kind as in "count". Rows as dictionaries."""
        kinds = self.api.AggregateRequest.Kind
        functions = [
            self.api.AggregateRequest.Function(kind=kinds.Value(f"KIND_{kind.upper()}"), column=column)
            for kind, column in functions
        ]
        predicate = self.api.Predicate(sql=where) if where else None
        request = self.api.AggregateRequest(
            table=self.table(name), functions=functions, group_by=list(group_by), predicate=predicate, read=read
        )
        return self.read(self.query.Aggregate(request))[0].to_pylist()
