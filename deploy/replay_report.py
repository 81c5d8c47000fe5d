"""What a replay found: stage by stage, and the first step that differs."""

from __future__ import annotations

from dataclasses import dataclass

# Outputs of another engine or machine may differ by this, relative to the larger of 1 and the logged number.
# ONNX Runtime differs by 4e-8 between thread counts and some 1e-6 between CPU feature sets, for numbers about 1.
TOLERANCE = 1e-5
GROSS = 0.1  # a tolerance above it lets through what isn't rounding
OBSERVATION, POLICY, SAFETY = "observation", "policy", "safety"
_OBSERVATION_QUANTITIES = ("samples", "step", "due_ns", "end_sample", "observation_sha256")


@dataclass(frozen=True)
class Mismatch:
    """A step in which the log and the recomputation differ.

    Attributes:
        step: its number; for safety, of the last step before.
        quantity: the first that differs: `due_ns`, `observation_sha256`, `logits`, `action`, `setpoint`, ...
        logged: what stands in the log, shortened.
        computed: what came out now, shortened.
    """

    step: int
    quantity: str
    logged: str
    computed: str

    @property
    def stage(self) -> str:
        """Stage in which it lies."""
        if self.quantity.startswith("safety."):
            return SAFETY
        return OBSERVATION if self.quantity in _OBSERVATION_QUANTITIES else POLICY

    def __str__(self) -> str:
        return f"step {self.step}: {self.quantity} differs (logged {self.logged}, computed {self.computed})"


@dataclass(frozen=True)
class Stage:
    """One stage's result.

    Attributes:
        name: `observation` (raw samples and frames to what the policy saw), `policy` (to what it said) or
            `safety` (commands and sensors to what the drive got).
        compared: steps, or statuses of the guardian.
        differing: of these.
        note: what could not be compared, and why; empty if all was.
    """

    name: str
    compared: int
    differing: int
    note: str = ""

    def __str__(self) -> str:
        if not self.compared and self.note:
            return f"{self.name}: {self.note}"
        what = "statuses" if self.name == SAFETY else "steps"
        text = f"{self.name}: {self.compared - self.differing} of {self.compared} {what} agree"
        return text + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class ReplayReport:
    """What a replay found.

    Attributes:
        episode: path of the file.
        bundle_sha256: identity of the policy.
        steps: compared.
        mismatches: one for each step or status that differs; the first names the tampered or odd step.
        same_engine: the fingerprints are equal, so equality was asked for bit by bit.
        largest_difference: of logits or mean over all steps; 0 where all bits are equal.
        lost: what a cut file lacks, in words; empty for a whole one.
        safety_records: statements of what safety let through.
        stages: observation, policy, safety.
        skipped: steps that couldn't be recomputed, since the log says that it lost records there.
        flips: steps in which another action came out, by a margin that rounding can bridge.
        tolerance: by which outputs were allowed to differ where the engines do.
    """

    episode: str
    bundle_sha256: str
    steps: int
    mismatches: tuple[Mismatch, ...]
    same_engine: bool
    largest_difference: float
    lost: str
    safety_records: int
    stages: tuple[Stage, ...] = ()
    skipped: int = 0
    flips: tuple[int, ...] = ()
    tolerance: float = TOLERANCE

    @property
    def ok(self) -> bool:
        """Whether there was something to compare and all of it agreed."""
        return self.steps > 0 and not self.mismatches

    @property
    def first(self) -> Mismatch | None:
        """The first step that differs, if any."""
        return self.mismatches[0] if self.mismatches else None

    def __str__(self) -> str:
        how = "bit-identical" if self.same_engine else f"equal within {self.tolerance:g} (another engine or machine)"
        if not self.same_engine and self.tolerance > GROSS:
            how += ", which finds gross faults alone: replay on the kind of machine that the log names for a proof"
        if self.ok:
            text = f"{self.steps} steps recomputed from raw samples and frames: {how}"
        elif self.first is None:
            text = "no step to compare"
        else:
            text = f"{self._differing()}; first {self.first}"
        text += f"; another action in step(s) {_some(self.flips)}, within rounding" if self.flips else ""
        text += f"; {self.skipped} step(s) not compared: the log lost records there" if self.skipped else ""
        return text + (f"; {self.lost}" if self.lost else "")

    def _differing(self) -> str:
        statuses = sum(mismatch.stage == SAFETY for mismatch in self.mismatches)
        steps = len(self.mismatches) - statuses
        found = [f"{steps} of {self.steps} steps"] if steps or not statuses else []
        found += [f"{statuses} of {self.safety_records} statuses of the guardian"] if statuses else []
        return f"{' and '.join(found)} differ"


def _some(numbers: tuple[int, ...]) -> str:
    shown = ", ".join(str(number) for number in numbers[:5])
    return shown + (f" and {len(numbers) - 5} more" if len(numbers) > 5 else "")
