"""One episode as one self-contained page: everything that was heard, seen, decided and let through, over time.

It needs numpy and nothing more, so that a robot can write it, too.
"""

from __future__ import annotations

from phonotaxis.episode_page.gather import PageError
from phonotaxis.episode_page.page import episode_page, write_episode_page

__all__ = ["PageError", "episode_page", "write_episode_page"]
