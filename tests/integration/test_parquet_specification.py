"""What the specification allows and no writer at hand writes, and what it forbids: files made byte by byte."""
import ctypes
import gzip
import math
import struct

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parquet_forge import (BOOLEAN, BYTE_ARRAY, DOUBLE, FIXED, FLOAT, I64, INT32, INT64, INT96, OPTIONAL, REPEATED, REQUIRED, Chunk,
                           bit_packed, data_page, data_page_v2, dictionary_page, file, group, index_page, leaf, levels_v1,
                           rle, thrift, varint, whole)
from parquet_library import ParquetError, load_library

LIST, MAP, MAP_KEY_VALUE = 3, 1, 2


@pytest.fixture(scope="module")
def library():
    return load_library()


def plain(values):
    return b"".join(struct.pack("<i", v) for v in values)


def one_column(pages, count, rows=None, kind=INT32, repetition=REQUIRED, node=None, footer=None, **chunk):
    node = node or leaf("a", kind, repetition)
    return whole([node], [(count if rows is None else rows, [Chunk(["a"], kind, pages, count, **chunk)])], footer=footer)


def check(library, data, expected, by_pyarrow=True):
    found = library.read(data)
    assert found.to_pydict() == expected
    if by_pyarrow:
        theirs = pq.read_table(pa.BufferReader(data))
        assert found.schema.equals(theirs.schema) and found.equals(theirs)
    return found


# ---- Pages


def test_bit_packed_definition_levels(library):
    """From the most significant bit down, as Encodings.md says; pyarrow takes them the other way round."""
    levels = [1, 0, 1, 1, 0, 0, 1, 1, 1, 0]
    page = data_page(bit_packed(levels, 1) + plain(range(6)), 10, definition_encoding=4)
    check(library, one_column([page], 10, repetition=OPTIONAL), {"a": [0, None, 1, 2, None, None, 3, 4, 5, None]},
          by_pyarrow=False)


def test_bit_packed_levels_of_both_kinds(library):
    repetition, definition = [0, 1, 0, 0, 0, 1, 1], [3, 2, 1, 0, 3, 3, 3]
    body = bit_packed(repetition, 1) + bit_packed(definition, 2) + plain([7, 8, 9, 10])
    node = group("a", OPTIONAL, group("list", REPEATED, leaf("element", INT32, OPTIONAL)), converted=LIST)
    data = whole([node], [(4, [Chunk(["a", "list", "element"], INT32, [
        data_page(body, 7, definition_encoding=4, repetition_encoding=4)], 7)])])
    check(library, data, {"a": [[7, None], [], None, [8, 9, 10]]}, by_pyarrow=False)


def test_concatenated_gzip_members(library):
    body = plain(range(1000))
    packed = b"".join(gzip.compress(body[i : i + 700]) for i in range(0, len(body), 700))
    check(library, one_column([data_page(packed, 1000, size=len(body))], 1000, codec=2), {"a": list(range(1000))})


def hadoop_lz4(body, block_bytes):
    out = b""
    for i in range(0, len(body), block_bytes):
        block = body[i : i + block_bytes]
        packed = pa.compress(block, codec="lz4_raw", asbytes=True)
        out += struct.pack(">II", len(block), len(packed)) + packed
    return out


@pytest.mark.parametrize("block_bytes", [100, 4000, 100000])
def test_lz4_in_blocks_of_hadoop(library, block_bytes):
    body = plain(range(1000))
    page = data_page(hadoop_lz4(body, block_bytes), 1000, size=len(body))
    check(library, one_column([page], 1000, codec=5), {"a": list(range(1000))}, by_pyarrow=block_bytes >= len(body))


def test_deprecated_lz4_without_framing(library):
    body = plain(range(1000))
    page = data_page(pa.compress(body, codec="lz4_raw", asbytes=True), 1000, size=len(body))
    check(library, one_column([page], 1000, codec=5), {"a": list(range(1000))})


@pytest.mark.parametrize("codec", [1, 2, 4, 6, 7])
def test_pages_of_version_2_that_are_not_compressed(library, codec):
    pages = [data_page_v2(plain([1, 2, 3]), 3, is_compressed=False)]
    check(library, one_column(pages, 3, codec=codec), {"a": [1, 2, 3]})


def test_pages_of_version_2_without_values(library):
    """All nulls: nothing to decompress, though the codec would not make nothing of nothing."""
    page = data_page_v2(b"", 3, nulls=3, definition=rle([0, 0, 0], 1))
    check(library, one_column([page], 3, repetition=OPTIONAL, codec=1), {"a": [None] * 3})


def indices(values, width=2):
    return bytes([width]) + rle(values, width)


@pytest.mark.parametrize("told", ["told", None, "zero"])
@pytest.mark.parametrize("encoding", [2, 8])
def test_dictionary_pages_whose_offset_is_not_told(library, told, encoding):
    pages = [dictionary_page(plain([10, 20, 30]), 3, encoding=2 if encoding == 2 else 0),
             data_page(indices([2, 0, 1, 1]), 4, encoding=encoding)]
    metadata = {11: I64(0)} if told == "zero" else {}
    check(library, one_column(pages, 4, dictionary=told, encodings=(encoding, 0, 3), metadata=metadata),
          {"a": [30, 10, 20, 20]})


def test_several_encodings_and_an_index_page_in_one_chunk(library):
    delta = varint(128) + varint(4) + varint(3) + varint(2 * 100) + varint(2) + bytes([0, 0, 0, 0])
    pages = [dictionary_page(plain([5, 6]), 2), data_page(indices([1, 0], 1), 2, encoding=8), index_page(),
             data_page(plain([7]), 1), data_page_v2(delta, 3, encoding=5), data_page(indices([1], 1), 1, encoding=2)]
    check(library, one_column(pages, 7, dictionary="told", encodings=(0, 2, 5, 8)),
          {"a": [6, 5, 7, 100, 101, 102, 6]}, by_pyarrow=False)


def test_dictionary_indices_of_no_bits(library):
    pages = [dictionary_page(plain([42]), 1), data_page(bytes([0]) + varint(5 << 1), 5, encoding=8)]
    check(library, one_column(pages, 5, dictionary="told"), {"a": [42] * 5})


@pytest.mark.parametrize("version", [1, 2])
def test_booleans_in_runs(library, version):
    runs = rle([1, 0, 0, 1], 1)
    body = struct.pack("<I", len(runs)) + runs
    page = data_page(body, 4, encoding=3) if version == 1 else data_page_v2(body, 4, encoding=3)
    check(library, one_column([page], 4, kind=BOOLEAN), {"a": [True, False, False, True]})


def test_unknown_fields_are_passed_over(library):
    data = one_column([data_page(plain([1, 2]), 2)], 2, metadata={99: [{1: 5, 2: "x"}]}, footer={77: {1: {2: [True]}}})
    check(library, data, {"a": [1, 2]})


# ---- Footers


def test_files_and_row_groups_without_rows(library):
    schema = [leaf("a")]
    empty = Chunk(["a"], INT32, [], 0)
    some = Chunk(["a"], INT32, [data_page(plain([1, 2]), 2)], 2)
    check(library, whole(schema, []), {"a": []})
    check(library, whole(schema, [(0, [empty])]), {"a": []})
    check(library, whole(schema, [(0, [empty]), (2, [some]), (0, [empty])]), {"a": [1, 2]})


def test_a_file_without_columns_has_rows(library):
    data = whole([], [(3, [])])
    assert library.read(data).num_columns == 0
    with library.open(data) as opened:
        assert opened.info().row_count == 3
        assert [b.num_rows for b in opened.stream()] == [3]


def test_logical_types_that_are_not_known(library):
    page = data_page(plain([1, 2]), 2)
    for node in (leaf("a", logical={99: {1: 5}}), leaf("a", converted=77)):
        check(library, one_column([page], 2, node=node), {"a": [1, 2]}, by_pyarrow=False)
    # one that does not fit its type is not believed
    check(library, one_column([page], 2, node=leaf("a", logical={14: {}})), {"a": [1, 2]}, by_pyarrow=False)


def statistics_of(library, kind, values, statistics, node=None, footer=None):
    body = b"".join(values)
    data = one_column([data_page(body, len(values))], len(values), kind=kind, node=node, metadata={12: statistics},
                      footer=footer)
    with library.open(data) as opened:
        info = opened.chunk(0, 0)
        size = (info.min_size, info.max_size)
        return tuple(ctypes.string_at(at, n) if at else None for at, n in zip((info.min, info.max), size))


def test_statistics_of_old_files_are_used_where_they_were_compared_rightly(library):
    low, high = plain([-5]), plain([7])
    old = {1: high, 2: low}
    text = [struct.pack("<I", 1) + b"x"]
    assert statistics_of(library, INT32, [low, high], old) == (low, high)
    assert statistics_of(library, INT32, [low], old, leaf("a", converted=13)) == (None, None)  # unsigned
    assert statistics_of(library, BYTE_ARRAY, text, {1: b"\xff", 2: b"a"}, leaf("a", BYTE_ARRAY, converted=0)) == (None, None)
    # also when they are equal: parquet-mr before 1.8 wrote the last value as both (PARQUET-251)
    assert statistics_of(library, BYTE_ARRAY, text, {1: b"x", 2: b"x"}, leaf("a", BYTE_ARRAY, converted=0)) == (None, None)
    said = {"node": leaf("a", BYTE_ARRAY, converted=0), "footer": {7: [{1: {}}]}}
    assert statistics_of(library, BYTE_ARRAY, text, {5: b"x", 6: b"a"}, **said) == (b"a", b"x")


def test_statistics_whose_order_is_not_said_are_used_where_all_agree(library):
    low, high = plain([-5]), plain([7])
    text = [struct.pack("<I", 1) + b"x"]
    assert statistics_of(library, INT32, [low], {5: high, 6: low}) == (low, high)
    assert statistics_of(library, INT32, [low], {5: high, 6: low}, leaf("a", converted=13)) == (None, None)  # unsigned
    assert statistics_of(library, BYTE_ARRAY, text, {5: b"x", 6: b"a"}, leaf("a", BYTE_ARRAY)) == (None, None)
    assert statistics_of(library, BYTE_ARRAY, text, {5: b"x", 6: b"x"}, leaf("a", BYTE_ARRAY)) == (b"x", b"x")


def test_statistics_with_nan_are_not_used_and_zeros_have_both_signs(library):
    def double(v):
        return struct.pack("<d", v)

    values = [double(1.0)]
    assert statistics_of(library, DOUBLE, values, {5: double(math.nan), 6: double(0.5)}) == (None, None)
    assert statistics_of(library, DOUBLE, values, {5: double(-0.0), 6: double(0.0)}) == (double(-0.0), double(0.0))
    assert statistics_of(library, FLOAT, [struct.pack("<f", 1)], {5: b"\0\0\0\x80", 6: b"\0\0\0\0"}) == (
        struct.pack("<f", -0.0), struct.pack("<f", 0.0))


def test_statistics_by_an_unknown_order_are_not_used(library):
    bounds = {5: plain([7]), 6: plain([-5])}
    assert statistics_of(library, INT32, [plain([1])], bounds, footer={7: [{1: {}}]}) == (plain([-5]), plain([7]))
    assert statistics_of(library, INT32, [plain([1])], bounds, footer={7: [{2: {}}]}) == (None, None)
    assert statistics_of(library, INT32, [plain([1])], bounds, footer={7: [{9: {}}]}) == (None, None)


def int96(day, nanoseconds):
    return struct.pack("<qi", nanoseconds, day)


def test_times_of_int96_are_bounded_where_the_file_orders_them(library):
    low, high = int96(2440000, 500), int96(2440001, 1)  # bytes are in the other order
    values, bounds = [low, high], {5: high, 6: low}
    for footer, expected in ((None, (None, None)), ({7: [{1: {}}]}, (None, None)), ({7: [{3: {}}]}, (low, high))):
        assert statistics_of(library, INT96, values, bounds, footer=footer) == expected
    data = one_column([data_page(b"".join(values), 2)], 2, kind=INT96, footer={7: [{3: {}}]}, metadata={12: bounds})

    def rows(least, greatest):
        return library.read(data, bounds=[("a", least, greatest)]).num_rows

    assert rows(low, high) == 2 and rows(int96(2440000, 501), None) == 1 and rows(None, int96(2440000, 499)) == 0
    assert rows(int96(2440001, 2), None) == 0 and rows(int96(2440001, 0), int96(2440001, 1)) == 1


def doubles(*values):
    return struct.pack(f"<{len(values)}d", *values)


@pytest.mark.parametrize("order", [1, 2])
def test_chunks_and_pages_of_nothing_but_nan_are_passed_over(library, order):
    """By the total order NaN are bounds where there is nothing else; by the other there are no bounds then. The pages
    are not what they should be, so that reading them is seen."""
    nan = doubles(math.nan)
    bounds = [("a", doubles(0), doubles(1))]
    broken = data_page(b"", 2)
    said = {5: nan, 6: nan, 9: I64(2)} if order == 2 else {9: I64(2)}
    data = one_column([broken], 2, kind=DOUBLE, footer={7: [{order: {}}]}, metadata={12: said})
    assert library.read(data, bounds=bounds).num_rows == 0
    refused(library, data, "end too early")
    data = one_column([broken], 2, kind=DOUBLE, footer={7: [{order: {}}]}, metadata={12: {**said, 9: I64(1)}})
    with pytest.raises(ParquetError, match="end too early"):
        library.read(data, bounds=bounds)


def with_page_index(pages, rows_of_pages, column_index, kind, footer):
    """A file of one column, its ColumnIndex and OffsetIndex before the footer."""
    def build(chunk):
        return file([leaf("a", kind)], [(sum(rows_of_pages), [Chunk(["a"], kind, pages, sum(rows_of_pages), chunk=chunk)])],
                    footer=footer)

    at, locations = 4, []
    for page, first in zip(pages, (sum(rows_of_pages[:i]) for i in range(len(pages)))):
        locations.append({1: I64(at), 2: len(page), 3: I64(first)})
        at += len(page)
    first, second = thrift(column_index), thrift({1: locations})
    body, end = build({4: I64(at + len(first)), 5: len(second), 6: I64(at), 7: len(first)})
    return body + first + second + end


def test_pages_of_nothing_but_nan_are_passed_over_by_the_total_order(library):
    nan, broken = doubles(math.nan), data_page(b"", 2)
    pages = [broken, data_page(doubles(0.5, math.nan), 2), broken]
    index = {1: [False] * 3, 2: [nan, doubles(0.5), doubles(7)], 3: [nan, doubles(0.5), doubles(9)], 4: 0,
             5: [I64(0)] * 3, 8: [I64(2), I64(1), I64(0)]}
    data = with_page_index(pages, [2, 2, 2], index, DOUBLE, {7: [{2: {}}]})
    assert library.read(data, bounds=[("a", doubles(0), doubles(1))]).to_pydict() == {"a": [0.5]}
    data = with_page_index(pages, [2, 2, 2], index, DOUBLE, {7: [{1: {}}]})  # where such an index may not be
    with pytest.raises(ParquetError, match="end too early"):
        library.read(data, bounds=[("a", doubles(0), doubles(1))])


def test_size_statistics_are_told_where_they_are_of_the_right_number(library):
    node = group("a", OPTIONAL, group("list", REPEATED, leaf("element", INT32, OPTIONAL)), converted=LIST)
    body = levels_v1([0, 1, 0, 0], 1) + levels_v1([3, 2, 1, 0], 2) + plain([7])

    def read(sizes):
        chunk = Chunk(["a", "list", "element"], INT32, [data_page(body, 4)], 4, metadata={16: sizes})
        with library.open(whole([node], [(3, [chunk])])) as opened:
            info = opened.chunk(0, 0)
            return (info.unencoded_bytes if info.has_unencoded_bytes else None,
                    info.repetition_counts[:2] if info.repetition_counts else None,
                    info.definition_counts[:4] if info.definition_counts else None)

    counts = {2: [I64(3), I64(1)], 3: [I64(1)] * 4}  # optional list, optional element
    assert read(counts) == (None, [3, 1], [1, 1, 1, 1])
    assert read({1: I64(9), **counts, 2: [I64(3)]}) == (9, None, [1, 1, 1, 1])
    assert read({2: [], 3: [I64(1)] * 5}) == (None, None, None)
    assert read(None) == (None, None, None)


def test_offsets_beyond_4_gib(library, tmp_path):
    begin = (5 << 30) + 12345
    body, end = file([leaf("a")], [(2, [Chunk(["a"], INT32, [data_page(plain([1, 2]), 2)], 2)])], begin=begin)
    path = tmp_path / "sparse.parquet"
    with open(path, "wb") as out:
        out.write(b"PAR1")
        out.seek(begin)
        out.write(body[4:] + end)
    assert library.read(path).to_pydict() == {"a": [1, 2]}
    path.unlink()


# ---- Pages that are not wanted are not decoded: here they cannot be


@pytest.mark.parametrize("indexed", [False, True])
def test_pages_without_wanted_rows_are_not_decoded(library, indexed):
    broken = data_page(b"", 4)
    pages = [data_page(plain(range(4)), 4), broken, data_page(plain(range(8, 12)), 4), broken, data_page(plain([16, 17]), 2)]
    rows = [4, 4, 4, 4, 2]
    lows, highs = [plain([n]) for n in (0, 4, 8, 12, 16)], [plain([n]) for n in (3, 7, 11, 15, 17)]
    index = {1: [False] * 5, 2: lows, 3: highs, 4: 1, 5: [I64(0)] * 5}
    data = with_page_index(pages, rows, index, INT32, {7: [{1: {}}]}) if indexed else one_column(pages, 18)
    with pytest.raises(ParquetError, match="end too early"):
        library.read(data)
    for wanted in ([0, 2, 9, 11, 16], [1, 2, 3, 8, 17], [10], [3, 8], [0, 1, 2, 3, 8, 9, 10, 11, 16, 17]):
        assert library.read(data, bitmap=[i in wanted for i in range(18)]).to_pydict() == {"a": wanted}
        assert library.read(data, ranges=[(i, i + 1) for i in wanted]).to_pydict() == {"a": wanted}
    with pytest.raises(ParquetError, match="end too early"):
        library.read(data, bitmap=[i == 5 for i in range(18)])
    if indexed:
        for low, high, wanted in ((8, 11, [8, 9, 10, 11]), (17, 90, [17]), (9, 9, [9])):
            assert library.read(data, bounds=[("a", plain([low]), plain([high]))]).to_pydict() == {"a": wanted}


def test_ranges_that_do_not_ascend_are_refused(library):
    data = one_column([data_page(plain(range(4)), 4)], 4)
    for ranges in ([(2, 1)], [(1, 3), (2, 4)], [(2, 3), (0, 1)]):
        with pytest.raises(ParquetError, match="invalid_argument: row range . does not lie behind the one before it"):
            library.read(data, ranges=ranges)
    assert library.read(data, ranges=[]).num_rows == 0 and library.read(data, bitmap=[]).num_rows == 0
    assert library.read(data, ranges=[(1, 1), (1, 2), (2, 3), (50, 60)]).to_pydict() == {"a": [1, 2]}


# ---- Lists and maps of all ages: rows [1, 2], [], [3] or as the schema allows


def nested(node, path, definition, repetition, values, kind=INT32, widths=(2, 1)):
    body = levels_v1(repetition, widths[1]) + levels_v1(definition, widths[0]) + plain(values)
    rows = repetition.count(0)
    return whole([node], [(rows, [Chunk(path, kind, [data_page(body, len(definition))], len(definition))])])


INT = lambda name, repetition=REQUIRED: leaf(name, INT32, repetition)
ITEMS = [1, 2, 3]
OLD_LISTS = {
    "a bare repeated column": (
        [INT("a", REPEATED)], ["a"], 1, [[1, 2], [], [3]]),
    "a bare repeated group": (
        group("a", REPEATED, INT("x")), ["a", "x"], 1, [[{"x": 1}, {"x": 2}], [], [{"x": 3}]]),
    "a repeated column in a list": (
        group("a", REQUIRED, INT("array", REPEATED), converted=LIST), ["a", "array"], 1, [[1, 2], [], [3]]),
    "a repeated group of one, called array": (
        group("a", REQUIRED, group("array", REPEATED, INT("x")), converted=LIST), ["a", "array", "x"], 1,
        [[{"x": 1}, {"x": 2}], [], [{"x": 3}]]),
    "a repeated group of one, called like the list": (
        group("a", REQUIRED, group("a_tuple", REPEATED, INT("x")), converted=LIST), ["a", "a_tuple", "x"], 1,
        [[{"x": 1}, {"x": 2}], [], [{"x": 3}]]),
    "three levels under other names": (
        group("a", REQUIRED, group("bag", REPEATED, INT("item")), converted=LIST), ["a", "bag", "item"], 1,
        [[1, 2], [], [3]]),
    "a map without values": (
        group("a", REQUIRED, group("key_value", REPEATED, INT("key")), converted=MAP), ["a", "key_value", "key"], 1,
        [[1, 2], [], [3]]),
}


@pytest.mark.parametrize("name", sorted(OLD_LISTS))
def test_lists_of_the_old_forms(library, name):
    node, path, level, expected = OLD_LISTS[name]
    nodes = node if isinstance(node, list) else [node]
    data = nested(nodes if len(nodes) > 1 else nodes[0], path, [level, level, 0, level], [0, 1, 0, 0], ITEMS, widths=(1, 1))
    found = library.read(data)
    assert found.to_pydict() == {"a": expected}
    theirs = pq.read_table(pa.BufferReader(data))
    assert found.to_pydict() == theirs.to_pydict()


def two_leaves(node, paths, definition, repetition, widths):
    rows = repetition.count(0)
    body = levels_v1(repetition, widths[1]) + levels_v1(definition, widths[0])
    count = sum(d == max(definition) for d in definition)
    chunks = [Chunk(path, INT32, [data_page(body + plain(range(10 * i, 10 * i + count)), len(definition))], len(definition))
              for i, path in enumerate(paths)]
    return whole([node], [(rows, chunks)])


def test_a_repeated_group_of_several_is_the_element(library):
    node = group("a", OPTIONAL, group("list", REPEATED, INT("x"), INT("y")), converted=LIST)
    data = two_leaves(node, [["a", "list", "x"], ["a", "list", "y"]], [2, 2, 1, 0], [0, 1, 0, 0], (2, 1))
    check(library, data, {"a": [[{"x": 0, "y": 10}, {"x": 1, "y": 11}], [], None]}, by_pyarrow=False)


@pytest.mark.parametrize("converted", [MAP, MAP_KEY_VALUE])
def test_maps_by_either_old_name(library, converted):
    node = group("a", OPTIONAL, group("map", REPEATED, INT("key"), INT("value"), converted=MAP_KEY_VALUE),
                 converted=converted)
    data = two_leaves(node, [["a", "map", "key"], ["a", "map", "value"]], [2, 2, 1, 0], [0, 1, 0, 0], (2, 1))
    found = library.read(data)
    assert pa.types.is_map(found.schema.field("a").type)
    assert found.to_pydict() == {"a": [[(0, 10), (1, 11)], [], None]}


def test_an_old_list_of_lists(library):
    node = group("a", REQUIRED, group("array", REPEATED, INT("array", REPEATED), converted=LIST), converted=LIST)
    data = nested(node, ["a", "array", "array"], [2, 2, 1, 0, 2], [0, 2, 1, 0, 0], ITEMS, widths=(2, 2))
    check(library, data, {"a": [[[1, 2], []], [], [[3]]]})


# ---- Forbidden


def refused(library, data, text):
    with pytest.raises(ParquetError, match=text):
        library.read(data)


def test_unknown_codecs_and_encodings_are_unsupported(library):
    refused(library, one_column([data_page(plain([1]), 1)], 1, codec=3), "codec LZO .* is not supported")
    refused(library, one_column([data_page(plain([1]), 1)], 1, codec=42), "is not supported")
    refused(library, one_column([data_page(plain([1]), 1, encoding=10)], 1), "encoding 10 is not known")


def test_columns_of_different_lengths_are_refused(library):
    short = Chunk(["b"], INT32, [data_page(plain([1]), 1)], 1)
    long = Chunk(["b"], INT32, [data_page(plain([1, 2, 3]), 3)], 3)
    right = Chunk(["a"], INT32, [data_page(plain([1, 2]), 2)], 2)
    refused(library, whole([leaf("a"), leaf("b")], [(2, [right, short])]), "column b.*ends before its rows do")
    refused(library, whole([leaf("a"), leaf("b")], [(2, [right, long])]), "column b.*3 values.*2 left")


def test_levels_that_cannot_be_are_refused(library):
    node = group("a", OPTIONAL, group("list", REPEATED, INT("element", OPTIONAL)), converted=LIST)
    path = ["a", "list", "element"]
    refused(library, nested(node, path, [3, 3], [1, 0], [1, 2]), "the page begins inside a row")
    refused(library, nested(node, path, [0, 3], [0, 1], [1]), "levels that do not go together")
    deep = group("a", REQUIRED, group("array", REPEATED, INT("array", REPEATED), converted=LIST), converted=LIST)
    refused(library, nested(deep, ["a", "array", "array"], [1, 2], [0, 2], [1], widths=(2, 2)),
            "levels that do not go together")


def test_siblings_whose_levels_disagree_are_refused(library):
    node = group("a", REPEATED, INT("x"), INT("y"))

    def chunk(name, definition, repetition):
        body = levels_v1(repetition, 1) + levels_v1(definition, 1) + plain(range(sum(definition)))
        return Chunk(["a", name], INT32, [data_page(body, len(definition))], len(definition))

    data = whole([node], [(2, [chunk("x", [1, 1, 0], [0, 1, 0]), chunk("y", [1, 0], [0, 0])])])
    refused(library, data, "column a.y: its levels give 1 entries where there are 2")


def test_dictionaries_of_another_type_are_refused(library):
    body = b"".join(struct.pack("<I", 4) + w for w in (b"abcd", b"efgh"))
    pages = [dictionary_page(body, 2), data_page(indices([0, 1], 1), 2, encoding=8)]
    refused(library, one_column(pages, 2, kind=FIXED, node=leaf("a", FIXED, length=4)),
            "a dictionary of 2 values of 4 bytes has 16 bytes")
    refused(library, one_column([dictionary_page(plain([1]), -1), data_page(indices([0], 1), 1, encoding=8)], 1), "page header")
    refused(library, one_column([data_page(indices([0], 1), 1, encoding=8)], 1), "needs a dictionary")


def test_strings_that_are_not_utf8_are_refused_unless_allowed(library):
    page = data_page(struct.pack("<I", 2) + b"\xc3\x28", 1)
    data = one_column([page], 1, kind=BYTE_ARRAY, node=leaf("a", BYTE_ARRAY, converted=0))
    refused(library, data, "column a: a string that is not valid UTF-8")
    with library.open(data, allow_invalid_utf8=True) as opened, opened.stream() as reader:
        assert reader.read_next_batch().column(0).cast(pa.binary()).to_pylist() == [b"\xc3\x28"]
    split = data_page(struct.pack("<I", 1) + b"\xc3" + struct.pack("<I", 1) + b"\xa4", 2)  # one character, two values
    refused(library, one_column([split], 2, kind=BYTE_ARRAY, node=leaf("a", BYTE_ARRAY, converted=0)), "UTF-8")
