"""Arrow IPC between Plinth and pyarrow, both ways: `arrow_convert` reads what pyarrow wrote and writes it again, and
pyarrow reads that. What comes back is what went in, in Plinth's types."""
import datetime
import decimal
import os
import pathlib
import random
import subprocess
import uuid

import pyarrow as pa
import pyarrow.compute as pc
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN_DIR = pathlib.Path(os.environ.get("PLINTH_BIN_DIR", ROOT / "build" / "release" / "bin"))
DATA_DIR = ROOT / "tests" / "data" / "arrow"

COMPRESSIONS = [None, "lz4", "zstd"]
UNITS = ["s", "ms", "us", "ns"]

# ---- What Plinth makes of a type


def plinth_type(kind):
    """The type that comes back."""
    if pa.types.is_dictionary(kind):
        return plinth_type(kind.value_type)
    if pa.types.is_null(kind) or pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_fixed_size_binary(kind):
        return pa.binary()
    if pa.types.is_date64(kind):
        return pa.timestamp("ms")
    if pa.types.is_time32(kind):
        return pa.int32()
    if pa.types.is_time64(kind) or pa.types.is_duration(kind):
        return pa.int64()
    if pa.types.is_timestamp(kind) and kind.tz:
        return pa.timestamp(kind.unit, "UTC")
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(plinth_type(kind.value_type))
    if isinstance(kind, pa.BaseExtensionType) and kind != pa.uuid():
        return plinth_type(kind.storage_type)
    return kind


def plinth_array(array):
    """The values that come back, as one array."""
    if isinstance(array, pa.ChunkedArray):
        return pa.chunked_array([plinth_array(chunk) for chunk in array.chunks], plinth_type(array.type))
    kind, to = array.type, plinth_type(array.type)
    if pa.types.is_dictionary(kind):
        return plinth_array(array.dictionary.take(array.indices))
    if isinstance(to, pa.ListType):
        lengths, offsets = pc.list_value_length(array).to_pylist(), [0]
        values = plinth_array(pc.list_flatten(array))
        for length in lengths:
            offsets.append(offsets[-1] + (length or 0))
        mask = pa.array([length is None for length in lengths], pa.bool_())
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values, mask=mask)
    if kind == to:
        return array
    if isinstance(array, pa.ExtensionArray):
        return plinth_array(array.storage)
    if pa.types.is_date64(kind):
        return array.view(to)
    return array.cast(to)


def comparable(array):
    """What == compares: floats by their bits, so that NaN equals NaN."""
    if len(array) == 0:
        return []
    if pa.types.is_list(array.type):
        return [pc.list_value_length(array).to_pylist(), comparable(pc.list_flatten(array))]
    if isinstance(array.type, pa.BaseExtensionType):
        return array.to_pylist()
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_floating(array.type):
        return array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    return array


# ---- Running


def write(path, table, form="stream", compression=None, batch_rows=None, **options):
    options = pa.ipc.IpcWriteOptions(compression=compression, **options)
    opener = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
    with opener(str(path), table.schema, options=options) as writer:
        if isinstance(table, pa.RecordBatch):
            writer.write_batch(table)
        else:
            writer.write_table(table, max_chunksize=batch_rows)
    return path


def read(path):
    data = pathlib.Path(path).read_bytes()
    opener = pa.ipc.open_file if data[:6] == b"ARROW1" else pa.ipc.open_stream
    table = opener(data).read_all()
    table.validate(full=True)
    return table


def run(path, *options):
    out = path.parent / "out.arrow"
    done = subprocess.run([BIN_DIR / "arrow_convert", *map(str, options), path, out], capture_output=True, text=True,
                          check=False)
    return done.returncode, done.stderr.strip(), out


def convert(path, *options):
    code, text, out = run(path, *options)
    assert code == 0, text
    return read(out)


def refusal(path, *options):
    code, text, _ = run(path, *options)
    assert code == 1, text or "it was read"
    return text


def assert_same(got, wanted):
    assert got.schema.names == wanted.schema.names
    assert got.num_rows == wanted.num_rows
    for i, name in enumerate(wanted.schema.names):
        expected = plinth_array(wanted.column(i))
        assert got.schema.field(i).type == plinth_type(wanted.schema.field(i).type), name
        assert got.schema.field(i).nullable == wanted.schema.field(i).nullable, name
        assert comparable(got.column(i)) == comparable(expected), name


# ---- Random tables

WORDS = ["", "a", "Straße", "日本", "🦀🦀", "x" * 300, "zero\0byte"]
PRIMITIVES = [
    pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
    pa.float32(), pa.float64(), pa.decimal128(1, 0), pa.decimal128(12, 2), pa.decimal128(38, 38), pa.string(),
    pa.binary(), pa.date32(), pa.uuid(), *(pa.timestamp(unit) for unit in UNITS),
    *(pa.timestamp(unit, "UTC") for unit in UNITS),
]
FOREIGN = [
    pa.null(), pa.large_string(), pa.large_binary(), pa.binary(16), pa.binary(3), pa.date64(), pa.time32("s"),
    pa.time32("ms"), pa.time64("us"), pa.time64("ns"), pa.duration("ns"), pa.timestamp("us", "Europe/Berlin"),
]
NESTED = [pa.list_(kind) for kind in PRIMITIVES + FOREIGN] + [
    pa.large_list(pa.string()), pa.large_list(pa.int16()), pa.list_(pa.int8(), 3), pa.list_(pa.large_string(), 2),
    pa.list_(pa.null(), 2),
]
ENCODED = [
    *(pa.dictionary(index, pa.string()) for index in (pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(),
                                                       pa.uint32(), pa.int64(), pa.uint64())),
    *(pa.dictionary(pa.int8(), kind) for kind in (pa.bool_(), pa.int64(), pa.float32(), pa.decimal128(9, 3),
                                                   pa.large_string(), pa.binary(5), pa.date32(), pa.timestamp("ms"))),
    pa.list_(pa.dictionary(pa.int8(), pa.string())), pa.large_list(pa.dictionary(pa.uint16(), pa.int32())),
    pa.dictionary(pa.int8(), pa.list_(pa.string())), pa.dictionary(pa.int16(), pa.list_(pa.int32())),
]
ALL_TYPES = PRIMITIVES + FOREIGN + NESTED + ENCODED


def random_value(rng, kind):
    if pa.types.is_boolean(kind):
        return rng.random() < 0.5
    if pa.types.is_integer(kind):
        bits = kind.bit_width
        low = -(1 << (bits - 1)) if pa.types.is_signed_integer(kind) else 0
        high = low + (1 << bits) - 1
        return rng.choice([low, high, 0, rng.randint(low, high)])
    if pa.types.is_floating(kind):
        return rng.choice([0.0, -0.0, float("nan"), float("inf"), -1.5, rng.randint(-1000, 1000) / 8])
    if pa.types.is_decimal(kind):
        digits = rng.choice([0, 10**kind.precision - 1, rng.randrange(10**kind.precision)])
        with decimal.localcontext(prec=60):
            return decimal.Decimal(rng.choice([-1, 1]) * digits).scaleb(-kind.scale)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return rng.choice(WORDS)
    if pa.types.is_fixed_size_binary(kind):
        return rng.randbytes(kind.byte_width)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return rng.randbytes(rng.choice([0, 1, 16, 400]))
    if pa.types.is_date32(kind):
        return datetime.date.fromordinal(rng.randint(1, 3_000_000))
    if pa.types.is_date64(kind):
        return datetime.date.fromordinal(rng.randint(1, 3_000_000))
    if pa.types.is_time(kind):
        return rng.randrange(86_400)
    if pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return rng.randint(-(1 << 62), 1 << 62)
    if kind == pa.uuid():
        return uuid.UUID(int=rng.getrandbits(128)).bytes
    raise AssertionError(kind)


def random_array(rng, kind, rows, null_share):
    """An array of this type; what is null is decided at every level."""
    nulls = [rng.random() < null_share for _ in range(rows)]
    if pa.types.is_null(kind):
        return pa.nulls(rows)
    if pa.types.is_dictionary(kind):
        values = random_array(rng, kind.value_type, 7, null_share)
        indices = pa.array([None if null else rng.randrange(7) for null in nulls], kind.index_type)
        return pa.DictionaryArray.from_arrays(indices, values)
    if pa.types.is_fixed_size_list(kind):
        values = random_array(rng, kind.value_type, rows * kind.list_size, null_share)
        return pa.FixedSizeListArray.from_arrays(values, type=kind, mask=pa.array(nulls, pa.bool_()))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = [0]
        for null in nulls:
            offsets.append(offsets[-1] + (0 if null else rng.randrange(5)))
        maker = pa.ListArray if pa.types.is_list(kind) else pa.LargeListArray
        index = pa.int32() if pa.types.is_list(kind) else pa.int64()
        values = random_array(rng, kind.value_type, offsets[-1], null_share)
        return maker.from_arrays(pa.array(offsets, index), values, mask=pa.array(nulls, pa.bool_()), type=kind)
    values = [None if null else random_value(rng, kind) for null in nulls]
    if kind == pa.uuid():
        return pa.ExtensionArray.from_storage(kind, pa.array(values, pa.binary(16)))
    if pa.types.is_time(kind) or pa.types.is_timestamp(kind) or pa.types.is_duration(kind):
        return pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    return pa.array(values, kind)


def random_table(rng, kinds, rows, null_share):
    fields = []
    for i, kind in enumerate(kinds):
        is_nullable = null_share > 0 or pa.types.is_null(kind) or rng.random() < 0.7
        fields.append(pa.field(f"c{i} {kind}", kind, is_nullable))
    return pa.table([random_array(rng, kind, rows, null_share) for kind in kinds], schema=pa.schema(fields))


# ---- Both ways


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("form", ["stream", "file"])
@pytest.mark.parametrize("null_share", [0, 0.3, 1])
def test_every_type_goes_through_unchanged(tmp_path, form, compression, null_share):
    rng = random.Random(f"{form} {compression} {null_share}")
    for rows in (0, 1, 8, 77):
        table = random_table(rng, ALL_TYPES, rows, null_share)
        path = write(tmp_path / "in.arrow", table, form, compression, batch_rows=max(rows, 1))
        options = ["--file"] if form == "file" else []
        assert_same(convert(path, *options, "--compression", compression or "none"), table)


@pytest.mark.parametrize("seed", range(40))
def test_random_schemas_go_through_unchanged(tmp_path, seed):
    rng = random.Random(seed)
    kinds = [rng.choice(ALL_TYPES) for _ in range(rng.randrange(12))]
    table = random_table(rng, kinds, rng.choice([0, 1, 5, 64, 500]) if kinds else 0, rng.choice([0, 0.1, 0.5]))
    form = rng.choice(["stream", "file"])
    batch_rows = None if form == "file" else rng.choice([1, 7, 64, None])  # files do not replace dictionaries
    path = write(tmp_path / "in.arrow", table, form, rng.choice(COMPRESSIONS), batch_rows)
    options = ["--compression", rng.choice(["none", "lz4", "zstd"])] + rng.choice([[], ["--file"]])
    options += rng.choice([[], ["--misalign"]])
    if form == "stream" and rng.random() < 0.5:
        options += ["--pieces", rng.choice([1, 13, 1000])]
    assert_same(convert(path, *options), table)


@pytest.mark.parametrize("first,count", [(0, 3), (1, 40), (8, 16), (13, 1), (60, 100), (77, 5), (5, 0)])
def test_slices_are_written_as_what_they_show(tmp_path, first, count):
    table = random_table(random.Random(first), ALL_TYPES, 77, 0.2)
    path = write(tmp_path / "in.arrow", table)
    assert_same(convert(path, "--slice", first, count), table.slice(first, count))


def test_slices_of_pyarrow_are_read(tmp_path):
    table = random_table(random.Random(4), ALL_TYPES, 90, 0.2).slice(13, 51)
    assert_same(convert(write(tmp_path / "in.arrow", table)), table)


def test_several_batches_stay_several(tmp_path):
    table = random_table(random.Random(5), [pa.int64(), pa.string()], 100, 0.1)
    path = write(tmp_path / "in.arrow", table, batch_rows=30)
    for form in ([], ["--file"]):
        _, _, out = run(path, *form)
        assert [len(batch) for batch in read(out).to_batches()] == [30, 30, 30, 10]


def test_messages_of_version_4_and_without_marker_are_read(tmp_path):
    table = random_table(random.Random(6), ALL_TYPES, 20, 0.2)
    path = write(tmp_path / "in.arrow", table, metadata_version=pa.ipc.MetadataVersion.V4, use_legacy_format=True)
    assert path.read_bytes()[:4] != b"\xff\xff\xff\xff"
    assert_same(convert(path), table)
    assert_same(convert(path, "--pieces", 3), table)


def test_streams_arrive_in_pieces_of_any_size(tmp_path):
    table = random_table(random.Random(7), PRIMITIVES + ENCODED[:3], 30, 0.2)
    path = write(tmp_path / "in.arrow", table, compression="zstd", batch_rows=11)
    for size in (1, 2, 7, 8, 500, 1 << 20):
        assert_same(convert(path, "--pieces", size), table)


def test_a_stream_without_its_end_marker_is_whole(tmp_path):
    table = random_table(random.Random(8), PRIMITIVES, 10, 0.2)
    path = write(tmp_path / "in.arrow", table)
    path.write_bytes(path.read_bytes()[:-8])
    assert_same(convert(path), table)


# ---- Dictionaries


@pytest.mark.parametrize("value_type", [
    pa.string(), pa.int32(), pa.bool_(), pa.uint8(), pa.int16(), pa.float32(), pa.float64(), pa.decimal128(20, 3),
    pa.uuid(), pa.large_binary(), pa.list_(pa.string()), pa.list_(pa.uint64()),
])
@pytest.mark.parametrize("form,deltas", [("stream", True), ("stream", False), ("file", True)])
def test_dictionaries_grow_and_are_replaced(tmp_path, value_type, form, deltas):
    rng = random.Random(9)
    values = random_array(rng, value_type, 60, 0.1)
    chunks = []
    for size in (1, 5, 5, 40, 60) if form == "file" else (0, 1, 5, 5, 40, 60, 3):
        indices = pa.array([rng.randrange(size) if size else None for _ in range(20)] + [None], pa.int16())
        chunks.append(pa.DictionaryArray.from_arrays(indices, values.slice(0, size)))
    schema = pa.schema([pa.field("d", chunks[0].type)])
    opener = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
    path = tmp_path / "in.arrow"
    with opener(str(path), schema, options=pa.ipc.IpcWriteOptions(emit_dictionary_deltas=deltas)) as writer:
        for chunk in chunks:
            writer.write_batch(pa.record_batch([chunk], schema=schema))
    wanted = pa.table([pa.chunked_array([plinth_array(chunk) for chunk in chunks])], names=["d"])
    assert_same(convert(path), wanted)
    if form == "stream":
        assert_same(convert(path, "--pieces", 100), wanted)


def test_an_index_outside_its_dictionary_is_refused(tmp_path):
    for index, kind in ((3, pa.int8()), (-1, pa.int8()), (-1, pa.int64()), (255, pa.uint8()), (2**63, pa.uint64())):
        indices = pa.array([0, None, 2, index], kind)
        array = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b", "c"]), safe=False)
        text = refusal(write(tmp_path / "in.arrow", pa.table({"host": array})))
        assert text.startswith("invalid_argument: ")
        assert "column 'host': row 3 has index" in text and "which has 3 values" in text


def messages_of(path):
    """The messages of a stream as bytes."""
    reader, found = pa.ipc.MessageReader.open_stream(path.read_bytes()), []
    while True:
        try:
            found.append(reader.read_next_message())
        except StopIteration:
            return [(message.type, message.serialize().to_pybytes()) for message in found]


def test_a_batch_before_its_dictionary_is_refused_unless_all_is_null(tmp_path):
    for values, is_read in ((["a"], False), ([None, None], True)):
        array = pa.array(values, pa.string()).dictionary_encode()
        path = write(tmp_path / "in.arrow", pa.table({"host": array}))
        parts = messages_of(path)
        assert [kind for kind, _ in parts] == ["schema", "dictionary", "record batch"]
        path.write_bytes(parts[0][1] + parts[2][1])
        if is_read:
            assert convert(path).column(0).to_pylist() == values
        else:
            text = refusal(path)
            assert "column 'host': row 0 has index 0 into dictionary 0, which has 0 values" in text
            assert "no dictionary batch came before" in text


# ---- Refused


@pytest.mark.parametrize("kind,name", [
    (pa.struct([("x", pa.int8())]), "Struct"), (pa.map_(pa.string(), pa.int8()), "Map"),
    (pa.list_(pa.list_(pa.int8())), "lists of lists"), (pa.list_(pa.struct([("x", pa.int8())])), "Struct"),
    (pa.float16(), "FloatingPoint(HALF)"), (pa.decimal256(50, 2), "Decimal of 256 bits"),
    (pa.decimal128(5, -2), "Decimal(5, -2)"), (pa.string_view(), "Utf8View"), (pa.binary_view(), "BinaryView"),
    (pa.month_day_nano_interval(), "Interval"), (pa.list_view(pa.int8()), "ListView"),
    (pa.run_end_encoded(pa.int32(), pa.int8()), "RunEndEncoded"),
])
def test_other_types_are_refused_by_name(tmp_path, kind, name):
    table = pa.schema([pa.field("fine", pa.int8()), pa.field("odd one", kind)]).empty_table()
    for form in ("stream", "file"):
        text = refusal(write(tmp_path / "in.arrow", table, form))
        assert text.startswith("unsupported: ") and "column 'odd one'" in text and name in text


def test_names_that_are_not_utf8_are_refused(tmp_path):
    for name in (b"na\xffe", b"na\0e"):
        path = write(tmp_path / "in.arrow", pa.schema([("fine", pa.int8()), ("name", pa.int8())]).empty_table())
        path.write_bytes(path.read_bytes().replace(b"name", name))
        assert "column number 2: a column's name is not valid UTF-8" in refusal(path)


def int32s(*values):
    return b"".join(value.to_bytes(4, "little", signed=True) for value in values)


def int64s(*values):
    return b"".join(value.to_bytes(8, "little", signed=True) for value in values)


def patch(path, old, new):
    """Replaces bytes that are there once."""
    data = path.read_bytes()
    assert data.count(old) == 1 and len(old) == len(new)
    path.write_bytes(data.replace(old, new))


# Each is (a column's type and values, its bytes that are damaged, what they become, what the error says). A buffer is
# (offset, length) in the body, where the column lies at 16, behind another one with nulls.
@pytest.mark.parametrize("kind,values,old,new,says", [
    (pa.string(), ["ab", "c"], int32s(0, 2, 3), int32s(0, 2, 1), "row 1: offset 2 is above the next one, 1"),
    (pa.string(), ["ab", "c"], int32s(0, 2, 3), int32s(0, 2, 9), "row 1: ends at offset 9 of 3"),
    (pa.string(), ["ab", "c"], int32s(0, 2, 3), int32s(-1, 2, 3), "row 0: offset 4294967295 is above the next one"),
    (pa.string(), ["abc", "c"], b"abcc", b"abc\xff", "row 1: not UTF-8"),
    (pa.string(), ["abc", "c"], b"abcc", b"ab\xc3\xa4", "row 0: not UTF-8"),
    (pa.string(), ["ab", "c"], int64s(16, 12), int64s(16, 8), "the offsets buffer has 8 bytes, not the 12 it needs"),
    (pa.string(), ["ab", "c"], int64s(16, 12), int64s(16, 1 << 40), "buffer (offset 16, length 1099511627776)"),
    (pa.string(), ["ab", "c"], int64s(16, 12), int64s(-16, 12), "buffer (offset -16, length 12) lies outside"),
    (pa.string(), ["ab", "c"], int64s(32, 3), int64s(32, -3), "the data buffer (offset 32, length -3) lies outside"),
    (pa.string(), ["ab", "c"], int64s(32, 3), int64s((1 << 63) - 1, 3), "lies outside the body of 40 bytes"),
    (pa.large_string(), ["ab", "c"], int64s(0, 2, 3), int64s(0, 2, 1), "row 1: offset 2 is above the next one, 1"),
    (pa.large_string(), ["ab", "c"], int64s(0, 2, 3), int64s(0, -1, 3), "row 0 has the offset -1"),
    (pa.large_string(), ["ab", "c"], int64s(0, 2, 3), int64s(99, 99, 99), "the first offset, 99, lies behind the data"),
    (pa.large_string(), ["ab", "c"], int64s(0, 2, 3), int64s(0, 1 << 40, 1 << 40), "the offset 1099511627776"),
    (pa.int64(), [1, 2], int64s(16, 16), int64s(16, 15), "the values buffer has 15 bytes, not the 16 it needs"),
    (pa.int64(), [1, None] * 9, int64s(32, 3), int64s(32, 2), "the validity buffer has 2 bytes, not the 3 it needs"),
    (pa.bool_(), [True] * 9, int64s(24, 2), int64s(24, 1), "the values buffer has 1 bytes, not the 2 it needs"),
    (pa.binary(5), [b"12345"] * 2, int64s(16, 10), int64s(16, 9), "the values buffer has 9 bytes, not the 10 it needs"),
    (pa.decimal128(3, 2), [decimal.Decimal("7.77")], int64s(777, 0), int64s(1000, 0), "row 0: a decimal of"),
    (pa.list_(pa.string()), [["ab", "c"]], int32s(0, 2, 3), int32s(0, 2, 1), "list elements: row 1: offset 2 is above"),
    (pa.list_(pa.string()), [["ab", "c"]], b"abc", b"ab\xff", "list elements: row 1: not UTF-8"),
    (pa.list_(pa.int64()), [[7] * 300, [7]], int32s(0, 300, 301), int32s(0, 300, 302), "row 1: ends at offset 302"),
    (pa.list_(pa.int64()), [[7] * 300, [7]], int32s(0, 300, 301), int32s(0, 300, 299), "row 1: offset 300 is above"),
    (pa.list_(pa.int64()), [[5, 6, 7]], int64s(3, 0), int64s(1 << 40, 0), "a field node of length 1099511627776"),
    (pa.list_(pa.int64()), [[5, 6, 7]], int64s(3, 0), int64s(-3, 0), "a field node of length -3 with 0 nulls"),
    (pa.int64(), [1] * 10 + [None], int64s(11, 1), int64s(11, -1), "a field node of length 11 with -1 nulls"),
    (pa.int64(), [1] * 10 + [None], int64s(11, 1), int64s(11, 12), "a field node of length 11 with 12 nulls"),
    (pa.int64(), [1] * 10 + [None], int64s(11, 1), int64s(10, 1), "10 values in a record batch of 11 rows"),
])
def test_wrong_lengths_offsets_and_values_are_refused_with_column_and_row(tmp_path, kind, values, old, new, says):
    fine = pa.array([None] * len(values), pa.int8())
    batch = pa.record_batch([fine, pa.array(values, kind)], names=["fine", "bad column"])
    path = write(tmp_path / "in.arrow", batch)
    patch(path, old, new)
    text = refusal(path)
    assert "column 'bad column': " in text and says in text, text


def test_counts_of_rows_nodes_and_buffers_must_fit(tmp_path):
    path = tmp_path / "in.arrow"
    number, text, zero, small = pa.array([1, 2]), pa.array(["x", "y"]), pa.array([0, 0]), pa.array([1, 2], pa.int8())
    for schema_of, columns, says in (
        ([number], [number, text], "2 field nodes; the schema's columns have 1"),
        ([number, text, small], [number, text], "column 'c2': the record batch has too few field nodes (2)"),
        ([number, small], [number, text], "5 buffers; the schema's columns have 4"),
        ([number, text], [number, zero], "column 'c1': the record batch has too few buffers (4)"),
    ):
        names = ["c0", "c1", "c2"]
        schema = messages_of(write(path, pa.record_batch(schema_of, names=names[:len(schema_of)])))[0][1]
        batch = messages_of(write(path, pa.record_batch(columns, names=names[:len(columns)])))[1][1]
        path.write_bytes(schema + batch)
        assert says in refusal(path)
    for rows, says in ((-1, "a record batch of -1 rows"), (1 << 40, "a record batch of 1099511627776 rows; at most")):
        batch = pa.record_batch([pa.array([b"xyz"] * 4321)], names=["a"])
        write(path, batch)
        whole = path.read_bytes()
        assert whole.count(int64s(4321)) == 2  # of the batch, of the node
        for at in (whole.find(int64s(4321)), whole.rfind(int64s(4321))):
            path.write_bytes(whole[:at] + int64s(rows) + whole[at + 8:])
            text = refusal(path)
            assert says in text or "a field node of length" in text


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_damaged_compression_is_refused(tmp_path, compression):
    table = pa.table({"text": ["abcdefgh" * 50] * 300})
    path = write(tmp_path / "in.arrow", table, compression=compression)
    parts = [part for _, part in messages_of(path)]
    body = pa.ipc.read_message(parts[1]).body.size
    at, size = len(parts[1]) - body, None
    found = []
    for offset in range(0, body, 8):  # every buffer's length, and some of its frames' bytes
        for value in (0, 1 << 62, 7):
            damaged = bytearray(parts[1])
            damaged[at + offset:at + offset + 8] = int64s(value)
            path.write_bytes(parts[0] + bytes(damaged))
            code, text, out = run(path)
            assert code in (0, 1), text
            found.append(text)
    says = "\n".join(found)
    assert "column 'text': the offsets buffer: " in says and "column 'text': the data buffer: " in says
    assert "too_large: " in says and "decoding takes more memory than the limit leaves" in says


def test_what_takes_more_memory_than_allowed_is_refused(tmp_path):
    rows = 100_000
    array = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int8()), pa.array(["x" * 1000]))
    cases = {
        "dictionary": (pa.table({"c": array}), None),
        "compressed": (pa.table({"c": pa.array([7] * rows * 10)}), "zstd"),
        "null": (pa.table({"c": pa.nulls(rows * 100)}), None),
    }
    for name, (table, compression) in cases.items():
        path = write(tmp_path / "in.arrow", table, compression=compression)
        text = refusal(path, "--bytes-max", 1_000_000)
        assert text.startswith("too_large: ") and "column 'c': " in text, name
    path = write(tmp_path / "in.arrow", pa.table({"c": pa.array(range(rows * 10))}))
    assert "at most 1000000" in refusal(path, "--bytes-max", 1_000_000)


def test_streams_that_are_cut_or_go_on_are_refused(tmp_path):
    path = write(tmp_path / "in.arrow", random_table(random.Random(10), PRIMITIVES, 20, 0.2))
    whole, parts = path.read_bytes(), [part for _, part in messages_of(path)]
    for size in (3, 7, 100, len(parts[0]) + 4, len(whole) - 100):
        path.write_bytes(whole[:size])
        assert "ends inside" in refusal(path)
    for data, says in ((b"", "an empty Arrow stream"), (whole + b"\0" * 8, "8 bytes follow the end"),
                       (parts[1], "a batch before the schema"), (parts[0] * 2, "a second schema"),
                       (b"\xff" * 4 + b"\0" * 4, "ends before its schema"), (b"id,name\n1,x\n", "not an Arrow stream")):
        path.write_bytes(data)
        text = refusal(path)
        assert says in text, text


def test_files_that_are_cut_or_damaged_are_refused(tmp_path):
    path = write(tmp_path / "in.arrow", random_table(random.Random(11), PRIMITIVES, 20, 0.2), "file")
    whole = path.read_bytes()
    for size in (6, 8, 17, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "without a footer: cut short?" in refusal(path)
    path.write_bytes(whole[:-10] + (1 << 30).to_bytes(4, "little") + b"ARROW1")
    assert "with a footer of 1073741824" in refusal(path)
    footer = int.from_bytes(whole[-10:-6], "little")
    rng = random.Random(12)
    for _ in range(300):  # any byte of the footer
        damaged = bytearray(whole)
        damaged[-rng.randint(11, 10 + footer)] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        code, text, _ = run(path)
        assert code in (0, 1), text


# ---- Files and streams of others

REFUSED = {
    "1.0.0-bigendian/generated_null.stream": "big-endian data",
    "1.0.0-bigendian/generated_dictionary.arrow_file": "big-endian data",
    "cpp-21.0.0/generated_binary_view.stream": "column 'bv': type BinaryView",
    "cpp-21.0.0/generated_decimal32.arrow_file": "column 'f0': type Decimal of 32 bits",
    "cpp-21.0.0/generated_interval_mdn.stream": "column 'f1': type Interval",
    "cpp-21.0.0/generated_list_view.arrow_file": "column 'lv': type ListView",
    "cpp-21.0.0/generated_map.arrow_file": "column 'map_nullable': type Map",
    "cpp-21.0.0/generated_nested.stream": "column 'struct_nullable': type Struct",
    "cpp-21.0.0/generated_recursive_nested.stream": "column 'lists_list': lists of lists",
    "cpp-21.0.0/generated_run_end_encoded.stream": "column 'ree16_int32': type RunEndEncoded",
    "cpp-21.0.0/generated_union.stream": "column 'sparse_1': type Union",
}
INTEGRATION = sorted(str(path.relative_to(DATA_DIR)) for path in DATA_DIR.glob("*.*.*/*"))
MALFORMED = {
    "clusterfuzz-testcase-arrow-ipc-file-fuzz-5125323032887296": "ends inside this message",
    "clusterfuzz-testcase-arrow-ipc-file-fuzz-5168303072608256": "metadata of -211 bytes",
    "clusterfuzz-testcase-arrow-ipc-file-fuzz-5657400208261120": "column 'f1': lists of lists",
    "clusterfuzz-testcase-arrow-ipc-file-fuzz-5672148874297344": "the validity buffer (offset 65040, length 0)",
    "clusterfuzz-testcase-arrow-ipc-file-fuzz-5726016354123776": "the footer tells another length",
    "clusterfuzz-testcase-minimized-arrow-ipc-stream-fuzz-5157190818332672.fuzz": "malformed metadata",
    "clusterfuzz-testcase-minimized-arrow-ipc-stream-fuzz-5729978629226496": "the offsets buffer (offset 65536",
    "crash-bd7e00178af2d236fdf041fcc1fb30975bf8fbca": "malformed metadata",
    "crash-f37e71777ad0324b55b99224f2c7ffb0107bdfa2": "column 'foo': malformed metadata",
    "crash-fd237566879dc60fff4d956d5fe3533d74a367f3": "a field node of length 0 with 83886080 nulls",
}


@pytest.mark.parametrize("name", INTEGRATION)
def test_integration_files_of_arrow_are_read_like_pyarrow_or_refused(tmp_path, name):
    path = tmp_path / "in.arrow"
    data = (DATA_DIR / name).read_bytes()
    path.write_bytes(data)
    if name in REFUSED:
        text = refusal(path)
        assert text.startswith("unsupported: ") and REFUSED[name] in text
        return
    wanted = (pa.ipc.open_file if data[:6] == b"ARROW1" else pa.ipc.open_stream)(data).read_all()
    assert_same(convert(path), wanted)
    assert_same(convert(path, "--misalign", "--file", "--compression", "lz4"), wanted)


@pytest.mark.parametrize("name", sorted(path.name for path in (DATA_DIR / "malformed").iterdir()))
def test_malformed_files_of_arrow_are_refused(tmp_path, name):
    path = tmp_path / "in.arrow"
    path.write_bytes((DATA_DIR / "malformed" / name).read_bytes())
    text = refusal(path)
    assert text.startswith(("invalid_argument: ", "unsupported: ")) and MALFORMED[name] in text
