"""Where vehicles of a mobility trace are at slot starts: interpolated inside, away outside, never guessed in gaps."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from physical.errors import InputError
from sim import Scenario
from sim.inputs.motion import TraceMotion
from sim.scenario.crowd import num_present
from sim.scenario.files import InputFiles
from traces.exogenous import MobilityTrace, read_mobility
from traces.exogenous.presence import Whereabouts

MS = 1_000_000
SECOND_NS = 1000 * MS
QUANTUM_M = 1e-3  # of the import, and less of the positions of a run

Sample = tuple[str, float, float, float, float, float]  # name, s, x, y, speed, heading


def trace_of(path: Path, samples: list[Sample]) -> MobilityTrace:
    names = ("entity_id", "t_s", "x_m", "y_m", "speed_mps", "heading_rad")
    ordered = sorted(samples, key=lambda sample: (sample[1], sample[0]))
    table = pa.table(dict(zip(names, map(list, zip(*ordered, strict=True)), strict=True)))
    pyarrow.csv.write_csv(table, path)
    return read_mobility(path)


def motion_of(path: Path, samples: list[Sample], begin_s: float = 0.0, slot_ms: int = 250) -> TraceMotion:
    return TraceMotion(trace_of(path, samples), round(begin_s * SECOND_NS), slot_ms * MS)


CAR: list[Sample] = [
    ("car", 1.0, 10.0, 0.0, 20.0, 0.0),
    ("car", 2.0, 30.0, 4.0, 10.0, 1.5),
    ("car", 3.0, 36.0, 4.0, 4.0, 3.0),
]
BUS: list[Sample] = [("bus", float(t), 5.0 * t, -7.0, 5.0, 0.0) for t in range(6)]


def test_positions_are_interpolated_between_samples(tmp_path: Path) -> None:
    motion = motion_of(tmp_path / "a.csv", CAR + BUS)
    course = motion.course(0, 20)
    assert motion.num_vehicle == 2
    assert course.present is not None
    bus, car = 0, 1  # vehicles are in the order of their names
    assert np.flatnonzero(course.present[:, car]).tolist() == list(range(4, 13))
    assert course.present[:, bus].all()
    expected_x = np.interp(np.arange(4, 13) / 4, [1, 2, 3], [10.0, 30.0, 36.0])
    expected_y = np.interp(np.arange(4, 13) / 4, [1, 2, 3], [0.0, 4.0, 4.0])
    assert np.abs(course.position_m[4:13, car, 0] - expected_x).max() < QUANTUM_M
    assert np.abs(course.position_m[4:13, car, 1] - expected_y).max() < QUANTUM_M
    assert np.abs(course.position_m[:, bus, 0] - 5.0 * np.arange(20) / 4).max() < QUANTUM_M
    # Speed and heading are those of the last sample.
    assert course.speed_mps[4:13, car].tolist() == [20.0] * 4 + [10.0] * 4 + [4.0]
    assert course.heading_rad[4:13, car] == pytest.approx([0.0] * 4 + [1.5] * 4 + [3.0])


def test_who_is_away_rests_at_the_nearest_sample(tmp_path: Path) -> None:
    course = motion_of(tmp_path / "a.csv", CAR + BUS).course(0, 21)
    assert (course.position_m[:4, 1] == [10.0, 0.0]).all()
    assert (course.position_m[13:, 1] == [36.0, 4.0]).all()
    assert (course.speed_mps[[0, 3, 13, 20], 1] == 0).all()
    assert np.isfinite(course.position_m).all()


def test_gap_of_more_than_a_step_and_a_half_is_an_absence(tmp_path: Path) -> None:
    there = [("v", float(t), 10.0 * t, 0.0, 10.0, 0.0) for t in (0, 1, 2, 5, 6)]
    course = motion_of(tmp_path / "a.csv", there + BUS).course(0, 26)
    assert course.present is not None
    assert np.flatnonzero(course.present[:, 1]).tolist() == [*range(9), *range(20, 25)]


def test_vehicle_of_one_sample_is_there_for_one_instant(tmp_path: Path) -> None:
    course = motion_of(tmp_path / "a.csv", [("v", 1.0, 3.0, 4.0, 5.0, 0.0), *BUS]).course(0, 12)
    assert course.present is not None
    assert np.flatnonzero(course.present[:, 1]).tolist() == [4]
    assert (course.position_m[:, 1] == [3.0, 4.0]).all()


@pytest.mark.parametrize(("begin_s", "slots"), [(0.5, range(2, 11)), (1.1, range(8)), (-2.0, range(12, 21)), (7.0, [])])
def test_run_may_begin_at_any_time(tmp_path: Path, begin_s: float, slots: range | list[int]) -> None:
    course = motion_of(tmp_path / "a.csv", CAR + BUS, begin_s).course(0, 24)
    assert course.present is not None
    assert np.flatnonzero(course.present[:, 1]).tolist() == list(slots)


def test_slots_longer_than_steps_skip_samples(tmp_path: Path) -> None:
    course = motion_of(tmp_path / "a.csv", BUS, slot_ms=2500).course(0, 4)
    assert course.present is not None
    assert course.present[:, 0].tolist() == [True, True, True, False]
    assert np.abs(course.position_m[:3, 0, 0] - [0.0, 12.5, 25.0]).max() < QUANTUM_M


def gaps_of(times: list[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(sorted(times))]


def limit_of(mine: list[tuple[float, float, float]], samples: list[Sample]) -> float:
    """Return the longest gap that is no absence as the documentation has it, of times that are multiples of 0.5 s."""

    def limit(gaps: list[float]) -> float:
        usual = sorted(gaps)[(len(gaps) - 1) // 2]
        return usual * (1.5 if gaps.count(usual) >= len(gaps) / 2 else 3.0)

    own = gaps_of([sample[0] for sample in mine])
    if len(own) > 2 or (len(own) == 2 and own[0] == own[1]):
        return limit(own)
    names = {sample[0] for sample in samples}
    return limit([gap for name in names for gap in gaps_of([s[1] for s in samples if s[0] == name])])


@given(data=st.data())
@settings(max_examples=60)
def test_courses_agree_with_a_plain_reference(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    samples: list[Sample] = []
    for vehicle in range(int(generator.integers(1, 6))):
        there = np.flatnonzero(generator.random(12) < generator.choice([0.4, 0.9])) * 0.5
        if there.size:
            name = f"v{vehicle}"
            x, y = generator.uniform(-900, 900, (2, there.size))
            rows = zip(there.tolist(), x.tolist(), y.tolist(), strict=True)
            samples += [(name, t, a, b, float(generator.uniform(0, 30)), 0.0) for t, a, b in rows]
    samples += [("w", 0.0, 0.0, 0.0, 1.0, 0.0), ("w", 0.5, 1.0, 0.0, 1.0, 0.0)]  # which tells the step
    begin_s, slot_ms = float(generator.uniform(-1, 3)), int(generator.integers(20, 900))
    path = tmp_path_factory.mktemp("trace") / "a.csv"
    motion = motion_of(path, samples, begin_s, slot_ms)
    course = motion.course(0, 25)
    assert course.present is not None
    for index, name in enumerate(sorted({sample[0] for sample in samples})):
        mine = sorted(sample[1:4] for sample in samples if sample[0] == name)
        limit_s = limit_of(mine, samples)
        for slot in range(25):
            now_s = (round(begin_s * SECOND_NS) + slot * slot_ms * MS) / SECOND_NS
            before = [sample for sample in mine if sample[0] <= now_s]
            after = [sample for sample in mine if sample[0] > now_s]
            exact = bool(before) and before[-1][0] == now_s
            inside = bool(before) and bool(after) and after[0][0] - before[-1][0] <= limit_s
            assert bool(course.present[slot, index]) == (exact or inside), (name, slot)
            if inside and not exact:
                weight = (now_s - before[-1][0]) / (after[0][0] - before[-1][0])
                expected = [(1 - weight) * before[-1][axis] + weight * after[0][axis] for axis in (1, 2)]
                assert np.abs(course.position_m[slot, index] - expected).max() < 2 * QUANTUM_M
    num_there = num_present(Whereabouts.of(read_mobility(path)), round(begin_s * SECOND_NS), slot_ms * MS, 25)
    assert num_there.tolist() == course.present.sum(axis=1).tolist()
    blocks = [motion.course(first, 5) for first in range(0, 25, 5)]
    assert np.array_equal(np.concatenate([block.position_m for block in blocks]), course.position_m)
    present = [block.present for block in blocks if block.present is not None]
    assert np.array_equal(np.concatenate(present), course.present)


@given(data=st.data())
@settings(max_examples=60)
def test_a_part_of_a_trace_tells_what_the_whole_tells(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What a run keeps of a trace is enough for its slots, and of that it would keep everything."""
    generator = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    samples: list[Sample] = []
    for vehicle in range(int(generator.integers(1, 6))):
        step_s = generator.choice([0.5, 1.0, 4.0])
        gaps = step_s * generator.choice([1, 1, 1, 2, 6], size=int(generator.integers(0, 9)))
        times = np.cumsum([generator.integers(0, 20) / 4, *gaps])
        samples += [(f"v{vehicle}", float(t), float(generator.uniform(-9, 9)), 0.0, 1.0, 0.0) for t in times]
    trace = trace_of(tmp_path_factory.mktemp("trace") / "a.csv", samples)
    begin_ns, slot_ns = int(generator.integers(-2, 8)) * SECOND_NS, int(generator.integers(1, 9)) * 250 * MS
    num_slot = int(generator.integers(1, 12))
    whole, found = TraceMotion(trace, begin_ns, slot_ns).course(0, num_slot), Whereabouts.of(trace)
    kept = found.needed(begin_ns, slot_ns, num_slot)
    assert whole.present is not None
    assert kept.any() == whole.present.any()
    if not kept.any():
        return
    part_trace = found.cut(trace, kept)
    part = TraceMotion(part_trace, begin_ns, slot_ns)
    there = np.flatnonzero(whole.present.any(axis=0))
    names = TraceMotion(trace, begin_ns, slot_ns).names
    assert part.names == [names[vehicle] for vehicle in there]
    course = part.course(0, num_slot)
    present = whole.present[:, there]
    assert course.present is not None
    assert np.array_equal(course.present, present)
    assert np.array_equal(course.position_m[present], whole.position_m[:, there][present])
    again = Whereabouts.of(part_trace)
    assert again.needed(begin_ns, slot_ns, num_slot).all()
    assert again.cut(part_trace, np.ones(part_trace.num_row, dtype=np.bool_)) == part_trace


def scenario_of(path: Path, *settings_: str) -> Scenario:
    data = Scenario.load("dtecn").model_dump(mode="json")
    data["vehicles"]["num_vehicle"] = None
    del data["time"]["num_slot"]
    data["mobility"] = {"kind": "trace", "file": str(path)}
    return Scenario.from_dict(data, settings=settings_)


def mobility_of(scenario: Scenario) -> tuple[MobilityTrace, int]:
    files = InputFiles(scenario)
    assert files.mobility is not None
    return files.mobility, files.begin_ns


def test_only_who_is_near_the_run_counts(tmp_path: Path) -> None:
    """A trace is cut to the run; who is there at a slot start is a vehicle of it, numbered by name."""
    path = tmp_path / "a.csv"
    trace_of(path, [*CAR, *BUS, ("early", 0.0, 0.0, 0.0, 1.0, 0.0), ("late", 90.0, 0.0, 0.0, 1.0, 0.0)])

    short = scenario_of(path, "time.num_slot=10")
    assert short.num_vehicle == 2
    cut, begin_ns = mobility_of(short)
    assert (cut.names("entity_id"), begin_ns) == (["bus", "early"], 0)
    assert cut.column("t_ns").tolist() == [0, 0, SECOND_NS]  # of the bus also the next sample
    later = scenario_of(path, "time.num_slot=10", "mobility.begin_s=2.5")
    cut, begin_ns = mobility_of(later)
    assert (cut.names("entity_id"), begin_ns) == (["bus", "car"], 2_500 * MS)
    assert scenario_of(path, "time.num_slot=901").num_vehicle == 4


def test_units_and_shares_are_of_who_is_there_at_once(tmp_path: Path) -> None:
    """In 5 s (20 slots) the bus is there all the time, the car from 1 s to 3 s (9 slots): 29 / 20 on average."""
    path = tmp_path / "a.csv"
    trace_of(path, [*CAR, *BUS])
    more = ("time.num_slot=20", "time.slot_duration_s=0.25", 'radio.bandwidth_hz="20 MHz"')
    scenario = scenario_of(path, *more, "radio.bandwidth_sharing=equal")
    assert scenario.resolve().crowd == (2, 29 / 20, 2)
    system = scenario.system()
    assert system.backlog_unit_bytes == pytest.approx(29 / 20 * 1250)
    assert system.bandwidth_hz.tolist() == [10e6, 10e6]
    alone = scenario_of(path, *more, "radio.bandwidth_sharing=equal", "mobility.begin_s=3.5", "time.num_slot=4")
    assert alone.resolve().crowd[1:] == (1.0, 1)
    assert (alone.system().bandwidth_hz == 20e6).all()


@pytest.mark.parametrize(("begin_s", "when"), [(60, "during the run"), (0.9, "when it begins")])
def test_nobody_on_the_road(tmp_path: Path, begin_s: float, when: str) -> None:
    path = tmp_path / "a.csv"
    trace_of(path, CAR)
    with pytest.raises(InputError) as caught:
        mobility_of(scenario_of(path, f"mobility.begin_s={begin_s}"))
    line = f"{path}: begin_s: nobody is on the road {when} (accepted: 1 to 3 s)"
    assert str(caught.value) == line


def test_nobody_on_the_road_at_any_slot_start(tmp_path: Path) -> None:
    """One vehicle leaves at 2 s, the other is seen at 9 s: between them there is nobody, and nothing to average."""
    path = tmp_path / "a.csv"
    trace_of(path, [("v", 1.0, 0.0, 0.0, 1.0, 0.0), ("v", 2.0, 1.0, 0.0, 1.0, 0.0), ("w", 9.0, 1.0, 0.0, 1.0, 0.0)])
    with pytest.raises(InputError, match="nobody is on the road during the run"):
        mobility_of(scenario_of(path, "mobility.begin_s=4", "time.num_slot=20"))


def test_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    trace_of(path, CAR)
    assert scenario_of(path).num_vehicle == 1
    trace_of(path, CAR + BUS)
    assert scenario_of(path).num_vehicle == 2


@pytest.mark.full
def test_many_vehicles_over_a_long_time(tmp_path: Path) -> None:
    """Places are found whatever the number of vehicles times the length of the trace in ns: here 1.3e19."""
    times = np.array([0.0, 40_000.0, 80_000.0, 120_000.0])
    names = [f"v{index}" for index in range(110_000)]
    table = pa.table(
        {
            "entity_id": np.repeat([names[0], names[-1]], len(times)).tolist() + names[1:-1],
            "t_s": np.concatenate([times, times, np.full(len(names) - 2, 120_000.0)]),
            "x_m": np.concatenate([times / 100, times / 50, np.zeros(len(names) - 2)]),
            "y_m": np.zeros(2 * len(times) + len(names) - 2),
            "speed_mps": np.zeros(2 * len(times) + len(names) - 2),
        }
    )
    pyarrow.csv.write_csv(table, tmp_path / "a.csv")
    motion = TraceMotion(read_mobility(tmp_path / "a.csv"), 0, 10_000 * SECOND_NS)
    course = motion.course(3, 3)
    assert motion.names[-1] == names[-1]
    assert course.position_m[:, 0, 0].tolist() == [300.0, 400.0, 500.0]
    assert course.position_m[:, -1, 0].tolist() == [600.0, 800.0, 1000.0]
