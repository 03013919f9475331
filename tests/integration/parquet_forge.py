"""Parquet files made byte by byte, for what no writer at hand does: whatever the format allows, and what it does not."""
import struct


class I64(int):
    """An integer that Thrift writes as i64; others are i32."""


def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def _kind(value):
    if isinstance(value, bool):
        return 1 if value else 2
    if isinstance(value, I64):
        return 6
    if isinstance(value, int):
        return 5
    if isinstance(value, (bytes, str)):
        return 8
    return 9 if isinstance(value, list) else 12


def _value(value):
    if isinstance(value, int):
        return varint((value << 1) ^ (value >> 63) if value >= 0 else ((-value) << 1) - 1)
    if isinstance(value, (bytes, str)):
        raw = value.encode() if isinstance(value, str) else value
        return varint(len(raw)) + raw
    if isinstance(value, list):
        kind = min(_kind(value[0]), 12) if value else 12
        if kind in (1, 2):
            return bytes([len(value) << 4 | 1]) + bytes(1 if v else 2 for v in value)
        head = bytes([len(value) << 4 | kind]) if len(value) < 15 else bytes([0xF0 | kind]) + varint(len(value))
        return head + b"".join(_value(v) for v in value)
    return thrift(value)


def thrift(fields):
    """A struct of the compact protocol, from {field id: value}; None is left out."""
    out, last = bytearray(), 0
    for number, value in sorted(fields.items()):
        if value is None:
            continue
        kind = _kind(value)
        out += bytes([(number - last) << 4 | kind]) if number - last < 16 else bytes([kind]) + varint(number << 1)
        if kind not in (1, 2):
            out += _value(value)
        last = number
    return bytes(out) + b"\0"


def rle(values, width):
    """Runs of one value each, in the hybrid encoding."""
    out = b""
    for v in values:
        out += varint(1 << 1) + v.to_bytes((width + 7) // 8, "little")
    return out


def bit_packed(values, width):
    """The deprecated encoding of levels: most significant bit first."""
    bits = "".join(format(v, f"0{width}b") for v in values)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def levels_v1(values, width):
    data = rle(values, width)
    return struct.pack("<I", len(data)) + data


def data_page(body, count, encoding=0, definition_encoding=3, repetition_encoding=3, size=None):
    """Version 1. `size`: of the body before it was compressed."""
    return thrift({1: 0, 2: len(body) if size is None else size, 3: len(body),
                   5: {1: count, 2: encoding, 3: definition_encoding, 4: repetition_encoding}}) + body


def data_page_v2(values, count, nulls=0, rows=None, encoding=0, definition=b"", repetition=b"", is_compressed=None,
                 size=None):
    header = {1: count, 2: nulls, 3: count if rows is None else rows, 4: encoding, 5: len(definition),
              6: len(repetition), 7: is_compressed}
    levels = len(definition) + len(repetition)
    return thrift({1: 3, 2: levels + (len(values) if size is None else size), 3: levels + len(values),
                   8: header}) + repetition + definition + values


def dictionary_page(body, count, encoding=0, size=None):
    return thrift({1: 2, 2: len(body) if size is None else size, 3: len(body), 7: {1: count, 2: encoding}}) + body


def index_page():
    return thrift({1: 1, 2: 3, 3: 3, 6: {}}) + b"abc"


BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = range(8)
REQUIRED, OPTIONAL, REPEATED = range(3)


def leaf(name, kind=INT32, repetition=REQUIRED, length=None, converted=None, logical=None):
    return {1: kind, 2: length, 3: repetition, 4: name, 6: converted, 10: logical}


def group(name, repetition, *children, converted=None, logical=None):
    """A list: the node, then those below it."""
    below = [n for child in children for n in (child if isinstance(child, list) else [child])]
    return [{3: repetition, 4: name, 5: len(children), 6: converted, 10: logical}, *below]


class Chunk:
    """One column chunk: its pages, and what the metadata says of it."""

    def __init__(self, path, kind, pages, count, codec=0, encodings=(0, 3), metadata=None, dictionary=None, chunk=None):
        self.path, self.kind, self.pages, self.count, self.codec = path, kind, pages, count, codec
        self.encodings, self.metadata, self.dictionary, self.chunk = encodings, metadata or {}, dictionary, chunk or {}


def file(schema, row_groups, begin=4, rows=None, footer=None):
    """`row_groups`: (rows, [Chunk]). The first chunk begins at `begin`."""
    out, groups = bytearray(b"PAR1"), []
    at = begin
    for group_rows, chunks in row_groups:
        columns = []
        for c in chunks:
            first = at
            body = b"".join(c.pages)
            offset = first + (len(c.pages[0]) if c.dictionary == "told" else 0)
            columns.append({2: I64(0), 3: {
                1: c.kind, 2: list(c.encodings), 3: list(c.path), 4: c.codec, 5: I64(c.count), 6: I64(len(body)),
                7: I64(len(body)), 9: I64(offset), 11: I64(first) if c.dictionary == "told" else None, **c.metadata},
                **c.chunk})
            out += body
            at += len(body)
        groups.append({1: columns, 2: I64(100), 3: I64(group_rows)})
    top = list(schema)
    nodes = [n for child in top for n in (child if isinstance(child, list) else [child])]
    total = sum(r for r, _ in row_groups) if rows is None else rows
    meta = thrift({1: 1, 2: [{4: "schema", 5: len(top)}, *nodes], 3: I64(total), 4: groups, **(footer or {})})
    return bytes(out), meta + struct.pack("<I", len(meta)) + b"PAR1"


def whole(*args, **more):
    body, end = file(*args, **more)
    return body + end
