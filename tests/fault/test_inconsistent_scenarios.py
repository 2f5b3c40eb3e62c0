"""Tables that are right one by one but contradict each other: one line that names the key to change."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.scenario.scenario import Scenario
from tests.support.command import twin

SCENARIOS = Path(__file__).resolve().parents[2] / "sim" / "scenario" / "builtin"
GOOD = {name: (SCENARIOS / f"{name}.toml").read_text("utf-8") for name in ("llm6g", "dtecn")}
RSU = "\n[[rsus]]\nname = '{}'\nposition_m = [0, 0]\n"
OWN_SERVER = "[rsus.server]\nfrequency_hz = '1 GHz'\nkappa = 1e-25\n"
COST = "\n[cost]\ntime_weight = 0.5\n"
# An edit of a file: what to replace (a regular expression; "" appends), and by what.
Edit = tuple[str, str]
JOINT: Edit = ('mode = "corrected"', 'mode = "corrected"\nallocation = "joint"\nedge_energy = "job"')
NO_OBJECTIVE: Edit = (r"(?s)\[objective\][^\[]*", "")

LLM6G: list[tuple[list[Edit], str, str]] = [
    ([(r"(?s)\[vehicles.gpu\][^\[]*", "")], "vehicles.gpu", "is missing; a task is a transformer"),
    ([(r"(?s)\[server.gpu\][^\[]*", "")], "server.gpu", "is missing; a task is a transformer"),
    ([(r'name = "rsu-3"\n.*\n', f"name = 'rsu-3'\nposition_m = [0, 0]\n{OWN_SERVER}")], "rsus.2.server.gpu", "missing"),
    (
        [("", "[base_station]"), (r'name = "rsu-3"\n.*\n', f"name = 'rsu-3'\nposition_m = [0, 0]\n{OWN_SERVER}")],
        "rsus.2.server.gpu",
        "is missing",
    ),
    ([('"sequential"', '"parallel"')], "model.order", "(accepted: sequential"),
    ([('allocation = "joint"', 'allocation = "compute"')], "model.allocation", '(accepted: "joint", with [cost])'),
    ([(r"(?s)\[cost\][^\[]*", "")], "cost", "is missing; with joint allocation it is the objective"),
    ([('"10 mW"', '"21 W"')], "vehicles.transmit_power_w_min", "at most vehicles.transmit_power_w, 20 W"),
    ([('edge_energy = "job"', 'edge_energy = "energy"')], "model.edge_energy", '(accepted: "job"'),
    ([('edge_energy = "job" ', "")], "model.edge_energy", '(accepted: "job"'),
    ([(r"(?s)\[server\](.*?\n)", "[server]\ndiscipline = 'fifo'\n")], "server.discipline", "single jobs"),
    ([("", "[objective]\nbeta = 2.0")], "cost", "does not go with the weights of P2"),
    ([('"rsu-2"', '"rsu-1"')], "rsus.1.name", "'rsu-1' is taken"),
    ([('"rsu-2"', '"cloud"')], "rsus.1.name", "'cloud' is taken"),
    ([("num_token = .*", "num_token = [64, 1024]\nsize_bytes = 3")], "tasks.0.size_bytes", "does not belong to"),
    ([("num_token = .*", "num_token = 3\ncycles_per_byte = 3")], "tasks.0.cycles_per_byte", "(accepted: num_token)"),
    ([("num_token = .*", "")], "tasks.0.num_token", "is missing"),
    ([("num_token = .*", "num_token = [9, 3]")], "tasks.0.num_token", "a range of whole tokens with 0 < low <= high"),
    ([("num_token = .*", "num_token = [0, 3]")], "tasks.0.num_token.0", "0 is out of range (accepted: 1 to 1000000)"),
    ([("num_layer = 32", "num_layer = 1")], "tasks.0.transformer.num_layer", "2 to 100000"),
    ([("bits_per_activation = 16", "bits_per_activation = 12")], "tasks.0.transformer.bits_per_activation", "8"),
    ([("time_weight = 0.5", "time_weight = 1")], "cost.time_weight", "1e-09 to 0.999999999"),
    ([("utilisation = 0.45", "utilisation = 1.5")], "vehicles.gpu.utilisation", "1e-09 to 1"),
]
DTECN: list[tuple[list[Edit], str, str]] = [
    ([("", COST)], "model.allocation", '(accepted: "joint", with [cost])'),
    ([JOINT], "cost", "is missing"),
    (
        [JOINT, ("", COST), NO_OBJECTIVE, ('"sequential"', '"parallel"')],
        "model.order",
        "(accepted: sequential)",
    ),
    ([JOINT, ("", COST), (r"(?s)\[objective\][^\[]*", "[objective]\nv = 2.0\n")], "cost", "weights of P2"),
    (
        [('mode = "corrected"', 'mode = "corrected"\nedge_energy = "job"'), ('"slices"', '"fifo"')],
        "server.discipline",
        "(accepted: slices, with edge_energy job)",
    ),
    (
        [('"slices"', '"fifo"'), ("", "[base_station]"), ("", RSU.format("r"))],
        "server.discipline",
        "(accepted: slices, with more than one serving node)",
    ),
    (
        [('mode = "corrected"', 'mode = "corrected"\ncapacity = "alloc"')],
        "model.capacity",
        '(accepted: "effective", or model.mode = "paper")',
    ),
    (
        [('"slices"', '"fifo"'), ('mode = "corrected"', 'mode = "corrected"\nhandover = "finish"')],
        "model.handover",
        "(accepted: forward, drop; or server.discipline slices)",
    ),
    ([("", RSU.format("base-station"))], "rsus.0.name", "'base-station' is taken"),
    ([("", RSU.format(""))], "rsus.0.name", "is empty"),
    ([("size_bytes = (.*)", r"size_bytes = \1\nnum_token = 3")], "tasks.0.num_token", "a task without a transformer"),
    ([('kind = "highway"', 'kind = "straight"\nends = "renew"')], "mobility.ends", "(accepted: wrap; "),
    ([('kind = "highway"', 'kind = "highway"\nends = "leave"')], "mobility.ends", "(accepted: wrap, renew)"),
    (
        [
            ('kind = "highway"', 'kind = "highway"\nends = "renew"'),
            ('length_m = "1 km"', "length_m = 1"),
            ("num_vehicle = 10", "num_vehicle = 1000"),
        ],
        "mobility.ends",
        "(accepted: at most 100000 in a run)",
    ),
    ([('kind = "highway"', 'kind = "aera"')], "mobility.kind", "did you mean area?"),
    ([(r"carrier_hz", "association = 'best'\ncarrier_hz")], "radio.association", "nearest, best-channel"),
]
CASES = [("llm6g", *case) for case in LLM6G] + [("dtecn", *case) for case in DTECN]


def edited(name: str, edits: list[Edit]) -> str:
    """Return a good file with changes, each of which does change it."""
    text = GOOD[name]
    for pattern, replacement in edits:
        if replacement == "[base_station]" and "[base_station]" in text:
            continue
        new = re.sub(pattern, replacement, text, count=1, flags=re.MULTILINE) if pattern else f"{text}\n{replacement}\n"
        assert new != text, pattern
        text = new
    return text


@pytest.mark.parametrize(("name", "edits", "key", "words"), CASES)
def test_one_line_names_the_key(tmp_path: Path, name: str, edits: list[Edit], key: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(edited(name, edits), "utf-8")
    line = twin("run", path, "--slots", "2", "--out", tmp_path / "run").complaint()
    assert line.startswith(f"twin: {path}: {key}: ")
    assert words in line
    assert not (tmp_path / "run").exists()
    assert twin("check", path).complaint() == line


@pytest.mark.parametrize("name", GOOD)
def test_the_files_that_are_edited_are_good(tmp_path: Path, name: str) -> None:
    path = tmp_path / "good.toml"
    path.write_text(GOOD[name], "utf-8")
    assert twin("check", path).code == 0


SETTINGS = [
    ("model.order=parallel", "--set: model.order: "),
    ("model.allocation=compute", "--set: model.allocation: "),
    ("vehicles.cpu=each", "--set: vehicles.cpu: "),
    ("radio.uplink=per-task", "--set: radio.uplink: "),
    ("mobility.ends=renew", "--set: mobility.ends: 'renew' needs a road with ends"),
    ("model.edge_energy=power", "--set: model.edge_energy: "),
    ('vehicles.transmit_power_w_min="30 W"', "--set: vehicles.transmit_power_w_min: "),
    ("rsus.4.name=rsu-1", "--set: rsus.4.name: 'rsu-1' is taken"),
    ("rsus.5.name=rsu-6", "--set: rsus.5.name: '5' is not an index (accepted: 0 to 4)"),
]


@pytest.mark.parametrize(("setting", "words"), SETTINGS)
def test_a_setting_that_contradicts_the_file(setting: str, words: str) -> None:
    assert twin("run", "llm6g", "--set", setting).complaint().startswith(f"twin: {words}")


@pytest.mark.parametrize("cpu", ["per-task", "in-turn", "shared", "sharing"])
@pytest.mark.parametrize("uplink", ["each", "in-turn", "sharing"])
def test_joint_allocation_goes_with_every_rule(cpu: str, uplink: str) -> None:
    system = Scenario.load("llm6g", [f"vehicles.cpu={cpu}", f"radio.uplink={uplink}"]).system()
    assert (system.cpu, system.uplink) == ("in-turn" if cpu == "shared" else cpu, uplink)


@pytest.mark.parametrize("policy", ["greedy-latency", "greedy-cost", "p2-exact", "p2-slsqp"])
def test_policies_of_dtecn_refuse_llm6g(tmp_path: Path, policy: str) -> None:
    line = twin("run", "llm6g", "--policy", policy, "--slots", "2", "--out", tmp_path / "run").complaint()
    assert line.startswith(f"twin: --policy: {policy}: ")
    assert "such as dtecn)" in line


@pytest.mark.parametrize("policy", ["layers-exact", "ao-sqp-fp", "rlor", "rrlo"])
def test_policies_of_llm6g_refuse_dtecn(tmp_path: Path, policy: str) -> None:
    line = twin("run", "dtecn", "--policy", policy, "--slots", "2", "--out", tmp_path / "run").complaint()
    assert line.startswith(f"twin: --policy: {policy}: ")
    assert "such as llm6g)" in line


def test_a_policy_of_the_scenario_is_refused_by_its_key(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(GOOD["llm6g"].replace("ao-sqp-fp", "greedy-cost"), "utf-8")
    line = twin("run", path, "--slots", "2", "--out", tmp_path / "run").complaint()
    assert line.startswith(f"twin: {path}: policy.name: greedy-cost: ")
