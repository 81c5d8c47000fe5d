"""The processor's counter, for kernels that say where their time goes.

It counts at a rate of its own, so what it says are shares of a time that was measured otherwise.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_COUNTER = ir.IntType(64)


@intrinsic
def ticks(typing: Any) -> Any:
    """Return the counter now, int64; always 0 where it isn't x86-64's: Arm's may be forbidden, which ends a process."""
    signature = types.int64()

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if platform.machine().lower() in ("x86_64", "amd64"):
            kind = ir.FunctionType(_COUNTER, [])
            return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.readcyclecounter"), [])
        return ir.Constant(_COUNTER, 0)

    return signature, generate
