"""Importing phonotaxis makes its worlds known to gymnasium, whichever comes first, and never loads it."""

from __future__ import annotations

import subprocess
import sys

import pytest

KNOWN = "assert 'phonotaxis/AudioGoal-v0' in gymnasium.registry, 'not registered'"


@pytest.mark.parametrize(
    "code",
    [
        f"import gymnasium, phonotaxis; {KNOWN}",
        f"import phonotaxis, gymnasium; {KNOWN}",
        f"import phonotaxis.configs.contract; import gymnasium.spaces; import gymnasium; {KNOWN}",
        f"import phonotaxis, importlib.util; importlib.util.find_spec('gymnasium'); import gymnasium; {KNOWN}",
        "import sys, phonotaxis, phonotaxis.deploy.runtime; assert 'gymnasium' not in sys.modules",
        "import phonotaxis, inspect, gymnasium; assert 'def make' in inspect.getsource(gymnasium.make)",
    ],
)
def test_in_a_fresh_process(code: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
