"""A paced run keeps to the wall clock and counts where it cannot; the wall clock is a fake, so no time passes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import simpy.rt

import sim.engine.clock
from physical.system import System
from policies import make
from sim import RunResult, Scenario, run
from tests.support.command import twin
from traces.reader import Trace
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

NUM_SLOT = 10


class FakeClock:
    """Wall time that passes while somebody sleeps, or when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1234.5
        self.naps_s: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        assert duration_s > 0
        self.naps_s.append(duration_s)
        self.now_s += duration_s


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    ours = SimpleNamespace(monotonic=fake.monotonic)
    for owner, name, value in (
        (simpy.rt, "monotonic", fake.monotonic),
        (simpy.rt, "sleep", fake.sleep),
        (sim.engine.clock, "time", ours),
    ):
        monkeypatch.setattr(owner, name, value)
    return fake


class Busy:
    """Decides as `random` does; getting ready, and deciding some slots, takes wall time."""

    def __init__(self, wall: FakeClock, ready_s: float, busy_s: dict[int, float]) -> None:
        self._wall, self._ready_s, self._busy_s = wall, ready_s, busy_s
        self._policy = make("random")

    def reset(self, system: System, seed: int) -> None:
        self._wall.now_s += self._ready_s
        self._policy.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        self._wall.now_s += self._busy_s.get(snapshot.slot, 0.0)
        return self._policy.decide(snapshot)


def paced(
    speed: float | None, policy: str | Busy = "random", *settings: str, name: str = "dtecn", out: Path | None = None
) -> RunResult:
    scenario = Scenario.load(name, [f"time.num_slot={NUM_SLOT}", *settings])
    return run(scenario, policy=policy, seed=1, speed=speed, out=out)


@pytest.mark.parametrize("speed", [0.25, 1.0, 3.0, 1e6])
@pytest.mark.parametrize("name", ["dtecn", "blackout", "llm6g"])
def test_naps_add_up_to_the_duration(wall: FakeClock, name: str, speed: float) -> None:
    result = paced(speed, name=name)
    slot_s = Scenario.load(name).time.slot_duration_s
    assert sum(wall.naps_s) == pytest.approx(NUM_SLOT * slot_s / speed, rel=1e-9)
    assert max(wall.naps_s) <= slot_s / speed * (1 + 1e-6)
    assert (result.summary["realtime_slips"], result.summary["realtime_slip_s_max"]) == (0, 0.0)
    unpaced = paced(None, name=name)
    assert "realtime_slips" not in unpaced.summary
    assert result.summary["digest"] == unpaced.summary["digest"]


def test_events_inside_a_slot_are_paced_too(wall: FakeClock) -> None:
    """A decision that takes 30 ms of simulated time is sent 30 ms after the slot has begun."""
    paced(1.0, "random", "twin.decision.latency=0.03")
    assert sorted({round(nap_s, 6) for nap_s in wall.naps_s}) == [0.03, 0.07]
    assert len(wall.naps_s) == 2 * NUM_SLOT


@pytest.mark.parametrize("speed", [1.0, 2.0])
def test_slow_slots_slip_and_are_caught_up(wall: FakeClock, speed: float) -> None:
    """Two and a half slots are lost in slot 3: slots 4 and 5 begin late, and slot 6 in time."""
    slot_s = 0.1 / speed
    result = paced(speed, Busy(wall, 0.0, {3: 2.5 * slot_s}))
    assert result.summary["realtime_slips"] == 2
    assert result.summary["realtime_slip_s_max"] == pytest.approx(1.5 * slot_s)
    assert sum(wall.naps_s) == pytest.approx((NUM_SLOT - 2.5) * slot_s)
    assert wall.now_s == pytest.approx(1234.5 + NUM_SLOT * slot_s)
    assert result.summary["digest"] == paced(None).summary["digest"]


def test_run_that_never_catches_up(wall: FakeClock) -> None:
    result = paced(1.0, Busy(wall, 0.0, dict.fromkeys(range(NUM_SLOT), 0.15)))
    assert result.summary["realtime_slips"] == NUM_SLOT - 1  # the first slot begins in time
    assert result.summary["realtime_slip_s_max"] == pytest.approx((NUM_SLOT - 1) * 0.05)
    assert wall.naps_s == []
    assert result.summary["slots"] == NUM_SLOT


def test_less_than_a_millisecond_is_no_slip(wall: FakeClock) -> None:
    result = paced(1.0, Busy(wall, 0.0, {2: 0.1009, 7: 0.1011}))
    assert result.summary["realtime_slips"] == 1
    assert result.summary["realtime_slip_s_max"] == pytest.approx(0.0011)


def test_time_to_get_ready_does_not_count(wall: FakeClock) -> None:
    result = paced(1.0, Busy(wall, 60.0, {}))
    assert result.summary["realtime_slips"] == 0
    assert sum(wall.naps_s) == pytest.approx(1.0)


def test_paced_run_replays_at_full_speed(wall: FakeClock, tmp_path: Path) -> None:
    done = twin("run", "dtecn", "--slots", NUM_SLOT, "--realtime", 2, "--json", "--out", tmp_path / "run")
    assert done.code == 0
    summary = done.json()
    assert (summary["realtime_slips"], summary["realtime_slip_s_max"]) == (0, 0)
    assert sum(wall.naps_s) == pytest.approx(0.5)
    wall.naps_s.clear()
    assert twin("replay", tmp_path / "run").code == 0
    assert wall.naps_s == []
    assert Trace(tmp_path / "run").manifest["summary"]["realtime_slips"] == 0


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf"])
def test_speeds_that_are_none(wall: FakeClock, tmp_path: Path, speed: str) -> None:
    line = twin("run", "dtecn", "--slots", 2, "--realtime", speed, "--out", tmp_path / "run").complaint()
    assert line == f"twin: --realtime: {float(speed):g} is no speed (accepted: > 0; 1 is real time)"
    assert not (tmp_path / "run").exists()
