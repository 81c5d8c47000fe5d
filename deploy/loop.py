"""The robot's loop, clocked by audio samples: from what came in to what the guardian is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from phonotaxis.configs.contract import ACTION
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.agreement import Agreement
from phonotaxis.deploy.clearance import Ahead, Clearance
from phonotaxis.deploy.clock import NS_PER_S, now_ns
from phonotaxis.deploy.devices import AudioBlock, OdometrySample, Sensors
from phonotaxis.deploy.episode import EpisodeWriter
from phonotaxis.deploy.guardian_link import GuardianError, GuardianLink
from phonotaxis.deploy.guardian_service import GOAL_REACHED
from phonotaxis.deploy.guardian_trace import TRACE_LOST_EVENT
from phonotaxis.deploy.messages import odometry_sample
from phonotaxis.deploy.observation import Due, ObservationBuilder
from phonotaxis.deploy.service import notify
from phonotaxis.deploy.steps import EPISODE_START_EVENT, PolicyRunner, step_dict
from phonotaxis.deploy.summary import RunSummary
from phonotaxis.deploy.timing import DRIFT_EVENT
from phonotaxis.deploy.watches import Watches

READ_TIMEOUT_S = 0.1
AUDIO_LOST_NS = 30 * NS_PER_S  # the microphones are opened anew all the while; the robot stands
GUARDIAN_SILENT_NS = NS_PER_S  # it speaks ten times a second
TELL_NS = 30_000_000  # between two reports of the sensors to the guardian, where nothing is new but samples
ARM_WAIT_NS, DISARM_WAIT_NS = NS_PER_S, NS_PER_S // 2
CATCH_UP_NS = 10 * NS_PER_S  # of sound that waited while the log was opened; then the guardian says what is wrong
ARM_WITHIN_NS = 20 * NS_PER_S  # of the beginning: who said --arm has gone near the robot since, or away
ODOMETRY_GRACE_NS = 2 * NS_PER_S  # for a drive that only begins to report when the run does
BEHIND_NS = 150_000_000  # later than blocks come at best: steps and sensors' ages go first

BY_HAND = "a person at the guardian's socket or button"
LATCHED = "the emergency stop is latched, so nothing may be armed"


class RunEnd(Exception):
    """Ends the loop with an outcome."""

    def __init__(self, outcome: str, message: str) -> None:
        super().__init__(message)
        self.outcome = outcome


class Loop:
    """The robot's loop: devices in, guardian and log out. Built by `run`; see there."""

    def __init__(
        self,
        runner: PolicyRunner,
        builder: ObservationBuilder,
        sensors: Sensors,
        guardian: GuardianLink,
        log: EpisodeWriter,
        robot: RobotConfig,
        watches: Watches,
        arm: bool,
        agreement: Agreement | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._runner, self._builder, self._sensors = runner, builder, sensors
        self._guardian, self._log, self._robot, self._watches = guardian, log, robot, watches
        self._arm_when_sensing, self._armed = arm, False
        self._arm_asked, self._arming = arm, BY_HAND
        self._stopping = False  # the policy's stop has been handed on
        self._next_event = 0  # of the guardian's trace
        self._guardian_ns = self._begun_ns = now_ns()
        self._told_ns = 0
        self._least_lag_ns = NS_PER_S * 3600
        self._told_depth_ns: int | None = None
        self._complaints: dict[str, str] = {}
        self._agreement = agreement
        self._say, self._log_trouble = say, log.trouble
        self._clearance = Clearance(robot)
        self._ahead = Ahead(None)
        self._depth_ns: int | None = None
        self._audio_ns: int | None = None
        self._odometry_ns: int | None = None
        self._pose = (0.0, 0.0, 0.0)
        self._status: dict[str, Any] = {"v_mps": 0.0, "w_radps": 0.0, "reason": "disarmed"}
        self._first_ns: int | None = None
        self.summary = RunSummary(guardian_pid=guardian.pid, sync_limit_ms=self._watches.timing.limit_ms)

    def until(self, deadline_ns: int) -> None:
        """Run to the deadline.

        Raises:
            RunEnd: something ended the run before it.
        """
        heard_ns, alive_ns = now_ns(), 0
        self._begun_ns = heard_ns
        self._tell_rate(heard_ns)
        notify("READY=1")
        while now_ns() < deadline_ns:
            if now_ns() - alive_ns > NS_PER_S:
                notify("WATCHDOG=1")
                alive_ns = now_ns()
            if self._log.failure is not None:
                raise RunEnd("log_failed", self._log.failure)
            self._tell_log()
            self._let_arming_lapse(now_ns())
            block = self._sensors.microphones.read_block(READ_TIMEOUT_S)
            self._take_sensors()
            self._take_statuses()
            self._watch_odometry(now_ns())
            if block is not None:
                self._take_block(block)
                heard_ns = now_ns()
                continue
            # alive, though deaf: the guardian stops on stale audio and goes on when it is soon back
            self._tell_guardian(now_ns(), fresh=True)
            if now_ns() - heard_ns > AUDIO_LOST_NS:
                raise RunEnd("audio_lost", "no audio for 30 s: check that the microphones are connected")

    def _tell_log(self) -> None:
        """Tell the person where the robot drives on without a log: a file that can't be written can't say so."""
        before, self._log_trouble = self._log_trouble, self._log.trouble
        if before == self._log_trouble:
            return
        self._say(self._log_trouble or f"the episode goes on in a new file: {self._log.writing}")
        if self._log_trouble is not None and before is None:
            self.summary.add_fault(self._log_trouble)

    def _tell_rate(self, at_ns: int) -> None:
        microphones = self._sensors.microphones
        if told := microphones.rate_told:
            self._log.health(at_ns, "info", "microphones_rate", told, device_rate_hz=microphones.device_rate_hz)

    def _take_sensors(self) -> None:
        at_ns = now_ns()
        for frame in self._sensors.camera.unread():
            self._log.depth(frame, at_ns)
            self._builder.add_frame(frame)
            untimely = self._complain("image_time", self._watches.timing.image(frame, at_ns), at_ns)
            implausible = self._complain("camera", self._watches.depth(frame), at_ns) or self._watches.depth.suspicious
            if untimely or implausible:
                continue  # what is not believed does not renew its age
            self._ahead = self._clearance.measure(frame.depth_m)
            self._depth_ns = frame.capture_ns
        self._complain("microphones_device", self._sensors.microphones.fault, at_ns)
        self._complain("microphones_overflow", self._sensors.microphones.overflow, at_ns)
        self._complain("camera_device", self._sensors.camera.fault, at_ns)
        for sample in self._sensors.odometry.unread() if self._sensors.odometry is not None else ():
            self._take_motion(sample, at_ns)

    def _presume_motion(self, status: dict[str, Any]) -> None:
        """Where no odometry comes, let the watch of the camera know what the drive was told since the last status."""
        last, at_ns, odometry = self._status, status["time_ns"], self._robot.odometry
        known_ns = (
            -1 if odometry is None or self._odometry_ns is None else self._odometry_ns + odometry.max_age_ms * 1e6
        )
        if at_ns > known_ns:
            passed_s = (at_ns - last.get("time_ns", at_ns)) * 1e-9
            told = OdometrySample(last["v_mps"] * passed_s, 0.0, last["w_radps"] * passed_s, False, at_ns)
            self._watches.depth.moved(told)

    def _take_motion(self, sample: OdometrySample, at_ns: int) -> None:
        if self._agreement is not None:
            self._agreement.moved(sample)
        if self._robot.odometry is None:
            return  # what the guardian's drive reports is the guardian's then: this policy shall go without
        if self._status.get("blocked") and not sample.collision:
            sample = replace(sample, collision=True)  # what the guardian holds back feels like what it met in training
        self._odometry_ns = at_ns
        self._log.odometry(sample, at_ns)
        self._builder.add_odometry(sample)
        self._watches.depth.moved(sample)
        self._pose = sample.after(self._pose)
        self._log.pose(sample.capture_ns, *self._pose)

    def _watch_odometry(self, at_ns: int) -> None:
        """Tell log, summary and person of a drive that says nothing of its wheels: all else would go on unnoticed."""
        odometry = self._robot.odometry
        if odometry is None:
            return
        last_ns = self._begun_ns + ODOMETRY_GRACE_NS if self._odometry_ns is None else self._odometry_ns
        silent = at_ns - last_ns > odometry.max_age_ms * 1e6
        fault = (
            f"no odometry for {odometry.max_age_ms:g} ms: the policy goes without, the guardian by its commands alone; "
            "look at what the drive reports (odometry_topic on ROS 2)"
        )
        before = self._complaints.get("odometry")
        if self._complain("odometry", fault if silent else "", at_ns) and not before:
            self._say(fault)

    def _complain(self, about: str, fault: str, at_ns: int) -> bool:
        """Log a fault when it begins and when it is over; returns whether there is one."""
        before = self._complaints.get(about, "")
        self._complaints[about] = fault
        if fault and not before:
            self._log.health(at_ns, "warning", f"{about}_fault", fault)
            self.summary.add_fault(fault)
        elif before and not fault:
            self._log.health(at_ns, "info", f"{about}_recovered", f"over: {before}")
        return bool(fault)

    def _take_statuses(self) -> None:
        at_ns = now_ns()
        for message in self._guardian.statuses():
            self._guardian_ns = at_ns
            if message.get("type") == "odometry":
                self._take_motion(odometry_sample(message), at_ns)
            elif message.get("type") == "status":
                self._take_status(message, at_ns)
            elif message.get("type") == "notice":
                self._log.health(at_ns, message["level"], message["event"], message["text"])
                if message["event"] == "drive":
                    self._say(message["text"])
        if at_ns - self._guardian_ns > GUARDIAN_SILENT_NS:
            raise GuardianError("the guardian has said nothing for a second; the drive's dead man stops the robot")

    def _follow_trace(self, trace: dict[str, Any], at_ns: int) -> None:
        """Say in the log where the guardian has forgotten what it was told: nobody listened for more than a minute."""
        if trace["first"] != self._next_event:
            text = f"{trace['first'] - self._next_event} event(s) that the guardian was told of are missing here"
            self._log.health(at_ns, "warning", TRACE_LOST_EVENT, text)
        self._next_event = trace["first"] + len(trace["events"])

    def _take_status(self, status: dict[str, Any], at_ns: int) -> None:
        if "trace" in status:
            self._follow_trace(status["trace"], at_ns)
        self._log.safety(status, at_ns)
        self._presume_motion(status)
        self._builder.set_allowed(status["v_mps"], status["w_radps"])
        reason = status["reason"]
        if status["armed"] and status["sequence"] >= 0 and reason != "ok":
            self.summary.safety_stops[reason] = self.summary.safety_stops.get(reason, 0) + 1
        was_armed, self._status = self._status.get("armed", False), status
        if status["armed"] and not self._armed:
            self._armed_now()
        if was_armed and not status["armed"]:
            self._disarmed_now(reason, at_ns)

    def _disarmed_now(self, reason: str, at_ns: int) -> None:
        self._armed = False
        if self._stopping and reason == GOAL_REACHED:
            return  # as it was asked to
        text = f"the guardian disarmed ({reason}); look at the robot, then arm it again"
        if self._arm_asked and not self._stopping:
            raise RunEnd("disarmed", text)
        self._log.health(at_ns, "warning", "disarmed", text)

    def _take_block(self, block: AudioBlock) -> None:
        begun_ns = now_ns()
        count = block.samples.shape[1]
        audio_ns = block.capture_ns + count * NS_PER_S // self._robot.sample_rate_hz
        if self._first_ns is None:
            self._first_ns = block.capture_ns
        untimely = self._complain("sound_time", self._watches.timing.sound(block, begun_ns), begun_ns)
        implausible = (
            self._complain("microphones", self._watches.audio(block), begun_ns) or self._watches.audio.suspicious
        )
        if not (untimely or implausible) and self._watches.order.since_ns is None:
            self._audio_ns = audio_ns
        self.summary.seconds = (audio_ns - self._first_ns) * 1e-9
        self._tell_guardian(begun_ns)
        if self._may_arm(audio_ns, begun_ns):
            try:
                self._arm()
            except BaseException:  # the guardian has been told of this block: it belongs in the log
                self._log.audio(block, begun_ns)
                raise
        self._log.audio(block, begun_ns)
        for due in self._builder.add_block(block):
            self._step(due, begun_ns)
        for notice in self._builder.notices:
            self._log.health(begun_ns, "warning", "audio_gap", notice)
        self._builder.notices.clear()
        self._judge_order(block, begun_ns)
        self._tell_drift(begun_ns)

    def _tell_drift(self, at_ns: int, last: bool = False) -> None:
        report = self._watches.timing.drift(at_ns, last)
        if report is not None:
            self._log.health(at_ns, report.level, DRIFT_EVENT, report.text, ppm=report.ppm, std_ppm=report.std_ppm)
            self.summary.audio_drift_ppm, self.summary.audio_drift_std_ppm = report.ppm, report.std_ppm

    def finish(self) -> None:
        """Log what is known of the clocks, when the run has ended."""
        self._tell_drift(now_ns(), last=True)
        self.summary.sync_error_ms = self._watches.timing.error_ms

    def _judge_order(self, block: AudioBlock, at_ns: int) -> None:
        """Look at the channels' order, behind the step, which needn't wait; what isn't believed is old."""
        lag_ns = at_ns - block.capture_ns  # with the block's length, the device's latency and the resampler's
        self._least_lag_ns = min(self._least_lag_ns, lag_ns)
        if lag_ns - self._least_lag_ns > BEHIND_NS:
            return  # catch up first
        wrong = self._complain("channels", self._watches.order(block), at_ns)
        since_ns = self._watches.order.since_ns
        if wrong and since_ns is not None and self._audio_ns is not None and since_ns < self._audio_ns:
            self._audio_ns = since_ns
            self._tell_guardian(now_ns(), fresh=True)

    def _tell_guardian(self, at_ns: int, fresh: bool = False) -> None:
        """Report the sensors, at most every `TELL_NS` unless there is more to say than that samples came."""
        fresh = fresh or self._told_depth_ns != self._depth_ns
        if not fresh and at_ns - self._told_ns < TELL_NS:
            return
        self._told_ns, self._told_depth_ns = at_ns, self._depth_ns
        self._guardian.sensors(self._audio_ns, self._depth_ns, self._ahead)

    def _may_arm(self, audio_ns: int, at_ns: int) -> bool:
        """Tell whether a wanted arming is due: depth has come, and sound that the guardian won't call lost."""
        if not self._arm_when_sensing or self._depth_ns is None:
            return False
        fresh = at_ns - audio_ns <= self._robot.safety.audio_max_age_ms * 1e6
        return fresh or at_ns - self._begun_ns > CATCH_UP_NS

    def _let_arming_lapse(self, at_ns: int) -> None:
        """End the run where what a wanted arming waits for hasn't come: it must not move off by itself much later.

        Raises:
            RunEnd: it is too late.
        """
        if self._arm_when_sensing and at_ns - self._begun_ns > ARM_WITHIN_NS:
            missing = "depth image" if self._audio_ns is not None else "sound"
            within_s = ARM_WITHIN_NS // NS_PER_S
            raise RunEnd("disarmed", f"no {missing} that may be believed within {within_s} s, so --arm has lapsed; "
                         "look at what the log says of the sensors, then run again")  # fmt: skip

    def _arm(self) -> None:
        """Ask the guardian to arm and wait for its word: who isn't armed must not take a goal for reached.

        Raises:
            RunEnd: it doesn't arm.
        """
        self._arm_when_sensing = False
        self._arming = "a person's --arm, now that sound and depth arrive"
        self._guardian.arm()
        deadline_ns = now_ns() + ARM_WAIT_NS
        while not self._armed:
            self._take_statuses()
            reason = self._status["reason"]
            if reason == "emergency stop":
                release = "`phonotaxis robot release --robot FILE`"
                raise RunEnd("disarmed", f"{LATCHED}; look at the robot, then {release}, and run again")
            if now_ns() > deadline_ns:
                raise RunEnd("disarmed", f"the guardian doesn't arm ({reason}); look at the robot, then run again")
            time.sleep(0.002)

    def _armed_now(self) -> None:
        self._armed = self.summary.armed = True
        at_ns = now_ns()
        self._log.health(at_ns, "info", "armed", f"armed by {self._arming}")
        self._arming = BY_HAND
        self._log.health(at_ns, "info", EPISODE_START_EVENT, "arming resets the memory")
        self._builder.mark_start()

    def _step(self, due: Due, begun_ns: int) -> None:
        self._tell_guardian(begun_ns, fresh=True)  # its newest sample is at most a block old when it acts
        observation = self._builder.observe(due)
        outputs = self._runner.run(observation)
        step = step_dict(self._runner.contract, due, observation, outputs)
        if step["stop"]:
            if self._armed:
                self._guardian.stop()
        else:
            self._guardian.command(step["v_mps"], step["w_radps"], due.due_ns, due.step)
        decided_ns = now_ns()
        self._account(step, decided_ns, begun_ns)
        if self._agreement is not None:
            self._agreement.decided(outputs[ACTION])
        if step["stop"] and self._armed:
            self._reached(due)

    def _account(self, step: dict[str, Any], decided_ns: int, begun_ns: int) -> None:
        facts = {
            "decided_ns": decided_ns,
            "allowed_v_mps": self._status["v_mps"],
            "allowed_w_radps": self._status["w_radps"],
            "safety_reason": self._status["reason"],
        }
        self._log.step({**step, **facts}, decided_ns)
        late = decided_ns - step["due_ns"] > self._runner.contract.control_period_ns
        self.summary.add_step(step["action_name"], (decided_ns - begun_ns) * 1e-6, late)

    def _reached(self, due: Due) -> None:
        """Log that the goal is reached, once the guardian has said that the drive is stopped and disarmed.

        Raises:
            RunEnd: always.
        """
        deadline_ns = now_ns() + DISARM_WAIT_NS
        self._stopping = True  # and still armed: a status on its way says so, and is nobody's arming
        self._take_statuses()
        while self._armed and now_ns() < deadline_ns:
            time.sleep(0.002)
            self._take_statuses()
        stopped = not self._armed
        text = "the policy stopped: brake and disarm" + ("" if stopped else ", unconfirmed by the guardian")
        self._log.health(now_ns(), "info" if stopped else "error", "goal_reached", text, step=due.step)
        raise RunEnd("goal_reached", text)
