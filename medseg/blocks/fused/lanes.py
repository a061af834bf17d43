"""Sixteen numbers of float32 or bfloat16 out of memory and back, and what loops do to them.

numba has no bfloat16. An array of int16 holds its bits: the upper half of those of float32.
"""

import itertools
from typing import no_type_check

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from medseg.blocks.selective_scan.cpu.lanes import FLAGS, INTEGERS, VECTOR, WIDTH, lanes

HALVES = ir.VectorType(ir.IntType(16), WIDTH)

BITS = ir.VectorType(ir.IntType(1), WIDTH)

ROUND = 0x7FFF
"""Added to the bits of a number, it carries into the upper half what is above the middle."""

QUIET = 0x0040
"""Makes bits NaN whose exponent is that of NaN or infinity."""


@intrinsic
@no_type_check
def fetch(_typing, array, place):
    """Read sixteen numbers that begin at `place` of an array with one axis."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        if signature.args[0].dtype != types.int16:
            return builder.load(pointer, align=4, typ=VECTOR)
        return _widen(builder, builder.load(pointer, align=2, typ=HALVES))

    return lanes(array, types.intp), generate


@intrinsic
@no_type_check
def put(_typing, array, place, value):
    """Write them; bfloat16 is rounded to the nearest, of two to the even one."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        if signature.args[0].dtype != types.int16:
            builder.store(arguments[2], pointer, align=4)
        else:
            builder.store(_narrow(builder, arguments[2]), pointer, align=2)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), generate


@intrinsic
@no_type_check
def fetch_some(_typing, array, place, mask):
    """Read those of sixteen numbers whose bit is set in `mask`; the others are 0, and not touched.

    The lowest bit is that of the first number.
    """

    def generate(context, builder, signature, arguments):
        kind, size = _kind(signature.args[0])
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        name = f"llvm.masked.load.v{WIDTH}{'i16' if size == 2 else 'f32'}"
        given = [pointer, ir.IntType(32)(size), _mask(builder, arguments[2]), kind(None)]
        values = _call(builder, name, kind, given)
        return values if size != 2 else _widen(builder, values)

    return lanes(array, types.intp, types.intp), generate


@intrinsic
@no_type_check
def put_some(_typing, array, place, mask, value):
    """Write the numbers that `fetch_some` reads."""

    def generate(context, builder, signature, arguments):
        _, size = _kind(signature.args[0])
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        value = arguments[3] if size != 2 else _narrow(builder, arguments[3])
        name = f"llvm.masked.store.v{WIDTH}{'i16' if size == 2 else 'f32'}"
        given = [value, pointer, ir.IntType(32)(size), _mask(builder, arguments[2])]
        _call(builder, name, ir.VoidType(), given)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, lanes), generate


@intrinsic
@no_type_check
def prefetch(_typing, array, place):
    """Ask for the line of cache of a number, which need not be one of the array's."""

    def generate(context, builder, signature, arguments):
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        for_reading, nearly_near, data = (ir.IntType(32)(n) for n in (0, 2, 1))
        given = [pointer, for_reading, nearly_near, data]
        _call(builder, "llvm.prefetch", ir.VoidType(), given)
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@no_type_check
def _kind(array):
    """Return the vector that an array holds, and the bytes of one number."""
    return (HALVES, 2) if array.dtype == types.int16 else (VECTOR, 4)


@no_type_check
def _mask(builder, bits):
    return builder.bitcast(builder.trunc(bits, ir.IntType(WIDTH)), BITS)


@no_type_check
def _call(builder, name, result, given):
    """Call one of LLVM's own functions, whose name ends with the kind of pointer it takes."""
    pointer = next(each.type for each in given if isinstance(each.type, ir.PointerType))
    name = f"{name}.p0v{WIDTH}{'i16' if pointer == HALVES.as_pointer() else 'f32'}"
    kind = ir.FunctionType(result, [each.type for each in given])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), given)


@no_type_check
def _widen(builder, halves):
    """Make numbers of the bits of bfloat16."""
    bits = builder.shl(builder.zext(halves, INTEGERS), INTEGERS([16] * WIDTH))
    return builder.bitcast(bits, VECTOR)


@no_type_check
def _narrow(builder, value):
    """Round to the bits of bfloat16; NaN stays NaN."""
    bits = builder.bitcast(value, INTEGERS)
    upper = builder.lshr(bits, INTEGERS([16] * WIDTH))
    odd = builder.and_(upper, INTEGERS([1] * WIDTH))
    carried = builder.add(builder.add(bits, odd), INTEGERS([ROUND] * WIDTH))
    rounded = builder.lshr(carried, INTEGERS([16] * WIDTH))
    nan = builder.or_(upper, INTEGERS([QUIET] * WIDTH))
    chosen = builder.select(builder.fcmp_unordered("uno", value, value), nan, rounded)
    return builder.trunc(chosen, HALVES)


@no_type_check
def _pointer(context, builder, kind, array, place):
    """Compute where in an array `place` lies; it is not tested against the array's end."""
    data = context.make_array(kind)(context, builder, value=array).data
    vector = HALVES if kind.dtype == types.int16 else VECTOR
    return builder.bitcast(builder.gep(data, [place]), vector.as_pointer())


@intrinsic
@no_type_check
def fma(_typing, a, b, c):
    """Multiply the first two and add the third."""

    def generate(_context, builder, _signature, arguments):
        product = builder.fmul(arguments[0], arguments[1], flags=FLAGS)
        return builder.fadd(product, arguments[2], flags=FLAGS)

    return lanes(lanes, lanes, lanes), generate


@intrinsic
@no_type_check
def greater(_typing, a, b):
    """Take the greater of each two; the second where one is NaN."""

    def generate(_context, builder, _signature, arguments):
        return builder.select(builder.fcmp_ordered(">", *arguments), *arguments)

    return lanes(lanes, lanes), generate


@intrinsic
@no_type_check
def highest(_typing, value):
    """Find the greatest of sixteen."""

    def generate(_context, builder, _signature, arguments):
        kind = ir.FunctionType(ir.FloatType(), [VECTOR])
        name = "llvm.vector.reduce.fmax.v16f32"
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        return builder.call(function, arguments)

    return types.float32(lanes), generate


@no_type_check
def products(rows, registers):
    """Make the innermost loop of a matrix product: a few rows, a few registers of columns.

    It computes out = start + a @ b of arrays with one axis. Each is given with the place of its
    first number and the distance of its rows; `depth` are the columns of a. The sums stay in
    registers until the end.
    """

    @intrinsic
    @no_type_check
    def multiply(_typing, out, at, step, start, at1, step1, a, at2, step2, b, at3, step3, depth):
        given = (out, at, step, start, at1, step1, a, at2, step2, b, at3, step3, depth)

        def generate(context, builder, signature, arguments):
            matrices = [
                _Matrix(context, builder, signature.args[n], arguments[n : n + 3])
                for n in range(0, 12, 3)
            ]
            _multiply(builder, *matrices, arguments[12], (rows, registers))
            return context.get_dummy_value()

        kinds = (types.intp if kind in types.integer_domain else kind for kind in given)
        return types.void(*kinds), generate

    return multiply


class _Matrix:
    """An array of float32 with one axis, read as rows."""

    @no_type_check
    def __init__(self, context, builder, kind, given):
        array, self.at, self.step = given
        self.builder = builder
        self.data = context.make_array(kind)(context, builder, array).data

    @no_type_check
    def place(self, row, column):
        """Compute where a number lies."""
        add, index = self.builder.add, types.intp.bitwidth
        row, column = (ir.IntType(index)(n) if isinstance(n, int) else n for n in (row, column))
        offset = add(self.at, self.builder.mul(row, self.step))
        return self.builder.gep(self.data, [add(offset, column)])

    @no_type_check
    def vector(self, row, register):
        """Compute where sixteen numbers begin."""
        return self.builder.bitcast(self.place(row, register * WIDTH), VECTOR.as_pointer())


@no_type_check
def _multiply(builder, out, start, a, b, depth, shape):
    """Write the loop of `products`."""
    rows, registers = shape
    sums = {}
    for tile in itertools.product(range(rows), range(registers)):
        sums[tile] = cgutils.alloca_once(builder, VECTOR)
        builder.store(builder.load(start.vector(*tile), align=4, typ=VECTOR), sums[tile])
    with cgutils.for_range(builder, depth) as loop:
        columns = [
            builder.load(b.vector(loop.index, v), align=4, typ=VECTOR) for v in range(registers)
        ]
        numbers = [_splat(builder, builder.load(a.place(r, loop.index))) for r in range(rows)]
        for (r, v), place in sums.items():
            product = builder.fmul(numbers[r], columns[v], flags=FLAGS)
            builder.store(builder.fadd(builder.load(place), product, flags=FLAGS), place)
    for tile, place in sums.items():
        builder.store(builder.load(place), out.vector(*tile), align=4)


@no_type_check
def _splat(builder, number):
    first = builder.insert_element(VECTOR(ir.Undefined), number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, VECTOR(ir.Undefined), INTEGERS([0] * WIDTH))
