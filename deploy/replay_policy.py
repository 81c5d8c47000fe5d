"""The stages observation and policy of a replay: what was seen and said, step by step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from phonotaxis.configs.contract import ACTION, BEARING, LOGITS, MEAN, STATE_OUT
from phonotaxis.deploy.messages import decode_tensor
from phonotaxis.deploy.replay_feed import Recomputed
from phonotaxis.deploy.replay_report import OBSERVATION, POLICY, TOLERANCE, Mismatch, Stage
from phonotaxis.deploy.steps import PolicyRunner, step_dict

SETPOINT = ("v_mps", "w_radps", "stop")
# A bearing that is read from directions (`policies.directions`) takes a twelfth power of them, and its concentration
# what they lack of 1: rounding in float32 moves both by up to 3e-5 of themselves. 1e-3 is 0.06 degrees, and no decision
# reads it.
BEARING_TOLERANCE = 1e-3
ATAN2_TOLERANCE_RAD = 1e-12  # the same numbers in another machine's C library, which may round otherwise


class PolicyComparison:
    """Goes through the steps; each is judged on its own: after a fault the state is taken from the log.

    Attributes:
        steps: compared.
        skipped: not compared, since the log lost records there.
        mismatches: one for each step that differs.
        flips: steps with another action, by a margin below twice the tolerance.
        largest_difference: of logits or mean.
    """

    def __init__(self, runner: PolicyRunner, exact: bool, tolerance: float = TOLERANCE) -> None:
        self._runner, self._exact, self._tolerance = runner, exact, tolerance
        self.steps = self.skipped = 0
        self.mismatches: list[Mismatch] = []
        self.flips: list[int] = []
        self.largest_difference = 0.0

    def stages(self) -> tuple[Stage, Stage]:
        """Return the results of both stages; a step that was seen otherwise isn't judged by what was said."""
        seen = sum(mismatch.stage == OBSERVATION for mismatch in self.mismatches)
        said = sum(mismatch.stage == POLICY for mismatch in self.mismatches)
        note = f"{self.skipped} not compared: the log lost records there" if self.skipped else ""
        return Stage(OBSERVATION, self.steps, seen, note), Stage(POLICY, self.steps - seen, said, note)

    def step(self, found: Recomputed) -> None:
        """Compare one step."""
        logged, number = found.logged, self._number(found.logged)
        if found.gap:
            self.skipped += 1
            self._follow(logged, number)
            return
        self.steps += 1
        if found.due is None:
            self.mismatches.append(Mismatch(number, "samples", "a step", "nothing: its samples are missing"))
            return
        outputs = self._runner.run(found.observation)
        computed = step_dict(self._runner.contract, found.due, found.observation, outputs)
        try:
            odd = self._first_difference(found, computed, outputs)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            odd = ("record", repr(error), "a step's fields")
        if odd is not None:
            self.mismatches.append(Mismatch(number, *odd))
        # a logged memory that alone is odd would only spoil the next step
        if (odd is not None and odd[0] != STATE_OUT) or (odd is None and not self._exact):
            self._follow(logged, number)

    def _number(self, logged: dict[str, Any]) -> int:
        number = logged.get("step")
        return number if isinstance(number, int) else self.steps + self.skipped

    def _follow(self, logged: dict[str, Any], number: int) -> None:
        """Take the memory from the log, so that the next step is judged by itself."""
        try:
            state = decode_tensor(logged["outputs"][STATE_OUT])[None]
            if state.shape != self._runner.state.shape or state.dtype != self._runner.state.dtype:
                raise ValueError(f"a state of {state.dtype} {state.shape}")
            if not np.isfinite(state).all():
                raise ValueError("a state that isn't finite")
        except (KeyError, TypeError, ValueError) as error:
            if not self.mismatches or self.mismatches[-1].step != number:
                self.mismatches.append(Mismatch(number, "record", repr(error), "a step's fields"))
            return
        self._runner.state = state

    def _first_difference(
        self, found: Recomputed, computed: dict[str, Any], outputs: dict[str, np.ndarray]
    ) -> tuple[str, str, str] | None:
        logged = found.logged
        for key in ("step", "due_ns", "end_sample", "observation_sha256"):
            if logged[key] != computed[key]:
                return key, _short(logged[key]), _short(computed[key])
        first = LOGITS if LOGITS in outputs else MEAN
        for name in (first, *(name for name in outputs if name != first)):
            theirs = decode_tensor(logged["outputs"][name])
            if not self._agrees(name, theirs, outputs[name], logged):
                return name, _short(theirs), _short(outputs[name])
        return self._readable_difference(found, computed)

    def _agrees(self, name: str, theirs: np.ndarray, ours: np.ndarray, logged: dict[str, Any]) -> bool:
        if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
            return False
        if name in (LOGITS, MEAN):
            difference = float(np.abs(theirs.astype(np.float64) - ours.astype(np.float64)).max())
            self.largest_difference = max(self.largest_difference, difference)
        if self._exact:
            return theirs.tobytes() == ours.tobytes()
        if name == ACTION and LOGITS in logged["outputs"]:
            return self._same_action(theirs, ours, logged)
        return close(theirs, ours, max(self._tolerance, BEARING_TOLERANCE if name == BEARING else 0.0))

    def _same_action(self, theirs: np.ndarray, ours: np.ndarray, logged: dict[str, Any]) -> bool:
        if int(theirs) == int(ours):
            return True
        logits = decode_tensor(logged["outputs"][LOGITS]).astype(np.float64)
        if not 0 <= int(theirs) < len(logits) or logits[int(theirs)] - logits[int(ours)] >= 2 * self._tolerance:
            return False
        if logits.max() - logits[int(theirs)] > 0:  # what was logged is no argmax of its own logits
            return False
        self.flips.append(self._number(logged))
        return True

    def _readable_difference(self, found: Recomputed, computed: dict[str, Any]) -> tuple[str, str, str] | None:
        """Compare what repeats parts of the step for people, and the setpoint: by the logged tensors, whoever's."""
        logged = found.logged
        if not self._exact and found.due is not None:
            outputs = {name: decode_tensor(value) for name, value in logged["outputs"].items()}
            computed = step_dict(self._runner.contract, found.due, found.observation, outputs)
        for key in ("action_name", *SETPOINT, *computed):
            if key != "outputs" and not self._same_readable(key, logged[key], computed[key]):
                return "setpoint" if key in SETPOINT else key, _short(logged[key]), _short(computed[key])
        return None

    def _same_readable(self, key: str, theirs: Any, ours: Any) -> bool:
        if key == "bearing_rad" and not self._exact:
            return math.isclose(theirs, ours, abs_tol=ATAN2_TOLERANCE_RAD)
        return bool(theirs == ours)


def close(theirs: np.ndarray, ours: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    """Tell whether two arrays are equal within a tolerance, relative to the larger of 1 and the first's numbers."""
    if not np.isfinite(theirs).all():
        return False
    theirs64 = theirs.astype(np.float64)
    return bool((np.abs(theirs64 - ours) <= tolerance * np.maximum(1.0, np.abs(theirs64))).all())


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        text = np.array2string(value, precision=9, threshold=6, separator=", ")
        return " ".join(text.split())
    text = str(value)
    return text if len(text) <= 24 else text[:12] + "…"
