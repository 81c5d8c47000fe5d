"""Registers the worlds with Gymnasium; entry points are strings: nothing heavy is imported until `make`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

IDS = ("phonotaxis/AudioGoal-v0", "phonotaxis/AudioGoalContinuous-v0")


def register_envs() -> None:
    """Register every world of `IDS`, once."""
    import gymnasium

    for env_id, actions in zip(IDS, ("discrete", "continuous")):
        if env_id not in gymnasium.registry:
            gymnasium.register(
                id=env_id,
                entry_point="phonotaxis.envs.gym:AudioGoalEnv",
                vector_entry_point="phonotaxis.envs.gym:AudioGoalVectorEnv",
                kwargs={"actions": actions},
            )


def register_with_gymnasium() -> None:
    """Register the worlds now if gymnasium is loaded, else as soon as it is.

    The robot's processes import phonotaxis and must not load gymnasium, even where it is installed; who
    imports phonotaxis first and gymnasium later still finds the worlds.
    """
    if "gymnasium" in sys.modules:
        register_envs()
    elif not any(isinstance(finder, _GymnasiumWatch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _GymnasiumWatch())


class _GymnasiumWatch(MetaPathFinder):
    """Wraps the loader of gymnasium, so that the worlds are registered when it has been executed.

    It stays: who only looks whether gymnasium is there gets a loader that is never executed.
    """

    def __init__(self) -> None:
        self._looking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium" or self._looking:
            return None
        self._looking = True  # the next line asks every finder, this one too
        try:
            spec = find_spec("gymnasium")
        finally:
            self._looking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _RegisterAfter(spec.loader)
        return spec


class _RegisterAfter(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        register_envs()

    def __getattr__(self, name: str) -> object:
        # importlib.resources and tracebacks ask the loader for more than these two
        return getattr(self._loader, name)
