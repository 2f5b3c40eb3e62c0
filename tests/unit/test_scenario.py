"""Scenario files: quantities with units, settings, modes, and nothing lost on the way to a manifest and back."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from physical.quantity import accepted, parse
from sim.inputs.blocks import Inputs
from sim.inputs.streams import Streams
from sim.runs.check import check
from sim.scenario.readings import warnings
from sim.scenario.scenario import Scenario
from sim.scenario.sources import names, text_of

MINIMAL: dict[str, Any] = {
    "vehicles": {"num_vehicle": 2, "cpu_hz": ["5 GHz", 4e9], "kappa": 1e-28, "transmit_power_w": "23 dBm"},
    "radio": {"bandwidth_hz": "20 MHz"},
    "server": {"frequency_hz": "80 GHz", "num_core": 2, "kappa": 1e-35},
    "tasks": [{"name": "a", "size_bytes": "1 kB", "cycles_per_byte": 1000, "deadline_s": "50 ms"}],
}

# Exact: the float nearest to what was written.
QUANTITIES = [
    ("100 ms", "s", 0.1),
    ("0.1 s", "s", 0.1),
    ("300 ms", "s", 0.3),
    ("7 us", "s", 7e-6),
    ("7 µs", "s", 7e-6),
    ("7 ns", "s", 7e-9),
    ("1.5s", "s", 1.5),
    ("  2   s  ", "s", 2.0),
    ("20 MHz", "Hz", 20e6),
    ("0.3 GHz", "Hz", 0.3e9),
    ("4.7 THz", "Hz", 4.7e12),
    ("3e8 Hz", "Hz", 3e8),
    ("200 mW", "W", 0.2),
    ("23 dBm", "W", 0.19952623149688797),
    ("-110 dBm", "W", 1e-14),
    ("-90 dBm", "W", 1e-12),
    ("30 dBm", "W", 1.0),
    ("1 km", "m", 1000.0),
    ("3.5 m", "m", 3.5),
    ("7 mm", "m", 0.007),
    ("10 kB", "B", 10_000.0),
    ("36 km/h", "m/s", 10.0),
    ("50 km/h", "m/s", 50 / 3.6),
    ("8 dB", "dB", 8.0),
    ("-3 dB", "dB", -3.0),
    ("0.25 Mcycles", "cycles", 250_000.0),
    (".5 J", "J", 0.5),
    (3, "s", 3.0),
    (-2.5, "m", -2.5),
]


@pytest.mark.parametrize(("value", "unit", "expected"), QUANTITIES)
def test_quantity(value: object, unit: str, expected: float) -> None:
    assert parse(value, unit) == expected


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        *[("20", "Hz"), ("20 mhz", "Hz"), ("20 MHz", "s"), ("ten s", "s"), ("1 2 s", "s"), ("", "s"), ("s", "s")],
        *[("1e999 s", "s"), ("1e99999999999999999999 s", "s"), ("1e9 dBm", "W"), (float("nan"), "s"), (10**400, "s")],
        *[(True, "s"), (None, "s"), ([1], "s"), ("5 PHz", "Hz"), ("5 kdB", "dB"), ("5 dBm", "dB"), ("٣ s", "s")],
        *[("1,5 s", "s"), ("0x10 s", "s"), ("inf s", "s"), ("1_000 s", "s"), ("5 mk s", "s")],
    ],
)
def test_no_quantity(value: object, unit: str) -> None:
    with pytest.raises(ValueError, match=r"; a number in ") as caught:
        parse(value, unit)
    assert str(caught.value).endswith(accepted(unit))


@pytest.mark.parametrize("name", names())
def test_round_trip_of_built_in(name: str) -> None:
    scenario = Scenario.load(name)
    dumped = json.loads(json.dumps(scenario.model_dump(mode="json"), allow_nan=False))
    assert Scenario.from_dict(dumped) == scenario


ROUND_TRIPS = [
    (),
    ("twin.decision.latency=measured", "model.upload=whole"),
    ("twin.decision.latency=20 ms", "network.access.latency_s=5 ms", "radio.noise_w=-100 dBm"),
    ('twin.decision.latency={kind = "lognormal", median_s = "20 ms", sigma = 0.5}', "twin.decision.deadline_s=50 ms"),
    ('network.backhaul={latency_s = {kind = "exponential", mean_s = "2 ms"}, jitter_s = "1 ms", loss = 0.01}',),
    ('network.lan.latency_s={kind = "uniform", low_s = 0, high_s = 0.1}',),
    ("twin.bias.cpu_frequency_hz=-1 GHz", "twin.bias.known=false"),
    ('twin.bias.position_m={kind = "timed", points = [[0, "1 m"], ["2 s", -3]]}',),
    ('twin.bias.channel_gain_db={kind = "random-walk", step_std = "0.5 dB"}',),
    ('twin.bias.task_size_bytes={kind = "per-vehicle", mean = "1 kB", std = 10, values = ["1 B", 2]}',),
]


@pytest.mark.parametrize("settings", ROUND_TRIPS)
def test_round_trip(settings: tuple[str, ...]) -> None:
    scenario = Scenario.from_dict(MINIMAL, settings=settings)
    dumped = json.loads(json.dumps(scenario.model_dump(mode="json"), allow_nan=False))
    assert Scenario.from_dict(dumped) == scenario


def test_input_is_left_alone() -> None:
    before = json.dumps(MINIMAL)
    Scenario.from_dict(MINIMAL, settings=["tasks.0.name=b", "time.num_slot=3"])
    assert json.dumps(MINIMAL) == before


def test_scalars_stand_for_lists() -> None:
    scenario = Scenario.from_dict(MINIMAL)
    assert scenario.tasks[0].size_bytes == (1000.0, 1000.0)
    assert scenario.vehicles.kappa == (1e-28,)
    assert scenario.vehicles.cpu_hz == (5e9, 4e9)
    assert scenario.system().cpu_hz.tolist() == [5e9, 4e9]


def value_at(scenario: Scenario, key: str) -> Any:
    value: Any = scenario.model_dump(mode="json")
    for part in key.split("."):
        value = value[int(part)] if part.isdecimal() else value[part]
    return value


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("time.num_slot=7", 7),
        ("time.num_slot = 7", 7),
        ("time.slot_duration_s=50 ms", 0.05),
        ('time.slot_duration_s="50 ms"', 0.05),
        ("title=a = b", "a = b"),
        ("title=", ""),
        ("title=1\nx = 2", "1\nx = 2"),
        ("twin.bias.known=false", False),
        ("model.mode=paper", "paper"),
        ("tasks.0.size_bytes=[100, 5000]", [100.0, 5000.0]),
        ("tasks.0.name=video", "video"),
        ("vehicles.cpu_hz.1=3 GHz", 3e9),
        ("network.access.loss=0.25", 0.25),
        ("base_station.position_m=[1, '2 km']", [1.0, 2000.0]),
    ],
)
def test_setting(setting: str, expected: object) -> None:
    scenario = Scenario.from_dict(MINIMAL, settings=[setting])
    assert value_at(scenario, setting.partition("=")[0].strip()) == expected


def test_last_setting_wins() -> None:
    assert Scenario.from_dict(MINIMAL, settings=["time.num_slot=7", "time.num_slot=8"]).time.num_slot == 8


def test_setting_of_a_whole_table() -> None:
    settings = ['tasks=[{name = "b", size_bytes = 5, cycles_per_byte = 1, deadline_s = 1}]', "tasks.0.name=c"]
    assert [task.name for task in Scenario.from_dict(MINIMAL, settings=settings).tasks] == ["c"]


def test_error_tells_file_from_setting() -> None:
    broken = MINIMAL | {"time": {"num_slot": 0}}
    with pytest.raises(InputError, match=r"^a\.toml: time\.num_slot: 0 is out of range"):
        Scenario.from_dict(broken, where="a.toml", settings=["title=x"])
    with pytest.raises(InputError, match=r"^--set: time\.num_slot: -1 is out of range"):
        Scenario.from_dict(broken, where="a.toml", settings=["time.num_slot=-1"])


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        (["model.mode=paper"], ("always", "alloc", "power")),
        (["model.mode=corrected"], ("proportional", "effective", "energy")),
        ([], ("proportional", "effective", "energy")),
        (["model.mode=paper", "model.upload=whole"], ("whole", "alloc", "power")),
        (
            ["model.mode=paper", "model.capacity=effective", "model.edge_energy=energy"],
            ("always", "effective", "energy"),
        ),
    ],
)
def test_mode_expands_to_rules(settings: list[str], rules: tuple[str, str, str]) -> None:
    model = Scenario.from_dict(MINIMAL, settings=settings).model
    assert (model.upload_rule, model.capacity_rule, model.edge_energy_rule) == rules


def test_file_and_built_in_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    source = Path(__file__).resolve().parents[2] / "sim" / "scenario" / "builtin" / "dtecn.toml"
    path.write_bytes(source.read_bytes())
    assert Scenario.load(path) == Scenario.load("dtecn")


def test_scenario_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Scenario.from_dict(MINIMAL).time.num_slot = 3


# 128.1 dB is what the formula of TR 36.942 gives at 2 GHz; 21 log10(2.95) = 9.8663.
@pytest.mark.parametrize(
    ("name", "intercept_db"),
    [("dtecn", 128.1), ("dtecn-congested", 128.1), ("llm6g", 128.1), ("corridor", 137.9663), ("blackout", 137.9663)],
)
def test_path_loss_follows_the_carrier(name: str, intercept_db: float) -> None:
    assert Scenario.load(name).radio.intercept_db == pytest.approx(intercept_db, abs=1e-4)
    assert Scenario.load(name, ['radio.path_loss_intercept_db="120 dB"']).radio.intercept_db == 120.0


def test_presets_at_2_ghz_keep_the_very_intercept() -> None:
    assert {Scenario.load(name).radio.intercept_db for name in ("dtecn", "dtecn-congested", "llm6g")} == {128.1}


@pytest.mark.parametrize(("carrier", "intercept_db"), [("5.9 GHz", 137.9663), ("2 GHz", 128.1)])
def test_gains_of_the_corridor_are_those_of_its_carrier(carrier: str, intercept_db: float) -> None:
    """Without shadowing the gain at a distance d is 10^-(L + 37.6 log10(d / 1 km)) / 10, by the nearest node."""
    more = ["radio.association=nearest", "radio.shadowing_std_db=0", f'radio.carrier_hz="{carrier}"']
    scenario = Scenario.load("corridor", more)
    block = Inputs(scenario.resolve(), Streams(0)).block(0, 5)
    away_m = [np.hypot(block.x_m - node.position_m[0], block.y_m - node.position_m[1]) for node in scenario.nodes]
    loss_db = intercept_db + 37.6 * np.log10(np.min(away_m, axis=0) / 1000)
    here = block.serving_node >= 0
    assert here.any()
    assert 10 * np.log10(block.large_scale_gain[here]) == pytest.approx(-loss_db[here], abs=1e-3)


READINGS: list[tuple[str, list[str], set[str]]] = [
    ("dtecn", [], {"7", "9"}),
    ("dtecn", ["vehicles.cpu=sharing"], {"9"}),
    ("dtecn", ["vehicles.cpu=in-turn", "radio.uplink=sharing"], set()),
    ("dtecn", ["model.mode=paper"], {"7", "9", "15", "24c"}),
    ("dtecn-congested", [], {"7", "9"}),
    ("llm6g", [], set()),
    ("llm6g", ["model.mode=paper"], {"4", "9", "24c", "10", "4, 8 and 10"}),
    ("llm6g", ["model.mode=paper", "cost.normalise=true"], {"4", "9", "24c", "4, 8 and 10"}),
    ("corridor", [], set()),
    ("blackout", [], set()),
]


@pytest.mark.parametrize(("name", "settings", "equations"), READINGS)
def test_readings_that_no_hardware_has(name: str, settings: list[str], equations: set[str]) -> None:
    found = Scenario.load(name, settings).readings()
    matches = [re.match(r"eqs?\. ([0-9a-z, ]+?)(?: of 'llm6g')?:", reading) for reading in found]
    assert {match[1] for match in matches if match} == equations
    assert all(matches)


NOISE: list[tuple[str, list[str], str]] = [
    ("dtecn", [], "radio.noise_w: -110.0 dBm on 20 MHz is 9.0 dB below thermal noise (kTB), -101.0 dBm"),
    ("dtecn", ['radio.bandwidth_hz="10 MHz"'], "radio.noise_w: -110.0 dBm on 10 MHz is 6.0 dB below"),
    ("dtecn", ['radio.noise_w="-92 dBm"'], ""),
    ("dtecn", ['radio.noise_w="-100.98 dBm"'], ""),  # kTB of 20 MHz is -100.99 dBm
    ("dtecn", ['radio.noise_w="-101 dBm"'], "radio.noise_w: -101.0 dBm on 20 MHz is 0.0 dB below"),
    ("dtecn-congested", [], ""),
    ("dtecn-congested", ["radio.noise_figure_db=0"], ""),
    ("dtecn-congested", ["radio.noise_density_dbm_hz=-190"], "radio.noise_density_dbm_hz: -112.0 dBm on 8 MHz"),
    ("llm6g", [], ""),
    ("llm6g", ["radio.noise_density_dbm_hz=-184"], "radio.noise_density_dbm_hz: -175.0 dBm on 1 Hz is 1.0 dB below"),
    ("corridor", [], ""),
    ("blackout", [], ""),
]


@pytest.mark.parametrize(("name", "settings", "line"), NOISE)
def test_noise_below_that_of_a_resistor(name: str, settings: list[str], line: str) -> None:
    """kT at 290 K is -174 dBm/Hz: on 20 MHz 73.0 dB more."""
    found = warnings(Scenario.load(name, settings).resolve())
    assert len(found) == (line != "")
    assert all(warning.startswith(line) for warning in found)


def test_check_tells_readings_and_warnings() -> None:
    verdict = check("dtecn")
    assert verdict.ok
    assert [note.partition("dtecn: ")[2].split()[0] for note in verdict.notes] == ["warning:", "keeps", "keeps"]
    assert check("corridor").notes == ()


def test_a_slot_lasts_as_long_as_the_clock_counts() -> None:
    """Else the joules of a slot would be those of another length: by a third, with slots of 1.5 ns."""
    for text, duration_s in (("1.5 ns", 2e-9), ("12.3456789 ms", 0.012345679), ("100 ms", 0.1)):
        scenario = Scenario.load("dtecn", [f"time.slot_duration_s={text}", "time.num_slot=2"])
        assert scenario.time.slot_duration_s == scenario.system().slot_duration_s == duration_s


def test_cores_that_nothing_can_cool_are_told() -> None:
    """One core at 30 GHz: 1.85e-28 (30e9)^3 W = 5 kW; ten at 3 GHz: 5 W each."""
    settings = ["server.frequency_hz=30e9", "server.kappa=1.85e-28"]
    (told,) = warnings(Scenario.load("rush-hour", [*settings, "server.num_core=1"]).resolve())
    assert told.startswith("server.frequency_hz: each core has 30 GHz and draws 5e+03 W")
    assert warnings(Scenario.load("rush-hour", [*settings, "server.num_core=10"]).resolve()) == ()


def test_a_key_of_another_table_is_named_in_full() -> None:
    with pytest.raises(InputError, match=r"unknown key; did you mean vehicles\.num_vehicle\?"):
        Scenario.load("dtecn", ["num_vehicle=20"])
    with pytest.raises(InputError, match=r"unknown key; did you mean vehicles\?"):
        Scenario.load("dtecn", ["vehicle=20"])


def test_a_printed_scenario_is_the_one_that_runs(tmp_path: Path) -> None:
    for name in names():
        (tmp_path / "mine.toml").write_text(text_of(name), "utf-8")
        assert Scenario.load(tmp_path / "mine.toml") == Scenario.load(name)
