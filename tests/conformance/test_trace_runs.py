"""Who is where in a run on a mobility trace: from a file through import, run and replay, counted from the tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from physical.errors import InputError
from sim import Scenario, run
from sim.env import parallel_env
from sim.runs.replay import RecordedRun
from sim.scenario.files import length_of_inputs
from sim.show.report.motion import Blobs, motion_of
from sim.show.report.runs import ReportedRun
from tests.support.command import twin
from tests.support.scenarios import write_scenario
from traces.exogenous import read_mobility
from traces.reader import Trace

SPEED_MPS = 10.0
Samples = dict[str, list[float]]

PHASES: Samples = {"taxi1": [0, 10, 20, 30], "taxi2": [5, 15, 25, 35]}
BROKEN_STEPS = [0, 0.3, *range(1, 11)]
ABSENCE: Samples = {"a": [0, 0.3, 1, 9, 10], "b": BROKEN_STEPS}


def write_csv(path: Path, samples: Samples) -> Path:
    """Write vehicles that drive along x, sampled at some times."""
    rows = sorted((t, name) for name, times in samples.items() for t in times)
    lines = [f"{name},{t},{SPEED_MPS * t},0,{SPEED_MPS}" for t, name in rows]
    path.write_text("\n".join(["entity_id,t_s,x_m,y_m,speed_mps", *lines]), "utf-8")
    return path


def imported_run(folder: Path, samples: Samples, slot_s: float, num_slot: int | None = None) -> Trace:
    """Take a trace through import, run and replay; return what the run recorded."""
    source = write_csv(folder / "source.csv", samples)
    assert twin("import", "csv", source, "--out", folder / "town.parquet").code == 0
    scenario = write_scenario(folder / "town.toml", folder / "town.parquet", slot_s, num_slot)
    done = twin("run", scenario, "--policy", "local-only", "--out", folder / "run", "--json")
    assert (done.code, done.err) == (0, "")
    source.unlink()
    (folder / "town.parquet").unlink()
    assert twin("replay", folder / "run", "--json").json()["identical"]
    assert twin("check", folder / "run").code == 0
    return Trace(folder / "run")


def slots_of(trace: Trace, table: str = "vehicles") -> dict[str, list[int]]:
    """Return in which slots a table has rows of a vehicle, by its name in the file."""
    names = trace.table("entities").column("vehicle_id").to_pylist()
    found: dict[str, list[int]] = {name: [] for name in names}
    for row in trace.table(table).select(["slot", "vehicle"]).to_pylist():
        found[names[row["vehicle"]]].append(row["slot"])
    return found


def test_vehicles_are_there_by_their_own_interval(tmp_path: Path) -> None:
    """Two taxis report every 10 s, one 5 s after the other: 31 tasks and 26, where there were 7 in all."""
    trace = imported_run(tmp_path, PHASES, 1.0, 31)
    expected = {"taxi1": list(range(31)), "taxi2": list(range(5, 31))}
    assert slots_of(trace) == slots_of(trace, "tasks") == expected
    assert trace.table("tasks").num_rows == 57
    rows = trace.table("vehicles")
    assert np.abs(np.asarray(rows["x_m"]) - SPEED_MPS * np.asarray(rows["slot"])).max() < 1e-3


def test_absence_without_a_common_step(tmp_path: Path) -> None:
    """Nobody drives through the 8 s in which there is no sample of it."""
    trace = imported_run(tmp_path, ABSENCE, 0.5)
    assert slots_of(trace) == {"a": [0, 1, 2, 18, 19, 20], "b": list(range(21))}


SAMPLINGS: dict[str, tuple[Samples, dict[str, list[int]]]] = {
    "one long gap of a regular vehicle": (
        {"v": [0, 1, 2, 3, 20, 21], "w": list(range(22))},
        {"v": [0, 1, 2, 3, 20, 21], "w": list(range(22))},
    ),
    "two samples, as far apart as those of others": (
        {"v": [3, 5], "w": list(range(0, 12, 2))},
        {"v": [3, 4, 5], "w": list(range(11))},
    ),
    "two samples, much farther apart": ({"v": [3, 9], "w": list(range(0, 12, 2))}, {"v": [3, 9], "w": [*range(11)]}),
    "one sample": ({"v": [3], "w": [0, 1, 2, 3, 4]}, {"v": [3], "w": [0, 1, 2, 3, 4]}),
    "two samples in all": ({"v": [0, 4]}, {"v": [0, 1, 2, 3, 4]}),
    "a slow vehicle among quick ones": (
        {"v": [0, 6, 12, 24], "w": list(range(25))},
        {"v": [*range(13), 24], "w": list(range(25))},
    ),
    "a receiver without a clock": (
        {"v": [0, 2, 5, 7.5, 9, 13, 30], "w": [0, 30, 60]},
        {"v": [*range(14), 30], "w": list(range(61))},
    ),
    "a clock with some noise": ({"v": [0, 1.004, 1.996, 3.001, 6.002]}, {"v": [0, 1, 2, 3]}),
}


@pytest.mark.parametrize("name", SAMPLINGS)
def test_gaps_and_absences(tmp_path: Path, name: str) -> None:
    samples, expected = SAMPLINGS[name]
    assert slots_of(imported_run(tmp_path, samples, 1.0)) == expected


def test_who_is_there_does_not_depend_on_how_long_the_run_is(tmp_path: Path) -> None:
    """The run takes a part of the trace; whether a gap is an absence is known from all of it."""
    samples: Samples = {"v": [0, 1, 2, 3, 11, 12, 13], "w": [0, 10, 20, 30, 40]}
    (tmp_path / "whole").mkdir()
    whole = slots_of(imported_run(tmp_path / "whole", samples, 1.0))
    assert whole == {"v": [0, 1, 2, 3, 11, 12, 13], "w": list(range(41))}
    for num_slot in (4, 8, 12, 13):
        folder = tmp_path / str(num_slot)
        folder.mkdir()
        cut = {name: [slot for slot in slots if slot < num_slot] for name, slots in whole.items()}
        assert slots_of(imported_run(folder, samples, 1.0, num_slot)) == cut


def test_a_run_may_begin_between_two_samples(tmp_path: Path) -> None:
    write_csv(tmp_path / "town.csv", PHASES)
    scenario = write_scenario(tmp_path / "town.toml", tmp_path / "town.csv", 1.0)
    loaded = Scenario.load(scenario, ["mobility.begin_s=12", "time.num_slot=2"])
    result = run(loaded, policy="local-only", out=tmp_path / "run")
    rows = result.table("vehicles").to_pylist()
    assert [(row["slot"], row["x_m"]) for row in rows] == [(0, 120.0), (0, 120.0), (1, 130.0), (1, 130.0)]
    assert twin("replay", tmp_path / "run").code == 0


def test_vehicles_keep_their_names(tmp_path: Path) -> None:
    """Names count as numbers where they hold some; tables, CSV, Perfetto and the report have them."""
    names = ["1", "2", "10", "veh2", "veh10"]
    folder = tmp_path / "run"
    trace = imported_run(tmp_path, {name: [0, 1, 2] for name in reversed(names)}, 1.0)
    assert trace.table("entities").to_pylist() == [
        {"vehicle": index, "vehicle_id": name, "kind": None} for index, name in enumerate(names)
    ]
    assert trace.manifest["inputs"]["mobility"]["entities"] == "entities"
    assert RecordedRun(folder).vehicle_names == names

    assert twin("export", folder, "--to", "csv", "--out", tmp_path / "csv").code == 0
    lines = (tmp_path / "csv" / "entities.csv").read_text("utf-8").splitlines()
    assert lines == ['"vehicle","vehicle_id","kind"', *(f'{index},"{name}",' for index, name in enumerate(names))]

    assert twin("export", folder, "--to", "perfetto", "--out", tmp_path / "events.json").code == 0
    events = json.loads((tmp_path / "events.json").read_text("utf-8"))["traceEvents"]
    processes = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    told = {(processes[event["pid"]], event["args"]["vehicle_id"]) for event in events if event.get("cat") == "task"}
    assert told == {(f"vehicle {name}", name) for name in names}

    player = motion_of(ReportedRun(folder, 0), Blobs())
    assert player is not None
    assert [visit[3] for visit in sorted(player["visits"])] == names


def test_a_run_without_a_trace_names_nobody(tmp_path: Path) -> None:
    result = run(Scenario.load("dtecn", ["time.num_slot=2"]), policy="local-only", out=tmp_path / "run")
    assert result.table("entities").num_rows == 0
    assert not (tmp_path / "run" / "entities").exists()


UTM = (691000.0, 5334000.0)


def at_utm(folder: Path, origin: tuple[float, float]) -> Any:
    """Run vehicles that report every third slot past a station and an RSU, all moved by `origin`."""
    folder.mkdir()
    rows = [
        (f"v{index}", t, origin[0] + 0.123 + 3.7 * t + 50 * index, origin[1] + 0.456 - 11.3 * t)
        for t in range(7)
        for index in range(3)
    ]
    lines = [f"{name},{t},{x:.3f},{y:.3f},11.89,5.029" for name, t, x, y in rows]
    path = folder / "utm.csv"
    path.write_text("\n".join(["entity_id,t_s,x_m,y_m,speed_mps,heading_rad", *lines]), "utf-8")
    data = Scenario.load("corridor").model_dump(mode="json")
    data |= {"vehicles": data["vehicles"] | {"num_vehicle": None, "report_interval": 3}, "timeline": []}
    data |= {"mobility": {"kind": "trace", "file": str(path)}, "time": {"slot_duration_s": 0.25}}
    data["base_station"] = {"position_m": [origin[0] + 20, origin[1]]}
    data["rsus"] = [{"name": "rsu", "position_m": [origin[0] + 100, origin[1] - 60]}]
    data["twin"]["estimator"] = "predict"
    scenario = Scenario.from_dict(data)
    return run(scenario, policy="greedy-cost", seed=3, out=folder / "run"), np.array([row[2:] for row in rows])


def places(rows: pa.Table, x: str, y: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.stack([np.asarray(rows[x]), np.asarray(rows[y])], axis=1)


def test_places_far_from_the_origin_are_kept_to_the_millimetre(tmp_path: Path) -> None:
    (here, _), (far, file_m) = at_utm(tmp_path / "here", (0.0, 0.0)), at_utm(tmp_path / "far", UTM)
    found = far.table("vehicles")
    at_samples = found.filter(pa.array(np.asarray(found["slot"]) % 4 == 0))
    assert np.abs(places(at_samples, "x_m", "y_m") - file_m).max() < 1e-3
    near_m, far_m = (places(each.table("vehicles"), "x_m", "y_m") for each in (here, far))
    assert np.abs(far_m - UTM - near_m).max() < 1e-3
    for name in ("channel_gain", "uplink_rate_bps"):
        near, distant = (np.asarray(each.table("vehicles")[name], dtype=np.float64) for each in (here, far))
        assert np.abs(distant / near - 1.0).max() < 1e-4  # 1 mm of 20 m, to the power of 3.76
    assert here.table("vehicles")["serving_node"].to_pylist() == found["serving_node"].to_pylist()
    # What the twin believes is as exact as what it is told.
    near_m, far_m = (places(each.table("twin"), "estimated_x_m", "estimated_y_m") for each in (here, far))
    assert np.abs(far_m - UTM - near_m).max() < 1e-3
    errors_m = [np.asarray(each.table("twin")["position_error_m"]) for each in (here, far)]
    assert np.abs(errors_m[1] - errors_m[0]).max() < 1e-3
    assert twin("replay", tmp_path / "far" / "run").code == 0


MINUTE: Samples = {"v": list(range(61))}


def test_a_run_is_as_long_as_its_trace(tmp_path: Path) -> None:
    write_csv(tmp_path / "town.csv", MINUTE)
    path = write_scenario(tmp_path / "town.toml", tmp_path / "town.csv", 1.0)
    assert "61 slots of 1 s" in twin("check", path).out
    summary = twin("run", path, "--policy", "local-only", "--out", tmp_path / "run", "--json").json()
    assert (summary["slots"], summary["tasks_generated"]) == (61, 61)
    assert Scenario.load(path, ["time.slot_duration_s=0.4"]).time.num_slot == 151
    assert Scenario.load(path, ["mobility.begin_s=20.5"]).time.num_slot == 40
    assert twin("run", path, "--duration", "30 s", "--out", tmp_path / "short", "--json").json()["slots"] == 30
    assert twin("replay", tmp_path / "short").code == 0


@pytest.mark.parametrize(
    ("option", "value"), [("--slots", "200"), ("--duration", "200 s"), ("--set", "time.num_slot=200")]
)
def test_a_run_longer_than_its_trace_is_an_error(tmp_path: Path, option: str, value: str) -> None:
    file = write_csv(tmp_path / "town.csv", MINUTE)
    path = write_scenario(tmp_path / "town.toml", file, 1.0)
    line = twin("run", path, option, value).complaint()
    assert line == (
        f"twin: {option}: time.num_slot: 200 slots of 1 s (200 s) are too many: the mobility trace {file} has "
        "0 to 60 s (accepted: at most 61; a scenario that gives none is as long as the trace)"
    )


def test_a_length_that_a_file_gives_is_checked_and_may_be_replaced(tmp_path: Path) -> None:
    path = write_scenario(tmp_path / "town.toml", write_csv(tmp_path / "town.csv", MINUTE), 1.0, 200)
    assert f"twin: {path}: time.num_slot: 200 slots" in twin("check", path).complaint()
    done = twin("run", path, "--policy", "local-only", "--slots", 61, "--out", tmp_path / "run", "--json")
    assert done.json()["slots"] == 61
    with pytest.raises(InputError, match="62 slots are too many"):
        parallel_env(Scenario.load(path, ["time.num_slot=61"]), num_slot=62)


def test_a_run_that_a_trace_outlasts_replays_where_nobody_is_left(tmp_path: Path) -> None:
    """Between 3 s and 30 s there is nobody; a run of 20 s has no later row, and still knows that the trace has."""
    samples: Samples = {"v": [0, 1, 2, 3], "w": [30, 31, 32]}
    assert slots_of(imported_run(tmp_path, samples, 1.0, 20)) == {"v": [0, 1, 2, 3]}


def test_a_run_of_before_that_was_longer_than_its_trace_can_be_looked_at(tmp_path: Path) -> None:
    imported_run(tmp_path, MINUTE, 1.0)
    path = tmp_path / "run" / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["scenario"]["time"]["num_slot"] = 200
    path.write_text(json.dumps(manifest), "utf-8")
    assert RecordedRun(tmp_path / "run").num_slot == 61
    assert twin("export", tmp_path / "run", "--to", "perfetto", "--out", tmp_path / "events.json").code == 0


def test_requests_end_a_run_as_well(tmp_path: Path) -> None:
    """The last request comes at 4.5 s and is dealt at 5 s; a slot more would have nothing to do."""
    file = tmp_path / "requests.csv"
    file.write_text("t_s,num_input_token,num_output_token\n0,10,1\n2,10,1\n4.5,10,1\n", "utf-8")
    data = Scenario.load("llm6g").model_dump(mode="json")
    data["tasks"][0] |= {"num_token": None, "requests": {"file": str(file)}}
    data["time"] = {"slot_duration_s": 1.0}
    scenario = Scenario.from_dict(data)
    assert scenario.time.num_slot == 6
    assert run(scenario, policy="random").summary["tasks_generated"] == 3
    data["tasks"][0]["requests"] |= {"speed": 2.0, "begin_s": 0.5}
    assert Scenario.from_dict(data).time.num_slot == 3  # at 0.5, 2.5 and 4.5 s of the trace
    with pytest.raises(InputError) as caught:
        Scenario.from_dict(data, settings=["time.num_slot=4"])
    assert str(caught.value) == (
        f"--set: time.num_slot: 4 slots of 1 s (4 s) are too many: the request trace {file} has 4 s from 0.5 s on "
        "at speed 2 (accepted: at most 3; a scenario that gives none is as long as the trace)"
    )
    data["tasks"][0]["requests"]["begin_s"] = 4.6
    with pytest.raises(InputError, match=r"4\.6 s is after the last request of .*accepted: 0 to 4\.5 s"):
        Scenario.from_dict(data)


def test_rates_of_a_link_trace_come_round(tmp_path: Path) -> None:
    """They end no run: each vehicle begins at some place of its link, and begins anew where it ends."""
    file = tmp_path / "link.csv"
    file.write_text("t_s,uplink_rate_bps\n0,1e6\n1,2e6\n", "utf-8")
    scenario = Scenario.load("dtecn", [f'radio.rate_file="{file}"', "time.slot_duration_s=1", "time.num_slot=9"])
    assert length_of_inputs(scenario) is None
    rates = np.rint(np.asarray(run(scenario, policy="local-only").table("vehicles")["uplink_rate_bps"]) / 1e6)
    assert (rates.reshape(9, -1)[:-2] == rates.reshape(9, -1)[2:]).all()
    assert set(rates.tolist()) == {1.0, 2.0}


def test_a_jump_is_a_warning(tmp_path: Path) -> None:
    """A second vehicle jumps 500 m in a second; import, check, run and the manifest say where."""
    file = tmp_path / "town.csv"
    rows = [("car", t, 10 * t) for t in range(6)] + [("jumper", t, 20 * t + (500 if t > 3 else 0)) for t in range(6)]
    lines = [f"{name},{t},{x},7,10" for name, t, x in sorted(rows, key=lambda row: (row[1], row[0]))]
    file.write_text("\n".join(["entity_id,t_s,x_m,y_m,speed_mps", *lines]), "utf-8")
    told = "vehicle 'jumper' jumps 520 m in 1 s at 3 s, from (60, 7) to (580, 7) m: 520 m/s, more than any car drives"
    assert twin("import", "csv", file, "--out", tmp_path / "town.parquet").err == f"twin: warning: {file}: {told}\n"
    path = write_scenario(tmp_path / "town.toml", file, 1.0)
    assert f"{path}: warning: {file}: {told}" in twin("check", path).out
    done = twin("run", path, "--policy", "local-only", "--out", tmp_path / "run", "--json")
    assert (done.code, done.err) == (0, f"twin: warning: {file}: {told}\n")
    assert Trace(tmp_path / "run").manifest["inputs"]["mobility"]["warnings"] == [f"{file}: {told}"]
    assert twin("run", path, "--slots", 3, "--json", "--out", tmp_path / "before").err == ""


def test_what_a_run_keeps_is_a_trace_that_tells_the_same(tmp_path: Path) -> None:
    imported_run(tmp_path, {**PHASES, "v": [0, 1, 2, 3, 11, 12]}, 1.0, 12)
    kept = read_mobility(tmp_path / "run" / "inputs" / "mobility.parquet")
    cut = kept.provenance.cut
    assert cut is not None
    assert (cut.begin_ns, cut.end_ns) == (0, 35_000_000_000)
    limits = {name: cut.exceptions_ns.get(name, cut.absent_after_ns) / 1e9 for name in kept.names("entity_id")}
    assert limits == {"taxi1": 15.0, "taxi2": 15.0, "v": 1.5}
