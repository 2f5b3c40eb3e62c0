"""Finds modules that lie beside policies by path: as the last finder, and in this process only.

Folders on ``sys.path`` would also be used by worker processes. There they come before an editable install, so that a
``sim.py`` beside a policy would replace our package.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

OWN_PACKAGES = ("physical", "twin", "policies", "traces", "sim", "vectwin")
_folders: list[str] = []


class _Finder:
    """Finds modules that no other finder finds, because functions of a policy may import modules beside it later."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the place of a module; None if it is not beside a policy, or has the name of one of our packages."""
        if path is not None or fullname in OWN_PACKAGES:
            return None
        return PathFinder.find_spec(fullname, _folders, target)


def add_folder(folder: str) -> None:
    """From now on, look in a folder for modules that are found nowhere else."""
    if _Finder not in sys.meta_path:
        sys.meta_path.append(_Finder)
    if folder not in _folders:
        _folders.append(folder)


def added_folders() -> tuple[str, ...]:
    """Return the folders, first those that were added first."""
    return tuple(_folders)
