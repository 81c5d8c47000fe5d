"""The line of the demo: its seven steps, one after the other."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console

from phonotaxis.commands.evaluation_table import evaluation_figures, print_evaluation
from phonotaxis.commands.progress import ProgressBar
from phonotaxis.commands.provenance import provenance
from phonotaxis.configs.imitation import ImitationConfig
from phonotaxis.configs.task import AudioGoalTask, SceneSet, SoundSet
from phonotaxis.demo.episode_report import report_data
from phonotaxis.demo.robot import RobotDrive, drive_simulated_robot
from phonotaxis.deploy import replay, tamper
from phonotaxis.deploy.replay import ReplayReport
from phonotaxis.envs.library import Library, load_scene
from phonotaxis.envs.scenes.render import top_down_png
from phonotaxis.envs.sound_table import sound_table
from phonotaxis.envs.world import World
from phonotaxis.export.bundle import read_bundle, write_bundle
from phonotaxis.export.engines import open_engine
from phonotaxis.export.onnx import export_policy
from phonotaxis.export.parity import ParityReport, compare
from phonotaxis.export.shipped import shipped_policy
from phonotaxis.export.weights import restored_policy
from phonotaxis.figures import Figure
from phonotaxis.policies.benchmark import Contestant, told
from phonotaxis.policies.checkpoint import load_checkpoint
from phonotaxis.policies.evaluate import Evaluation, contestant, evaluate, unseen
from phonotaxis.policies.imitation import ImitationTrainer, Progress
from phonotaxis.policies.policy import Policy
from phonotaxis.policies.rollout import PolicyDecider, run_episodes
from phonotaxis.report import write_report

EPISODES = 200
_PARITY_EPISODES = 4


class DemoError(RuntimeError):
    """The demo can't begin, or didn't prove what it is to prove."""


class Demo:
    """One run of the demo; each method is a step of it.

    Args:
        task: what to train.
        out: folder for everything it makes.
        seed: of everything random.
        minutes: of training.
        episodes: of the evaluation, for each policy.
        longest_s: that the robot drives.
    """

    def __init__(
        self, task: AudioGoalTask, out: Path, seed: int, minutes: float, episodes: int, longest_s: float
    ) -> None:
        self.task, self.out, self.seed, self.minutes = task, out, seed, minutes
        self.episodes, self.longest_s = episodes, longest_s
        self.console = Console(stderr=True, highlight=False)
        self.figures: dict[str, Figure] = {}
        self._steps = 0
        self._began = time.monotonic()

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Say what is going on, and how long it took."""
        self._steps += 1
        self.console.print(f"[bold cyan]{self._steps}/7[/] [bold]{title}[/]")
        began = time.monotonic()
        yield
        self.console.print(f"    [dim]{time.monotonic() - began:.0f} s[/]")

    def tell(self, text: str) -> None:
        """Print a line under the current stage."""
        self.console.print(f"    {text}", markup=False)

    def build(self) -> None:
        """Load a few scenes and the sounds, and draw one of the scenes."""
        library = Library(self.task)
        count = min(self.task.scenes.count, 4)
        areas = []
        for index in range(count):
            scene = load_scene(self.task.scenes, index)
            areas.append(float((~scene.is_wall).sum() * scene.cell_m**2))
        picture = self.out / "scene.png"
        top_down_png(load_scene(self.task.scenes, 0), picture)
        kinds = sorted({sound.kind for sound in library.sounds})
        self.tell(f"{self.task.scenes.count} scenes, e.g. of {', '.join(f'{area:.0f}' for area in areas)} m²")
        self.tell(f"{len(library.sounds)} sounds: {', '.join(kinds)}")
        self.tell(f"picture of the first scene: {picture}")

    def train(self) -> Policy:
        """Train by imitation."""
        config = ImitationConfig(task=self.task, seed=self.seed, minutes=self.minutes, validate_every_minutes=0.0)
        trainer = ImitationTrainer(config, self.out / "train")
        last: list[Progress] = []
        with ProgressBar("    training (compiles first)") as bar:

            def show(progress: Progress) -> None:
                last[:] = [progress]
                bar(progress.share, f"success {100 * progress.success:.0f} %, {progress.frames:,} frames")

            policy = trainer.run(show)
        if last:
            self.tell(f"{last[0].frames:,} frames, {last[0].episodes:,} episodes, {last[0].seconds:.0f} s")
            self.figures["training_frames"] = Figure(last[0].frames)
            self.figures["training_s"] = Figure(last[0].seconds, "s")
        return policy

    def evaluate(self, policy: Policy) -> Evaluation:
        """Compare with the baselines on paired episodes in scenes not seen."""
        with ProgressBar("    evaluating") as bar:
            evaluation = evaluate(policy, self.task, self.episodes, self.seed, progress=bar, others=self._shipped())
        print_evaluation(evaluation, self.console)
        self.figures |= evaluation_figures(evaluation)
        ahead = evaluation.over("learnt", "follower")
        self.tell(f"learnt − follower in SPL: {ahead.text()}, paired")
        return evaluation

    def _shipped(self) -> dict[str, Contestant]:
        """Return the shipped policy behind this task's microphones, where there is one."""
        path = shipped_policy()
        if path is None:
            return {}
        bundle = read_bundle(path)
        return {"shipped": contestant(restored_policy(bundle, told(self.task.contract(), bundle.contract)))}

    def export(self, policy: Policy) -> ParityReport:
        """Write the bundle and compare engines over whole episodes."""
        path = self.out / "policy.onnx"
        write_bundle(path, export_policy(policy, provenance(load_checkpoint(self.out / "train"))))
        bundle = read_bundle(path)
        parity = compare(policy, open_engine(bundle), self._observations(policy))
        self.tell(f"{path}: {len(bundle.data) / 1e6:.1f} MB, sha256 {bundle.sha256[:16]}…")
        self.tell(
            f"PyTorch and ONNX Runtime over {parity.frames} steps: largest difference "
            f"{parity.largest_difference:.1e}, same action in {100 * parity.action_agreement:.2f} %"
        )
        self.figures["parity_largest_difference"] = Figure(parity.largest_difference)
        self.figures["parity_action_agreement"] = Figure(100 * parity.action_agreement, "%")
        return parity

    def _observations(self, policy: Policy) -> list[dict[str, np.ndarray]]:
        """Record what a policy sees over a few whole episodes, one after the other."""
        world = World(unseen(self.task), 1)
        seen: list[dict[str, np.ndarray]] = []

        def keep(now: World) -> None:
            seen.append({name: array.copy() for name, array in now.observation.items()})

        run_episodes(world, PolicyDecider(policy, 1), range(_PARITY_EPISODES), on_step=keep)
        return seen

    def drive(self, evaluation: Evaluation) -> RobotDrive:
        """Run the robot's runtime on the bundle, in real time, on an episode that the evaluation solved.

        If there is one, on one in which it touched nothing: near obstacles the guardian takes part.
        """
        results = evaluation.results["learnt"]
        solved = [result for result in results if result.success and 24 <= result.steps <= 120]
        untouched = [result for result in solved if result.collisions == 0]
        chosen = next(iter(untouched or solved), results[0])
        why = "solved in the evaluation" if chosen.success else "the evaluation's first: none was solved"
        self.tell(f"episode {chosen.episode_seed} ({why}), {chosen.shortest_path_m:.1f} m to go")
        drive = drive_simulated_robot(unseen(self.task), chosen.episode_seed, self.out, self.longest_s, self.tell)
        self.figures["robot_steps"] = Figure(drive.summary["steps"])
        self.figures["robot_outcome"] = Figure(drive.summary["outcome"])
        self.figures["robot_final_distance_m"] = Figure(drive.truth[-1]["distance_to_goal_m"], "m")
        self.figures["robot_decide_max_ms"] = Figure(drive.summary["decide_ms_max"], "ms")
        return drive

    def replay(self, drive: RobotDrive) -> dict[str, ReplayReport]:
        """Recompute the episode, and copies of it with one sample and one action altered."""
        bundle = read_bundle(self.out / "policy.onnx")
        step = int(drive.summary["steps"]) // 2
        sample, action = self.out / "altered-sample.mcap", self.out / "altered-action.mcap"
        tamper.alter_sample(drive.episode, sample, step)
        tamper.alter_action(drive.episode, action, step)
        reports = {
            "as logged": replay.check(drive.episode, bundle),
            "one sample altered": replay.check(sample, bundle),
            "one action altered": replay.check(action, bundle),
        }
        for name, report in reports.items():
            self.tell(f"{name}: {report}")
        found = all(
            report.first is not None and report.first.step == step
            for name, report in reports.items()
            if name != "as logged"
        )
        self.figures["replay_identical"] = Figure(reports["as logged"].ok and reports["as logged"].same_engine)
        self.figures["replay_steps"] = Figure(reports["as logged"].steps)
        self.figures["replay_tampering_named"] = Figure(found)
        if not reports["as logged"].ok or not found:
            raise DemoError("the replay did not prove the episode; see the lines above")
        return reports

    def run(self) -> dict[str, Figure]:
        """Do all of it; returns what was measured."""
        with self.stage("Apartments and sounds" if self.task.scenes.source == "apartment" else "Your world"):
            self.build()
        with self.stage(f"Train by imitation of the shortest path, {self.minutes:g} min"):
            policy = self.train()
        with self.stage(f"Evaluate on {self.episodes} paired episodes"):
            evaluation = self.evaluate(policy)
        with self.stage("Export to one ONNX file"):
            parity = self.export(policy)
        with self.stage("Run the robot's runtime on a simulated robot, in real time"):
            drive = self.drive(evaluation)
        with self.stage("Replay the episode"):
            reports = self.replay(drive)
        with self.stage("Report"):
            page, picture = self.out / "report.html", self.out / "report.png"
            write_report(page, picture, report_data(unseen(self.task), drive, evaluation, parity, reports))
            self.tell(f"{page}, {picture}")
        total = time.monotonic() - self._began
        self.figures["demo_s"] = Figure(total, "s")
        self.console.print(f"[bold green]done[/] in {total / 60:.1f} min: open {self.out / 'report.html'}")
        return self.figures


def demo_task(map_path: Path | None, sounds: Path | None) -> AudioGoalTask:
    """Return the demo's task: apartments and the procedural bank, or the user's map and recordings."""
    scenes = SceneSet(count=128) if map_path is None else SceneSet(source=str(map_path), count=1)
    bank = SoundSet() if sounds is None else SoundSet(folder=str(sounds))
    per_scene = 3 if map_path is None else 24
    return AudioGoalTask(scenes=scenes, sounds=bank, sources_per_scene=per_scene)


def main(
    map: Path | None = None,
    sounds: Path | None = None,
    out: Path = Path("runs/demo"),
    seed: int = 0,
    minutes: float = 3.0,
    episodes: int = EPISODES,
    longest_s: float = 60.0,
) -> dict[str, Figure]:
    """Run the demo into a folder, replacing what an earlier demo left there.

    Args:
        map: a ROS occupancy map instead of apartments.
        sounds: a folder of recordings instead of the procedural bank.
        out: where everything goes.
        seed: of everything random.
        minutes: of training.
        episodes: of the evaluation, for each policy.
        longest_s: that the robot drives.

    Returns:
        What was measured, by name.

    Raises:
        DemoError: the folder holds other files than a demo's, or the map or the recordings.
        SceneError: the map can't be used.
        SoundError: the recordings can't be used.
    """
    marker = out / ".phonotaxis-demo"
    if out.exists() and not out.is_dir():
        raise DemoError(f"{out} is a file; give a folder with --out")
    if out.exists() and any(out.iterdir()) and not marker.exists():
        raise DemoError(f"{out} holds other files; give another folder with --out")
    task = demo_task(map, sounds)
    for path in (map, sounds):
        if path is not None and path.resolve().is_relative_to(out.resolve()):
            raise DemoError(f"{path} lies in {out}, which the demo empties; give another folder with --out")
    if map is not None:
        load_scene(task.scenes, 0)
    if sounds is not None:
        sound_table(task)
    _empty(out, marker)
    marker.touch()
    return Demo(task, out, seed, minutes, episodes, longest_s).run()


def _empty(folder: Path, but: Path) -> None:
    """Make a folder, or remove what is in it but for one file: it may be a link, or where a disk is mounted."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != but:
                entry.unlink()
    except OSError as error:
        raise DemoError(f"{folder} can't be emptied ({error.strerror or error}); give another with --out") from None
