"""What a policy that decides by cases remembers: a file, a teacher, and what it has seen itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from physical.errors import InputError
from physical.system import System
from policies.cases.case import Case, CaseSet
from policies.cases.selection import Selection, nearest, select
from policies.foreign.contained import Contained
from policies.scoring import fit
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


class CaseMemory:
    """Cases for a policy: it is taught the first ones, chooses some for each slot, and learns from what slots realise.

    Parameters
    ----------
    file : case set to begin with; "" for none. It must be for as many vehicles and classes as the system
    teacher : policy that decides as long as there are fewer than `start` cases; it is made only if it is needed
    start : number of cases to begin with
    capacity : number of cases beyond which the set does not grow; what a file has beyond that stays, too
    grow : decided slots become cases once their outcome is known
    select : which cases `choose` gives
    refresh : slots for which `choose` keeps its answer, unless that is the nearest cases
    owner : what errors and origins call the policy

    The counters `num_taught`, `num_grown`, `num_displaced` and `num_refused` tell what became of decided slots.

    **Source** paper 'dtecn', section IV-B: the first examples come from another policy; a decided slot takes the place
    of an example unless it turned out worse. The paper does not say which example: here the most similar one.
    """

    def __init__(
        self,
        *,
        file: str = "",
        teacher: str = "p2-exact",
        start: int = 16,
        capacity: int = 64,
        grow: bool = True,
        select: Selection = "nearest",
        refresh: int = 64,
        owner: str = "cases",
    ) -> None:
        if start < 0:
            raise ValueError(f"start {start} is negative")
        if capacity < max(start, 1):
            raise ValueError(f"capacity {capacity} is less than {max(start, 1)}, the number of cases to begin with")
        if refresh < 1:
            raise ValueError(f"refresh {refresh} is not positive")
        self._file = file
        self._teacher_name = teacher
        self._start = start
        self._capacity = capacity
        self._grow = grow
        self._select: Selection = select
        self._refresh = refresh
        self._owner = owner
        self._teacher: Contained | None = None

    def reset(self, system: System, seed: int) -> None:
        """Begin a run with the cases of the file, and get the teacher ready if there are too few.

        Raises
        ------
        InputError : a file that cannot be read or is for another system; a teacher that is unknown or refuses the
            system
        """
        self.num_taught = self.num_grown = self.num_displaced = self.num_refused = 0
        self.cases = CaseSet(system)
        if self._file:
            from policies.cases.file import read_cases

            self.cases = read_cases(self._file, system)
            self.cases.points()  # the first slot need not wait for them
        self._generator = np.random.default_rng(seed)
        self._taught: dict[int, Case] = {}
        self._pending: dict[int, Case] = {}
        self._chosen: tuple[Case, ...] = ()
        self._chosen_for = -1
        self._chosen_version = -1
        self._num_kept = 0
        if len(self.cases) < self._start:
            self._teacher = self._ready_teacher(system, seed)

    def _ready_teacher(self, system: System, seed: int) -> Contained:
        from policies.registry import make  # a teacher may itself decide by cases

        try:
            teacher = self._teacher or Contained(make(self._teacher_name, where="--policy"))
            teacher.reset(system, seed)
        except InputError as error:
            if error.where != "--policy":
                raise  # a file of the teacher's
            problem = f"teacher {self._teacher_name}: {error.problem}"
            raise InputError(problem, where="--policy", key=self._owner, accepted=error.accepted) from error
        return teacher

    @property
    def version(self) -> int:
        """A number that grows with each change of the cases."""
        return self.cases.version

    def teach(self, snapshot: TwinSnapshot) -> Decision | None:
        """Return the teacher's decision, which becomes a case; None once there are enough cases."""
        if len(self.cases) >= self._start or self._teacher is None:
            return None
        decision = self._teacher.decide(snapshot)
        price = self._teacher.diagnostics().capacity_price
        case = self._case(snapshot, decision, self._teacher_name, price)
        self.cases.append(case)
        self._taught[snapshot.slot] = case
        self.num_taught += 1
        return case.decision

    def _case(self, snapshot: TwinSnapshot, decision: Decision, origin: str, price: float) -> Case:
        fitted = fit(snapshot, decision)
        return Case(snapshot, fitted, fitted.objective, math.nan, f"{origin} slot={snapshot.slot}", price)

    def choose(self, snapshot: TwinSnapshot, count: int) -> tuple[Case, ...]:
        """Return `count` cases for a slot (fewer while there are not so many), the most important last.

        The nearest are chosen anew. Others are kept for `refresh` slots, so that the beginning of a prompt can be
        reused, and then chosen anew if the set has changed; before that only while there were fewer than `count`.
        """
        if self._select == "nearest":
            return self.nearest(snapshot, count)
        self._select_if_due(count)
        self._num_kept += 1
        return self._chosen

    def coming(self, count: int) -> tuple[Case, ...]:
        """Return what `choose` will give for the next slot; nothing if that depends on the slot or on cases to come."""
        if self._select == "nearest" or not count or len(self.cases) < self._start:
            return ()
        self._select_if_due(count)
        return self._chosen

    def _select_if_due(self, count: int) -> None:
        incomplete = len(self._chosen) < min(count, len(self.cases))
        stale = self._num_kept >= self._refresh and self._chosen_version != self.version
        if incomplete or stale or self._chosen_for != count:
            self._chosen = select(self.cases, self._select, count, self._generator)
            self._chosen_for, self._chosen_version, self._num_kept = count, self.version, 0

    def nearest(self, snapshot: TwinSnapshot, count: int) -> tuple[Case, ...]:
        """Return the `count` cases most like a snapshot whatever `choose` gives, the nearest last."""
        return nearest(self.cases, count, snapshot)

    def decided(self, snapshot: TwinSnapshot, decision: Decision, price: float = math.nan) -> None:
        """Remember a decision of the policy itself until its outcome is known.

        price : no unit, of the whole server, that the decision rests on
        """
        if self._grow:
            self._pending[snapshot.slot] = self._case(snapshot, decision, self._owner, price)

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Take note of what slots realised, (slot, objective): complete their cases, or make cases of them."""
        for slot, objective in outcomes:
            taught, pending = self._taught.pop(slot, None), self._pending.pop(slot, None)
            if math.isnan(objective):
                continue  # a slot without tasks teaches nothing
            if taught is not None:
                self.cases.replace(taught, replace(taught, realised=objective))
            elif pending is not None:
                self._add(replace(pending, realised=objective))

    def _add(self, case: Case) -> None:
        """Add a case if there is room; else put it in the place of the nearest one, unless it is worse than that."""
        if len(self.cases) < self._capacity:
            self.cases.append(case)
            self.num_grown += 1
            return
        index = int(self.cases.distances(case.snapshot).argmin())
        other = self.cases[index]
        # Never an expectation against an outcome: waiting in queues is in one of them only.
        known = not math.isnan(other.realised)
        is_worse = case.realised > other.realised if known else case.objective > other.objective
        if is_worse:
            self.num_refused += 1
            return
        self.cases.remove(index)
        self.cases.append(case)
        self.num_displaced += 1
