"""What long work says off a terminal: how far it is, how it goes, how long it will take."""

from __future__ import annotations

import pytest

from phonotaxis.commands import progress


def test_a_plain_line_now_and_then_says_what_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where half was done before, as with --resume: the rate is that of this time."""
    now_s = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s[0])
    bar = progress.ProgressBar("training", live=False)
    for later_s, share in (
        (0.0, 0.5),
        (1.0, 0.501),
        (19.0, 0.52),
        (10.0, 0.53),
        (190.0, 0.72),
        (240.0, 0.96),
        (40.0, 1.0),
    ):
        now_s[0] += later_s
        bar(share, "success 7 %")
    assert capsys.readouterr().err.splitlines() == [
        "training: 50 %  success 7 %",
        "training: 52 %  success 7 %, 8 min left",
        "training: 72 %  success 7 %, 5 min left",
        "training: 96 %  success 7 %, 40 s left",
        "training: 100 %  success 7 %",
    ]
