"""The engine that a replay takes, and how near its outputs must come to the recorded ones."""

from __future__ import annotations

from collections.abc import Callable

from phonotaxis.deploy.episode_info import EpisodeInfo
from phonotaxis.deploy.replay_report import TOLERANCE
from phonotaxis.export.bundle import PRECISION_KEY, Bundle
from phonotaxis.export.engines import ENGINES, Engine, EngineError, open_engine

CPU_ENGINE, GPU_ENGINE = "onnxruntime", "tensorrt"
# Where a GPU has computed one side, by the bundle's precision. fp32: the bound of `export --check`. fp16: three times
# what half precision moved logits by at most (3.5e-3, docs/export.md). int8: twice what eight bits did (1.1): another
# rounding falls into other steps of the scale, and such a comparison finds gross faults alone.
GPU_TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2, "int8": 2.0}


def engine_of(info: EpisodeInfo, bundle: Bundle, say: Callable[[str], None]) -> Engine:
    """Open the engine that the robot ran, where it is available, else ONNX Runtime.

    Args:
        info: of the episode.
        bundle: the policy that ran.
        say: gets a line of text where another engine is taken, and why, or a plan is built.

    Raises:
        EngineError: neither can load the policy.
    """
    recorded = str(info.engine.get("engine"))  # a stranger may have written anything
    if recorded == CPU_ENGINE:
        return open_engine(bundle, CPU_ENGINE, say=say)
    why = f"'{recorded}' is none of {', '.join(ENGINES)}"
    if recorded in ENGINES:
        try:
            return open_engine(bundle, recorded, say=say)
        except EngineError as error:
            why = str(error)
    say(f"recorded on {recorded}, recomputed on {CPU_ENGINE}: {why}")
    return open_engine(bundle, CPU_ENGINE, say=say)


def tolerance_of(info: EpisodeInfo, bundle: Bundle, engine: Engine) -> float:
    """Return by how much outputs may differ where bits may, relative to the larger of 1 and the logged number."""
    if GPU_ENGINE not in (info.engine.get("engine"), engine.fingerprint.get("engine")):
        return TOLERANCE
    precision = bundle.provenance.get(PRECISION_KEY, "fp32")
    return GPU_TOLERANCES.get(str(precision), TOLERANCE)
