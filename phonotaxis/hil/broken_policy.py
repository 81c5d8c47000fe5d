"""Policies that go wrong at a sign: real graphs in the real engine, with a few nodes more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from phonotaxis.configs.contract import ACTION, AUDIO, LOGITS, DiscreteActions
from phonotaxis.export.bundle import Bundle, read_bundle, seal, write_bundle

SIGN = 16384  # every microphone stands still at half of full scale for a whole window: no sound, and no clipping
_HEARD = 0.4  # mean of the window, full scale 1
ABSURD = 99  # no policy has so many actions


def not_finite(bundle: Bundle, path: Path) -> Bundle:
    """Write a policy whose logits (its mean, where actions are continuous) are NaN once it hears the sign."""
    output = LOGITS if isinstance(bundle.contract.actions, DiscreteActions) else "mean"
    return _broken(bundle, path, output, numpy_helper.from_array(np.array(np.nan, dtype=np.float32), "wrong"))


def absurd(bundle: Bundle, path: Path) -> Bundle:
    """Write a policy whose action is none that there is once it hears the sign."""
    discrete = isinstance(bundle.contract.actions, DiscreteActions)
    value = np.array(ABSURD) if discrete else np.array(np.inf, dtype=np.float32)
    return _broken(bundle, path, ACTION, numpy_helper.from_array(value, "wrong"))


def _broken(bundle: Bundle, path: Path, output: str, value: TensorProto) -> Bundle:
    model = onnx.load_from_string(bundle.data)
    del model.metadata_props[:]
    sound = f"sound_{output}"
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = sound if name == output else name
    model.graph.initializer.extend([value, numpy_helper.from_array(np.array(_HEARD, dtype=np.float32), "sign")])
    model.graph.node.extend(
        [
            helper.make_node("ReduceMean", [AUDIO], ["window_mean"], keepdims=0),
            helper.make_node("Greater", ["window_mean", "sign"], ["sign_heard"]),
            helper.make_node("Where", ["sign_heard", "wrong", sound], [output]),
        ]
    )
    write_bundle(path, seal(model.SerializeToString(), bundle.contract, {"broken": output, "of": bundle.sha256}))
    return read_bundle(path)
