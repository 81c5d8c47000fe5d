"""The operating system's own devices: a sound server with a virtual array, pipes, a pseudo-terminal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from phonotaxis.envs.hil.pulse import Pulse

ARRAY = "virtual-array"
CHANNELS = 6


@pytest.fixture
def pulse(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    """Run a sound server with an array of six channels, which this process finds."""
    server = Pulse(folder / "pulse", ARRAY, CHANNELS, 16000)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    yield server
    server.close()
