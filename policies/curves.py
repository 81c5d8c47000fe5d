"""Curves of a training for TensorBoard: `tensorboard --logdir RUN`."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from phonotaxis.policies.imitation import Progress


class Curves:
    """Writes how a training goes, round by round, over the frames collected.

    Args:
        folder: of the event files; made if absent.
    """

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(str(folder), flush_secs=20)

    def __enter__(self) -> Curves:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._writer.close()

    def add(self, progress: Progress) -> None:
        """Write one round: success by lane, losses, the expert's share and frames per second of training."""
        values = {f"success/{name}": share for name, share in progress.lanes.items()}
        values |= {f"loss/{name}": value for name, value in progress.losses.items()}
        values |= {f"validation_spl/{name}": value for name, value in progress.validation.items()}
        values["training/expert_share"] = progress.expert_share
        self.write(values, progress.frames, progress.seconds)

    def write(self, values: dict[str, float], frames: int, seconds: float) -> None:
        """Write values by name at so many frames after so many seconds of training, and how fast these came."""
        for name, value in (values | {"training/frames_per_s": frames / max(seconds, 1e-9)}).items():
            self._writer.add_scalar(name.replace(" ", "_"), value, frames, walltime=seconds)
