"""What a camera makes of the surface it hits: a semantic class and a colour.

The kernels leave one number for each pixel, `material << FACE_BITS | face`, or 0 where nothing was hit; the tables
here turn it into what is seen.
"""

from __future__ import annotations

import numpy as np

from phonotaxis.configs.vision import SEMANTIC_CLASSES
from phonotaxis.envs.scenes.materials import MATERIALS

FACE_BITS = 3
FACE_LOW_X, FACE_HIGH_X, FACE_LOW_Y, FACE_HIGH_Y, FACE_UP, FACE_DOWN = 1, 2, 3, 4, 5, 6  # which way a face looks

# Light by orientation, as of a lamp above and a window to one side: no two faces that meet look alike, so that
# corners show without shadows or textures.
_LIGHT = {
    FACE_LOW_X: 0.70,
    FACE_HIGH_X: 0.86,
    FACE_LOW_Y: 0.78,
    FACE_HIGH_Y: 0.92,
    FACE_UP: 1.0,
    FACE_DOWN: 0.82,
}


def semantic_table() -> np.ndarray:
    """Return the semantic class of every surface, uint8 [surfaces], indices into `SEMANTIC_CLASSES`.

    Raises:
        ValueError: a material is of a class that isn't published.
    """
    table = np.zeros(len(MATERIALS) << FACE_BITS, np.uint8)
    for index, material in enumerate(MATERIALS):
        if material.semantic_class not in SEMANTIC_CLASSES:
            raise ValueError(
                f"material '{material.name}' is of the class '{material.semantic_class}', which is none of "
                f"{', '.join(SEMANTIC_CLASSES)}; append it to SEMANTIC_CLASSES in configs/vision.py"
            )
        for face in _LIGHT:
            table[index << FACE_BITS | face] = SEMANTIC_CLASSES.index(material.semantic_class)
    return table


def color_table() -> np.ndarray:
    """Return the colour of every surface, uint8 [surfaces, 3], RGB: its material's, lit by the way it faces."""
    table = np.zeros((len(MATERIALS) << FACE_BITS, 3), np.uint8)
    for index, material in enumerate(MATERIALS):
        for face, light in _LIGHT.items():
            table[index << FACE_BITS | face] = np.rint(np.array(material.color) * light)
    return table
