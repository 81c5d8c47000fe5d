"""A robot's configuration for the guardian, which imports the standard library and numpy alone.

The runtime has checked the configuration and hands it over as JSON; what comes out of it here has the same names as
`configs.robot.RobotConfig`, and can neither check itself nor be written again.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from phonotaxis.configs.robot import RobotConfig


class PlainRobot(SimpleNamespace):
    """The configuration's values by its names.

    Attributes:
        key: the robot's name in files of this machine, see `emergency_stop.robot_key`.
    """


def to_plain(robot: RobotConfig, key: str) -> str:
    """Write what `plain_robot` reads."""
    return json.dumps({"key": key, "robot": robot.model_dump(mode="json")})


def plain_robot(text: str) -> RobotConfig:
    """Read what `to_plain` wrote.

    Returns:
        A `PlainRobot`, which stands for a `RobotConfig` wherever values are only read.

    Raises:
        ValueError: it isn't that.
    """
    try:
        told = json.loads(text)
        values = {name: _plain(value) for name, value in told["robot"].items()}
        return cast("RobotConfig", PlainRobot(**{**values, "key": str(told["key"])}))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a robot's configuration as the runtime hands it over ({error!r})") from None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return SimpleNamespace(**{name: _plain(inner) for name, inner in value.items()})
    return tuple(_plain(inner) for inner in value) if isinstance(value, list) else value
