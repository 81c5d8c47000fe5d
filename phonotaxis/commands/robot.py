"""`phonotaxis robot`: a person's hand on a running robot: arm, disarm, emergency stop, release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phonotaxis.commands.command import Command, Group, Robot, say
from phonotaxis.errors import UserError

if TYPE_CHECKING:
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.robot import RobotConfig


def arm(robot: Robot = "simulated") -> None:
    """Let a running robot move. Have a hand on the switch that cuts its motors' power."""
    _ask(robot, "arm")


def disarm(robot: Robot = "simulated") -> None:
    """Brake, and let nothing through until somebody arms again."""
    _ask(robot, "disarm")


def stop(robot: Robot = "simulated") -> None:
    """Brake and latch the emergency stop, which holds over restarts until `phonotaxis robot release`.

    Where no guardian answers, and in a shadow, which only looks on, NOTHING IS STOPPED: this says so and ends with 1,
    and whatever moves stops only where its motors' power is cut. The stop is latched all the same, so that the next run
    here can't be armed. Where the robot's file can't be read, whatever runs here is stopped. It is no safety function;
    the switch that cuts the motors' power is.
    """
    from phonotaxis.configs.base import ConfigError
    from phonotaxis.configs.robot import load_robot
    from phonotaxis.deploy.control import ControlError, NoGuardian, Refused, ask

    try:
        chosen = load_robot(robot)
    except ConfigError as error:
        raise ControlError(_stop_all(error)) from None
    try:
        say(ask(chosen, "emergency_stop")["text"])
    except Refused:  # a shadow's guardian: it has latched, and says that nothing was stopped
        raise
    except NoGuardian:
        nothing = f"NOTHING WAS STOPPED: no guardian of robot '{chosen.name}' runs here. Does it move? Cut its power"
        raise ControlError(f"{nothing}; {_latch_next_run(chosen, nothing)}") from None
    except ControlError as error:  # it may hang, or be ending its run: whether it has latched isn't known
        raise ControlError(f"{error}; {_latch_next_run(chosen, str(error))}") from None


def _stop_all(error: ConfigError) -> str:
    from phonotaxis.deploy.control import stop_whoever_runs

    told = stop_whoever_runs()
    if not told:
        return f"NOTHING WAS STOPPED: no guardian runs here. Does the robot move? Cut its power; {error}"
    answers = "; ".join(f"{name}: {answer}" for name, answer in told)
    return f"which robot is meant isn't known, so whatever runs here was told to stop ({answers}); {error}"


def _latch_next_run(robot: RobotConfig, why: str) -> str:
    from phonotaxis.deploy.control import ControlError
    from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path

    path = latch_path(robot)
    latched = EmergencyStop(path)
    latched.latch("a person pressed it")
    if not latched.kept:
        raise ControlError(f"{why}, and the emergency stop can't be written to {path}: cut the motors' power") from None
    return (
        f"the emergency stop is latched for the next run that looks at {path} (a service has its own XDG_RUNTIME_DIR "
        "and XDG_STATE_HOME: say this with the same; a container has its own files: say this inside, by docker exec)"
    )


def release(robot: Robot = "simulated") -> None:
    """Release the emergency stop; the robot stays disarmed until somebody arms it."""
    from phonotaxis.configs.robot import load_robot
    from phonotaxis.deploy.control import NoGuardian, ask
    from phonotaxis.deploy.emergency_stop import EmergencyStop, latch_path

    chosen = load_robot(robot)
    try:
        say(ask(chosen, "release")["text"])
    except NoGuardian:
        path = latch_path(chosen)
        latch = EmergencyStop(path)
        if not latch.reason:
            raise UserError(
                f"robot '{chosen.name}' runs not and is not latched ({path}); name yours by --robot "
                "(a service has its own XDG_RUNTIME_DIR and XDG_STATE_HOME)"
            ) from None
        latch.release()
        say(f"nothing answers; the emergency stop is released for the next run that looks at {path}")


def status(robot: Robot = "simulated") -> None:
    """Say whether a running robot is armed, and what its guardian lets through."""
    _ask(robot, "status")


def _ask(robot: str, request: str) -> None:
    from phonotaxis.configs.robot import load_robot
    from phonotaxis.deploy.control import ask

    say(ask(load_robot(robot), request)["text"])


GROUP = Group(
    "robot",
    "A person's hand on a running robot: arm, disarm, emergency stop, release, status.",
    (
        Command("arm", arm, (("phonotaxis robot arm --robot my_robot.yaml", "after you have looked around"),)),
        Command("disarm", disarm, (("phonotaxis robot disarm --robot my_robot.yaml", "it brakes and stays"),)),
        Command("stop", stop, (("phonotaxis robot stop --robot my_robot.yaml", "latched until it is released"),)),
        Command("release", release, (("phonotaxis robot release --robot my_robot.yaml", "once all is well again"),)),
        Command("status", status, (("phonotaxis robot status --robot my_robot.yaml", "armed or not, and why"),)),
    ),
)
