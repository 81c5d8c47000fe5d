"""A step of the wall clock moves nothing: no time on the robot is measured by it."""

from __future__ import annotations

import ast
from pathlib import Path

WALL_CLOCK = {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime", "now", "utcnow", "today", "CLOCK_REALTIME"}
MODULES = {"time", "datetime", "date"}
# metadata of the log, names of files, the age of those that are kept where the clock is right, and when an emergency
# stop was pressed
KNOWN = {
    "deploy/episode_info.py": 1,
    "deploy/retention.py": 1,
    "deploy/episode_ages.py": 1,
    "deploy/emergency_stop.py": 1,
}


def _readings(source: str) -> int:
    """Count expressions like `time.time` and `datetime.datetime.now`, and imports that would hide them."""
    found = 0
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in WALL_CLOCK:
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            found += name in MODULES
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found += sum(alias.name in WALL_CLOCK for alias in node.names)
    return found


def test_readings_are_found() -> None:
    assert _readings("import time\ntime.time()") == 1
    assert _readings("from time import time_ns") == 1
    assert _readings("import datetime\ndatetime.datetime.now()") == 1
    assert _readings("import time\ntime.clock_gettime(time.CLOCK_REALTIME)") == 1
    assert _readings("import time\ntime.monotonic_ns(); x.time; frame.now") == 0


def test_nothing_on_the_robot_times_by_the_wall_clock(repository: Path) -> None:
    folders = ("deploy", "configs", "export/engines")
    files = [path for folder in folders for path in sorted((repository / folder).rglob("*.py"))]
    assert len(files) > 60
    found = {str(path.relative_to(repository)): _readings(path.read_text()) for path in files}
    assert {name: count for name, count in found.items() if count} == KNOWN
