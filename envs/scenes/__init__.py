"""Where things are: scenes as extruded floor plans, and what can be walked and seen in them."""

from phonotaxis.envs.scenes.registry import SceneSource, load, register_source, sources
from phonotaxis.envs.scenes.scene import Scene, SceneError

__all__ = ["Scene", "SceneError", "SceneSource", "load", "register_source", "sources"]
