"""Modules that lie beside policies by path: found last, and in this process only.

Folders on ``sys.path`` would also reach worker processes, and there come before what an editable install offers: a
``sim.py`` beside a policy would take the place of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

OWN_PACKAGES = ("physical", "twin", "policies", "traces", "sim", "vectwin")
_folders: list[str] = []


class _Finder:
    """Finds what nobody else finds: functions of a policy may import what is beside it when they are called."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is; None if it is not beside a policy, or has the name of one of our packages."""
        if path is not None or fullname in OWN_PACKAGES:
            return None
        return PathFinder.find_spec(fullname, _folders, target)


def add_folder(folder: str) -> None:
    """Look in a folder for modules that are nowhere else, from now on."""
    if _Finder not in sys.meta_path:
        sys.meta_path.append(_Finder)
    if folder not in _folders:
        _folders.append(folder)


def added_folders() -> tuple[str, ...]:
    """Return the folders, first those that were added first."""
    return tuple(_folders)
