"""Sixteen numbers that numba's compiled code treats as one: a type, its arithmetic, exp2, softplus.

LLVM cuts the sixteen into the registers there are: one with AVX-512, two with AVX2, four
with NEON. Loops over sixteen numbers are not left to its own vectoriser, which gives up if it
cannot prove that two arrays do not overlap, or unrolls first.
"""

import operator
from collections.abc import Callable
from typing import Any, no_type_check

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDTH = 16
"""How many numbers stand side by side."""

LOG2_E = 1.4426950408889634
LN_2 = 0.6931471805599453

EXP2 = (
    1.0,
    0.693147182464600,
    0.240226477384567,
    0.0555033236742020,
    0.00961843691766262,
    0.00133988750167191,
    0.000153533619595691,
)
"""2^x for x between -1/2 and 1/2, to 2e-9 of it. The first is exactly 1, because a step of length 0
must not change a state. This fit and the next: least squares, reweighted until the greatest
relative error was least."""

LOG1P = (
    2.0,
    0.666666755011559,
    0.399988882735601,
    0.286165992817228,
    0.214307099814532,
    0.242896847944968,
)
"""log(1+z)/s as a polynomial in s^2, where s = z/(2+z), for z between 0 and 1, to 1e-10 of it."""

FLAGS = ("contract", "nsz")
"""A product and a sum may become one operation; NaN and infinity keep their meaning."""

VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
INTEGERS = ir.VectorType(ir.IntType(32), WIDTH)


class Lanes(types.Type):
    """Sixteen numbers of float32."""

    def __init__(self) -> None:
        super().__init__(name="lanes")


lanes = Lanes()


@register_model(Lanes)
class _Model(models.PrimitiveModel):  # type: ignore[misc]  # numba ships no types
    """A vector of LLVM."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)


def _define(operation: Callable[..., Any], instruction: str) -> None:
    """Let compiled code apply an operation of arithmetic to two of them."""

    @infer_global(operation)
    class _Typing(ConcreteTemplate):  # type: ignore[misc]  # numba ships no types
        cases = (signature(lanes, lanes, lanes),)

    @lower_builtin(operation, lanes, lanes)
    @no_type_check
    def _lower(_context, builder, _signature, arguments):
        return getattr(builder, instruction)(*arguments, flags=FLAGS)


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
_define(operator.truediv, "fdiv")


@intrinsic
@no_type_check
def load(_typing, array, place):
    """Read the numbers whose last index runs from 0 to 15, and whose others are `place`."""

    def generate(context, builder, signature_, arguments):
        pointer = _pointer(context, builder, signature_, arguments)
        return builder.load(pointer, align=4, typ=VECTOR)

    return lanes(array, place), generate


@intrinsic
@no_type_check
def store(_typing, array, place, value):
    """Write the numbers that `load` reads."""

    def generate(context, builder, signature_, arguments):
        pointer = _pointer(context, builder, signature_, arguments)
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.void(array, place, value), generate


@no_type_check
def _pointer(context, builder, signature_, arguments):
    """Compute where in an array `place` begins; it is not tested against the array's end."""
    kind = signature_.args[0]
    array = context.make_array(kind)(context, builder, value=arguments[0])
    indices = [*cgutils.unpack_tuple(builder, arguments[1]), context.get_constant(types.intp, 0)]
    pointer = cgutils.get_item_pointer(context, builder, kind, array, indices)
    return builder.bitcast(pointer, VECTOR.as_pointer())


@intrinsic
@no_type_check
def splat(_typing, number):
    """Write one number sixteen times."""

    def generate(_context, builder, _signature, arguments):
        first = builder.insert_element(VECTOR(ir.Undefined), arguments[0], ir.IntType(32)(0))
        return builder.shuffle_vector(first, VECTOR(ir.Undefined), INTEGERS([0] * WIDTH))

    return lanes(types.float32), generate


@intrinsic
@no_type_check
def total(_typing, value):
    """Add the sixteen up, halves first, always in this order."""

    def generate(_context, builder, _signature, arguments):
        vector, width = arguments[0], WIDTH
        while width > 1:
            width //= 2
            halves = [
                builder.shuffle_vector(vector, vector, _indices(start, width))
                for start in (0, width)
            ]
            vector = builder.fadd(*halves)
        return builder.extract_element(vector, ir.IntType(32)(0))

    return types.float32(lanes), generate


@no_type_check
def _indices(start, count):
    return ir.Constant(ir.VectorType(ir.IntType(32), count), list(range(start, start + count)))


@intrinsic
@no_type_check
def exp2(_typing, exponent):
    """Raise 2 to a power, to 1e-7 of the result, without a branch.

    Below 2^-126 it is 0 or nearly so, and from 2^127.5 on infinite: a state that grew so much in
    one step would be infinite after the next, and rates below 0 give no more than 1.
    """

    def generate(_context, builder, _signature, arguments):
        return _exp2(builder, arguments[0])

    return lanes(lanes), generate


@no_type_check
def _exp2(builder, x):
    """Split x into an integer, which becomes the exponent of the result, and a rest."""
    x = _limit(builder, "<", x, -127.0)
    x = _limit(builder, ">", x, 128.0)
    # Where x is NaN, the integer is any and the rest NaN; to convert NaN itself is undefined.
    lowest = _constant(-127.0)
    number = builder.select(builder.fcmp_ordered(">", x, lowest), x, lowest)
    biased = builder.fptosi(builder.fadd(number, _constant(127.5)), INTEGERS)
    whole = builder.sitofp(builder.sub(biased, INTEGERS([127] * WIDTH)), VECTOR)
    rest = builder.fsub(x, whole)
    scale = builder.bitcast(builder.shl(biased, INTEGERS([23] * WIDTH)), VECTOR)
    return builder.fmul(_polynomial(builder, rest, EXP2), scale)


@intrinsic
@no_type_check
def softplus(_typing, x):
    """Compute log(1 + exp(x)) and its slope; above 20 this is x and 1 to the last bit."""

    def generate(context, builder, signature_, arguments):
        x = arguments[0]
        zero, one, two = (_constant(n) for n in (0.0, 1.0, 2.0))
        negative = builder.fcmp_ordered("<", x, zero)
        size = builder.select(negative, builder.fneg(x), x)
        z = _exp2(builder, builder.fmul(size, _constant(-LOG2_E)))
        s = builder.fdiv(z, builder.fadd(z, two))
        series = _polynomial(builder, builder.fmul(s, s), LOG1P)
        above = builder.select(negative, zero, x)
        value = builder.fadd(above, builder.fmul(s, series))
        slope = builder.fdiv(builder.select(negative, z, one), builder.fadd(one, z))
        return context.make_tuple(builder, signature_.return_type, (value, slope))

    return types.UniTuple(lanes, 2)(lanes), generate


@no_type_check
def _polynomial(builder, x, coefficients):
    """Evaluate a polynomial, the constant term first among its coefficients."""
    result = _constant(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        product = builder.fmul(result, x, flags=FLAGS)
        result = builder.fadd(product, _constant(coefficient), flags=FLAGS)
    return result


@no_type_check
def _limit(builder, relation, x, bound):
    """Put `bound` where x lies beyond it; NaN stays."""
    return builder.select(builder.fcmp_ordered(relation, x, _constant(bound)), _constant(bound), x)


def _constant(number: float) -> ir.Constant:
    """Make a constant of LLVM."""
    rounded = ir.Constant(ir.FloatType(), number)
    return VECTOR([rounded] * WIDTH)
