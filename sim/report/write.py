"""Writes a report about whatever is in the given folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from physical.errors import InputError
from sim.export.output import whole_file
from sim.report.page import page
from sim.report.runs import open_runs


def write_report(directories: Sequence[Path], out: Path) -> int:
    """Write the report of some runs; return its size in bytes.

    Raises
    ------
    InputError : no run, one that cannot be read or holds no slot, a name that is not HTML
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out.name!r} is no name for a page", where="--out", accepted="FILE.html")
    text = page(open_runs(directories)).encode("utf-8")
    with whole_file(out) as file:
        file.write(text)
    return len(text)
