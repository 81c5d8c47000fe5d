"""Frames of a walk: the scene from above with the walker, beside what its camera sees."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from phonotaxis.configs.contract import PinholeCamera
from phonotaxis.envs.listen import Progress, silent
from phonotaxis.envs.listen.route import Route
from phonotaxis.envs.scenes.render import PATH_COLORS, SOURCE_COLOR, draw_plan, draw_source
from phonotaxis.envs.scenes.scene import Scene
from phonotaxis.envs.vision.eyes import look

WIDTH_PX, HEIGHT_PX = 1280, 720
MAP_PX = (720, 584)
VIEW_PX = (560, 360)
MAP_TOP_PX = 24  # below the line of text
LEVEL_BOX = (64, 636, 706, 706)  # left, top, right, bottom, pixels: the level over time
_LEVEL_SPAN_DB = 40.0
_LEVEL_FRAME_S = 0.05
_INK, _FAINT, _PAPER = (52, 55, 62), (190, 193, 199), (255, 255, 255)
_UNKNOWN = (30, 30, 34)


class Map(NamedTuple):
    """A picture of a scene from above, and where world metres lie in it.

    Attributes:
        image: uint8 [height, width, 3].
        origin_px: x, y of world (0, 0) in the picture.
        px_per_m: scale; y grows downward in the picture.
    """

    image: np.ndarray
    origin_px: tuple[float, float]
    px_per_m: float

    def place(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Return the pixel of a world point."""
        return self.origin_px[0] + x_m * self.px_per_m, self.origin_px[1] - y_m * self.px_per_m


def film_camera() -> PinholeCamera:
    """Return the policy's camera by default (mount, 90 degrees wide), with more and wider pixels."""
    width, height = VIEW_PX
    return PinholeCamera(width=width, height=height, fx=width / 2, fy=width / 2, cx=width / 2, cy=height / 2)


def draw_map(scene: Scene, route: Route, size_px: tuple[int, int] = MAP_PX) -> Map:
    """Draw a scene from above with a route and its source, to fit a size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(size_px[0] / 100, size_px[1] / 100), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.02, 0.01, 0.96, 0.97))
    draw_plan(axes, scene)
    axes.plot(*route.path_m.T, color="white", lw=4.0, alpha=0.8, zorder=2)
    axes.plot(*route.path_m.T, color=PATH_COLORS[0], lw=2.0, alpha=0.55, ls=(0, (2, 2)), zorder=3)
    draw_source(axes, route.source_m)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    zero, one = axes.transData.transform([(0.0, 0.0), (1.0, 1.0)])
    return Map(image, (float(zero[0]), size_px[1] - float(zero[1])), float(one[0] - zero[0]))


def levels_db(stereo: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return the level of both ears in frames of 50 ms, float64 [2, frames], dB of full scale, at least -120."""
    frame = round(_LEVEL_FRAME_S * sample_rate_hz)
    frames = max(1, stereo.shape[1] // frame)
    short = stereo[:, : frames * frame].astype(np.float64)
    power = np.square(short).reshape(2, frames, -1).mean(axis=2)
    return np.asarray(10.0 * np.log10(np.maximum(power, 1e-12)))


def depth_picture(depth_m: np.ndarray, far_m: float) -> np.ndarray:
    """Colour depths, float32 [height, width] in metres: near is light, far is dark, unknown is nearly black."""
    from matplotlib import colormaps

    table = np.rint(255 * colormaps["viridis"](np.linspace(1.0, 0.08, 256))[:, :3]).astype(np.uint8)
    # the root gives what is near, where it matters, most of the colours
    picture = table[np.rint(255 * np.sqrt(np.clip(depth_m / far_m, 0.0, 1.0))).astype(np.uint8)]
    picture[depth_m == 0.0] = _UNKNOWN
    return np.asarray(picture)


class Film:
    """Draws the frames of a walk.

    Args:
        scene: where.
        route: the way.
        stereo: float [2, samples], what the ears hear.
        sample_rate_hz: of it.
        camera: what looks.
    """

    def __init__(
        self, scene: Scene, route: Route, stereo: np.ndarray, sample_rate_hz: int, camera: PinholeCamera | None = None
    ) -> None:
        self.scene, self.route = scene, route
        self.camera = camera if camera is not None else film_camera()
        self.map = draw_map(scene, route)
        self.seconds = stereo.shape[1] / sample_rate_hz
        self._font, self._small = _font(16), _font(13)
        self._still = self._draw_still(levels_db(stereo, sample_rate_hz))
        self._trail: list[tuple[float, float]] = []

    def frame(self, pose: np.ndarray, at_s: float, in_sight: bool) -> np.ndarray:
        """Draw the next frame.

        Args:
            pose: float64 [3], x, y, yaw, world, metres and radians.
            at_s: seconds since the walk began.
            in_sight: whether the source can be seen.

        Returns:
            uint8 [720, 1280, 3], RGB.
        """
        seen = look(self.scene, self.camera, pose, ("depth", "color"))
        picture = self._still.copy()
        draw = ImageDraw.Draw(picture)
        self._draw_walker(draw, pose)
        self._draw_cursor(draw, at_s)
        away_m = np.hypot(pose[0] - self.route.source_m[0], pose[1] - self.route.source_m[1])
        words = f"{away_m:.1f} m from the source, {'in sight' if in_sight else 'out of sight'}"
        draw.text((66, 24), f"{at_s:.1f} s", fill=_INK, font=self._font, anchor="rs")
        draw.text((96, 24), words, fill=_INK, font=self._font, anchor="ls")
        self._paste_views(picture, seen.color[0], depth_picture(seen.depth_m[0], self.camera.max_range_m))
        if in_sight:
            self._mark_source(draw, pose)
        return np.array(picture)

    def frames(
        self, poses: np.ndarray, in_sight: np.ndarray, rate_hz: float, frames_per_s: float, progress: Progress = silent
    ) -> Iterator[np.ndarray]:
        """Draw a walk.

        Args:
            poses: float64 [poses, 3], of the walk.
            in_sight: bool [poses].
            rate_hz: poses a second.
            frames_per_s: frames a second.
            progress: told of the frames.

        Yields:
            Frames, as `frame` draws them, for as long as the walk lasts.
        """
        count = round(len(poses) / rate_hz * frames_per_s)
        for number in range(count):
            progress(number / count, f"frame {number} of {count}")
            at_s = number / frames_per_s
            index = min(int(at_s * rate_hz), len(poses) - 1)
            yield self.frame(poses[index], at_s, bool(in_sight[index]))

    def _paste_views(self, picture: Image.Image, color: np.ndarray, depth: np.ndarray) -> None:
        draw = ImageDraw.Draw(picture)
        left = WIDTH_PX - self.camera.width
        far_m = self.camera.max_range_m
        views = ((color, "colour"), (depth, f"depth: near is light, {far_m:g} m is dark, unknown is black"))
        for row, (view, words) in enumerate(views):
            top = row * self.camera.height
            picture.paste(Image.fromarray(view), (left, top))
            at = (left + 10, top + self.camera.height - 8)
            draw.text(at, words, fill="white", font=self._small, anchor="lb", stroke_width=2, stroke_fill=_INK)

    def _draw_still(self, level_db: np.ndarray) -> Image.Image:
        """Draw what stays: the map, the curves of the level and what is written beside them."""
        picture = Image.new("RGB", (WIDTH_PX, HEIGHT_PX), _PAPER)
        picture.paste(Image.fromarray(self.map.image), (0, MAP_TOP_PX))
        draw = ImageDraw.Draw(picture)
        left, top, right, bottom = LEVEL_BOX
        high = float(np.ceil(level_db.max() / 10.0) * 10.0)
        for step in range(0, int(_LEVEL_SPAN_DB) + 1, 20):
            y = top + step / _LEVEL_SPAN_DB * (bottom - top)
            draw.line([(left, y), (right, y)], fill=_FAINT)
            draw.text((left - 8, y), f"{high - step:.0f}", fill=_INK, font=self._small, anchor="rm")
        draw.text((left, top - 6), "level, dB of full scale", fill=_INK, font=self._small, anchor="ls")
        for ear, color in zip(level_db, (PATH_COLORS[0], PATH_COLORS[4])):
            share = np.clip((high - ear) / _LEVEL_SPAN_DB, 0.0, 1.0)
            x = left + (np.arange(ear.size) + 0.5) / ear.size * (right - left)
            draw.line(list(zip(x.tolist(), (top + share * (bottom - top)).tolist())), fill=color, width=2)
        draw.text((right, top - 6), "right", fill=PATH_COLORS[4], font=self._small, anchor="rs")
        draw.text((right - 44, top - 6), "left", fill=PATH_COLORS[0], font=self._small, anchor="rs")
        return picture

    def _draw_walker(self, draw: ImageDraw.ImageDraw, pose: np.ndarray) -> None:
        x, y = self._place(pose[0], pose[1])
        self._trail.append((x, y))
        if len(self._trail) > 1:
            draw.line(self._trail, fill=PATH_COLORS[0], width=4, joint="curve")
        size, yaw = 18.0, float(pose[2])
        corners = [(1.0, 0.0), (0.75, 2.5), (0.45, np.pi), (0.75, -2.5)]
        tip = [(x + size * r * np.cos(yaw + a), y - size * r * np.sin(yaw + a)) for r, a in corners]
        draw.polygon(tip, fill=SOURCE_COLOR, outline="white", width=2)

    def _mark_source(self, draw: ImageDraw.ImageDraw, pose: np.ndarray) -> None:
        """Ring the source where the camera, which looks ahead, has it in the picture."""
        camera = self.camera
        dx, dy = self.route.source_m[0] - pose[0], self.route.source_m[1] - pose[1]
        cos, sin = np.cos(pose[2]), np.sin(pose[2])
        ahead = cos * dx + sin * dy - camera.mount_xyz_m[0]
        if ahead < 0.1:
            return
        u = camera.cx - camera.fx * (cos * dy - sin * dx - camera.mount_xyz_m[1]) / ahead
        v = camera.cy - camera.fy * (self.route.source_m[2] - camera.mount_xyz_m[2]) / ahead
        near = camera.fx * 0.08 / ahead  # as large as a ball of 16 cm
        if not (near <= u < camera.width - near and near <= v < camera.height - near):
            return
        x, y = WIDTH_PX - camera.width + u, v
        for radius, width in ((near, 3), (1.7 * near, 2)):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=SOURCE_COLOR, width=width)

    def _draw_cursor(self, draw: ImageDraw.ImageDraw, at_s: float) -> None:
        left, top, right, bottom = LEVEL_BOX
        x = left + at_s / self.seconds * (right - left)
        draw.line([(x, top - 2), (x, bottom + 2)], fill=SOURCE_COLOR, width=2)

    def _place(self, x_m: float, y_m: float) -> tuple[float, float]:
        x, y = self.map.place(x_m, y_m)
        return x, y + MAP_TOP_PX


def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """Load the font that matplotlib ships: Pillow brings none that scales."""
    from matplotlib import font_manager

    path = font_manager.findfont("DejaVu Sans")
    with open(path, "rb") as file:
        return ImageFont.truetype(io.BytesIO(file.read()), size_px)
