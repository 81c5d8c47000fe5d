"""What a camera sees beside depth, and the noise of a real depth camera."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from phonotaxis.configs.base import Frozen

Modality = Literal["depth", "semantic", "color"]
MODALITIES: tuple[Modality, ...] = ("depth", "semantic", "color")

# A pixel of a semantic image is an index into this list. Policies are trained on these numbers, so the order is
# for ever: new classes are appended.
SEMANTIC_CLASSES = ("unknown", "wall", "floor", "ceiling", "door", "window", "furniture", "curtain")


def _angles(value: tuple[float, float], info: ValidationInfo) -> tuple[float, float]:
    if not all(1.0 <= angle < 180.0 for angle in value):
        raise ValueError(f"{info.field_name} must be (horizontal, vertical), each from 1 to under 180 degrees")
    return value


ViewAngles = Annotated[tuple[float, float], AfterValidator(_angles)]  # degrees about an image's centre


class DepthNoise(Frozen):
    """What a real depth camera does to depth; all off by default.

    The form is that of Barron and Malik (2013), which Handa et al. (2014) took up for ICL-NUIM: a pixel reports
    the depth of a point a little beside it, with noise along the axis, in steps of disparity.

    Attributes:
        lateral_px: standard deviation of where beside itself a pixel measures, pixels of the image; 0 = off.
        axial_m: standard deviation of the depth at the camera, metres.
        axial_per_m: its growth with the square of the depth, 1/m: sigma = axial_m + axial_per_m · depth².
        disparity_step_px: steps in which disparity is known, pixels of the matcher; 0 = off.
        baseline_m: between the two lenses, or lens and projector, metres.
        focal_px: of the matcher's images, pixels; the camera's own `fx` when absent. A policy's small image is
            sampled from a large one, so the matcher's focal length is usually longer.
        edge_dropout: probability that a pixel beside a step in depth is unknown.
        edge_jump: least step that is one, as a share of the farther depth.
        min_range_m: nearer is unknown, where this is farther than the camera's own limit.
        max_range_m: farther is unknown, where this is nearer than the camera's own limit.
        field_of_view_deg: horizontal and vertical angle that the real camera sees, about the image's centre; what the
            policy's image has beyond it is unknown, as after reprojection from a narrower camera on a robot.
    """

    lateral_px: float = Field(default=0.0, ge=0.0, le=8.0)
    axial_m: float = Field(default=0.0, ge=0.0, le=1.0)
    axial_per_m: float = Field(default=0.0, ge=0.0, le=1.0)
    disparity_step_px: float = Field(default=0.0, ge=0.0, le=8.0)
    baseline_m: float = Field(default=0.0, ge=0.0, le=1.0)
    focal_px: float | None = Field(default=None, gt=0.0)
    edge_dropout: float = Field(default=0.0, ge=0.0, le=1.0)
    edge_jump: float = Field(default=0.05, gt=0.0, lt=1.0)
    min_range_m: float | None = Field(default=None, ge=0.0)
    max_range_m: float | None = Field(default=None, gt=0.0)
    field_of_view_deg: ViewAngles | None = None

    @model_validator(mode="after")
    def _consistent(self) -> DepthNoise:
        if self.disparity_step_px > 0.0 and self.baseline_m == 0.0:
            raise ValueError(f"disparity_step_px {self.disparity_step_px} needs a baseline_m above 0")
        if self.min_range_m is not None and self.max_range_m is not None and self.max_range_m <= self.min_range_m:
            raise ValueError(f"max_range_m {self.max_range_m} must exceed min_range_m {self.min_range_m}")
        return self

    @property
    def off(self) -> bool:
        """Whether depth stays as it is."""
        steps = self.lateral_px, self.axial_m, self.axial_per_m, self.disparity_step_px, self.edge_dropout
        limits = self.min_range_m, self.max_range_m, self.field_of_view_deg
        return not any(steps) and all(limit is None for limit in limits)
