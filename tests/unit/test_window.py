"""Jobs are submitted a few at a time, to executors of many kinds; what a future raises is a value."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from sim import Scenario, compare
from sim.studies.executors.window import in_window
from sim.studies.failures import RunsFailedError
from sim.studies.jobs import Failed, Finished, Job, Outcome
from sim.studies.plan import plan_comparison
from sim.studies.pool import Pool
from tests.support.process import with_value

SMALL = Scenario.load("dtecn", ["time.num_slot=3", "vehicles.num_vehicle=2"])


def jobs(num: int) -> list[Job]:
    return plan_comparison(SMALL, ["local-only"], range(num)).jobs


def made_up(job: Job) -> Finished:
    """Stand for a run that takes no time."""
    return Finished({"penalty_mean": float(job.seed)}, np.full(3, float(job.seed)), key=job.key)


def drained(num: int, submit: Callable[[Job], Any], size: Callable[[], int]) -> list[tuple[int, object]]:
    return [(job.seed, outcome) for job, outcome in in_window(submit, deque(jobs(num)), size)]


class Bare:
    """A future that has what is asked for, and nothing else: no cancel, no class of the standard library."""

    def __init__(self, result: Callable[[], object], looks: int = 0) -> None:
        self._result = result
        self._looks = looks

    def done(self) -> bool:
        self._looks -= 1
        return self._looks < 0

    def result(self) -> object:
        return self._result()


@dataclass
class Counting:
    """An executor that runs nothing by itself; it counts what it has, and ends jobs in the order of the test."""

    most: int = 0
    open: dict[Job, Future[Any]] = field(default_factory=dict)
    submitted: list[int] = field(default_factory=list)

    def submit(self, _call: Callable[[Job], Outcome], job: Job) -> Future[Any]:
        self.open[job] = Future()
        self.submitted.append(job.seed)
        self.most = max(self.most, len(self.open))
        if len(self.open) == 3 or job.seed == 19:  # the last ones first
            for each in [*self.open][::-1]:
                self.open.pop(each).set_result(made_up(each))
        return self.open.get(job) or ended(made_up(job))


def ended(value: object) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


def test_no_more_are_submitted_than_the_window_has() -> None:
    counting = Counting()
    found = drained(20, lambda job: counting.submit(made_up, job), lambda: 3)
    assert counting.most == 3
    assert counting.submitted == list(range(20))
    assert sorted(seed for seed, _ in found) == list(range(20))


def test_the_window_may_grow_and_shrink_meanwhile() -> None:
    """As workers join and leave; a window of none still takes one, or nothing would ever end."""
    sizes, running, seen = iter([0, 0, 5, 5, 5, 5, 5, 5, 1] + [1] * 99), [0], []

    def submit(job: Job) -> Bare:
        running[0] += 1
        seen.append(running[0])

        def result() -> Finished:
            running[0] -= 1
            return made_up(job)

        return Bare(result)

    assert len(drained(12, submit, lambda: next(sizes))) == 12
    assert max(seen) == 5
    assert seen[0] == 1
    assert seen[-1] == 1


def test_what_a_future_raises_is_a_value() -> None:
    """Also what is no Exception, such as asyncio's cancellation; a signal is no value."""
    told: list[BaseException] = [ValueError("x"), BrokenExecutor("y"), asyncio.CancelledError(), GeneratorExit()]

    def broken(error: BaseException) -> Callable[[], object]:
        def raises() -> object:
            raise error

        return raises

    found = drained(4, lambda job: Bare(broken(told[job.seed])), lambda: 2)
    assert dict(found) == dict(enumerate(told))
    with pytest.raises(KeyboardInterrupt):
        drained(1, lambda _: Bare(broken(KeyboardInterrupt())), lambda: 2)


def test_futures_of_two_kinds_are_waited_for_together() -> None:
    def submit(job: Job) -> Bare | Future[Any]:
        return Bare(lambda: made_up(job), looks=2) if job.seed % 2 else ended(made_up(job))

    assert sorted(seed for seed, _ in drained(6, submit, lambda: 4)) == list(range(6))


def test_a_job_that_is_appended_runs_again() -> None:
    waiting, seen = deque(jobs(3)), []
    for job, _ in in_window(lambda job: ended(made_up(job)), waiting, lambda: 2):
        seen.append(job.seed)
        if seen.count(1) < 3 and job.seed == 1:
            waiting.append(job)
    assert sorted(seen) == [0, 1, 1, 1, 2]


def test_who_stops_listening_cancels_what_runs() -> None:
    """Also if one cannot be cancelled, and if cancelling fails."""
    given: list[Future[Any]] = []

    class Stubborn(Bare):
        def cancel(self) -> None:
            raise RuntimeError("no")

    def submit(job: Job) -> Any:
        if job.seed == 0:
            return ended(made_up(job))
        if job.seed < 3:
            return [Bare, Stubborn][job.seed - 1](lambda: None, looks=9)
        given.append(Future())
        return given[-1]

    for cancels in (False, True):  # an executor that ends with its jobs must not be told twice
        given.clear()
        window = in_window(submit, deque(jobs(9)), lambda: 6, cancels=cancels)
        assert next(window)[0].seed == 0
        window.close()  # type: ignore[attr-defined]  # an iterator that is a generator
        assert [future.cancelled() for future in given] == [cancels] * 3


def test_an_executor_that_breaks_gives_back_what_it_has() -> None:
    """Jobs that run end first, each with its outcome; then it is said, and the others are still waiting."""
    waiting = deque(jobs(6))

    def submit(job: Job) -> Future[Any]:
        if job.seed == 3:
            raise BrokenExecutor("gone")
        return ended(made_up(job))

    window = in_window(submit, waiting, lambda: 8)
    assert [next(window)[0].seed for _ in range(3)] == [0, 1, 2]
    with pytest.raises(BrokenExecutor, match="gone"):
        next(window)
    assert [job.seed for job in waiting] == [3, 4, 5]


# -------------------------------------------------------------------------------------------------- executors of others


class Direct:
    """Runs at once and in this process, with futures of its own."""

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Any:
        value = call(*arguments)
        return Bare(lambda: value, looks=1)


class Loses(Direct):
    """Loses every job twice before it does it, each time in another way."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.tried: dict[int, int] = {}

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Any:
        seed = arguments[0].seed
        self.tried[seed] = self.tried.get(seed, 0) + 1
        if self.tried[seed] > self.times:
            return super().submit(call, *arguments)

        def lost() -> object:
            raise (ConnectionError, asyncio.CancelledError)[self.tried[seed] % 2]("the worker is gone")

        return Bare(lost)


class Ends(Direct):
    """Takes no more jobs after some."""

    def __init__(self, num: int, error: Exception) -> None:
        self.left = num
        self.error = error

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Any:
        if not self.left:
            raise self.error
        self.left -= 1
        return super().submit(call, *arguments)


def test_futures_need_only_done_and_result(tmp_path: Path) -> None:
    alone = compare(SMALL, ["local-only", "random"], range(3))
    own = compare(SMALL, ["local-only", "random"], range(3), tmp_path, executor=Direct())
    assert own.to_dict() == alone.to_dict()
    assert compare(SMALL, ["local-only", "random"], range(3), tmp_path).num_reused == 6


def test_jobs_that_get_lost_run_again_a_few_times(tmp_path: Path) -> None:
    alone = compare(SMALL, ["local-only"], range(3))
    loses = Loses(2)
    assert compare(SMALL, ["local-only"], range(3), executor=loses).to_dict() == alone.to_dict()
    assert loses.tried == {0: 3, 1: 3, 2: 3}
    always, told = Loses(99), list[str]()
    with pytest.raises(RunsFailedError, match=r"was lost 3 times: .*the worker is gone.*3 of 3 runs failed$"):
        compare(SMALL, ["local-only"], range(3), tmp_path, executor=always, tell=told.append)
    assert always.tried == {0: 3, 1: 3, 2: 3}
    assert len(told) == 1


@pytest.mark.parametrize(
    "error", [BrokenExecutor("a process died"), RuntimeError("after shutdown"), OSError(11, "busy")]
)
def test_an_executor_that_takes_no_more_jobs_is_one_line(error: Exception, tmp_path: Path) -> None:
    """Whatever it raises then; what it did is kept, and another one goes on from there."""
    with pytest.raises(InputError, match=r"executor: takes no more jobs: .*what is finished is kept") as found:
        compare(SMALL, ["local-only"], range(5), tmp_path, executor=Ends(2, error))
    assert "\n" not in str(found.value)
    assert compare(SMALL, ["local-only"], range(5), tmp_path, executor=Direct()).num_reused == 2


def test_an_executor_that_was_shut_down_is_one_line() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(InputError, match=r"executor: takes no more jobs: .*after shutdown"):
        compare(SMALL, ["local-only"], [0], executor=executor)


def test_what_ends_beside_a_broken_future_is_kept(tmp_path: Path) -> None:
    class Half(Direct):
        def submit(self, call: Callable[..., Any], *arguments: Any) -> Any:
            if arguments[0].seed:
                return super().submit(call, *arguments)

            def broken() -> object:
                raise BrokenExecutor("one of its processes died")

            return Bare(broken, looks=1)

    with pytest.raises(InputError, match="takes no more jobs: one of its processes died"):
        compare(SMALL, ["local-only"], range(4), tmp_path, executor=Half())
    assert compare(SMALL, ["local-only"], range(4), tmp_path).num_reused == 3


def test_an_executor_that_returns_something_else_is_told(tmp_path: Path) -> None:
    class Empty:
        def submit(self, _call: Callable[..., Any], *_arguments: Any) -> Any:
            return ended(None)

    with pytest.raises(RunsFailedError, match="None"):
        compare(SMALL, ["local-only"], [0, 1], tmp_path, executor=Empty())


# --------------------------------------------------------------------------------------------------------------- memory


def test_memory_does_not_grow_with_the_study(tmp_path: Path) -> None:
    """With a folder, only results in the window and the few that are held live, of 200."""
    living: weakref.WeakSet[Tracked] = weakref.WeakSet()

    class Tracked(Finished):
        __hash__ = object.__hash__

    class Made:
        def submit(self, _call: Callable[..., Any], job: Job) -> Future[Any]:
            made = Tracked({"penalty_mean": 1.0}, np.zeros(3), key=job.key)
            living.add(made)
            return ended(made)

    most = [0]

    def look(_done: int) -> None:
        most[0] = max(most[0], len(living))

    study = jobs(200)
    with with_value("sim.studies.results:IN_MEMORY", 5), with_value("sim.studies.executors.given:_WINDOW", 4):
        found = Pool(tmp_path, executor=Made()).finish(study, look)
    assert len(found) == 200
    assert 5 <= most[0] <= 5 + 4 + 4
    gc.collect()
    assert len(living) == 5
    assert [found[job].slot_penalty.tolist() for job in study] == [[0.0] * 3] * 200


def seeds_of(failures: Sequence[Job]) -> list[int]:
    return sorted(job.seed for job in failures)


def test_a_failure_beside_results_is_one_error(tmp_path: Path) -> None:
    """It says how many failed, and holds which."""

    class Some:
        def submit(self, _call: Callable[..., Any], job: Job) -> Future[Any]:
            return ended(Failed("no such thing", where="here") if job.seed % 2 else made_up(job))

    told: list[str] = []
    with pytest.raises(
        RunsFailedError, match=r"here: no such thing; 3 of 6 runs failed; the others are kept$"
    ) as found:
        Pool(tmp_path, executor=Some(), tell=told.append).finish(jobs(6), lambda _: None)
    assert seeds_of([*found.value.failures]) == [1, 3, 5]
    assert told == ["a run failed, the others go on: local-only with seed 1: here: no such thing"]


def test_problems_that_differ_each_time_do_not_flood(tmp_path: Path) -> None:
    """A few are told; the error at the end spells a few, and counts all."""

    class Each:
        def submit(self, _call: Callable[..., Any], job: Job) -> Future[Any]:
            return ended(Failed(f"seed {job.seed} is no good"))

    told: list[str] = []
    with pytest.raises(RunsFailedError, match=r"; 35 other problems; 40 of 40 runs failed$") as found:
        Pool(tmp_path, executor=Each(), tell=told.append).finish(jobs(40), lambda _: None)
    assert len(told) == 5
    assert str(found.value).count("is no good") == 5
    assert len(found.value.failures) == 40
