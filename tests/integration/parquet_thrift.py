"""A second, independent reading of Thrift's compact protocol, to check what Plinth writes into a file's footer and page
index: structs become {field id: value}, nothing more is interpreted."""
import struct


class Reader:
    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def byte(self):
        self.at += 1
        return self.data[self.at - 1]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def zigzag(self):
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def value(self, kind):
        if kind in (1, 2):
            return kind == 1
        if kind == 3:
            return self.byte()
        if kind in (4, 5, 6):
            return self.zigzag()
        if kind == 7:
            self.at += 8
            return struct.unpack("<d", self.data[self.at - 8 : self.at])[0]
        if kind == 8:
            size = self.varint()
            self.at += size
            return bytes(self.data[self.at - size : self.at])
        if kind in (9, 10):
            head = self.byte()
            count, element = head >> 4, head & 15
            if count == 15:
                count = self.varint()
            if element in (1, 2):
                return [self.byte() == 1 for _ in range(count)]
            return [self.value(element) for _ in range(count)]
        if kind == 12:
            return self.struct()
        raise ValueError(f"thrift type {kind}")

    def struct(self):
        fields, field = {}, 0
        while True:
            head = self.byte()
            if head == 0:
                return fields
            field = field + (head >> 4) if head >> 4 else self.zigzag()
            assert field not in fields
            fields[field] = self.value(head & 15)


def footer(data):
    """FileMetaData of a whole file."""
    size = struct.unpack("<I", data[-8:-4])[0]
    reader = Reader(data, len(data) - 8 - size)
    fields = reader.struct()
    assert reader.at == len(data) - 8
    return fields
