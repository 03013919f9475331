"""Random tables of nested columns for the Parquet tests, as they are written and as they come back: Parquet has one form
of strings, lists and dictionaries where Arrow has several."""
import dataclasses
import random

import pyarrow as pa

WORDS = ["", "a", "plinth", "säule", "a longer word that repeats", "柱", "x" * 70]


@dataclasses.dataclass
class Column:
    """`given` is what goes in; `canonical` has the same values as what any reader gives."""
    given: pa.Array
    canonical: pa.Array


def _nulls(rng, length, nullable):
    share = rng.choice([0, 0, 0.1, 0.5, 0.95, 1]) if nullable else 0
    return [rng.random() < share for _ in range(length)]


def _leaf(rng, length, nullable, kind, make, through=None):
    """`make` gives Python values of the type `through`, whose arrays are seen as `kind`."""
    nulls = _nulls(rng, length, nullable)
    pool = [make() for _ in range(rng.choice([1, 3, 50]))] if rng.random() < 0.5 else None
    values = [None if null else rng.choice(pool) if pool else make() for null in nulls]
    array = pa.array(values, through or kind)
    return array.view(kind) if through else array


def _integer(rng, bits, signed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    small = rng.random() < 0.5
    return lambda: rng.randint(max(low, -100), min(high, 100)) if small else rng.choice([low, high, rng.randint(low, high)])


def _rising(rng):
    at = [rng.randrange(10**12)]

    def make():
        at[0] += rng.randrange(1000)
        return at[0]

    return make


def _decimal(rng, precision, scale):
    import decimal

    def make():
        digits = rng.randint(1, precision)
        with decimal.localcontext(decimal.Context(prec=80)):
            return decimal.Decimal(rng.randint(-(10**digits) + 1, 10**digits - 1)).scaleb(-scale)

    return make


def _primitive(rng, length, nullable, for_duckdb):
    def leaf(kind, make, through=None):
        return _leaf(rng, length, nullable, kind, make, through)

    text = lambda: rng.choice(WORDS) + (str(rng.randrange(1000)) if rng.random() < 0.5 else "")
    raw = lambda: rng.randbytes(rng.choice([0, 1, 5, 40]))
    real = lambda: rng.choice([0.0, -0.5, 1e300, rng.random(), rng.randrange(1000) / 8])
    single = lambda: rng.choice([0.0, -0.5, 2.0**100, rng.randrange(1000) / 8])
    moment = _rising(rng) if rng.random() < 0.5 else (lambda: rng.randrange(-(2**40), 2**40))
    plain = [
        lambda: leaf(pa.bool_(), lambda: rng.random() < 0.3),
        *[lambda b=b, s=s: leaf(getattr(pa, f"{'' if s else 'u'}int{b}")(), _integer(rng, b, s))
          for b in (8, 16, 32, 64) for s in (True, False)],
        lambda: leaf(pa.int64(), _rising(rng)),
        lambda: leaf(pa.float32(), single),
        lambda: leaf(pa.float64(), real),
        lambda: leaf(pa.string(), text),
        lambda: leaf(pa.binary(), raw),
        lambda: leaf(pa.date32(), lambda: rng.randrange(-1000, 40000), pa.int32()),
        lambda: leaf(pa.time64("us"), lambda: rng.randrange(86_400_000_000), pa.int64()),
        lambda: leaf(pa.timestamp("ms"), moment, pa.int64()),
        lambda: leaf(pa.timestamp("us"), moment, pa.int64()),
        lambda: leaf(pa.timestamp("us", "UTC"), moment, pa.int64()),
        lambda: leaf(pa.timestamp("ns"), moment, pa.int64()),
        lambda: leaf(pa.decimal128(9, 2), _decimal(rng, 9, 2)),
        lambda: leaf(pa.decimal128(18, 0), _decimal(rng, 18, 0)),
        lambda: leaf(pa.decimal128(38, 10), _decimal(rng, 38, 10)),
    ]
    others = [
        lambda: leaf(pa.float16(), lambda: rng.randrange(-100, 100) / 4),
        lambda: leaf(pa.binary(7), lambda: rng.randbytes(7)),
        lambda: leaf(pa.binary(16), lambda: rng.randbytes(16)),
        lambda: leaf(pa.time32("ms"), lambda: rng.randrange(86_400_000), pa.int32()),
        lambda: leaf(pa.time64("ns"), lambda: rng.randrange(86_400_000_000_000), pa.int64()),
        lambda: leaf(pa.timestamp("ms", "UTC"), moment, pa.int64()),
        lambda: leaf(pa.decimal256(60, 5), _decimal(rng, 60, 5)),
        lambda: leaf(pa.decimal128(25, 25), _decimal(rng, 25, 25)),
    ]
    array = rng.choice(plain if for_duckdb else plain + others)()
    return Column(array, array)


def _other_form(rng, column):
    """The same values in another of Arrow's forms."""
    kind = column.canonical.type
    forms = [lambda a: a.dictionary_encode()]
    if pa.types.is_string(kind):
        forms += [lambda a: a.cast(pa.large_string()), lambda a: a.cast(pa.string_view())]
    elif pa.types.is_binary(kind):
        forms += [lambda a: a.cast(pa.large_binary()), lambda a: a.cast(pa.binary_view())]
    elif pa.types.is_date32(kind):
        forms += [lambda a: a.cast(pa.date64())]
    elif pa.types.is_decimal128(kind):
        forms += [lambda a: a.cast(pa.decimal256(kind.precision, kind.scale))]
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)) or pa.types.is_float16(kind):
        forms = [lambda a: a]
    return Column(rng.choice(forms)(column.canonical), column.canonical)


def _offsets(rng, length, nulls):
    """Offsets where null lists have no elements."""
    most = rng.choice([0, 1, 3, 8])
    offsets = [0]
    for i in range(length):
        size = 0 if nulls[i] else 200 if rng.random() < 0.002 else rng.randint(0, most)
        offsets.append(offsets[-1] + size)
    return offsets


def _list(rng, length, nullable, depth, options):
    nulls = _nulls(rng, length, nullable)
    element_nullable = rng.random() < 0.7
    fixed = rng.random() < 0.1 and options["forms"] and length > 0
    offsets = [3 * i for i in range(length + 1)] if fixed else _offsets(rng, length, nulls)
    child = make_column(rng, offsets[-1], element_nullable, depth - 1, options)
    mask = pa.array(nulls, pa.bool_())
    field = lambda a: pa.field("element", a.type, element_nullable)
    kind = pa.list_(field(child.canonical))
    if fixed:  # a null one has elements all the same, which are not written
        given = pa.FixedSizeListArray.from_arrays(child.given, type=pa.list_(field(child.given), 3), mask=mask)
        rows = [None if null else range(3 * i, 3 * i + 3) for i, null in enumerate(nulls)]
        taken = child.canonical.take(pa.array([i for row in rows if row for i in row], pa.int64()))
        offsets = [0]
        for row in rows:
            offsets.append(offsets[-1] + (3 if row else 0))
        return Column(given, pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), taken, type=kind, mask=mask))
    canonical = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), child.canonical, type=kind, mask=mask)
    if options["forms"] and rng.random() < 0.3:
        given = pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), child.given,
                                              type=pa.large_list(field(child.given)), mask=mask)
    else:
        given = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), child.given, type=pa.list_(field(child.given)),
                                         mask=mask)
    return Column(given, canonical)


def _struct(rng, length, nullable, depth, options):
    nulls = _nulls(rng, length, nullable)
    names = [f"f{i}" for i in range(rng.choice([1, 1, 2, 3]))]
    nullables = [rng.random() < 0.7 for _ in names]
    children = [make_column(rng, length, n, depth - 1, options) for n in nullables]
    mask = pa.array(nulls, pa.bool_())

    def build(arrays):
        fields = [pa.field(name, a.type, n) for name, a, n in zip(names, arrays, nullables)]
        return pa.StructArray.from_arrays(arrays, fields=fields, mask=mask)

    return Column(build([c.given for c in children]), build([c.canonical for c in children]))


def _map(rng, length, nullable, depth, options):
    nulls = _nulls(rng, length, nullable)
    offsets = _offsets(rng, length, nulls)
    numbers = list(range(offsets[-1]))  # keys that differ
    keys = pa.array([f"k{i}" for i in numbers] if rng.random() < 0.5 else numbers,
                    pa.string() if rng.random() < 0 else None) if numbers else pa.array([], pa.int64())
    value_nullable = rng.random() < 0.7
    values = make_column(rng, offsets[-1], value_nullable, depth - 1, options)
    mask = pa.array(nulls, pa.bool_())

    def build(items):
        kind = pa.map_(keys.type, pa.field("value", items.type, value_nullable))
        return pa.MapArray.from_arrays(pa.array(offsets, pa.int32()), keys, items, type=kind, mask=mask)

    return Column(build(values.given), build(values.canonical))


def make_column(rng, length, nullable, depth, options):
    if depth > 0 and rng.random() < 0.6:
        return rng.choice([_list, _struct, _map])(rng, length, nullable, depth, options)
    if not options["duckdb"] and nullable and rng.random() < 0.02:
        return Column(pa.nulls(length), pa.nulls(length))
    column = _primitive(rng, length, nullable, options["duckdb"])
    return _other_form(rng, column) if options["forms"] and rng.random() < 0.3 else column


def clear_masked(array):
    """Without what lies below nulls of structs and lists, where readers may have anything."""
    return pa.concat_arrays([array]).take(pa.array(range(len(array)), pa.int64()))


def random_table(seed, for_duckdb=False, forms=True, depth=3):
    """(given, canonical), from one seed: 1 to 4 columns of up to 2,000 rows, sometimes none."""
    rng = random.Random(seed)
    rows = rng.choice([0, 1, 7, 100, 500, 2000])
    options = {"duckdb": for_duckdb, "forms": forms}
    names = [f"c{i}" for i in range(rng.randint(1, 4))]
    nullables = [rng.random() < 0.7 for _ in names]
    columns = [make_column(rng, rows, n, depth, options) for n in nullables]

    def build(arrays):
        return pa.Table.from_arrays(arrays, schema=pa.schema(
            [pa.field(name, a.type, n) for name, a, n in zip(names, arrays, nullables)]))

    return build([c.given for c in columns]), build([c.canonical for c in columns])
