"""The reference of keys: complete, with a meaning each, as strict as what reads scenarios, printed by ``twin keys``."""

from __future__ import annotations

import io
import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from rich.console import Console

from physical.docstrings import meanings
from physical.errors import InputError
from physical.text_table import listing
from sim.scenario.keys import Key, keys, tables
from sim.scenario.scenario import Scenario
from sim.scenario.sources import names
from sim.scenario.tables import ScenarioTables
from tests.support.command import twin


def leaves(value: Any, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of everything in a scenario file that is no table; items of lists are item 0."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list) and all(isinstance(item, dict) for item in value):
        for item in value:
            yield from leaves(item, f"{prefix}.0")
    else:
        yield prefix


@pytest.mark.parametrize("name", names())
def test_what_scenarios_say_is_listed(name: str) -> None:
    told = set(leaves(tomllib.loads((files("sim.scenario") / "builtin" / f"{name}.toml").read_text("utf-8"))))
    told |= set(leaves(Scenario.load(name).model_dump(mode="json", exclude_none=True)))
    assert len(told) > 50
    assert told <= {key.name for key in keys()}


def test_no_key_is_listed_twice() -> None:
    listed = [key.name for key in keys()]
    assert len(listed) == len(set(listed)) > 200


def test_a_key_tells_what_it_takes() -> None:
    found = {key.name: key for key in keys()}
    speed = found["mobility.speed_mps"]
    assert (speed.count, speed.unit, speed.low, speed.high, speed.default) == ("2", "m/s", 0, 299_792_458, [10, 15])
    assert found["vehicles.cpu_hz"].words == "1 or more of 1 to 1e+15 Hz; must be given"
    assert found["timeline.0.node"].kind == "node-down, node-up"
    assert found["timeline.0.kind"].choices[:2] == ("node-down", "node-up")
    assert found["twin.decision.latency"].accepted == "zero | measured | 0 to 140737 s"
    walk = found["twin.bias.position_m.step_std"]
    assert (walk.kind, walk.unit, walk.low, walk.high) == ("random-walk", "m", 0, 1e8)
    assert found["rsus.0.server.gpu.num_core"].form == "integer"
    assert found["vehicles.kappa"].unit == "W/Hz^3"


@pytest.mark.parametrize(
    ("prefix", "names_"),
    [
        ("time", ["time.slot_duration_s", "time.num_slot"]),
        ("time.num_slot", ["time.num_slot"]),
        ("rsus.3.name", ["rsus.0.name"]),
    ],
)
def test_prefix_selects(prefix: str, names_: list[str]) -> None:
    assert [key.name for key in keys(prefix)] == names_
    assert [entry["name"] for entry in twin("keys", prefix, "--json").json()["keys"]] == names_


@pytest.mark.parametrize(
    ("prefix", "near"), [("radoi", "radio"), ("radio.bandwith_hz", "radio.bandwidth_hz"), ("tim", "time")]
)
def test_unknown_prefix_names_the_nearest(prefix: str, near: str) -> None:
    with pytest.raises(InputError, match=rf"there is no key '{prefix}'; did you mean {near}\?"):
        keys(prefix)
    assert (
        twin("keys", prefix).complaint().startswith(f"twin: PREFIX: there is no key '{prefix}'; did you mean {near}?")
    )


def test_command_lists_a_line_each() -> None:
    lines = twin("keys", "trace").out.splitlines()
    assert [line.split()[0] for line in lines] == ["trace.messages", "trace.part_rows", "trace.part_seconds"]
    told = "task rows after which a part of the trace is closed (1 to 100000000; by default 300000)"
    assert lines[1].split(maxsplit=1)[1] == told


@pytest.mark.parametrize("width", [80, 120])
def test_the_listing_is_as_wide_as_the_terminal(width: int) -> None:
    written = io.StringIO()
    listing(
        Console(width=width, file=written, highlight=False),
        [(key.name, f"{key.about} ({key.words})") for key in keys()],
    )
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert {key.name for key in keys()} <= {line.split()[0] for line in lines}


def told_of_tables() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each table class and its part of the JSON schema."""
    schema = ScenarioTables.model_json_schema()
    yield "ScenarioTables", schema
    yield from schema["$defs"].items()
    yield from ((one["title"], one) for one in schema["properties"]["mobility"]["oneOf"])


def test_every_key_has_a_meaning() -> None:
    assert [key.name for key in keys() if not key.about] == []
    assert [name for name, about in tables().items() if not about] == []


def test_a_meaning_is_a_phrase() -> None:
    for key in keys():
        words = key.about
        assert words == words.strip(" ."), key.name
        assert "``" not in words, key.name
        assert words.count('"') % 2 == words.count("`") % 2 == words.count("(") - words.count(")") == 0, key.name
        assert not set("[]") & set(key.source), key.name


def test_a_choice_is_explained() -> None:
    """Every text that a key takes stands in its meaning, but for the links and names of rules that say themselves."""
    obvious = {"timeline.0.link", "twin.command.missing"}
    for key in keys():
        unsaid = [choice for choice in key.choices if f'"{choice}"' not in key.about]
        assert not unsaid or key.name in obvious, (key.name, unsaid)


def test_sources_are_of_known_places() -> None:
    place = r"(?:dtecn|llm6g) (?:eq\. \d+|sec\. [IV]+(?:-[A-Z])?|Table I)(?: \([^()]+\))?"
    known = re.compile(rf"{place}|our choice|SUMO|Gudmundson|Neely 2010|3GPP TR 36\.942")
    for key in keys():
        assert all(known.fullmatch(part) for part in key.source.split(", ") if key.source), (key.name, key.source)
    assert {key.name: key.source for key in keys("radio")}["radio.noise_figure_db"] == "our choice"


def test_docstrings_name_keys_that_exist() -> None:
    for name, table in told_of_tables():
        assert set(meanings(table["description"])) <= set(table["properties"]), name


def test_every_key_is_told_where_it_stands() -> None:
    """A key whose value is a plain one has a line in its class's docstring, or a description of its own."""
    for name, table in told_of_tables():
        told = meanings(table["description"])
        for key, value in table["properties"].items():
            is_table = "$ref" in value or any("$ref" in form for form in value.get("anyOf", ()))
            if "const" not in value and not is_table and value.get("type") != "array":
                assert told.get(key) or value.get("description"), f"{name}.{key}"


def test_kinds_have_meanings_of_their_own() -> None:
    found = {key.name: key for key in keys("timeline")}
    assert found["timeline.0.kind"].about.startswith('which of these: "node-down": a serving node fails at')
    fails, back = found["timeline.0.node"].about.split("; ")
    assert fails.startswith('with "node-down", name of the node that fails')
    assert back.startswith('with "node-up", name of the node that is back')
    assert found["timeline.0.latency_s"].kind == "link"
    assert tables()["timeline.0 (burst)"] == "Tasks are larger for a while"


def test_command_has_all_fields() -> None:
    (entry,) = twin("keys", "radio.bandwidth_hz", "--json").json()["keys"]
    assert entry["about"].startswith("bandwidth of a vehicle's uplink")
    assert entry["source"] == "dtecn eq. 2 (w), dtecn Table I, llm6g eq. 10 (b_max), llm6g sec. IV-A"
    assert set(entry) == set(Key("").to_dict())


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("vehicles.cpu_hz=1e300", "1e+300 is out of range (accepted: 1 to 1e+15 Hz)"),
        ("vehicles.kappa=1e300", "1e+300 is out of range (accepted: 0 to 1 W/Hz^3)"),
        ("network.access.latency_s=1e9", "is out of range (accepted: 0 to 140737 s, the range of the clock)"),
        (
            "twin.bias.channel_gain_db={kind='random-walk', step_std=301}",
            "301 is out of range (accepted: -300 to 300 dB)",
        ),
        ("tasks.0.size_bytes=['1 kB', '2 PB']", "'2 PB' is not in B"),
        ("vehicles.report_interval=0", "0 is out of range (accepted: 1 to 10000000, what a machine holds)"),
    ],
)
def test_a_value_out_of_range_is_one_line(setting: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        Scenario.load("dtecn", [setting])
    assert str(caught.value).startswith(f"--set: {setting.partition('=')[0]}")
    assert told in str(caught.value)
