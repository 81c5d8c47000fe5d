"""The files of a ROS occupancy map: what map_server's YAML and image say about where it is free."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import Field, model_validator

from phonotaxis.configs.base import Frozen
from phonotaxis.envs.scenes.scene import SceneError

MOST_PIXELS = 4096  # along either side; larger ones are mostly unknown space and can be cropped
WALL_FROM = 50  # of 0..100 in the modes that grade occupancy
UNKNOWN_GREY = 205  # of 0..255, what map savers write for what was never seen


class MapFile(Frozen):
    """The YAML file of a map, as map_server of ROS 2 (nav2_map_server) writes and reads it."""

    image: str = Field(min_length=1)
    resolution: float = Field(ge=0.002, le=1.0)
    origin: tuple[float, float, float]
    negate: bool = False
    occupied_thresh: float = Field(default=0.65, gt=0.0, le=1.0)
    free_thresh: float = Field(default=0.196, ge=0.0, lt=1.0)
    mode: Literal["trinary", "scale", "raw"] = "trinary"

    @model_validator(mode="after")
    def _ordered(self) -> MapFile:
        if self.free_thresh > self.occupied_thresh:
            raise ValueError(f"free_thresh {self.free_thresh} must not exceed occupied_thresh {self.occupied_thresh}")
        return self


def read_free(path: Path, file: MapFile) -> np.ndarray:
    """Read where a map is free, by the rules of nav2_map_server (`map_io.cpp`).

    With occupancy = 1 - lightness (lightness itself with `negate`): over `occupied_thresh` is occupied, under
    `free_thresh` is free. Between the two, trinary maps are unknown and scale maps grade from 0 to 100, of
    which we take 50 and more for wall. Raw maps hold 0 to 100 as pixel values, the rest is unknown.

    But in trinary maps the grey of 205 is unknown whatever `free_thresh`: for years Nav2's saver wrote that for unknown
    with a threshold of 0.25, under which it reads as free (occupancy 0.196; mended in its pull request 5278).

    Args:
        path: of the YAML file, to which the image's path is relative.
        file: its contents.

    Returns:
        bool [rows, columns], row 0 at the lowest y; True is free.

    Raises:
        SceneError: the image is missing, not an image, or too large.
    """
    pixels = _read_pixels(path, path.parent / file.image)[::-1]
    color, opacity = pixels[..., :-1], pixels[..., -1]
    lightness = color.mean(axis=-1)
    unknown = (np.rint(lightness * 255.0) == UNKNOWN_GREY) & (opacity == 1.0)
    if file.mode == "raw":
        return np.rint(lightness * 255.0) < WALL_FROM
    if file.mode == "trinary" and (opacity < 1.0).any():
        lightness = (3.0 * lightness + opacity) / 4.0  # as map_server has it: opacity counts as a fourth channel
    occupancy = lightness if file.negate else 1.0 - lightness
    if file.mode == "trinary":
        return (occupancy < file.free_thresh) & ~(occupancy > file.occupied_thresh) & ~unknown
    span = max(file.occupied_thresh - file.free_thresh, 1e-9)
    graded = np.rint((occupancy - file.free_thresh) / span * 100.0)
    return (opacity == 1.0) & ((occupancy < file.free_thresh) | (graded < WALL_FROM))


def _read_pixels(yaml_path: Path, path: Path) -> np.ndarray:
    """Read an image as float32 [rows, columns, channels], 0..1; the last channel is opacity."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PPM", "PNG", "BMP", "TIFF", "JPEG"))
        with image:
            width, height = image.size
            if max(width, height) > MOST_PIXELS:
                raise SceneError(
                    f"{path}: {width} x {height} pixels, more than {MOST_PIXELS} along a side; crop the map "
                    "or lower its resolution"
                )
            return _channels(image)
    except FileNotFoundError:
        raise SceneError(f"{yaml_path}: image {path} does not exist (paths are relative to the YAML)") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise SceneError(f"{path}: more than {MOST_PIXELS} pixels along a side; crop the map") from None
    except UnidentifiedImageError:
        raise SceneError(f"{path}: not an image that can be read; expected PGM, PNG, BMP, TIFF or JPEG") from None
    except (OSError, SyntaxError, ValueError) as error:
        if isinstance(error, SceneError):
            raise
        raise SceneError(f"{path}: the image can't be read ({' '.join(str(error).split())})") from None


def _channels(image: Image.Image) -> np.ndarray:
    """Return an open image's channels with opacity last, float32 0..1."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image, np.float32) / np.float32(1.0 if image.mode == "F" else 65535.0)
        return np.stack([np.clip(grey, 0.0, 1.0), np.ones_like(grey)], axis=-1)
    has_opacity = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    grey_mode = image.mode in ("1", "L", "LA")
    values = np.asarray(image.convert("LA" if grey_mode else "RGBA"), np.float32) / np.float32(255.0)
    if not has_opacity:
        values[..., -1] = 1.0
    return values
