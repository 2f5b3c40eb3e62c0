"""Whatever a policy raises, returns, prints or changes: the run goes on or ends in a sentence, with its trace whole."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from physical.system import System
from policies import register
from policies.api import Policy
from sim import Scenario, run
from sim.runs.run import RunResult
from tests.support.command import twin
from traces.reader import Trace
from twin.decision import Decision, Diagnostics, Prompt
from twin.snapshot import TwinSnapshot

NUM_SLOT = 12
SMALL = ["vehicles.num_vehicle=3", f"time.num_slot={NUM_SLOT}"]
INT64 = 2**63


class Half:
    """Decides one half of everything; each method may be replaced by what a test has in mind."""

    def __init__(self, **methods: Callable[[], Any]) -> None:
        self.methods = methods

    def _do(self, name: str) -> Any:
        return self.methods[name]() if name in self.methods else None

    def reset(self, system: System, seed: int) -> None:
        self.shape = (system.num_vehicle, system.num_class)
        self.share_hz = system.server.frequency_hz / (2 * self.shape[0] * self.shape[1])
        self._do("reset")

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        decided = self._do("decide") if snapshot.slot % 2 == 0 else None
        return Decision(np.full(self.shape, 0.5), np.full(self.shape, self.share_hz)) if decided is None else decided

    def diagnostics(self) -> Any:
        told = self._do("diagnostics")
        return Diagnostics() if told is None else told

    def describe(self) -> Any:
        described = self._do("describe")
        return {"kind": "half"} if described is None else described

    def learn(self, outcomes: Any) -> None:
        self._do("learn")

    def close(self) -> None:
        self._do("close")


def simulate(policy: Policy, *settings: str, out: Path | None = None) -> RunResult:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing that a policy returns makes NumPy speak
        return run(Scenario.load("dtecn", [*SMALL, *settings]), policy=policy, out=out, seed=3)


class _Speechless(Exception):
    def __str__(self) -> str:
        raise KeyError(5)


class _Bare(BaseException):
    pass


ERRORS: dict[str, BaseException] = {
    "KeyError": KeyError(5),
    "OverflowError": OverflowError("int too large to convert to float"),
    "AssertionError": AssertionError(),
    "RecursionError": RecursionError(),
    "MemoryError": MemoryError(),
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "StopIteration": StopIteration(7),
    "StopAsyncIteration": StopAsyncIteration(),
    "OSError": OSError(28, "No space left on device"),
    "_Speechless": _Speechless(),
    "_Bare": _Bare(),
    "ValueError": ValueError("x" * 10_000_000),
    "RuntimeError": RuntimeError("two\nlines\x00 \ud800 \x1b[31m"),
    "ExceptionGroup": ExceptionGroup("many", [ValueError(1), KeyError(2)]),
    "InputError": InputError("no", where=5),  # type: ignore[arg-type]  # the fault
    "UnicodeDecodeError": UnicodeDecodeError("utf-8", b"x", 0, 1, "why"),
}


def raising(name: str) -> Callable[[], Any]:
    def fail() -> Any:
        raise ERRORS[name]

    return fail


def reasons_of(result: RunResult) -> list[str]:
    events: list[dict[str, Any]] = result.table("events").to_pylist()
    return [event["detail"] for event in events if event["kind"] == "fallback"]


def assert_plain(text: str) -> None:
    assert text.isprintable()
    assert len(text) < 400


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("method", ["decide", "diagnostics", "learn"])
def test_whatever_is_raised_costs_decisions(method: str, name: str) -> None:
    result = simulate(Half(**{method: raising(name)}))
    reasons = reasons_of(result)
    assert result.status == "complete"
    assert len(reasons) == {"decide": NUM_SLOT // 2, "diagnostics": NUM_SLOT, "learn": 1}[method]
    for reason in reasons:
        assert name in reason
        assert_plain(reason)


@pytest.mark.parametrize("name", sorted(ERRORS.keys() - {"KeyboardInterrupt"}))
@pytest.mark.parametrize("method", ["reset", "describe"])
def test_whatever_is_raised_before_the_run_is_its_end(method: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        simulate(Half(**{method: raising(name)}), out=tmp_path / "run")
    assert f"Half.{method}" in str(caught.value)
    assert name in str(caught.value)
    assert_plain(str(caught.value))
    assert not (tmp_path / "run").exists()


def test_an_interrupt_before_the_run_is_the_users() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            simulate(Half(reset=raising("KeyboardInterrupt")))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("name", ERRORS)
def test_a_policy_that_cannot_close_loses_nothing(name: str, tmp_path: Path) -> None:
    result = simulate(Half(close=raising(name)), out=tmp_path / "run")
    told = result.summary["not_closed"]
    assert told.startswith(f"Half.close: {name}")
    assert_plain(told)
    trace = Trace(tmp_path / "run")
    assert trace.manifest["status"] == "complete"
    assert trace.mismatches() == []
    assert result.summary["digest"] == simulate(Half()).summary["digest"]


def _endless() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["self"] = found
    return found


@pytest.mark.parametrize(
    "described", [[1], "text", {(1, 2): 3}, {"x": np.nan}, {"x": {1, 2}}, {"x": object()}, {"x": "\ud800"}, _endless()]
)
def test_what_a_manifest_cannot_hold_is_refused(described: Any) -> None:
    with pytest.raises(InputError, match=r"Half\.describe: .*accepted: a dict of texts"):
        simulate(Half(describe=lambda: described))


def test_what_a_policy_says_of_itself_is_in_the_manifest(tmp_path: Path) -> None:
    simulate(Half(), out=tmp_path / "run")
    assert Trace(tmp_path / "run").manifest["policy_details"] == {"kind": "half"}


PROMPT = Prompt("abc", 1, 2, 0, 3, False, 0.1, 0.2)


def told(**fields: Any) -> Diagnostics:
    """Return diagnostics with fields of any type."""
    return Diagnostics(**fields)


def asked(**fields: Any) -> Prompt:
    return replace(PROMPT, **fields)


WRONG_DIAGNOSTICS: dict[str, Any] = {
    "returned str, not Diagnostics": "all is well",
    "gap is complex": told(gap=1 + 2j),
    "objective is str": told(objective="small"),
    "lower_bound is NoneType": told(lower_bound=None),
    "solve_s is ndarray": told(solve_s=np.array(3)),
    "num_token is out of range": told(num_token=2**70),
    "num_token is float": told(num_token=1.5),
    "num_binding is NoneType": told(num_binding=None),
    "capacity_price is too large": told(capacity_price=10**400),
    "feasible is NoneType": told(feasible=None),
    "model is int": told(model=3),
    "prompt is str": told(prompt="hello"),
    "prompt.num_case is out of range": told(prompt=asked(num_case=2**31)),
    "prompt.digest is bytes": told(prompt=asked(digest=b"a")),
}


@pytest.mark.parametrize("words", WRONG_DIAGNOSTICS)
def test_what_a_table_cannot_hold_costs_the_decision(words: str, tmp_path: Path) -> None:
    result = simulate(Half(diagnostics=lambda: WRONG_DIAGNOSTICS[words]), out=tmp_path / "run")
    assert len(reasons_of(result)) == NUM_SLOT
    assert all(words in reason for reason in reasons_of(result))


def test_diagnostics_are_recorded_as_they_are_when_the_policy_decides() -> None:
    numbers: dict[str, Any] = {"objective": np.float32(2.5), "gap": np.inf, "num_token": np.int8(7)}
    said = Diagnostics(**numbers, model="a\nb\ud800", prompt=asked())

    def spoil() -> None:
        object.__setattr__(said, "objective", "spoilt")
        object.__setattr__(said.prompt, "num_case", "spoilt")

    rows = simulate(Half(diagnostics=lambda: said, close=spoil)).table("decisions").to_pylist()
    assert {row["objective"] for row in rows} == {2.5}
    assert np.isnan([row["gap"] for row in rows]).all()  # infinite says as little as none
    assert {(row["num_token"], row["model"]) for row in rows} == {(7, "a b\\ud800")}


def test_an_array_that_changes_later_changes_nothing() -> None:
    class Reuses(Half):
        kept: list[Decision]

        def decide(self, snapshot: TwinSnapshot) -> Decision:
            for old in self.kept:
                old.offloading_ratio[:] = np.nan
                old.compute_allocation_hz[:] = -1.0
            self.kept.append(super().decide(snapshot))
            return self.kept[-1]

    policy = Reuses()
    policy.kept = []
    assert simulate(policy).summary["digest"] == simulate(Half()).summary["digest"]


@pytest.mark.parametrize("method", ["policy", "fallback"])
def test_a_fallback_that_fails_ends_the_run_with_its_trace(method: str, tmp_path: Path) -> None:
    """The slot itself is decided: nothing is offloaded in it."""
    name = "rogue-fallback"
    register(name, _FailsFromThird)
    out = tmp_path / "run"
    more = ("--policy", name) if method == "policy" else ("--policy", "rogue-always")
    register("rogue-always", _AlwaysFails)
    done = twin("run", "dtecn", "--slots", NUM_SLOT, "--set", f"policy.fallback={name}", "--out", out, *more, "--json")
    line = done.complaint()
    assert "policy.fallback: _FailsFromThird fails, too: KeyError: 2 at test_rogue_policies.py:" in line
    assert f"; the run ended after 3 of {NUM_SLOT} slots; trace: {out} (accepted: " in line
    trace = Trace(out)
    assert (trace.manifest["status"], trace.mismatches()) == ("interrupted", [])
    assert trace.table("tasks").num_rows == trace.manifest["summary"]["tasks_generated"] == 90
    decisions = trace.table("decisions").to_pylist()
    assert [row["slot"] for row in decisions] == [0, 1, 2]
    assert not any(decisions[2]["offloading_ratio"])
    assert "digests are right" in twin("check", out).out


class _FailsFromThird(Half):
    def decide(self, snapshot: TwinSnapshot) -> Decision:
        if snapshot.slot >= 2:
            raise KeyError(snapshot.slot)
        return super().decide(snapshot)


class _AlwaysFails(Half):
    def decide(self, snapshot: TwinSnapshot) -> Decision:
        raise SystemExit(0)


class _Attributes:
    """Has what it should have, but whoever looks for more gets an error that is none of an attribute."""

    def reset(self, system: System, seed: int) -> None:
        self.inner = Half()
        self.inner.reset(system, seed)
        del self.inner.methods

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        return self.inner.decide(snapshot)

    def __getattr__(self, name: str) -> Any:
        raise OverflowError(name)


def test_attributes_that_fail_or_are_gone_cost_decisions() -> None:
    assert all("AttributeError" in reason for reason in reasons_of(simulate(_Attributes())))
    assert reasons_of(simulate(_Attributes()))


def test_the_user_still_stops_a_run() -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = simulate(Half(decide=lambda: signal.raise_signal(signal.SIGINT)))
        assert (result.status, result.summary["slots"]) == ("interrupted", 1)

        def twice() -> None:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            simulate(Half(decide=twice))
        assert simulate(Half(decide=raising("KeyboardInterrupt"))).status == "complete"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, previous)


def _numbers() -> Any:
    return getattr(np, "random")  # noqa: B009 - of the whole process, which nobody may draw from; here a policy does


CHANGES: dict[str, Callable[[], Any]] = {
    "errors": lambda: np.seterr(all="raise"),
    "filters": lambda: warnings.simplefilter("error"),
    "folder": lambda: os.chdir("/"),
    "stdout": lambda: sys.__setattr__("stdout", None),
    "stderr": lambda: sys.__setattr__("stderr", None),
    "limit": lambda: sys.setrecursionlimit(5000),
    "signals": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "terminate": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "alarm": lambda: signal.setitimer(signal.ITIMER_REAL, 1000.0),
    "environment": lambda: os.environ.update(ROGUE="1"),
    "path": lambda: sys.path.insert(0, "/rogue"),
    "hook": lambda: sys.__setattr__("excepthook", None),
    "numbers": lambda: _numbers().seed(1),
}


def _process() -> dict[str, Any]:
    return {
        "errors": np.geterr(),
        "filters": warnings.filters[:],
        "folder": Path.cwd(),
        "stdout": sys.stdout,
        "stderr": sys.stderr,
        "limit": sys.getrecursionlimit(),
        "signals": signal.getsignal(signal.SIGINT),
        "terminate": signal.getsignal(signal.SIGTERM),
        "alarm": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        "environment": dict(os.environ),
        "path": sys.path[:],
        "hook": sys.excepthook,
        "numbers": repr(_numbers().get_state(legacy=False)),
    }


@pytest.fixture
def _as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0.0)


@pytest.mark.usefixtures("_as_before")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("method", ["reset", "decide", "diagnostics", "describe", "learn", "close"])
def test_a_policy_leaves_the_process_as_it_was(method: str, change: str) -> None:
    expected = simulate(Half()).summary["digest"]
    before = _process()

    def do() -> None:
        CHANGES[change]()

    result = simulate(Half(**{method: do}), out=Path("here") / "run")
    assert _process() == before
    assert result.summary["digest"] == expected
    assert (result.status, Trace("here/run").mismatches()) == ("complete", [])


def test_what_a_policy_prints_is_no_answer() -> None:
    class Prints(Half):
        def __init__(self) -> None:
            print("made")
            super().__init__(**{name: lambda: print("chatter") for name in ("reset", "decide", "close")})

    register("rogue-prints", Prints)
    done = twin("run", "dtecn", "--slots", 2, "--policy", "rogue-prints", "--json", "--out", "/dev/null/x")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("made") == 1


def test_recursion_without_an_end_takes_no_time_to_tell() -> None:
    def deeper() -> Any:
        return deeper()

    assert all("RecursionError" in reason for reason in reasons_of(simulate(Half(decide=deeper))))
