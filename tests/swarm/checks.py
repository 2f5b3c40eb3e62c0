"""All checks of the tables of a run, by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from tests.swarm import check_energy, check_hardware, check_score, check_tables, check_twin
from tests.swarm.books import Books
from tests.swarm.facts import Facts

Check = Callable[[Books, Facts], Iterator[str]]
_MODULES = (check_tables, check_hardware, check_energy, check_score, check_twin)
CHECKS: dict[str, Check] = {
    name.removeprefix("check_"): getattr(module, name)
    for module in _MODULES
    for name in vars(module)
    if name.startswith("check_")
}
_NEED_TASKS = (
    *("sizes", "stages", "outcomes", "passages", "cpus", "uplinks", "servers", "arrivals", "backlogs"),
    *("local_energy", "radio_energy", "server_speeds"),
)


_BY_KEY = ("numbers", "summary", "slots")
"""Checks of many columns or keys, each of which is a check of its own."""


class Violation(NamedTuple):
    """What is wrong with a run: which check says so, and its words."""

    check: str
    told: str


def violations(books: Books, only: Sequence[str] = tuple(CHECKS)) -> list[Violation]:
    """Return what is wrong with a run's tables, as some checks see it."""
    facts, found = Facts(books), []
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # wrong numbers are for the checks to name
        warnings.simplefilter("ignore")
        for name in only:
            if name in _NEED_TASKS and not books.has_tasks:
                continue
            try:
                for told in CHECKS[name](books, facts):
                    key = f"{name}: {told.partition(':')[0]}" if name in _BY_KEY else name
                    found.append(Violation(key, told))
            except (LookupError, ValueError, TypeError, AssertionError, ArithmeticError) as error:
                found.append(Violation(name, f"cannot be checked: {type(error).__name__}: {error}"))
    return found
