"""How the directivity of sources is written down."""

from __future__ import annotations

from typing import Any

import pytest

from phonotaxis.configs.base import build
from phonotaxis.configs.source_directivity import Cardioid, Loudspeaker, OmnidirectionalSource, Talker
from phonotaxis.configs.sources import Sources


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("talker", (Talker(),)),
        ({"kind": "cardioid", "order": 2}, (Cardioid(order=2.0),)),
        ([{"kind": "cardioid", "order": [0, 0, 0.5, 1, 1, 2]}], (Cardioid(order=(0.0, 0.0, 0.5, 1.0, 1.0, 2.0)),)),
        (["talker", {"kind": "loudspeaker", "radius_m": 0.2}], (Talker(), Loudspeaker(radius_m=0.2))),
        (("omnidirectional", Talker()), (OmnidirectionalSource(), Talker())),
    ],
)
def test_one_or_several_by_name_or_with_keys(written: Any, read: tuple[Any, ...]) -> None:
    sources = build(Sources, {"directivity": written}, "task.yaml")
    assert sources.directivity == read
    assert Sources.model_validate_json(sources.model_dump_json()) == sources


def test_sources_are_omnidirectional_by_default() -> None:
    assert Sources().directivity == (OmnidirectionalSource(),)
