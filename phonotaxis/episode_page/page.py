"""Puts the page together: one file, every string escaped, and a policy that lets nothing in."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from phonotaxis.configs.atomic_file import OWNER_ONLY, replace_file
from phonotaxis.deploy.episode_reader import Episode
from phonotaxis.deploy.replay_other import OtherReport
from phonotaxis.deploy.replay_report import ReplayReport
from phonotaxis.episode_page.gather import PageError, gather
from phonotaxis.page_head import page_head

SCRIPTS = ("shapes.js", "strips.js", "map.js", "player.js")
STYLE = "page.css"


def write_episode_page(
    path: Path,
    episode: Episode,
    report: ReplayReport | None = None,
    other: OtherReport | None = None,
    from_s: float = 0.0,
    to_s: float | None = None,
) -> int:
    """Write the page; only its owner can read it, since it holds what was recorded. A file there is replaced.

    Args:
        path: of the page.
        episode: what `read_episode` returned.
        report: of a replay, where there was one.
        other: what another policy would have done, where it was asked.
        from_s: seconds of the episode at which the page begins.
        to_s: at which it ends; None for the end.

    Returns:
        Its size in bytes.

    Raises:
        PageError: there is nothing to show, or too much.
        OSError: it can't be written.
    """
    data = episode_page(gather(episode, report, other, from_s, to_s)).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data, mode=OWNER_ONLY)
    return len(data)


def episode_page(shown: dict[str, Any]) -> str:
    """Return the page's text.

    What is shown stands in it as data, not as markup: the script puts each string in as text. The policy in the
    head names the page's own style and script by their hashes, and pictures and sound as data URLs; nothing else
    can run, and nothing can be loaded or sent.
    """
    style, script = _part(STYLE), "".join(_part(name) for name in SCRIPTS)
    return f"""{page_head(str(shown["title"]), style, script, ("img", "media"))}
<body>
<noscript>This page draws itself by a script of its own; allow it to run.</noscript>
<main id="page"></main>
<script type="application/json" id="shown">{_json(shown)}</script>
<script>{script}</script>
</body>
</html>
"""


def _json(value: Any) -> str:
    """Write JSON that can't end its script element, whatever strings are in it."""
    try:
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII
    except ValueError:
        raise PageError("the episode holds numbers that aren't finite; `replay --check` says where") from None
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _part(name: str) -> str:
    return (files("phonotaxis.episode_page") / name).read_text(encoding="utf-8")
