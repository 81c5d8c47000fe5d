"""Gathers what the demo did into the report's data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from phonotaxis.configs import contract as names
from phonotaxis.configs.contract import DiscreteActions, audio_from_int16
from phonotaxis.configs.task import AudioGoalTask
from phonotaxis.demo.robot import RobotDrive
from phonotaxis.deploy.episode_reader import Episode, read_episode
from phonotaxis.deploy.messages import decode_tensor
from phonotaxis.deploy.replay import ReplayReport
from phonotaxis.envs.world import World
from phonotaxis.export.parity import ParityReport
from phonotaxis.policies.evaluate import Evaluation
from phonotaxis.report import Fact, PolicyRow, ReportData, bearing_of_head, distance_of_head


def report_data(
    task: AudioGoalTask,
    drive: RobotDrive,
    evaluation: Evaluation,
    parity: ParityReport,
    replays: Mapping[str, ReplayReport],
) -> ReportData:
    """Put together the page of a demo; `task` is the one the robot drove in."""
    world = World(task, 1)
    world.begin(np.array([0]), np.array([drive.seed]))
    begun = world.episodes[0]
    assert begun is not None
    scene = world.library.scenes[begun.scene]
    source = world.source_m(0)
    episode = read_episode(drive.episode)
    steps = episode.steps()
    count = min(len(steps), len(drive.truth))
    truth, steps = drive.truth[:count], steps[:count]
    outputs = {
        name: np.stack([decode_tensor(step["outputs"][name]) for step in steps])
        for name in (names.ACTION, names.BEARING, names.DISTANCE)
    }
    bearing_rad, bearing_std_rad = bearing_of_head(outputs[names.BEARING])
    believed_m, band_m = distance_of_head(outputs[names.DISTANCE])
    path = np.array([[fact["x_m"], fact["y_m"]] for fact in truth])
    kind = episode.info.contract.actions
    assert isinstance(kind, DiscreteActions)
    final_m = float(drive.truth[-1]["distance_to_goal_m"])
    found = drive.summary["outcome"] == "goal_reached" and final_m < task.success_m
    return ReportData(
        title="phonotaxis demo",
        outcome=f"The robot {'found the sound' if found else 'did not find the sound'}: "
        f"{drive.summary['outcome'].replace('_', ' ')} after {drive.summary['seconds']:.1f} s, "
        f"{final_m:.2f} m from the source.",
        wall=scene.is_wall,
        obstacle=(scene.floor_m > 0.05) & ~scene.is_wall,
        cell_m=scene.cell_m,
        origin_m=scene.origin_m,
        path_m=np.concatenate([np.array([begun.pose[:2]]), path]),
        source_m=(float(source[0]), float(source[1])),
        audio=_microphone(episode),
        sample_rate_hz=episode.info.contract.sample_rate_hz,
        control_period_s=episode.info.contract.control_period_s,
        action_names=kind.names,
        actions=outputs[names.ACTION].astype(np.int64).reshape(-1),
        bearing_rad=bearing_rad,
        bearing_std_rad=bearing_std_rad,
        true_bearing_rad=np.array([fact["bearing_rad"] for fact in truth]),
        distance_m=np.array([fact["distance_to_goal_m"] for fact in truth]),
        shortest_path_m=scene.shortest_path(begun.pose[:2], (float(source[0]), float(source[1]))),
        believed_distance_m=believed_m,
        believed_distance_band_m=band_m,
        success_radius_m=task.success_m,
        rows=tuple(PolicyRow(name, evaluation.summary(name), name == "learnt") for name in evaluation.results),
        table_note=_note(task, evaluation),
        facts=_facts(drive, evaluation, parity, replays),
    )


def _microphone(episode: Episode) -> np.ndarray:
    channel = episode.info.robot.array.channel_map[0]
    return np.concatenate([audio_from_int16(block.samples[channel]) for block in episode.audio()])


def _note(task: AudioGoalTask, evaluation: Evaluation) -> str:
    count = len(next(iter(evaluation.results.values())))
    where = f"{task.scenes.count} apartments" if task.scenes.count > 1 else str(task.scenes.source)
    sounds = " and with sounds that training has not had" if task.scenes.count > 1 and not task.sounds.folder else ""
    return f"{count} paired episodes in {where}{sounds}"


def _facts(
    drive: RobotDrive, evaluation: Evaluation, parity: ParityReport, replays: Mapping[str, ReplayReport]
) -> tuple[Fact, ...]:
    ahead = evaluation.over("learnt", "follower")
    facts = [
        Fact("Evaluation", "learnt − follower in SPL, paired", ahead.text(), ahead.low > 0),
        Fact("Export", "PyTorch, ONNX Runtime: differ by", f"{parity.largest_difference:.1e}"),
        Fact(
            "Export",
            "same action",
            f"{100 * parity.action_agreement:.2f} % of {parity.frames} steps",
            parity.action_agreement == 1.0,
        ),
        Fact("Robot", "steps", f"{drive.summary['steps']} in {drive.summary['seconds']:.1f} s"),
        Fact(
            "Robot",
            "decision after the last sample",
            f"{drive.summary['decide_ms_mean']:.1f} ms mean, {drive.summary['decide_ms_max']:.1f} ms at most",
        ),
        Fact("Robot", "simulator or torch loaded", "none", not drive.summary["loaded_modules_forbidden"]),
        Fact("Robot", "policy", drive.summary["bundle_sha256"][:16] + "…"),
    ]
    for name, report in replays.items():
        good = report.ok if name == "as logged" else not report.ok
        facts.append(Fact("Replay", name, _found(report), good))
    return tuple(facts)


def _found(report: ReplayReport) -> str:
    """Say what a replay found in few words: the picture has one line for it."""
    if report.first is not None:
        return f"step {report.first.step}: {report.first.quantity} differs"
    if not report.ok:
        return "no step to compare"
    return f"{report.steps} steps {'bit-identical' if report.same_engine else f'equal within {report.tolerance:g}'}"
