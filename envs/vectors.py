"""Vectors of eight float32, as code for LLVM: the arithmetic that the innermost kernels are written in.

numba knows numbers and arrays. What stands here is called while a kernel is compiled and writes LLVM's instructions
on eight neighbouring numbers into it; LLVM turns them into what the processor has (AVX, NEON, or two of SSE). Sums are
rounded one by one and products fused where it is said so (`fma`), so bits depend neither on the lane nor on who
compiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

LANES = 8
WORD = ir.VectorType(ir.FloatType(), LANES)
INDEX = ir.IntType(64)
_CHOICE = ir.VectorType(ir.IntType(32), LANES)
_CODES = ir.VectorType(ir.IntType(16), LANES)
_NO_ALIGNMENT = 4  # of a vector in bytes: any float32 of an array may be its first
_HALF = float(np.sqrt(0.5))


class Complex(NamedTuple):
    """Eight complex numbers: vectors of their real and imaginary parts."""

    re: Any
    im: Any


class Vectors:
    """Writes arithmetic on vectors at a builder's place.

    Args:
        builder: an LLVM `IRBuilder`.
    """

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def load(self, pointer: Any, at: Any) -> Any:
        """Read a vector from element `at` on."""
        place = self.builder.bitcast(self.builder.gep(pointer, [at]), WORD.as_pointer())
        return self.builder.load(place, align=_NO_ALIGNMENT)

    def load_codes(self, pointer: Any, at: Any) -> Any:
        """Read a vector of whole numbers, int16, from element `at` on."""
        place = self.builder.bitcast(self.builder.gep(pointer, [at]), _CODES.as_pointer())
        return self.builder.sitofp(self.builder.load(place, align=_NO_ALIGNMENT // 2), WORD)

    def store(self, value: Any, pointer: Any, at: Any) -> None:
        """Write a vector from element `at` on."""
        place = self.builder.bitcast(self.builder.gep(pointer, [at]), WORD.as_pointer())
        self.builder.store(value, place, align=_NO_ALIGNMENT)

    def spread(self, pointer: Any, at: Any) -> Any:
        """Read one number into all lanes."""
        return self.everywhere(self.builder.load(self.builder.gep(pointer, [at])))

    def everywhere(self, one: Any) -> Any:
        """Put one number in all lanes."""
        first = self.builder.insert_element(ir.Constant(WORD, ir.Undefined), one, ir.Constant(ir.IntType(32), 0))
        return self.choose(first, first, [0] * LANES)

    def choose(self, a: Any, b: Any, lanes: Sequence[int]) -> Any:
        """Put together a vector of lanes of `a` (0..7) and `b` (8..15)."""
        return self.builder.shuffle_vector(a, b, ir.Constant(_CHOICE, list(lanes)))

    def reversed(self, a: Any) -> Any:
        """Turn the order of the lanes round."""
        return self.choose(a, a, range(LANES - 1, -1, -1))

    def constant(self, value: float) -> Any:
        """Return a number in all lanes."""
        return ir.Constant(WORD, [float(np.float32(value))] * LANES)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a b + c, rounded once."""
        kind = ir.FunctionType(WORD, [WORD] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.v{LANES}f32")
        return self.builder.call(function, [a, b, c])

    def add(self, a: Complex, b: Complex) -> Complex:
        """Return a + b."""
        return Complex(self.builder.fadd(a.re, b.re), self.builder.fadd(a.im, b.im))

    def subtract(self, a: Complex, b: Complex) -> Complex:
        """Return a - b."""
        return Complex(self.builder.fsub(a.re, b.re), self.builder.fsub(a.im, b.im))

    def add_turned(self, a: Complex, b: Complex) -> Complex:
        """Return a - i b."""
        return Complex(self.builder.fadd(a.re, b.im), self.builder.fsub(a.im, b.re))

    def subtract_turned(self, a: Complex, b: Complex) -> Complex:
        """Return a + i b."""
        return Complex(self.builder.fsub(a.re, b.im), self.builder.fadd(a.im, b.re))

    def scale(self, a: Complex, by: float) -> Complex:
        """Return a real multiple of a."""
        factor = self.constant(by)
        return Complex(self.builder.fmul(a.re, factor), self.builder.fmul(a.im, factor))

    def add_scaled(self, a: Complex, b: Complex, by: float) -> Complex:
        """Return a and a real multiple of b."""
        factor = self.constant(by)
        return Complex(self.fma(b.re, factor, a.re), self.fma(b.im, factor, a.im))

    def times(self, a: Complex, b: Complex) -> Complex:
        """Return a b."""
        re = self.fma(self.builder.fneg(a.im), b.im, self.builder.fmul(a.re, b.re))
        return Complex(re, self.fma(a.im, b.re, self.builder.fmul(a.re, b.im)))

    def add_times(self, sum_: Complex, a: Complex, b: Complex) -> Complex:
        """Return a sum and a b."""
        re = self.fma(self.builder.fneg(a.im), b.im, self.fma(a.re, b.re, sum_.re))
        return Complex(re, self.fma(a.im, b.re, self.fma(a.re, b.im, sum_.im)))

    def eighth(self, a: Complex) -> Complex:
        """Return a turned by -45 degrees."""
        turned = Complex(self.builder.fadd(a.re, a.im), self.builder.fsub(a.im, a.re))
        return self.scale(turned, _HALF)

    def three_eighths(self, a: Complex) -> Complex:
        """Return a turned by -135 degrees."""
        turned = Complex(self.builder.fsub(a.im, a.re), self.builder.fneg(self.builder.fadd(a.re, a.im)))
        return self.scale(turned, _HALF)

    def transpose(self, rows: list[Any]) -> list[Any]:
        """Transpose eight vectors: lane j of vector i becomes lane i of vector j."""
        distance = 1
        while distance < LANES:
            swapped: list[Any] = [None] * LANES
            for row in range(LANES):
                if row & distance:
                    continue
                a, b = rows[row], rows[row | distance]
                low = [lane ^ distance | LANES if lane & distance else lane for lane in range(LANES)]
                high = [lane | LANES if lane & distance else lane | distance for lane in range(LANES)]
                swapped[row], swapped[row | distance] = self.choose(a, b, low), self.choose(a, b, high)
            rows, distance = swapped, distance * 2
        return rows


def pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return where an array's elements begin.

    Raises:
        TypeError: its elements don't follow one another, or aren't what vectors read.
    """
    if kind.layout != "C" or kind.dtype not in (types.float32, types.int16):
        raise TypeError(f"expected a contiguous array of float32 or int16, got {kind}")
    return context.make_array(kind)(context, builder, array).data


def index(value: int) -> Any:
    """Return a whole number that is known while compiling."""
    return ir.Constant(INDEX, value)
