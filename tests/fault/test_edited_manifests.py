"""A manifest that was edited: every command that reads the run says in a line which key is wrong, and what it takes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from physical.errors import InputError
from sim import run
from sim.runs.check import check
from sim.scenario.scenario import Scenario
from tests.support.command import twin
from tests.support.edited import COMMANDS, READERS, Change, call, edit_manifest, manifest_of
from traces.jsonfile import BYTES_MAX, DEPTH_MAX, read_json
from traces.reader import Trace

_SHORT = Scenario.load("dtecn", ["time.num_slot=4", "vehicles.num_vehicle=2", "trace.messages=true"])


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "one"
    run(_SHORT, policy="local-only", seed=1, out=directory)
    return directory


@pytest.fixture
def edited(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "edited"))


def _set(*keys: str, to: Any) -> Change:
    def change(told: dict[str, Any]) -> None:
        table = told
        for key in keys[:-1]:
            table = table[key]
        table[keys[-1]] = to

    return change


def _drop(*keys: str) -> Change:
    def change(told: dict[str, Any]) -> None:
        table = told
        for key in keys[:-1]:
            table = table[key]
        del table[keys[-1]]

    return change


_WRONG: list[tuple[str, Change]] = [
    ("digests: null is not what belongs here (accepted: a table)", _set("digests", to=None)),
    ("digests: [] is not what belongs here (accepted: a table)", _set("digests", to=[])),
    ("digests.cars: there is no such table (accepted: tasks, ", _set("digests", "cars", to="0")),
    ("digests.tasks: 3 is not what belongs here (accepted: a text)", _set("digests", "tasks", to=3)),
    ("digest: null is not what belongs here (accepted: a text)", _set("digest", to=None)),
    ("summary: [] is not what belongs here (accepted: a table)", _set("summary", to=[])),
    ('summary.slots: "4" is not what belongs here (accepted: an integer >= 0)', _set("summary", "slots", to="4")),
    ("summary.slots: true is not what belongs here", _set("summary", "slots", to=True)),
    ("summary.slots: null is not what belongs here", _set("summary", "slots", to=None)),
    ('summary.stable: "yes" is not what belongs here (accepted: true, false', _set("summary", "stable", to="yes")),
    ("summary.stable: {} is not what belongs here", _set("summary", "stable", to={})),
    ('summary.penalty_mean: "low" is not what', _set("summary", "penalty_mean", to="low")),
    ("summary.delay_s_mean: [1] is not what", _set("summary", "delay_s_mean", to=[1])),
    ("summary.decisions: an integer of 1329 bits is not what", _set("summary", "decisions", to=10**400)),
    ("summary.digest: 5 is not what belongs here (accepted: a text)", _set("summary", "digest", to=5)),
    ('status: "odd" is not one of the choices (accepted: running, complete, int', _set("status", to="odd")),
    ("status: null is not one of the choices", _set("status", to=None)),
    ("seed: -1 is out of range (accepted: greater than or equal to 0)", _set("seed", to=-1)),
    ("seed: true is not what belongs here (accepted: an integer)", _set("seed", to=True)),
    ("seed: 1.0 is not what belongs here (accepted: an integer)", _set("seed", to=1.0)),
    ("seed: is missing", _drop("seed")),
    ("policy: is empty (accepted: a text)", _set("policy", to="")),
    ('policy: ["random"] is not what belongs here (accepted: a text)', _set("policy", to=["random"])),
    ("policy: is missing", _drop("policy")),
    ("versions: 3 is not what belongs here (accepted: a table)", _set("versions", to=3)),
    ("versions.numpy: null is not what belongs here (accepted: a text)", _set("versions", "numpy", to=None)),
    ("inputs: null is not what belongs here (accepted: a table)", _set("inputs", to=None)),
    ("inputs.cars: there is no such input", _set("inputs", to={"cars": {"file": "inputs/cars.parquet"}})),
    ("inputs.link.file: is missing", _set("inputs", to={"link": {}})),
    ("scenario: is missing", _drop("scenario")),
    ('scenario: "dtecn" is not what belongs here (accepted: a table)', _set("scenario", to="dtecn")),
    ("schema_version: true is another version (accepted: 2, 3)", _set("schema_version", to=True)),
    ("schema_version: is missing", _drop("schema_version")),
]


@pytest.mark.parametrize(("said", "change"), _WRONG, ids=[said[:40] for said, _ in _WRONG])
def test_a_wrong_key_is_named(said: str, change: Change, edited: Path, original: Path) -> None:
    edit_manifest(edited, change)
    for command in ("check", "report"):
        assert call(command, edited, original).complaint().startswith(f"twin: {edited / 'manifest.json'}: {said}")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_so(command: str, edited: Path, original: Path) -> None:
    edit_manifest(edited, _set("digests", to=None))
    assert "manifest.json: digests: null is not what" in call(command, edited, original).complaint()


_WRONG_SCENARIO: list[tuple[str, Change]] = [
    ("scenario.mobility: 3 is not a table", _set("scenario", "mobility", to=3)),
    ("scenario.tasks: None is not a list", _set("scenario", "tasks", to=None)),
    ("scenario.tasks.0: 5 is not a table", _set("scenario", "tasks", to=[5])),
    ("scenario.radio: is missing", _drop("scenario", "radio")),
    ("scenario.cars: unknown key", _set("scenario", "cars", to=1)),
    ("scenario.vehicles.num_vehicle: ", _set("scenario", "vehicles", "num_vehicle", to=-1)),
    ("scenario.time.slot_duration_s: ", _set("scenario", "time", "slot_duration_s", to=0)),
    ("summary.slots: 3 is wrong (accepted: 4, as the tables have)", _set("summary", "slots", to=3)),
    ("summary.slots: 2000000000 is wrong", _set("summary", "slots", to=2_000_000_000)),
    ("inputs.mobility: is missing", _set("scenario", "mobility", "file", to="/etc/passwd")),
    (
        "inputs.mobility: is no file of the scenario (accepted: none",
        _set("inputs", to={"mobility": {"file": "inputs/mobility.parquet", "begin_s": 0}}),
    ),
    ("inputs.requests-9: is no file", _set("inputs", to={"requests-9": {"file": "inputs/requests-9.parquet"}})),
]


@pytest.mark.parametrize(("said", "change"), _WRONG_SCENARIO, ids=[said[:40] for said, _ in _WRONG_SCENARIO])
def test_a_scenario_that_cannot_be_is_named(said: str, change: Change, edited: Path, original: Path) -> None:
    edit_manifest(edited, change)
    for command in ("replay", "report"):
        assert call(command, edited, original).complaint().startswith(f"twin: {edited / 'manifest.json'}: {said}")


def _fewer(told: dict[str, Any]) -> None:
    told["scenario"]["vehicles"]["num_vehicle"] = 1


def _fewer_classes(told: dict[str, Any]) -> None:
    del told["scenario"]["tasks"][1:]


def _fewer_slots(told: dict[str, Any]) -> None:
    told["scenario"]["time"]["num_slot"] = 2


@pytest.mark.parametrize("change", [_fewer, _fewer_classes, _fewer_slots])
@pytest.mark.parametrize("command", READERS)
def test_rows_of_a_larger_scenario(command: str, change: Change, edited: Path, original: Path) -> None:
    edit_manifest(edited, change)
    said = call(command, edited, original).complaint()
    assert said.startswith(f"twin: {edited}/")
    assert ".parquet: " in said


_TEXTS: dict[str, tuple[bytes, str]] = {
    "nested": (b'{"a":' * 100_000, "is nested deeper than 40 levels"),
    "nested a little": (b'{"a":' * 50 + b"1" + b"}" * 50, "is nested deeper than 40 levels"),
    "lists": (b"[" * 100_000, "is nested deeper than 40 levels"),
    "not UTF-8": (b'{"policy": "\xff"}', "is not UTF-8: invalid start byte"),
    "twice": (b'{"seed": 1, "seed": 2}', "seed: is given twice (accepted: each key once)"),
    "NaN": (b'{"seed": NaN}', "is not JSON: NaN is no number"),
    "many digits": (b'{"seed": ' + b"9" * 5_000 + b"}", "is not JSON: Exceeds the limit"),
    "half a character": (b'{"policy": "\\ud800"}', "has a text with half a character"),
    "half a character in a key": (b'{"\\udfff": 1}', "has a text with half a character"),
    "empty": (b"", "is not JSON: Expecting value"),
    "a list": (b"[]", "[] is no manifest"),
}


@pytest.mark.parametrize(("text", "said"), _TEXTS.values(), ids=_TEXTS)
def test_what_is_no_manifest(text: bytes, said: str, edited: Path, original: Path) -> None:
    (edited / "manifest.json").write_bytes(text)
    told = call("report", edited, original).complaint()
    assert told.startswith(f"twin: {edited / 'manifest.json'}: {said}")
    assert len(told) < 400


def test_as_deep_as_may_be(tmp_path: Path) -> None:
    """A text lies one level deeper than the innermost table."""
    for depth, fits in ((DEPTH_MAX, True), (DEPTH_MAX + 1, False)):
        file = tmp_path / "x.json"
        file.write_text('{"a":' * (depth - 1) + '"x"' + "}" * (depth - 1), "utf-8")
        if fits:
            assert isinstance(read_json(file, "x"), dict)
        else:
            with pytest.raises(InputError, match="deeper"):
                read_json(file, "x")


def test_a_manifest_of_100_mb_is_not_read(edited: Path, original: Path) -> None:
    with (edited / "manifest.json").open("ab") as file:
        file.truncate(BYTES_MAX + 1)  # a hole takes no room
    assert (
        "manifest.json: has 64 MB (accepted: the manifest of a run, at most 64 MB)"
        in call("report", edited, original).complaint()
    )


def test_what_is_no_file_is_not_waited_for(edited: Path, original: Path) -> None:
    (edited / "manifest.json").unlink()
    os.mkfifo(edited / "manifest.json")
    assert "is not a run: it has no manifest.json" in call("report", edited, original).complaint()
    with pytest.raises(InputError, match="is not a regular file"):
        read_json(edited / "manifest.json", "x")
    (edited / "manifest.json").unlink()
    (edited / "manifest.json").symlink_to("manifest.json")
    assert "is not a run: it has no manifest.json" in call("report", edited, original).complaint()


@pytest.mark.parametrize("command", COMMANDS)
def test_what_may_be_missing(command: str, edited: Path, original: Path) -> None:
    """Keys that no command needs, and one of a later version."""

    def change(told: dict[str, Any]) -> None:
        del told["versions"], told["summary"]["stable"], told["summary"]["penalty_mean"]
        told["of_a_later_version"] = {"a": [1]}

    edit_manifest(edited, change)
    assert call(command, edited, original).code == 0


def test_huge_seeds_are_seeds(edited: Path, original: Path) -> None:
    """Another seed is another run, which a replay tells; it is no error."""
    edit_manifest(edited, _set("seed", to=10**300))
    assert call("replay", edited, original).code == 1
    assert call("report", edited, original).code == 0


def test_version_2(edited: Path) -> None:
    def change(told: dict[str, Any]) -> None:
        told["schema_version"] = 2
        del told["digests"]["entities"]

    edit_manifest(edited, change)
    assert check(str(edited)).ok
    assert twin("replay", edited).code == 0


def test_every_manifest_of_ours_is_valid(original: Path, tmp_path: Path) -> None:
    """Of a run that is going on, too; and nothing of what is written is checked away."""
    assert Trace(original).manifest == json.loads((original / "manifest.json").read_text("utf-8"))
    told = manifest_of(original)
    started = {key: value for key, value in told.items() if key not in {"digest", "digests", "summary"}}
    (tmp_path / "manifest.json").write_text(json.dumps(started | {"status": "running"}), "utf-8")
    assert Trace(tmp_path).manifest["status"] == "running"
