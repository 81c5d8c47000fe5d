"""The head of a page that stands alone: what is in the page itself may be shown and run, and nothing else.

It lies beside `report` and `episode_page`, not in one of them: the former needs matplotlib, which a robot that draws
the latter hasn't.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape


def page_head(title: str, style: str, script: str | None = None, media: tuple[str, ...] = ("img",)) -> str:
    """Write a page from its doctype to the end of its head.

    Its content security policy (W3C, level 3) names style and script by their hashes, so that no other can run, and
    lets in data URLs alone; nothing can be loaded or sent.

    Args:
        title: as text; it is escaped here.
        style: the page's one style sheet, which is put in.
        script: the text of its one script, which the body holds; None lets none run.
        media: kinds that stand in the page as data URLs: `img`, `media`.
    """
    allowed = [f"style-src 'sha256-{_digest(style)}'"]
    allowed += [] if script is None else [f"script-src 'sha256-{_digest(script)}'"]
    allowed += [f"{kind}-src data:" for kind in media]
    policy = "; ".join(["default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'"])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{escape(title)}</title>
<style>{style}</style>
</head>"""


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
