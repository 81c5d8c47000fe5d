"""Measures the ranges of activations over recurrent steps, for eight-bit precision."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from phonotaxis.configs import contract as names
from phonotaxis.export.bundle import Bundle, BundleError
from phonotaxis.export.precision import activations, bare_model

Observation = dict[str, np.ndarray]


class Calibration:
    """Runs the policy over observations and keeps the largest absolute value of each activation.

    Attributes:
        steps: frames seen.
    """

    def __init__(self, bundle: Bundle, rows: int) -> None:
        """Prepare for `rows` episodes at once."""
        model = bare_model(bundle)
        self._watched = activations(model)
        self._contract = bundle.contract
        ports = {value.name for value in model.graph.output}
        inner = [name for name in self._watched if name not in ports]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._state = np.zeros((rows, *bundle.contract.state_shape), dtype=np.float32)
        self._largest = dict.fromkeys(self._watched, 0.0)
        self.steps = 0

    def add(self, observation: Observation, rows: np.ndarray) -> None:
        """Take a step of some of the episodes.

        Args:
            observation: arrays [all episodes, *shape].
            rows: which of them are going on, int [n].
        """
        seen = self._contract.seen(observation, rows)
        wanted = [names.STATE_OUT, *self._watched]
        values = dict(zip(wanted, self._session.run(wanted, self._contract.feed(seen, self._state[rows]))))
        self._state[rows] = values[names.STATE_OUT]
        self.steps += len(rows)
        for name in self._watched:
            self._largest[name] = max(self._largest[name], float(np.abs(values[name]).max()))

    def forget(self) -> None:
        """Clear the memories: what comes next doesn't go on from what came before."""
        self._state[:] = 0.0

    def ranges(self) -> dict[str, float]:
        """Return what was measured.

        Raises:
            BundleError: nothing was.
        """
        if not self.steps:
            raise BundleError("no episode to calibrate on; expected one at least")
        return dict(self._largest)
