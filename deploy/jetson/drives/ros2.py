"""A base driven by ROS 2, where rclpy is: Twist or TwistStamped out, Odometry in, and nobody else on the topic.

Which of the two is asked of the subscribers: ros2_control's diff_drive_controller takes TwistStamped alone from Jazzy
on. It counts its time-out from the stamp, so a base with a computer of its own needs the same clock as this one.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.devices import DeviceError, DriveGone, OdometrySample
from phonotaxis.deploy.jetson.drives.silence import Silence
from phonotaxis.deploy.jetson.drives.wheels import JUMP_M

if TYPE_CHECKING:
    from phonotaxis.configs.devices import Ros2Drive

DISCOVERY_S = 2.0  # within which subscribers and another publisher are seen
SILENT_NS = 1_000_000_000  # of odometry that came: bases report ten times a second and more
TWIST, STAMPED = "geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped"
FRAME = "base_link"  # of the robot's own body (REP-105)
_LOOK_NS = 500_000_000
_QUEUE = 10  # of odometry; it is emptied every tick, so that none is taken for newer than it is


@contextlib.contextmanager
def _in_the_graph() -> Iterator[None]:
    """Turn what rclpy raises, whose exceptions have no base in common, into a DeviceError."""
    try:
        yield
    except DeviceError:
        raise
    except Exception as error:  # noqa: BLE001
        raise DeviceError(
            f"ROS 2 has failed ({type(error).__name__}: {error}): the base's own time-out stops it; start the run anew"
        ) from error


class Ros2:
    """Publishes velocities on a topic that is the guardian's alone.

    The dead man is the base's own (in ros2_control's diff_drive_controller: `cmd_vel_timeout`); it can't be set
    from here, so the robot's configuration states it and `doctor --robot` proves it.

    A base to which nobody hands commands, or whose odometry came and has ceased, counts as gone, and isn't told to
    move, until that is over. One that never tells its odometry can't be watched so.

    Attributes:
        dead_man_ms: as stated.
    """

    def __init__(self, config: Ros2Drive, dead_man_ms: float, shadow: bool = False) -> None:
        """Join the graph.

        Args:
            config: its topics.
            dead_man_ms: the base's own, as stated.
            shadow: a person drives by other means, who publishes: odometry is heard and nothing published.

        Raises:
            DeviceError: no rclpy here, or it fails; or, where this is no shadow, somebody else publishes on the topic,
                nobody subscribes to it, or they take another message.
        """
        self._shadow = shadow
        self._config, self.dead_man_ms = config, dead_man_ms
        try:
            import rclpy
            from geometry_msgs.msg import Twist, TwistStamped
            from nav_msgs.msg import Odometry
            from rclpy.qos import QoSProfile, QoSReliabilityPolicy
            from rclpy.signals import SignalHandlerOptions
        except ImportError as error:
            raise DeviceError(
                f"the drive needs ROS 2 ({error}); source its set-up file (/opt/ros/DISTRO/setup.bash), and use a "
                "Python environment that sees the system's packages"
            ) from None
        self._rclpy, self._messages = rclpy, {TWIST: Twist, STAMPED: TwistStamped}
        self._node: Any = None
        self._publisher: Any = None
        self._kind = TWIST
        self._silence = Silence(SILENT_NS, None)
        self._pose: tuple[float, float, float] | None = None
        self._motions: list[OdometrySample] = []
        self._taken = self._looked_ns = self._others = self._subscribers = 0
        with _in_the_graph():
            # Its own handlers would end the graph at a Ctrl-C, which the guardian leaves to the runtime.
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        try:
            # A best-effort subscription hears reliable publishers as well; a reliable one hears only those.
            quality = QoSProfile(depth=_QUEUE, reliability=QoSReliabilityPolicy.BEST_EFFORT)
            self._join(Odometry, quality)
        except DeviceError as error:
            self.close()
            raise DeviceError(str(error)) from None

    @_in_the_graph()
    def _join(self, odometry: Any, quality: Any) -> None:
        self._node = self._rclpy.create_node("phonotaxis_guardian")
        self._node.create_subscription(odometry, self._config.odometry_topic, self._take, quality)
        if self._shadow:
            return
        until_ns = now_ns() + int(DISCOVERY_S * 1e9)
        while now_ns() < until_ns:
            self._rclpy.spin_once(self._node, timeout_sec=0.1)
            self._look(now_ns())
        self._kind = self._wanted_kind()
        self._publisher = self._node.create_publisher(self._messages[self._kind], self._config.topic, 1)
        self._looked_ns = 0

    def _wanted_kind(self) -> str:
        """Return the type of message that the topic's subscribers take.

        Raises:
            DeviceError: there are none, or they don't agree on one that there is here.
        """
        topic = self._config.topic
        kinds = sorted({str(one.topic_type) for one in self._node.get_subscriptions_info_by_topic(topic)})
        if not kinds:
            raise DeviceError(
                f"nobody subscribes to {topic} (looked for {TWIST} and TwistStamped for {DISCOVERY_S:g} s): start the "
                "base's node, or correct devices.drive.topic (`ros2 topic list -t` lists them)"
            )
        if len(kinds) > 1 or kinds[0] not in self._messages:
            raise DeviceError(
                f"{topic} is subscribed to as {' and as '.join(kinds)}, expected {TWIST} or TwistStamped and one of "
                f"both: end the others, or correct devices.drive.topic (`ros2 topic info --verbose {topic}` names them)"
            )
        return kinds[0]

    def _look(self, at_ns: int) -> None:
        """Look now and then who else is on the topic.

        Raises:
            DriveGone: another publisher, or, once there is one of ours, no subscriber.
        """
        topic, joined = self._config.topic, self._publisher is not None
        if at_ns - self._looked_ns >= _LOOK_NS:
            self._looked_ns = at_ns
            self._others = self._node.count_publishers(topic) - joined
            self._subscribers = self._node.count_subscribers(topic)
        if self._others > 0:
            raise DriveGone(
                f"{self._others} other publisher(s) on {topic}: the guardian drives alone; end them "
                f"(ros2 topic info --verbose {topic} names them)"
            )
        if joined and self._subscribers == 0:
            raise DriveGone(f"nobody subscribes to {topic} any more: has the base's node ended?")

    @_in_the_graph()
    def command(self, v_mps: float, w_radps: float) -> None:
        """Take the odometry that has come, and publish both speeds.

        Raises:
            DriveGone: somebody else publishes as well, nobody subscribes, or the odometry has ceased.
            DeviceError: the graph has gone.
        """
        self.listen()
        at_ns = now_ns()
        self._look(at_ns)
        if self._silence.asked(at_ns):
            raise DriveGone(
                f"no odometry on {self._config.odometry_topic} for {SILENT_NS / 1e9:g} s, where it came before: is the "
                "base switched on, and does its node run?"
            )
        self._publish(float(v_mps), float(w_radps))

    def _publish(self, v_mps: float, w_radps: float) -> None:
        message = self._messages[self._kind]()
        twist = message
        if self._kind == STAMPED:
            message.header.stamp, message.header.frame_id = self._node.get_clock().now().to_msg(), FRAME
            twist = message.twist
        twist.linear.x, twist.angular.z = v_mps, w_radps
        self._publisher.publish(message)

    def fileno(self) -> int:
        """Return -1: rclpy has no descriptor to wait for."""
        return -1

    @_in_the_graph()
    def listen(self) -> None:
        """Take all odometry that has come; others may publish.

        Raises:
            DeviceError: the graph has gone.
        """
        for _ in range(_QUEUE):
            taken = self._taken
            self._rclpy.spin_once(self._node, timeout_sec=0.0)
            if self._taken == taken:
                return

    def _take(self, message: Any) -> None:
        self._taken += 1
        if self._silence.heard(now_ns()):
            self._pose = None  # it may have begun anew, or been carried
        pose = message.pose.pose
        x, y, z, w = pose.orientation.x, pose.orientation.y, pose.orientation.z, pose.orientation.w
        yaw = math.atan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
        new = (float(pose.position.x), float(pose.position.y), yaw)
        if not all(map(math.isfinite, new)):
            return
        old, self._pose = self._pose, new
        if old is None:
            return
        dx, dy, turn = new[0] - old[0], new[1] - old[1], new[2] - old[2]
        if math.hypot(dx, dy) > JUMP_M:  # a base that began anew
            return
        c, s = math.cos(old[2]), math.sin(old[2])
        dyaw = math.atan2(math.sin(turn), math.cos(turn))
        self._motions.append(OdometrySample(c * dx + s * dy, c * dy - s * dx, dyaw, False, now_ns()))

    def motions(self) -> list[OdometrySample]:
        """Return the odometry since the last call."""
        motions, self._motions = self._motions, []
        return motions

    def close(self) -> None:
        """Stop, unless a person drives, and leave the graph, as far as there still is one."""
        with contextlib.suppress(DeviceError), _in_the_graph():
            if self._publisher is not None:
                self._publish(0.0, 0.0)
        with contextlib.suppress(DeviceError), _in_the_graph():
            if self._node is not None:
                self._node.destroy_node()
        with contextlib.suppress(DeviceError), _in_the_graph():
            self._rclpy.shutdown()
