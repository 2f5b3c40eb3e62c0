"""Recorded data of others, which is no part of the repository: beside it, or where VECTWIN_DATA says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def data_file(name: str) -> Path:
    """Return a data file, or skip the test where there is none."""
    path = Path(os.environ.get("VECTWIN_DATA") or BESIDE) / name
    if not path.is_file():
        pytest.skip(f"needs the data file {name}; VECTWIN_DATA may name its folder")
    return path
