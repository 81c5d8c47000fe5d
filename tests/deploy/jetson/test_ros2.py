"""The drive on ROS 2 against a stand-in for rclpy, which no machine without ROS has: its calls, not its behaviour."""

from __future__ import annotations

import math
import sys
from collections import deque
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from phonotaxis.configs.devices import Ros2Drive
from phonotaxis.configs.robot import RobotConfig
from phonotaxis.deploy.devices import DeviceError, DriveGone, open_drive
from phonotaxis.deploy.jetson.drives import ros2
from phonotaxis.deploy.jetson.drives.silence import LEAST_COMMANDS, Silence


class InvalidHandle(Exception):
    """As rclpy has one: none of Python's own, and no base that its other exceptions have too."""


class Graph:
    """What rclpy's calls reach: one callback is called each time that the node spins."""

    def __init__(self) -> None:
        self.began: dict[str, Any] = {}
        self.waiting: deque[Any] = deque()
        self.published: list[Any] = []
        self.offered: list[tuple[Any, str]] = []
        self.others = 0  # who publish, too
        self.subscribers = [ros2.TWIST]  # what they take
        self.closed = False
        self.gone = False  # every call fails, as after a shutdown
        self.take: Any = None
        self.quality: Any = None

    def subscribe(self, kind: Any, topic: str, take: Any, quality: Any) -> None:
        self.take, self.quality = take, quality

    def modules(self) -> dict[str, ModuleType]:
        def module(name: str, **things: Any) -> ModuleType:
            made = ModuleType(name)
            vars(made).update(things)
            return made

        def there() -> None:
            if self.gone:
                raise InvalidHandle("cannot use Destroyable because destruction was requested")

        def spin_once(node: Any, timeout_sec: float) -> None:
            there()
            if self.waiting:
                self.take(self.waiting.popleft())

        def publish(message: Any) -> None:
            there()
            self.published.append(message)

        def offer(kind: Any, topic: str, depth: int) -> Any:
            self.offered.append((kind, topic))
            return SimpleNamespace(publish=publish)

        def shutdown() -> None:
            self.closed = True
            there()

        node = SimpleNamespace(
            create_publisher=offer,
            create_subscription=self.subscribe,
            count_publishers=lambda topic: self.others + len(self.offered),
            count_subscribers=lambda topic: len(self.subscribers),
            get_subscriptions_info_by_topic=lambda topic: [
                SimpleNamespace(topic_type=kind) for kind in self.subscribers
            ],
            get_clock=lambda: SimpleNamespace(now=lambda: SimpleNamespace(to_msg=lambda: "now")),
            destroy_node=there,
        )
        return {
            "rclpy": module(
                "rclpy", init=self.began.update, create_node=lambda name: node, spin_once=spin_once,
                shutdown=shutdown,
            ),
            "rclpy.qos": module(
                "rclpy.qos", QoSProfile=SimpleNamespace, QoSReliabilityPolicy=SimpleNamespace(BEST_EFFORT="best effort")
            ),
            "rclpy.signals": module("rclpy.signals", SignalHandlerOptions=SimpleNamespace(NO="no handlers")),
            "geometry_msgs": module("geometry_msgs"),
            "geometry_msgs.msg": module("geometry_msgs.msg", Twist=_twist, TwistStamped=_stamped),
            "nav_msgs": module("nav_msgs"),
            "nav_msgs.msg": module("nav_msgs.msg", Odometry=object),
        }  # fmt: skip


def _twist() -> Any:
    return SimpleNamespace(linear=SimpleNamespace(x=0.0), angular=SimpleNamespace(z=0.0))


def _stamped() -> Any:
    return SimpleNamespace(header=SimpleNamespace(stamp=None, frame_id=""), twist=_twist())


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Graph:
    graph = Graph()
    for name, module in graph.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(ros2, "DISCOVERY_S", 0.02)
    return graph


def _odometry(x: float) -> Any:
    turn = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
    return SimpleNamespace(
        pose=SimpleNamespace(pose=SimpleNamespace(position=SimpleNamespace(x=x, y=0.0), orientation=turn))
    )


def test_signals_stay_the_guardians(graph: Graph) -> None:
    drive = ros2.Ros2(Ros2Drive(), 200.0)
    assert graph.began == {"signal_handler_options": "no handlers"}
    drive.close()
    assert graph.closed


def test_all_odometry_that_has_come_is_taken_in_one_tick(graph: Graph) -> None:
    """One callback a tick would leave a base of 100 Hz ten messages behind, each taken for new."""
    drive = ros2.Ros2(Ros2Drive(), 200.0)
    graph.waiting.extend(_odometry(0.1 * number) for number in range(5))
    drive.command(0.2, -0.1)
    assert (graph.published[-1].linear.x, graph.published[-1].angular.z) == (0.2, -0.1)
    assert [sample.dx_m for sample in drive.motions()] == pytest.approx([0.1] * 4)
    assert not graph.waiting


def test_a_base_that_publishes_best_effort_is_heard(graph: Graph) -> None:
    """As sensors' topics often do: a reliable subscription is offered nothing by such a publisher."""
    ros2.Ros2(Ros2Drive(), 200.0)
    assert (graph.quality.reliability, graph.quality.depth) == ("best effort", 10)


def test_another_publisher_is_refused(graph: Graph) -> None:
    drive = ros2.Ros2(Ros2Drive(), 200.0)
    graph.others, drive._looked_ns = 1, 0
    for _ in range(3):  # gone until it is looked again and nobody is found, not for one tick
        with pytest.raises(DriveGone, match=r"1 other publisher\(s\) on /cmd_vel"):
            drive.command(0.1, 0.0)
    assert not graph.published
    with pytest.raises(DeviceError, match="the guardian drives alone"):
        ros2.Ros2(Ros2Drive(), 200.0)


def test_a_shadow_lets_the_person_publish_and_publishes_nothing(graph: Graph) -> None:
    graph.others, graph.subscribers = 1, []
    devices = {"kind": "hardware", "camera": {"pipeline": "videotestsrc"}, "drive": {"kind": "ros2"}}
    fields = {"name": "r", "array": "respeaker_usb_v2", "drive": {"dead_man_ms": 200}, "devices": devices}
    drive = open_drive(RobotConfig.model_validate(fields), shadow=True)
    graph.waiting.extend([_odometry(0.0), _odometry(0.1)])
    drive.listen()
    assert [sample.dx_m for sample in drive.motions()] == pytest.approx([0.1])
    drive._silence = Silence(0, 0)  # nothing of what a drive of ours is gone by
    for _ in range(LEAST_COMMANDS + 1):
        drive.listen()
    drive.close()
    assert graph.closed
    assert graph.published == []
    assert graph.offered == []


def test_a_graph_that_has_gone_is_a_drive_that_has_gone(graph: Graph) -> None:
    drive = ros2.Ros2(Ros2Drive(), 200.0)
    graph.gone = True
    for use in (lambda: drive.command(0.0, 0.0), drive.listen):
        with pytest.raises(DeviceError, match="InvalidHandle: cannot use"):
            use()
    drive.close()  # the guardian has more to close behind it
    assert graph.closed
    with pytest.raises(DeviceError, match="ROS 2 has failed"):
        ros2.Ros2(Ros2Drive(), 200.0)


def test_a_pose_that_is_none_or_jumps_is_no_motion(graph: Graph) -> None:
    drive = ros2.Ros2(Ros2Drive(), 200.0)
    graph.waiting.extend(_odometry(x) for x in (7.0, 7.1, math.nan, 7.3, 0.0, 0.1))
    drive.listen()
    assert [sample.dx_m for sample in drive.motions()] == pytest.approx([0.1, 0.2, 0.1])


def test_a_base_whose_odometry_ceases_is_gone_and_told_nothing(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without power its node may live on and take every command, which the base obeys when it is back."""
    at_ns = [10**9]
    monkeypatch.setattr(ros2, "now_ns", lambda: at_ns[0])
    monkeypatch.setattr(ros2, "DISCOVERY_S", 0.0)
    drive = ros2.Ros2(Ros2Drive(), 200.0)

    def command() -> None:
        at_ns[0] += 100_000_000
        drive.command(0.2, 0.0)

    for _ in range(30):  # a base that has none at all is driven without
        command()
    graph.waiting.extend([_odometry(0.0), _odometry(0.1)])
    for _ in range(11):
        command()
    assert [sample.dx_m for sample in drive.motions()] == pytest.approx([0.1])
    told = len(graph.published)
    for _ in range(3):
        with pytest.raises(DriveGone, match="no odometry on /odom for 1 s, where it came before"):
            command()
    assert len(graph.published) == told
    graph.waiting.extend([_odometry(0.3), _odometry(0.4)])
    command()
    assert len(graph.published) == told + 1
    assert [sample.dx_m for sample in drive.motions()] == pytest.approx([0.1])  # the pose began anew at 0.3


def test_a_topic_that_nobody_hears_any_more_is_a_drive_that_has_gone(graph: Graph) -> None:
    drive = ros2.Ros2(Ros2Drive(), 200.0)
    drive.command(0.1, 0.0)
    told, graph.subscribers, drive._looked_ns = len(graph.published), [], 0
    with pytest.raises(DriveGone, match="nobody subscribes to /cmd_vel any more"):
        drive.command(0.1, 0.0)
    assert len(graph.published) == told
    graph.subscribers, drive._looked_ns = [ros2.TWIST], 0
    drive.command(0.1, 0.0)
    assert len(graph.published) == told + 1


def test_messages_are_of_the_kind_that_the_base_takes(graph: Graph) -> None:
    graph.subscribers = [ros2.STAMPED] * 2  # a recorder, too
    drive = ros2.Ros2(Ros2Drive(topic="/base/cmd_vel"), 200.0)
    assert graph.offered == [(_stamped, "/base/cmd_vel")]
    drive.command(0.2, -0.1)
    drive.close()
    told = [(one.header.stamp, one.header.frame_id, one.twist.linear.x, one.twist.angular.z) for one in graph.published]
    assert told == [("now", "base_link", 0.2, -0.1), ("now", "base_link", 0.0, 0.0)]


@pytest.mark.parametrize(
    ("subscribers", "said"),
    [
        (
            [],
            r"nobody subscribes to /cmd_vel \(looked for geometry_msgs/msg/Twist and TwistStamped for 0\.02 s\): start",
        ),
        ([ros2.STAMPED, ros2.TWIST], "as geometry_msgs/msg/Twist and as geometry_msgs/msg/TwistStamped, expected"),
        (["std_msgs/msg/String"], "is subscribed to as std_msgs/msg/String, expected geometry_msgs/msg/Twist or"),
    ],
)
def test_subscribers_that_cant_be_driven_are_named(graph: Graph, subscribers: list[str], said: str) -> None:
    graph.subscribers = subscribers
    with pytest.raises(DeviceError, match=said):
        ros2.Ros2(Ros2Drive(), 200.0)
    assert graph.offered == []
    assert graph.closed
