"""A folder from a stranger: nothing in it is run, no file outside it is read, and no name in it becomes a command."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import zipfile
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from physical.printable import printable
from sim import compare, run
from sim.scenario.scenario import Scenario
from sim.show.figures.comparison import draw_comparison
from tests.support.command import twin
from tests.support.edited import COMMANDS, READERS, call, edit_column, edit_manifest, manifest_of, part_of
from traces.schema import TABLES

NASTY = "</script><script>alert(1)</script><!-- \"><img src=x onerror=alert(1)> '$x_1$ \u2028\u202e\x1b[31m\x07&amp;"
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "'=1")
NUM_VEHICLE = 2


def _scenario(name: str) -> Scenario:
    data = Scenario.load("dtecn", ["time.num_slot=4", "vehicles.num_vehicle=2"]).model_dump(mode="json")
    data["title"] = name
    data["tasks"] = [data["tasks"][0] | {"name": name}]
    data["base_station"] = {"position_m": [0.0, 0.0]}
    data["rsus"] = [{"name": name, "position_m": [300.0, 0.0]}]
    data["timeline"] = [{"kind": "node-down", "node": name, "at_s": 0.15}]
    return Scenario.from_dict(data)


def _named(directory: Path, name: str) -> Path:
    """Make a run in which everything that has a name is called so."""
    run(_scenario(name), policy="local-only", seed=1, out=directory)
    edit_manifest(directory, lambda told: told.update(policy=name, versions={name: name}, digest=name))
    (directory / "entities").mkdir()
    rows = {"vehicle": list(range(NUM_VEHICLE)), "vehicle_id": [name] * NUM_VEHICLE, "kind": [name] * NUM_VEHICLE}
    pq.write_table(pa.table(rows, schema=TABLES["entities"].schema()), directory / "entities" / "part-00000.parquet")
    edit_column(directory, "events", "kind", lambda values: [name] * len(values))
    edit_column(directory, "events", "detail", lambda values: [name] * len(values))
    edit_column(directory, "tasks", "outcome", lambda values: [name] * len(values))
    edit_column(directory, "decisions", "model", lambda values: [name] * len(values))
    return directory


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _named(tmp_path_factory.mktemp("nasty") / "run", NASTY)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _named(tmp_path_factory.mktemp("plain") / "run", "plain")


@pytest.fixture
def edited(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "edited"))


# ------------------------------------------------------------------------------------------ what a page and a plot say


class _Elements(HTMLParser):
    """Counts elements with the names of their attributes, and keeps the data of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: Counter[tuple[str, ...]] = Counter()
        self.data = ""
        self._in_data = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag, *(name for name, _ in attrs)] += 1
        self._in_data = ("id", "data") in attrs

    def handle_endtag(self, tag: str) -> None:
        self._in_data = self._in_data and tag != "script"

    def handle_data(self, data: str) -> None:
        self.data += data if self._in_data else ""


@pytest.mark.parametrize("several", [False, True])
def test_a_page_has_the_same_elements_whatever_things_are_called(
    several: bool, nasty: Path, plain: Path, tmp_path: Path
) -> None:
    pages = []
    for directory in (nasty, plain):
        runs = [directory] * (2 if several else 1)
        assert twin("report", *runs, "--out", tmp_path / "x.html").code == 0
        pages.append((tmp_path / "x.html").read_text("utf-8"))
    found = [_Elements(page) for page in pages]
    assert found[0].found == found[1].found
    assert not any("onerror" in attributes or tag == "img" for tag, *attributes in found[0].found)
    assert NASTY in json.dumps(json.loads(found[0].data), ensure_ascii=False).replace('\\"', '"').replace(
        "\\u001b", "\x1b"
    ).replace("\\u0007", "\x07")
    assert not re.search("[<>&\u2028\u2029]", found[0].data)


def test_pages_and_plots_of_comparisons(tmp_path: Path) -> None:
    pages: list[Counter[tuple[str, ...]]] = []
    for name in (NASTY, "plain"):
        out = tmp_path / str(len(pages))
        found = compare(_scenario(name), {name: "local-only", "edge-equal": "edge-equal"}, seeds=[1, 2], out=out)
        assert twin("report", out, "--maps", 1).code == 0
        pages.append(_Elements((out / "report.html").read_text("utf-8")).found)
        draw_comparison(found, name, tmp_path / "x.svg")
        assert "script" not in {
            element.tag.rpartition("}")[2] for element in ElementTree.parse(tmp_path / "x.svg").iter()
        }
        assert "\x1b" not in repr(found)
    assert pages[0] == pages[1]


def test_trace_events_are_json(nasty: Path, tmp_path: Path) -> None:
    assert twin("export", nasty, "--to", "perfetto", "--out", tmp_path / "x.json").code == 0
    told = json.loads((tmp_path / "x.json").read_text("utf-8"))["traceEvents"]
    assert f"vehicle {NASTY}" in {event["args"].get("name") for event in told if event["ph"] == "M"}
    assert {NASTY} == {event["name"] for event in told if event.get("cat") == "event"}


# ---------------------------------------------------------------------------------------------- what a terminal is told


def test_what_is_printable() -> None:
    """Every character that a terminal obeys, and no letter of any script."""
    for code in (*range(32), *range(0x7F, 0xA0), 0x202E, 0x2066, 0x2028, 0xD800):
        shown = printable(f"a{chr(code)}b")
        assert shown.isascii()
        assert shown.isprintable()
    assert printable("Größe 大小 \u200d🚗") == "Größe 大小 \u200d🚗"


@pytest.mark.parametrize("command", COMMANDS)
def test_no_name_commands_the_terminal(command: str, nasty: Path, plain: Path, tmp_path: Path) -> None:
    run_ = tmp_path / "a\x1b[2Jb"
    shutil.copytree(nasty, run_)
    done = call(command, run_, plain)
    assert done.code in (0, 1)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", done.out + done.err)
    (run_ / "manifest.json").unlink()
    assert call(command, run_, plain).complaint().startswith(f"twin: {tmp_path}/a\\x1b[2Jb: is not a run")


def test_no_text_of_a_file_does_in_an_error(edited: Path, plain: Path) -> None:
    edit_manifest(edited, lambda told: told.update(status="\x1b[31m", policy="\x07"))
    assert "\x1b" not in call("report", edited, plain).complaint()
    edit_manifest(edited, lambda told: told.update(status="complete", scenario={"\x1b]0;x\x07": 1}))
    assert "scenario.\\x1b]0;x\\x07: unknown key" in call("report", edited, plain).complaint()


# ---------------------------------------------------------------------------------------------- what a spreadsheet runs


def test_no_text_in_a_csv_file_is_a_formula(edited: Path, tmp_path: Path) -> None:
    rows = {
        "time_ns": list(range(len(FORMULAS) + 1)),
        "kind": [*FORMULAS, "plain"],
        "slot": [0] * (len(FORMULAS) + 1),
        "detail": [*FORMULAS, "a=1, -2"],
    }
    pq.write_table(pa.table(rows, schema=TABLES["events"].schema()), part_of(edited, "events"))
    assert twin("export", edited, "--to", "csv", "--out", tmp_path / "x.zip").code == 0
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        read = csv.DictReader(io.StringIO(archive.read("events.csv").decode(), newline=""))
        found = list(read)
        slots = list(csv.DictReader(io.StringIO(archive.read("slots.csv").decode())))
    for key in ("kind", "detail"):
        assert [row[key] for row in found[:-1]] == ["'" + text for text in FORMULAS]
    assert (found[-1]["kind"], found[-1]["detail"]) == ("plain", "a=1, -2")
    # Numbers stay numbers, also those below 0.
    drift = pq.read_table(part_of(edited, "slots")).column("drift").to_pylist()
    assert [float(row["drift"]) for row in slots] == pytest.approx(drift)


# --------------------------------------------------------------------------------------------- files and code of others


@pytest.mark.parametrize(
    "file", ["../../etc/passwd", "/etc/passwd", "inputs/../manifest.json", "inputs/link.parquet", ""]
)
def test_an_input_is_never_another_file(file: str, edited: Path, plain: Path) -> None:
    def change(told: dict[str, Any]) -> None:
        told["scenario"]["mobility"]["file"] = "town.parquet"
        told["inputs"] = {"mobility": {"file": file, "begin_s": 0.0}}

    edit_manifest(edited, change)
    said = (
        f'{edited / "manifest.json"}: inputs.mobility.file: "{file}" is no file of the run (accepted: inputs/mobility.p'
    )
    for command in ("replay", "report", "check"):
        assert call(command, edited, plain).complaint().startswith(f"twin: {said}")


def test_an_input_that_is_a_link_to_another_file(edited: Path, plain: Path, tmp_path: Path) -> None:
    def change(told: dict[str, Any]) -> None:
        told["scenario"]["mobility"]["file"] = "town.parquet"
        told["inputs"] = {"mobility": {"file": "inputs/mobility.parquet", "begin_s": 0.0}}

    edit_manifest(edited, change)
    (tmp_path / "secret").write_text("t_ns,entity_id\n", "utf-8")
    (edited / "inputs").mkdir()
    (edited / "inputs" / "mobility.parquet").symlink_to(tmp_path / "secret")
    for command in ("replay", "report", "check"):
        assert "mobility.parquet: is a link to a file outside the run" in call(command, edited, plain).complaint()


@pytest.mark.parametrize("kind", ["device", "pipe", "folder"])
def test_a_scenario_names_nothing_that_may_never_end(kind: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    file = {"device": "/dev/zero", "pipe": str(tmp_path / "pipe.csv"), "folder": str(tmp_path)}[kind]
    data = Scenario.load("dtecn").model_dump(mode="json")
    del data["vehicles"]["num_vehicle"]
    with pytest.raises(InputError, match="is not a regular file"):
        Scenario.from_dict({**data, "mobility": {"kind": "trace", "file": file}})
    data["vehicles"]["num_vehicle"] = 2
    data["radio"]["rate_file"] = file
    with pytest.raises(InputError, match="is not a regular file"):
        run(Scenario.from_dict(data))


_PLACES = ("policy", "fallback", "name", "timeline")


@pytest.mark.parametrize("place", _PLACES)
@pytest.mark.parametrize("form", ["{file}:Evil", "evil_module:Evil", "./evil_module.py:Evil,a=1"])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_that_a_run_names_is_imported(
    command: str, form: str, place: str, edited: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code lies in the folder, which is the current one and where Python looks for modules, too."""
    (edited / "evil_module.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\nclass Evil: pass\n", "utf-8")
    monkeypatch.chdir(edited)
    monkeypatch.syspath_prepend(str(edited))
    text = form.format(file=edited / "evil_module.py")

    def change(told: dict[str, Any]) -> None:
        if place == "policy":
            told["policy"] = text
        elif place == "timeline":
            told["scenario"]["timeline"] = [{"kind": "policy", "name": text, "at_s": 0.1}]
        else:
            told["scenario"]["policy"][place] = text

    edit_manifest(edited, change)
    done = call(command, edited, plain)
    assert done.code in (0, 1, 2)
    assert not (tmp_path / "run").exists()
    if place == "fallback" and command in ("replay", "what-if", "branch"):
        assert done.code == 2


@pytest.mark.parametrize("command", READERS)
def test_no_pickle_and_no_type_of_others_is_loaded(command: str, edited: Path, plain: Path, tmp_path: Path) -> None:
    path, mark = part_of(edited, "slots"), tmp_path / "unpickled"
    rows = pq.read_table(path)
    told = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": f"cbuiltins\nopen\n(S'{mark}'\nS'w'\ntR.".encode(),  # opens it when unpickled
    }
    fields = [field.with_metadata(told) if field.name == "drift" else field for field in rows.schema]
    pq.write_table(rows.cast(pa.schema(fields, {b"pandas": b"{", b"huggingface": b"\xff"})), path)
    assert call(command, edited, plain).code in (0, 1, 2)
    assert not mark.exists()


def test_keys_of_a_comparison_are_no_paths(tmp_path: Path) -> None:
    out = tmp_path / "c"
    compare(_scenario("plain"), ["local-only"], seeds=[1], out=out)
    told = json.loads((out / "compare.json").read_text("utf-8"))
    for key in ("../../run", "/etc/passwd", "a/b", "", "..", "0" * 65):
        told["results"]["local-only"] = [key]
        (out / "compare.json").write_text(json.dumps(told), "utf-8")
        assert "compare.json: results.local-only.0: " in twin("report", out).complaint()


def test_what_the_fixture_is_for(nasty: Path) -> None:
    """All names went into the run, so the tests above look at them."""
    assert manifest_of(nasty)["scenario"]["tasks"][0]["name"] == NASTY
    assert pq.read_table(part_of(nasty, "events")).num_rows
