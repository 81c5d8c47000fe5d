"""A base driven by ROS 2, where rclpy is: Twist out, Odometry in, and nobody else on the topic."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from phonotaxis.deploy.clock import now_ns
from phonotaxis.deploy.devices import DeviceError, DriveGone, OdometrySample
from phonotaxis.deploy.jetson.drives.wheels import JUMP_M

if TYPE_CHECKING:
    from phonotaxis.configs.devices import Ros2Drive

DISCOVERY_S = 2.0  # within which another publisher is seen
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
            DeviceError: no rclpy here, it fails, or somebody else publishes on the topic and this is no shadow.
        """
        self._shadow = shadow
        self._config, self.dead_man_ms = config, dead_man_ms
        try:
            import rclpy
            from geometry_msgs.msg import Twist
            from nav_msgs.msg import Odometry
            from rclpy.qos import QoSProfile, QoSReliabilityPolicy
            from rclpy.signals import SignalHandlerOptions
        except ImportError as error:
            raise DeviceError(
                f"the drive needs ROS 2 ({error}); source its set-up file (/opt/ros/DISTRO/setup.bash), and use a "
                "Python environment that sees the system's packages"
            ) from None
        self._rclpy, self._twist = rclpy, Twist
        self._node: Any = None
        self._publisher: Any = None
        self._pose: tuple[float, float, float] | None = None
        self._motions: list[OdometrySample] = []
        self._taken = self._looked_ns = self._others = 0
        with _in_the_graph():
            # Its own handlers would end the graph at a Ctrl-C, which the guardian leaves to the runtime.
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        try:
            # A best-effort subscription hears reliable publishers as well; a reliable one hears only those.
            quality = QoSProfile(depth=_QUEUE, reliability=QoSReliabilityPolicy.BEST_EFFORT)
            self._join(Twist, Odometry, quality)
        except DeviceError as error:
            self.close()
            raise DeviceError(str(error)) from None

    @_in_the_graph()
    def _join(self, twist: Any, odometry: Any, quality: Any) -> None:
        self._node = self._rclpy.create_node("phonotaxis_guardian")
        self._node.create_subscription(odometry, self._config.odometry_topic, self._take, quality)
        if self._shadow:
            return
        self._publisher = self._node.create_publisher(twist, self._config.topic, 1)
        until_ns = now_ns() + int(DISCOVERY_S * 1e9)
        while now_ns() < until_ns:
            self._rclpy.spin_once(self._node, timeout_sec=0.1)
            self._look(now_ns())

    def _look(self, at_ns: int) -> None:
        if at_ns - self._looked_ns >= _LOOK_NS:
            self._looked_ns = at_ns
            self._others = self._node.count_publishers(self._config.topic) - 1
        if self._others > 0:
            raise DriveGone(
                f"{self._others} other publisher(s) on {self._config.topic}: the guardian drives alone; end them "
                f"(ros2 topic info --verbose {self._config.topic} names them)"
            )

    @_in_the_graph()
    def command(self, v_mps: float, w_radps: float) -> None:
        """Publish both speeds, and take the odometry that has come.

        Raises:
            DriveGone: somebody else publishes as well.
            DeviceError: the graph has gone.
        """
        self._look(now_ns())
        message = self._twist()
        message.linear.x, message.angular.z = float(v_mps), float(w_radps)
        self._publisher.publish(message)
        self.listen()

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
                self._publisher.publish(self._twist())
        with contextlib.suppress(DeviceError), _in_the_graph():
            if self._node is not None:
                self._node.destroy_node()
        with contextlib.suppress(DeviceError), _in_the_graph():
            self._rclpy.shutdown()
