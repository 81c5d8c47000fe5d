"""The front end of sight: a depth image as nearness on a coarse grid."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from phonotaxis.configs.config_error import ConfigError
from phonotaxis.configs.contract import Contract

DEPTH_CELLS = 32  # both sides of the pooled depth image


class DepthFrontEnd(nn.Module):
    """Depth as nearness on a coarse grid: the nearest surface of each cell, and how much of it is known.

    Attributes:
        shape: of a row of the features, (2, 32, 32).
    """

    shape = (2, DEPTH_CELLS, DEPTH_CELLS)

    def __init__(self, contract: Contract) -> None:
        """Take the camera's size and range.

        Raises:
            ConfigError: a side of the image is not a multiple of 32 pixels.
        """
        super().__init__()
        camera = contract.camera
        if camera.height % DEPTH_CELLS or camera.width % DEPTH_CELLS:
            raise ConfigError(
                f"camera: {camera.width} x {camera.height} pixels; the policy needs multiples of "
                f"{DEPTH_CELLS} (the runtime reprojects any camera, so choose the nearest multiple)"
            )
        self._kernel = (camera.height // DEPTH_CELLS, camera.width // DEPTH_CELLS)
        self._scale = float(1.0 / np.log1p(camera.max_range_m))

    def forward(self, depth: Tensor) -> Tensor:
        """Pool the image.

        Args:
            depth: float32 [batch, height, width], metres, 0 = unknown.

        Returns:
            float32 [batch, 2, 32, 32]: nearness, 1 at the lens and 0 at maximum range (logarithmic, since a
            door at 5 m and a chair leg at 0.5 m both matter) or unknown; fraction of known pixels.
        """
        known = (depth > 0.0).to(depth.dtype)
        nearness = (1.0 - torch.log1p(depth.clamp(min=0.0)) * self._scale).clamp(min=0.0) * known
        nearest = nn.functional.max_pool2d(nearness[:, None], self._kernel)
        return torch.cat([nearest, nn.functional.avg_pool2d(known[:, None], self._kernel)], dim=1)
