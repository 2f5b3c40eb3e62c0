"""A terminal of some width."""

from __future__ import annotations

import re

import pytest


def as_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Let rich take stdout for a terminal of that width, by the variables that it reads."""
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(width)}.items():
        monkeypatch.setenv(name, value)


def plain(text: str) -> str:
    """Return what can be read: the text without colours and the like."""
    return re.sub("\x1b\\[[0-9;]*m", "", text)
