"""The demo: the whole line once, from nothing to a robot that finds a sound."""

from __future__ import annotations

from phonotaxis.demo.line import DemoError, demo_task, main

__all__ = ["DemoError", "demo_task", "main"]
