"""What of a machine's processor an engine's bits depend on."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def cpu_fingerprint(cpuinfo: Path = _CPUINFO) -> dict[str, str | int]:
    """Name the processor's instruction set.

    Engines choose kernels by it, so two machines with equal fingerprints are expected to give equal bits.

    Args:
        cpuinfo: the kernel's listing; the first processor's features count.

    Returns:
        `machine` (architecture), `cpu_features_sha256` (first 16 hex digits, of the sorted feature names) and
        `avx2`, `avx512f`, `asimd` as 0 or 1.
    """
    features = sorted(_features(cpuinfo))
    digest = hashlib.sha256(" ".join(features).encode()).hexdigest()[:16]
    has: dict[str, str | int] = {name: int(name in features) for name in ("avx2", "avx512f", "asimd")}
    return {"machine": platform.machine(), "cpu_features_sha256": digest, **has}


def _features(cpuinfo: Path) -> set[str]:
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux, or hidden in a container: the architecture alone is known
        return set()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):  # x86 and arm64 spell it differently
            return set(value.split())
    return set()
