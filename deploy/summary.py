"""What is said of a run when it is over."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_FAULTS = 1000  # that are kept: a run may last for days


@dataclass
class RunSummary:
    """How a run went.

    Attributes:
        outcome: goal_reached, duration, interrupted, disarmed, audio_lost, devices_lost, guardian_lost,
            engine_failed or log_failed.
        message: what happened, and what to do where something went wrong.
        episode: path of the episode's file.
        bundle_sha256: identity of the policy.
        caution: where the policy's knob stood, 0 to 1; None where it has none.
        armed: whether commands could reach the drive.
        steps: of the policy.
        seconds: from the first sample to the last.
        actions: how often each was taken.
        decide_ms_mean: from the last sample of a step in the process's hands to the command sent.
        decide_ms_max: the longest of them.
        late_steps: decided more than one control period after they were due.
        safety_stops: for each reason, how many status messages let through less than was asked for.
        faults: of the sensors and the log, in the order in which they began; the first `MAX_FAULTS` of them.
        fault_count: how many there were.
        agreement: with the person who drove, as a share of the steps; None where nobody did.
        audio_drift_ppm: of the converter against the monotonic clock; 0 where the run was too short to tell.
        audio_drift_std_ppm: its standard error; 0 likewise.
        sync_error_ms: by how much capture times of sound or image were wrong at most, as far as can be told.
        sync_limit_ms: beyond which they count as no times.
        loaded_modules_forbidden: found in this process or the guardian's: empty as it should be.
        guardian_pid: of the guardian's process.
        log: what the episode's thread wrote, and what waited, was turned away or lost; see `LogThread.counters`.
    """

    outcome: str = "duration"
    message: str = ""
    episode: str = ""
    bundle_sha256: str = ""
    caution: float | None = None
    armed: bool = False
    steps: int = 0
    seconds: float = 0.0
    actions: dict[str, int] = field(default_factory=dict)
    decide_ms_mean: float = 0.0
    decide_ms_max: float = 0.0
    late_steps: int = 0
    safety_stops: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0
    agreement: float | None = None
    audio_drift_ppm: float = 0.0
    audio_drift_std_ppm: float = 0.0
    sync_error_ms: float = 0.0
    sync_limit_ms: float = 0.0
    loaded_modules_forbidden: list[str] = field(default_factory=list)
    guardian_pid: int = 0
    log: dict[str, int | float] = field(default_factory=dict)

    def add_fault(self, text: str) -> None:
        """Count a fault that has begun, and keep its text while there is room."""
        self.fault_count += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(text)

    def add_step(self, action_name: str, decide_ms: float, late: bool) -> None:
        """Count a step of the policy."""
        self.steps += 1
        self.actions[action_name] = self.actions.get(action_name, 0) + 1
        self.late_steps += late
        self.decide_ms_max = max(self.decide_ms_max, decide_ms)
        self.decide_ms_mean += (decide_ms - self.decide_ms_mean) / self.steps
