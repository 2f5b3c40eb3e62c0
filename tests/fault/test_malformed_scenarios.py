"""No scenario file, however broken, gives anything but one line that names the file, the key and what is accepted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.command import twin, twin_process

GOOD = (Path(__file__).resolve().parents[2] / "sim" / "scenario" / "builtin" / "dtecn.toml").read_text("utf-8")

# What to replace in the good file (a regular expression; "" appends), by what; the key that is named; other words.
EDITS = [
    (r"num_slot = 1000", "num_slt = 1000", "time.num_slt", "did you mean num_slot?"),
    (r"\[server\]", "[servr]", "", "servr: unknown key; did you mean server?"),
    (r"^title", "colour = 'red'\ntitle", "colour", "unknown key"),
    (
        r"num_slot = 1000",
        "num_slot = 0",
        "time.num_slot",
        "0 is out of range (accepted: 1 to 10000000, what",
    ),
    (r"num_slot = 1000", "num_slot = -3", "time.num_slot", "-3"),
    (r"num_slot = 1000", "num_slot = 2.5", "time.num_slot", "2.5 is not an integer"),
    (r"num_slot = 1000", "num_slot = true", "time.num_slot", "true"),
    (r"num_slot = 1000", "num_slot = '12'", "time.num_slot", "'12' is a text (accepted: an integer)"),
    (r"num_slot = 1000", "num_slot = 100000000", "time.num_slot", "what a machine holds"),
    (r"num_slot = 1000", f"num_slot = {10**400}", "time.num_slot", "too large"),
    (r"num_slot = 1000", f"num_slot = {'9' * 5000}", "", "is not TOML"),
    (r"num_slot = 1000", "num_slot = 2026-01-01", "time.num_slot", "an integer"),
    (r"num_slot = 1000", "num_slot = [1]", "time.num_slot", "[1] is not an integer"),
    (r'"100 ms"  #', '"100 MHz"  #', "time.slot_duration_s", "'100 MHz' is not in s (accepted: a number in s"),
    (r'"100 ms"  #', '"soon"  #', "time.slot_duration_s", "'soon' is not a quantity"),
    (r'"100 ms"  #', '"-1 ms"  #', "time.slot_duration_s", "'-1 ms' is out of range (accepted: 1e-09 to 140737 s"),
    (r'"100 ms"  #', "nan  #", "time.slot_duration_s", "nan is not finite"),
    (r'"100 ms"  #', "1e-12  #", "time.slot_duration_s", "1e-09 to 140737 s, the step"),
    (r'"5 GHz"', '["5 GHz", "3 kg"]', "vehicles.cpu_hz.1", "'3 kg'"),
    (r'"5 GHz"', "[]", "vehicles.cpu_hz", "at least 1 item"),
    (r'"5 GHz"', "0", "vehicles.cpu_hz", "1 to 1e+15 Hz"),
    (r"num_vehicle = 10", "", "vehicles.num_vehicle", "is missing"),
    (r"num_vehicle = 10", "num_vehicle = 1000000000", "vehicles.num_vehicle", "1 to 1000000, what"),
    (r"kappa = 1e-28", "kappa = inf", "vehicles.kappa", "inf is not finite"),
    (r"num_core = 10", f"num_core = 0x{'f' * 6000}", "server.num_core", "24000 bits"),
    (r'"slices"', '"slice"', "server.discipline", "did you mean slices? (accepted: slices, fifo)"),
    (r'"400 GHz"', '"1e999 Hz"', "server.frequency_hz", "is not finite"),
    (r'"400 GHz"', "{ a = 1 }", "server.frequency_hz", "is not a quantity"),
    (r'"-110 dBm"', '"1e9 dBm"', "radio.noise_w", "is not finite"),
    (r'"-110 dBm"', "true", "radio.noise_w", "true"),
    (r'kind = "highway"', 'kind = "higway"', "mobility.kind", "did you mean highway?"),
    (r"\[10, 15\]", "[15, 10]", "mobility.speed_mps", "a range with 0 <= low <= high"),
    (r"\[10, 15\]", "[10, 15, 20]", "mobility.speed_mps", "3 items"),
    (r"\[10, 15\]", "[10]", "mobility.speed_mps.1", "is missing"),
    (r"\[0, 20\]", '"20 m"', "base_station.position_m", "a list"),
    (r'"class-2"', '"class-1"', "tasks.1.name", "'class-1' is taken"),
    (r'"class-2"', '""', "tasks.1.name", "is empty"),
    (r'"class-2"', "7", "tasks.1.name", "7 is not a text"),
    (r"size_bytes = .*", "size_bytes = [10.5, 20]", "tasks.0.size_bytes", "whole bytes"),
    (r"size_bytes = .*", 'size_bytes = "5 kg"', "tasks.0.size_bytes", "'5 kg' is not in B"),
    (r"size_bytes = .*", "", "tasks.0.size_bytes", "is missing"),
    (r"(?s)\[\[tasks\]\].*(?=\[objective\])", "", "tasks", "is missing"),
    (r"(?s)\[\[tasks\]\].*(?=\[objective\])", "[tasks]\nname = 'x'\n", "tasks", "a list"),
    (r"(?s)^(.*?)\[\[tasks\]\].*(?=\[objective\])", r"tasks = []\n\1", "tasks", "at least 1 item"),
    (r"(?s)^(.*?)\[model\].*(?=\[vehicles\])", r"model = 'paper'\n\1", "model", "'paper' is not a table"),
    (r"(?s)\[model\].*(?=\[vehicles\])", "[[model]]\n", "model", "is not a table"),
    ("", "[twin]\nestimator = 'guess'", "twin.estimator", "(accepted: hold, predict)"),
    ("", "[twin.decision]\nlatency = 'quick'", "twin.decision.latency", "zero, measured, a number in s"),
    ("", "[twin.decision]\nlatency = '-3 ms'", "twin.decision.latency", "'-3 ms' is out of range"),
    ("", "[twin.decision.latency]\nkind = 'unifrm'", "twin.decision.latency.kind", "did you mean uniform?"),
    ("", "[twin.decision.latency]\nlow_s = 1", "twin.decision.latency.kind", "is missing"),
    ("", "[twin.decision.latency]\nkind = 'uniform'\nlow_s = 1", "twin.decision.latency.high_s", "is missing"),
    (
        "",
        "[twin.decision.latency]\nkind = 'uniform'\nlow_s = 2\nhigh_s = 1",
        "twin.decision.latency.low_s",
        "2.0 is above high_s 1.0",
    ),
    ("", "[network.access]\nlatency_s = { kind = 'exponential' }", "network.access.latency_s.mean_s", "is missing"),
    ("", "[network.access]\nlatency_s = true", "network.access.latency_s", "a quantity"),
    ("", "[network.access]\nloss = 1.5", "network.access.loss", "1.5 is out of range (accepted: 0 to 1)"),
    ("", "[network.acess]\nloss = 0.5", "network.acess", "did you mean access?"),
    ("", "[twin.bias]\nposition_m = '3 kg'", "twin.bias.position_m", "'3 kg' is not in m"),
    ("", "[twin.bias]\nknown = 'yes'", "twin.bias.known", "true or false"),
    ("", "[twin.bias.position_m]\nkind = 'konstant'", "twin.bias.position_m.kind", "did you mean constant?"),
    ("", "[twin.bias.position_m]\nkind = 'constant'\nstd = 3", "twin.bias.position_m.std", "unknown key"),
    (
        "",
        "[twin.bias.position_m]\nkind = 'per-vehicle'\nstd = '-3 m'",
        "twin.bias.position_m.std",
        "'-3 m' is out of range",
    ),
    ("", "[twin.bias.position_m]\nkind = 'timed'\npoints = []", "twin.bias.position_m.points", "at least 1 item"),
    (
        "",
        "[twin.bias.position_m]\nkind = 'timed'\npoints = [[0, 1], [2]]",
        "twin.bias.position_m.points.1.1",
        "is missing",
    ),
    (
        "",
        "[twin.bias.position_m]\nkind = 'timed'\npoints = [[0, '1 kg']]",
        "twin.bias.position_m.points.0.1",
        "'1 kg'",
    ),
    ("", "[policy]\nname = 'edge-eqaul'", "policy.name", "did you mean edge-equal?"),
    ("", "[policy]\nfallback = 'locl-only'", "policy.fallback", "did you mean local-only?"),
    ("", "[policy]\nname = 'random:x=1'", "policy.name", "no options"),
    ("", "[policy]\nname = ''", "policy.name", "is empty"),
    ("", "[trace]\npart_rows = 0", "trace.part_rows", "1 to 100000000"),
]


@pytest.mark.parametrize(("pattern", "replacement", "key", "words"), EDITS)
def test_bad_value(tmp_path: Path, pattern: str, replacement: str, key: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    edited = re.sub(pattern, replacement, GOOD, count=1, flags=re.MULTILINE) if pattern else f"{GOOD}\n{replacement}\n"
    assert edited != GOOD
    path.write_text(edited, "utf-8")
    line = twin("run", path, "--out", tmp_path / "run").complaint()
    assert line.startswith(f"twin: {path}: {key}")
    assert words in line
    assert not (tmp_path / "run").exists()


CONTENTS = {
    "empty": (b"", "vehicles: is missing"),
    "only a comment": (b"# nothing\n", "vehicles: is missing"),
    "prose": (b"Dear simulator, ten vehicles please.\n", "is not TOML"),
    "json": (b'{"time": {"num_slot": 3}}', "is not TOML"),
    "a key twice": (b"title = 'a'\ntitle = 'b'\n", "is not TOML"),
    "unclosed": (b"[time\nnum_slot = 3", "is not TOML"),
    "deep": (b"a = " + b"[" * 5000 + b"]" * 5000, "is nested too deeply"),
    "garbage": (bytes(range(256)) * 4, "cannot be read"),
    "zeros": (bytes(100), "is not TOML"),
    "UTF-16": (GOOD.encode("utf-16"), "cannot be read"),
    "Latin-1": ("title = 'Überholspur'".encode("latin-1"), "cannot be read"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_bad_file(tmp_path: Path, name: str) -> None:
    content, words = CONTENTS[name]
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    for command in ("run", "check"):
        line = twin(command, path).complaint()
        assert line.startswith(f"twin: {path}: {words}")


def test_byte_order_mark_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "good.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert twin("check", path).code == 0


def test_no_such_file(tmp_path: Path) -> None:
    assert "there is no such file" in twin("run", tmp_path / "no.toml").complaint()


def test_directory_in_place_of_a_file(tmp_path: Path) -> None:
    assert f"{tmp_path}: is a directory (accepted: a file)" in twin("run", tmp_path).complaint()


def test_long_name() -> None:
    assert "cannot be read: File name too long" in twin("run", "x" * 5000).complaint()


def test_misspelled_built_in() -> None:
    assert "did you mean dtecn?" in twin("run", "dtcn").complaint()


SETTINGS = [
    ("time.num_slot", "'time.num_slot' is not a setting (accepted: KEY=VALUE)"),
    ("=3", "is not a setting"),
    ("time.num_slt=3", "--set: time.num_slt: unknown key; did you mean num_slot?"),
    ("time.num_slot=-3", "--set: time.num_slot: -3"),
    ("time.num_slot=many", "--set: time.num_slot: 'many'"),
    ("time.num_slot=", "--set: time.num_slot: ''"),
    ("time.num_slot.x=3", "--set: time.num_slot: is not a table"),
    ("tasks.7.name=x", "--set: tasks.7.name: '7' is not an index (accepted: 0 to 2)"),
    ("tasks.first.name=x", "'first' is not an index"),
    ("tasks.0.size_bytes=[5, 1]", "--set: tasks.0.size_bytes"),
    ("time=3", "--set: time: 3 is not a table"),
    ("..=3", "'..=3' is not a setting"),
    ("server.kappa=nan", "--set: server.kappa: nan is not finite"),
]


@pytest.mark.parametrize(("setting", "words"), SETTINGS)
def test_bad_setting(setting: str, words: str) -> None:
    assert words in twin("run", "dtecn", "--set", setting).complaint()


@pytest.mark.full
def test_installed_command_says_the_same(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(GOOD.replace("num_core", "num_cores"), "utf-8")
    done = twin_process("run", path)
    assert done == twin("run", path)
    assert "server.num_cores: unknown key; did you mean num_core?" in done.complaint()
    path.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in twin_process("check", path).complaint()
