"""How sources radiate: as loud all round, or more to the front than to the back, the more the higher the pitch.

What the simulator makes of them stands in `phonotaxis.envs.acoustics.source_directivity`. A source's level is that at
1 m on its axis, so that a directive source emits less power than an omnidirectional one of the same level.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Field, model_validator

from phonotaxis.configs.base import Frozen

MAX_ORDER = 16.0
Order = Annotated[float, Field(ge=0.0, le=MAX_ORDER)]


class OmnidirectionalSource(Frozen):
    """As loud in every direction."""

    kind: Literal["omnidirectional"] = "omnidirectional"


class Cardioid(Frozen):
    """Pressure falls as `((1 + cos angle) / 2) ** order`: 0 is omnidirectional, 1 a cardioid, more is narrower.

    Attributes:
        order: for all octave bands, or one for each of 125, 250, 500, 1000, 2000 and 4000 Hz.
    """

    kind: Literal["cardioid"] = "cardioid"
    order: Order | tuple[Order, Order, Order, Order, Order, Order] = 1.0


class Talker(Frozen):
    """A person who speaks, as measured by Monson, Hunter and Story (2012)."""

    kind: Literal["talker"] = "talker"


class Loudspeaker(Frozen):
    """A box with one driver, taken as a piston in a rigid sphere (Morse and Ingard 1968; Aarts and Janssen 2010).

    Attributes:
        radius_m: of a sphere as large as the box.
        driver_radius_m: of the driver's cone.
    """

    kind: Literal["loudspeaker"] = "loudspeaker"
    radius_m: float = Field(default=0.12, ge=0.01, le=0.5)
    driver_radius_m: float = Field(default=0.06, ge=0.001, le=0.5)

    @model_validator(mode="after")
    def _driver_fits(self) -> Loudspeaker:
        if self.driver_radius_m > self.radius_m:
            raise ValueError(
                f"driver_radius_m {self.driver_radius_m:g} exceeds radius_m {self.radius_m:g}: give a smaller driver"
            )
        return self


def _by_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _one_or_more(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else (value,)


SourceDirectivity = Annotated[
    Union[OmnidirectionalSource, Cardioid, Talker, Loudspeaker],  # noqa: UP007 (pydantic on 3.10)
    Field(discriminator="kind"),
]
# In YAML: one, or a list; each by its name alone or with its keys.
SourceDirectivities = Annotated[
    tuple[Annotated[SourceDirectivity, BeforeValidator(_by_name)], ...],
    BeforeValidator(_one_or_more),
    Field(min_length=1, max_length=16),
]
