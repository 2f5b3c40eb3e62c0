"""Benches by name: each measures speed as a ratio to something that runs on the same machine.

This file holds the table of benches. Each bench is a module with a function `measure`, which returns a `Report`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from physical.errors import InputError
from physical.nearest import did_you_mean
from sim.bench.report import Report


@dataclass(frozen=True)
class BenchSpec:
    """A bench.

    Parameters
    ----------
    name, summary : of the bench
    target : ``module:function`` of the function that measures and returns a `Report`
    is_long : it takes so long that it runs only when it is named
    """

    name: str
    target: str
    summary: str
    is_long: bool = False

    def load(self) -> Callable[[], Report]:
        """Import the bench."""
        module_name, _, attribute = self.target.partition(":")
        found: Callable[[], Report] = getattr(importlib.import_module(module_name), attribute)
        return found


_BENCHES = (
    BenchSpec("kernel", "sim.bench.kernel:measure", "vehicle-slots against raw SimPy timeouts, and memory"),
    BenchSpec("optimal", "sim.bench.optimal:measure", "p2-exact against SLSQP and against CVXPY with Clarabel"),
    BenchSpec("layers", "sim.bench.layers:measure", "layers-exact against SLSQP and against CVXPY with Clarabel"),
    BenchSpec("traces", "sim.bench.traces:measure", "share of a run's time that writing takes, and bytes on disk"),
    BenchSpec(
        "batch", "sim.bench.batch:measure", "vehicle-slots of the batch engine against raw SimPy timeouts, and memory"
    ),
    BenchSpec("llm", "sim.bench.llm:measure", "time of a language model's decision, against a plain completion"),
    BenchSpec("heldout", "sim.bench.heldout:measure", "cost of the bundled model's decisions in unknown environments"),
    BenchSpec("study", "sim.bench.study:measure", "a study through workers and Dask, against one process: long", True),
    BenchSpec("jobs", "sim.bench.jobs:measure", "what one more run costs a study, by 10 000 tiny ones: long", True),
    BenchSpec("training", "sim.bench.training:measure", "updates per second, and time to train apg to 5 %"),
)


def select(names: Iterable[str]) -> list[BenchSpec]:
    """Return the benches with these names; without names, all that are not long.

    Raises
    ------
    InputError : there is no such bench

    >>> [spec.name for spec in select(["kernel"])]
    ['kernel']
    """
    known = {spec.name: spec for spec in _BENCHES}
    chosen = list(names)
    for name in chosen:
        if name not in known:
            problem = f"there is no bench {name!r}{did_you_mean(name, known)}"
            raise InputError(problem, where="NAME", accepted=", ".join(known))
    return [known[name] for name in chosen or (name for name, spec in known.items() if not spec.is_long)]
