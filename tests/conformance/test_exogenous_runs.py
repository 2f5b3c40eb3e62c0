"""Runs on recorded mobility, requests and rates: they take exactly what the traces say, and replay without them."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from sim import RunResult, Scenario, run
from sim.runs.replay import branch, counterfactual, verify
from tests.support.data import data_file
from tests.support.town import TOWN, check_books
from traces.exogenous import import_file, read_link, read_requests

pytestmark = pytest.mark.full

NUM_SLOT = 41  # the last vehicle is seen at 8 s


def cars() -> pa.Table:
    """Return floating car data: 30 vehicles that drive through the town, each for 3 to 9 s, and one that comes back."""
    generator = np.random.default_rng(5)
    rows = []
    for vehicle in range(30):
        first, last = int(generator.integers(0, 5)), int(generator.integers(5, 10))
        x, y, speed = generator.uniform(-700, 0), generator.uniform(-20, 20), float(generator.uniform(5, 35))
        for t in range(first, last):
            if vehicle == 7 and t in (3, 4):
                continue
            position = (round(x + speed * (t - first), 2), round(y, 2))
            rows.append((float(t), f"v{vehicle}", *position, 90.0, "car", np.float32(speed)))
    names = ("timestep_time", "vehicle_id", "vehicle_x", "vehicle_y", "vehicle_angle", "vehicle_type", "vehicle_speed")
    rows.sort(key=lambda row: row[0])
    return pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))


def xml_of(table: pa.Table) -> str:
    steps: dict[float, list[str]] = {}
    for t, name, x, y, angle, kind, speed in zip(*(column.to_pylist() for column in table.columns), strict=True):
        vehicle = f'<vehicle id="{name}" x="{x}" y="{y}" angle="{angle}" type="{kind}" speed="{speed}"/>'
        steps.setdefault(t, []).append(vehicle)
    inside = "".join(f'<timestep time="{t}">{"".join(found)}</timestep>' for t, found in steps.items())
    return f"<fcd-export>{inside}</fcd-export>"


def of_traffic(path: Path, *settings: str, **tables: Any) -> Scenario:
    vehicles = {key: value for key, value in TOWN["vehicles"].items() if key != "num_vehicle"}
    road = {"kind": "trace", "file": str(path)}
    data = TOWN | {"vehicles": vehicles, "mobility": road, "time": {"slot_duration_s": 0.2}} | tables
    return Scenario.from_dict(data, settings=settings)


def write_all(folder: Path) -> list[Path]:
    """Write the same traffic in every format."""
    table = cars()
    paths = [folder / f"cars.{suffix}" for suffix in ("fcd.parquet", "fcd.csv", "xml", "xml.gz", "parquet")]
    pq.write_table(table, paths[0])
    pyarrow.csv.write_csv(table, paths[1])
    paths[2].write_text(xml_of(table), "utf-8")
    paths[3].write_bytes(gzip.compress(xml_of(table).encode()))
    import_file("fcd", paths[0], paths[4])
    return paths


def test_any_format_gives_the_same_run(tmp_path: Path) -> None:
    digests = {
        path.name: run(of_traffic(path), policy="edge-equal", seed=1).summary["digest"] for path in write_all(tmp_path)
    }
    assert len(set(digests.values())) == 1, digests


@pytest.mark.parametrize("settings", [(), ("mobility.begin_s=3.5", "network.access.loss=0.1", "model.handover=finish")])
def test_run_on_traffic_replays_without_its_file(tmp_path: Path, settings: tuple[str, ...]) -> None:
    path = write_all(tmp_path)[1]
    scenario = of_traffic(path, *settings)
    result = run(scenario, policy="random", seed=1, out=tmp_path / "run")
    check_books(result, scenario)
    fresh = run(scenario, policy="edge-equal", seed=1)
    path.unlink()
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "run", moved)
    assert verify(moved).difference is None
    _, branched = branch(moved, 2.1, "edge-equal", tmp_path / "branch")
    assert branched.summary["digest"] != result.summary["digest"]
    assert verify(tmp_path / "branch").difference is None
    assert counterfactual(moved, "edge-equal")[1].summary["digest"] == fresh.summary["digest"]


def test_vehicles_are_there_as_the_trace_says(tmp_path: Path) -> None:
    scenario = of_traffic(write_all(tmp_path)[0])
    result = run(scenario, policy="edge-equal", seed=1)
    check_books(result, scenario)
    rows = result.table("vehicles").to_pylist()
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row["vehicle"], []).append(row["slot"])
    table = cars().to_pylist()
    names = sorted({row["vehicle_id"] for row in table}, key=lambda name: int(name[1:]))
    assert result.table("entities").to_pylist() == [
        {"vehicle": index, "vehicle_id": name, "kind": "car"} for index, name in enumerate(names)
    ]
    for index, name in enumerate(names):
        times = [int(row["timestep_time"]) for row in table if row["vehicle_id"] == name]
        expected = [slot for slot in range(NUM_SLOT) if 5 * times[0] <= slot <= 5 * times[-1]]
        if name == "v7":
            expected = [slot for slot in expected if not 5 * 2 < slot < 5 * 5]
        assert found[index] == expected, name
    assert max(map(max, found.values())) == NUM_SLOT - 1  # the run is as long as the trace


BOLOGNA = """\
title = "A minute of a town: base station and four RSUs"
time = { slot_duration_s = "500 ms", num_slot = 120 }
model = { handover = "finish" }                    # work at the node that a vehicle leaves: forward, finish or drop
vehicles = { cpu_hz = ["0.6 GHz", "2.5 GHz"], kappa = 1e-27, transmit_power_w = "200 mW" }
mobility = { kind = "trace", file = "bologna_joined_1s.fcd.parquet" }    # relative to this file
base_station = { position_m = [1080, 960] }
server = { frequency_hz = "2 THz", num_core = 1000, kappa = 1.85e-28 }
objective = { energy_weight = 1e-5, deadline_price = 1 }

[radio]
bandwidth_hz = "10 MHz"
association = "best-channel"                       # or "nearest"
hysteresis_db = 3
range_m = "900 m"

[[rsus]]
name = "rsu-south-west"
position_m = [500, 450]

[[rsus]]
name = "rsu-south-east"
position_m = [1600, 450]

[[rsus]]
name = "rsu-north-west"
position_m = [500, 1450]

[[rsus]]
name = "rsu-north-east"
position_m = [1600, 1450]

[[tasks]]
name = "perception"
size_bytes = ["10 kB", "30 kB"]
cycles_per_byte = 3000
deadline_s = "200 ms"
"""


@pytest.mark.full
def test_a_town_in_full(tmp_path: Path) -> None:
    """A minute of Bologna on base station and RSUs: more than 900 vehicles at every time."""
    name = "bologna_joined_1s.fcd.parquet"
    source = data_file(name)
    (tmp_path / "town.toml").write_text(BOLOGNA.replace(name, str(source)), "utf-8")
    scenario = Scenario.load(tmp_path / "town.toml")
    assert scenario.time.num_slot * scenario.time.slot_duration_s == 60
    result = run(scenario, policy="greedy-cost", seed=1, out=tmp_path / "run")
    check_books(result, scenario)
    per_slot = np.bincount(np.asarray(result.table("vehicles")["slot"]))
    assert per_slot.min() > 900
    assert verify(tmp_path / "run").difference is None
    pyarrow.csv.write_csv(pq.read_table(source), tmp_path / "town.csv")
    (tmp_path / "same.toml").write_text(BOLOGNA.replace(name, "town.csv"), "utf-8")
    again = run(Scenario.load(tmp_path / "same.toml"), policy="greedy-cost", seed=1)
    assert again.summary["digest"] == result.summary["digest"]


def of_requests(path: Path, *settings: str, speed: float = 1.0, begin_s: float = 0.0, **tables: Any) -> Scenario:
    data = Scenario.load("llm6g").model_dump(mode="json")
    requests = {"file": str(path), "speed": speed, "begin_s": begin_s}
    data["tasks"][0] |= {"num_token": None, "requests": requests}
    return Scenario.from_dict(data | tables, settings=settings)


def dealt(result: RunResult, num_slot: int) -> list[list[int]]:
    """Return the tokens of the prompts of each slot, sorted; each vehicle has one at most."""
    rows = result.table("jobs").to_pylist()
    assert len({(row["slot"], row["vehicle"]) for row in rows}) == len(rows)
    return [sorted(row["num_token"] for row in rows if row["slot"] == slot) for slot in range(num_slot)]


def expected_deal(
    t_ns: NDArray[Any], tokens: NDArray[Any], slot_s: float, speed: float, begin_s: float, room: list[int]
) -> list[list[int]]:
    """Deal requests that have arrived at a slot start, as many as there is room for."""
    slots = []
    at = int(np.searchsorted(t_ns, begin_s * 1e9))
    for slot, num in enumerate(room):
        arrived = int(np.sum(t_ns <= (begin_s + speed * slot * slot_s) * 1e9))
        end = min(arrived, at + num)
        slots.append(sorted(tokens[at:end].tolist()))
        at = end
    return slots


@pytest.mark.parametrize(("speed", "begin_s"), [(1.0, 0.0), (1.0, 600.0), (0.25, 100.0), (5.0, 0.0)])
def test_azure_requests_drive_llm6g(tmp_path: Path, speed: float, begin_s: float) -> None:
    path = data_file("llm_azure2023_conv.parquet")
    scenario = of_requests(path, "time.num_slot=12", speed=speed, begin_s=begin_s)
    result = run(scenario, policy="random", seed=2, out=tmp_path / "run")
    check_books(result, scenario)
    trace = read_requests(path)
    expected = expected_deal(trace.column("t_ns"), trace.column("num_input_token"), 10.0, speed, begin_s, [20] * 12)
    assert dealt(result, 12) == expected
    assert sum(map(len, expected)) > 20
    assert verify(tmp_path / "run").difference is None


def few_requests(path: Path) -> Path:
    """Write a rush of 50 requests, silence, and a late one."""
    times = [*np.linspace(5.0, 6.0, 50).tolist(), 95.0]
    rows = [f"{t},{100 + index},1" for index, t in enumerate(times)]
    path.write_text("\n".join(["t_s,num_input_token,num_output_token", *rows]), "utf-8")
    return path


def test_excess_requests_wait_and_absent_vehicles_get_none(tmp_path: Path) -> None:
    events = [{"kind": "vehicle-leaves", "at_s": 15.0, "vehicle": vehicle} for vehicle in range(5)]
    scenario = of_requests(few_requests(tmp_path / "rush.csv"), "time.num_slot=10", timeline=events)
    result = run(scenario, policy="random", seed=2, out=tmp_path / "run")
    check_books(result, scenario)
    # Times are counted from the first request on. In slot 1 there are 20 vehicles, from slot 2 on 15.
    found = dealt(result, 10)
    assert [len(slot) for slot in found] == [1, 20, 15, 14, 0, 0, 0, 0, 0, 1]
    assert [token for slot in found for token in slot] == list(range(100, 151))
    after = result.table("tasks").to_pylist()
    assert all(row["vehicle"] >= 5 for row in after if row["slot"] >= 2)
    (tmp_path / "rush.csv").unlink()
    assert verify(tmp_path / "run").difference is None


def test_requests_go_to_anybody(tmp_path: Path) -> None:
    """Who gets a request is drawn, whatever the policy; another seed draws otherwise."""
    path = few_requests(tmp_path / "rush.csv")
    scenario = of_requests(path, "time.num_slot=5")

    def owners(policy: str, seed: int) -> list[tuple[int, int, int]]:
        rows = run(scenario, policy=policy, seed=seed).table("jobs").to_pylist()
        return [(row["slot"], row["vehicle"], row["num_token"]) for row in rows]

    assert owners("random", 1) == owners("local-only", 1)
    assert owners("random", 1) != owners("random", 2)
    tokens = [token for _, _, token in owners("random", 1)[:20]]
    assert tokens != sorted(tokens)


def of_rates(path: Path, *settings: str) -> Scenario:
    data = Scenario.load("dtecn").model_dump(mode="json")
    data["radio"]["rate_file"] = str(path)
    return Scenario.from_dict(data, settings=settings)


def rates(result: RunResult, num_vehicle: int) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.asarray(result.table("vehicles")["uplink_rate_bps"]).reshape(-1, num_vehicle)
    return found


def test_rates_are_those_of_the_link_in_their_order(tmp_path: Path) -> None:
    """Ten rates of 0.3 s each, round and round, from a place of its own for each vehicle; 0 becomes 1 bit/s."""
    path = tmp_path / "drive.csv"
    values = np.array([0.0, 7.0, 1e3, 1.5e5, 2e6, 3e7, 4.4e7, 1.2e8, 5e8, 2e9])
    path.write_text("t_s,uplink_rate_bps\n" + "".join(f"{0.3 * i},{rate}\n" for i, rate in enumerate(values)), "utf-8")
    scenario = of_rates(path, "time.num_slot=80")
    result = run(scenario, policy="greedy-latency", seed=1, out=tmp_path / "run")
    check_books(result, scenario)
    found = rates(result, 10)
    expected = np.maximum(values, 1.0)
    nearest = np.abs(found[..., np.newaxis] / expected - 1.0).argmin(axis=-1)
    assert np.abs(found / expected[nearest] - 1.0).max() < 1e-6
    assert len(set(nearest[0].tolist())) > 3
    for vehicle in range(10):
        turns = np.diff(nearest[:, vehicle]) % 10
        assert set(turns.tolist()) == {0, 1}
        assert 24 <= turns.sum() <= 29  # 8 s at 2.8 s a round: the last rate counts for one slot
    path.unlink()
    assert verify(tmp_path / "run").difference is None


def test_irish_drives_give_dtecn_its_rates(tmp_path: Path) -> None:
    path = data_file("net_irish5g_driving.parquet")
    scenario = of_rates(path, "time.num_slot=100", "vehicles.num_vehicle=20")
    result = run(scenario, policy="edge-equal", seed=1, out=tmp_path / "run")
    trace = read_link(path)
    known = np.maximum(np.unique(trace.column("uplink_rate_bps")), 1.0)
    found = rates(result, 20)
    after = np.clip(np.searchsorted(known, found), 1, len(known) - 1)
    nearest = np.where(np.abs(known[after] - found) < np.abs(known[after - 1] - found), known[after], known[after - 1])
    assert np.abs(found / nearest - 1.0).max() < 1e-6
    assert len(np.unique(found)) > 20
    assert verify(tmp_path / "run").difference is None
    # Tasks are sent at these rates: bytes that are offloaded, by the rate of their slot.
    tasks = result.table("tasks").to_pylist()
    quick = [row for row in tasks if (row["upload_end_ns"] or 2**62) < (row["slot"] + 1) * 100_000_000]
    assert len(quick) > 100
    for row in quick:
        took_s = (row["upload_end_ns"] - row["local_end_ns"]) / 1e9
        expected_s = 8 * row["size_bytes"] * row["offloading_ratio"] / found[row["slot"], row["vehicle"]]
        assert took_s == pytest.approx(expected_s, abs=2e-9)
