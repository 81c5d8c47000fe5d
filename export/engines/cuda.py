"""What an engine needs of an NVIDIA GPU: memory, copies and a stream, through the driver's own library.

The driver's interface (CUDA Driver API) is stable from release to release and there wherever a GPU is, so the robot
needs no further package. Names with `_v2` are those that the current headers map the plain ones to.
"""

from __future__ import annotations

import ctypes
import math
import time
from ctypes import byref, c_char, c_int, c_size_t, c_uint, c_uint64, c_void_p

import numpy as np

from phonotaxis.export.engines import DeadlineError, EngineError

LIBRARY = "libcuda.so.1"
_NOT_READY = 600  # CUDA_ERROR_NOT_READY: work is still going on
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_MULTIPROCESSORS = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING
CLOSING_S = 5.0  # that what is queued may take when memory is given back: longer than a robot gives a step
_SPIN_S = 0.02  # beyond a usual step, waiting gives the processor away


class Cuda:
    """One GPU with one stream; use it from one thread at a time.

    Attributes:
        name: of the device.
        compute_capability: e.g. `8.7`.
        multiprocessors: how many.
        memory_gib: of the device, to the nearest power of two: a Jetson's differs a little from boot to boot.
        driver: version of CUDA that the driver speaks, e.g. `12.6`.
        stream: handle of the stream that everything is queued on.
    """

    def __init__(self, library: str | None = None) -> None:
        """Open the first device.

        Raises:
            EngineError: there is no driver or no device.
        """
        try:
            self._driver = ctypes.CDLL(library or LIBRARY)
        except OSError:
            raise EngineError(f"no NVIDIA driver here ({library or LIBRARY} not found)") from None
        self._host: list[int] = []
        self._device_memory: list[int] = []
        self._do("cuInit", c_uint(0))
        device, value, name = c_int(), c_int(), (c_char * 128)()
        self._do("cuDeviceGet", byref(device), c_int(0))
        self._do("cuDeviceGetName", name, c_int(128), device)
        self.name = name.value.decode(errors="replace")
        self.compute_capability = ".".join(str(self._attribute(one, device)) for one in (_MAJOR, _MINOR))
        self.multiprocessors = self._attribute(_MULTIPROCESSORS, device)
        size = c_size_t()
        self._do("cuDeviceTotalMem_v2", byref(size), device)
        self.memory_gib = 1 << max(0, round(math.log2(max(size.value, 1) / 2**30)))
        self._do("cuDriverGetVersion", byref(value))
        self.driver = f"{value.value // 1000}.{value.value % 1000 // 10}"
        self._context = c_void_p()
        self._do("cuDevicePrimaryCtxRetain", byref(self._context), device)
        self.use()
        stream = c_void_p()
        self._do("cuStreamCreate", byref(stream), c_uint(_NON_BLOCKING))
        self.stream = int(stream.value or 0)

    def use(self) -> None:
        """Make the device the calling thread's; cheap."""
        self._do("cuCtxSetCurrent", self._context)

    def device_memory(self, size: int) -> int:
        """Allocate bytes on the device; returns their address.

        Raises:
            EngineError: out of memory.
        """
        address = c_uint64()
        self._do("cuMemAlloc_v2", byref(address), c_size_t(max(size, 1)))
        self._device_memory.append(address.value)
        return address.value

    def pinned(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return zeros in host memory that the device can copy from and to while the processor goes on.

        Raises:
            EngineError: out of memory.
        """
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        address = c_void_p()
        self._do("cuMemHostAlloc", byref(address), c_size_t(max(size, 1)), c_uint(0))
        self._host.append(int(address.value or 0))
        memory = memoryview((c_char * size).from_address(address.value or 0)).cast("B")
        array: np.ndarray = np.frombuffer(memory, dtype=dtype).reshape(shape)
        array[...] = 0
        return array

    def to_device(self, address: int, array: np.ndarray) -> None:
        """Queue a copy of a pinned array to the device."""
        size = c_size_t(array.nbytes)
        self._do("cuMemcpyHtoDAsync_v2", c_uint64(address), c_void_p(array.ctypes.data), size, c_void_p(self.stream))

    def to_host(self, array: np.ndarray, address: int) -> None:
        """Queue a copy from the device to a pinned array."""
        size = c_size_t(array.nbytes)
        self._do("cuMemcpyDtoHAsync_v2", c_void_p(array.ctypes.data), c_uint64(address), size, c_void_p(self.stream))

    def wait(self, deadline_s: float | None = None) -> None:
        """Wait until all that was queued is done.

        Raises:
            DeadlineError: it isn't, after so many seconds.
            EngineError: some of it failed.
        """
        begun_s = time.monotonic()
        while True:
            code = self._driver.cuStreamQuery(c_void_p(self.stream))
            if code != _NOT_READY:
                return self._check("cuStreamQuery", code)
            waited_s = time.monotonic() - begun_s
            if deadline_s is not None and waited_s > deadline_s:
                raise DeadlineError(f"the GPU isn't done after {waited_s:.3g} s, the deadline is {deadline_s:g} s")
            time.sleep(0.0 if waited_s < _SPIN_S else 1e-3)

    def is_done(self) -> bool:
        """Wait `CLOSING_S` at most for all that was queued; say whether it has come to an end, be it by failing."""
        if not self.stream:  # closed
            return True
        try:
            self.wait(CLOSING_S)
        except DeadlineError:
            return False
        except EngineError:
            pass
        return True

    def close(self) -> None:
        """Give all memory and the stream back; the object is of no use afterwards.

        Who hasn't asked `is_done` may wait here for ever, as for anything that a GPU which hangs is to give back.
        """
        if self.stream:
            self._driver.cuStreamSynchronize(c_void_p(self.stream))
            for address in self._device_memory:
                self._driver.cuMemFree_v2(c_uint64(address))
            for address in self._host:
                self._driver.cuMemFreeHost(c_void_p(address))
            self._driver.cuStreamDestroy_v2(c_void_p(self.stream))
        self.stream, self._device_memory, self._host = 0, [], []

    def _attribute(self, which: int, device: c_int) -> int:
        value = c_int()
        self._do("cuDeviceGetAttribute", byref(value), c_int(which), device)
        return value.value

    def _do(self, function: str, *arguments: object) -> None:
        self._check(function, getattr(self._driver, function)(*arguments))

    def _check(self, function: str, code: int) -> None:
        if code == 0:
            return
        text = ctypes.c_char_p()
        self._driver.cuGetErrorName(c_int(code), byref(text))
        reason = (text.value or b"unknown").decode(errors="replace")
        raise EngineError(f"the GPU's driver refused {function}: {reason} ({code})")
