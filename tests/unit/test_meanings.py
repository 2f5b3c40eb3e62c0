"""Columns of a trace, keys of a summary and options of policies say what they are, and runs agree with that."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from physical.system import System
from policies.cases.file import CASES
from policies.meanings import Option, about, options
from policies.optimal.p2_exact import P2Exact
from policies.registry import PolicySpec, specs
from sim.runs.run import RunResult, run
from sim.runs.summary import ENTRIES
from sim.scenario.scenario import Scenario
from sim.scenario.sources import names
from sim.show.terminal import GROUPS
from tests.support.command import twin
from traces.exogenous import schema as exogenous
from traces.schema import TABLES, Table
from twin.decision import Decision, Diagnostics, Prompt
from twin.snapshot import TwinSnapshot

pytestmark = pytest.mark.full

OTHERS = (exogenous.MOBILITY, exogenous.REQUESTS, exogenous.LINK, CASES)
WHENEVER = {name for name, entry in ENTRIES.items() if not entry.when}
_NUM_SLOT = 12


@cache
def short(name: str) -> RunResult:
    """Return a short run of a built-in scenario."""
    return run(Scenario.load(name, [f"time.num_slot={_NUM_SLOT}", "trace.messages=true"]), seed=1)


@dataclass
class Talkative:
    """Says all that a policy can say, fails once, and cannot be closed."""

    exact: P2Exact = field(default_factory=P2Exact)

    def reset(self, system: System, seed: int) -> None:
        """Begin."""
        self.exact.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Decide as `p2-exact`, but for one slot."""
        if snapshot.slot == 1:
            raise ValueError("no")
        return self.exact.decide(snapshot)

    def diagnostics(self) -> Diagnostics:
        """Say that a language model was asked."""
        return Diagnostics(gap=0.5, model="eq. 9", prompt=Prompt("0a", 1, 2, 1, 1, True, 0.1, 0.1))

    def close(self) -> None:
        """Fail."""
        raise ValueError("stuck")


def talkative() -> RunResult:
    return run(Scenario.load("dtecn", ["time.num_slot=3"]), policy=Talkative(), seed=1, speed=1e6)


def is_phrase(words: str) -> bool:
    return bool(words) and words == words.strip(" .") and "``" not in words and words.count('"') % 2 == 0


@pytest.mark.parametrize("table", [*TABLES.values(), *OTHERS], ids=lambda table: table.name)
def test_tables_and_columns_have_meanings(table: Table) -> None:
    assert [column.name for column in table.columns if not is_phrase(column.about)] == []
    assert table.about[0].isupper()
    assert table.about.endswith(".")


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_files_hold_units_and_no_meanings(table: Table) -> None:
    """A meaning may be reworded: neither the bytes of a trace nor its digest change with it."""
    schema = table.schema()
    assert schema.metadata == {b"vectwin_schema": b"3", b"table": table.name.encode()}
    assert {column.name: {b"unit": column.unit.encode()} for column in table.columns} == {
        field.name: field.metadata for field in schema
    }


def has_nan(values: pa.ChunkedArray) -> bool:
    return pa.types.is_floating(values.type) and bool(pc.any(pc.is_nan(values)).as_py())


@pytest.mark.parametrize("name", names())
def test_nothing_is_null_or_nan_untold(name: str) -> None:
    result = short(name)
    for table in TABLES.values():
        rows = result.table(table.name)
        for column in table.columns:
            told, values = f"{column.about} {table.about}", rows.column(column.name)
            assert not values.null_count or "null" in told, (table.name, column.name)
            assert not has_nan(values) or "NaN" in told, (table.name, column.name)


def test_what_is_said_of_jobs_holds() -> None:
    """Of a task that nothing has started, frequency and layers are null, and energies 0."""
    settings = ["time.num_slot=3", "twin.decision.latency=1000", "twin.command.missing=wait"]
    jobs = run(Scenario.load("llm6g", settings), seed=1).table("jobs")
    held = jobs.filter(pc.is_null(jobs.column("local_frequency_hz")))
    assert held.num_rows > 0
    assert held.column("layers_local").null_count == held.num_rows
    assert np.all(held.column("energy_local_j").to_numpy() == 0.0)


def test_what_is_said_of_errors_holds() -> None:
    """Positions have a distance, gains an estimate minus truth, both at the start of the slot of the decision."""
    settings = ["time.num_slot=5", "twin.bias.position_m=-3", "twin.bias.channel_gain_db=-2"]
    twin = run(Scenario.load("dtecn", settings), seed=1).table("twin")
    assert np.allclose(twin.column("position_error_m").to_numpy(), 3.0, atol=1e-4)
    assert np.allclose(twin.column("channel_gain_error_db").to_numpy(), -2.0, atol=1e-4)


@pytest.mark.parametrize("name", names())
def test_summaries_hold_what_is_described(name: str) -> None:
    found = short(name).summary
    assert WHENEVER <= set(found) <= set(ENTRIES)


def test_every_described_key_is_in_some_summary() -> None:
    told = talkative().summary
    assert set(told) | set(short("llm6g").summary) == set(ENTRIES)
    assert told["not_closed"]
    assert told["fallback_first"].startswith("slot 1: ")


def test_keys_are_described_in_their_order() -> None:
    for summary in (talkative().summary, short("llm6g").summary):
        assert list(summary) == [name for name in ENTRIES if name in summary]


def test_keys_have_meanings() -> None:
    assert [name for name, entry in ENTRIES.items() if entry.name != name or not is_phrase(entry.about)] == []


def test_what_is_shown_is_described() -> None:
    shown = {name: unit for group in GROUPS.values() for name, (_, unit) in group.items()}
    of_terminals = {"per slot", "ratio"}
    for name, unit in shown.items():
        assert unit == ENTRIES[name].unit or (unit in of_terminals and not ENTRIES[name].unit), name


OURS = [spec for spec in specs().values() if isinstance(spec.target, str) and spec.target.startswith("policies.")]


@pytest.mark.parametrize("spec", OURS, ids=lambda spec: spec.name)
def test_options_have_meanings(spec: PolicySpec) -> None:
    if not spec.installed:
        pytest.skip(f"the extra {spec.extra} is not installed")
    assert about(spec).endswith(".")
    assert "Parameters" not in about(spec)
    for option in options(spec):
        assert is_phrase(option.about), option.name
        assert option.form, option.name
        unsaid = [choice for choice in option.form.split(" | ")[1:] if choice not in option.about]
        assert not unsaid or option.name == "method", (option.name, unsaid)


@dataclass
class Own:
    """Decides nothing.

    Not even here.

    part : of something,
        as long as it lasts
    """

    part: float
    file: str = ""
    grow: bool = True

    def reset(self, system: System, seed: int) -> None:
        """Begin."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Not implemented."""
        raise NotImplementedError


def test_a_policy_of_ones_own_is_described() -> None:
    spec = PolicySpec("own", Own, "")
    assert about(spec) == "Decides nothing.\n\nNot even here."
    found = options(spec)
    assert found[0] == Option("part", "number", None, True, "of something, as long as it lasts")
    assert [option.words for option in found[1:]] == ["(text)", "(true or false; by default true)"]


def test_a_function_is_described() -> None:
    def made(ratio=0.5):  # type: ignore[no-untyped-def]  # as somebody else may write one
        return ratio

    spec = PolicySpec("made", made, "")
    assert about(spec) == ""
    assert [option.words for option in options(spec)] == ["(text; by default 0.5)"]


def test_command_shows_options() -> None:
    lines = twin("policies", "p2-exact").out.splitlines()
    assert lines[0] == "p2-exact: dtecn: the optimum of the slot, with a certified gap"
    assert lines[-3].startswith("margin     part of every deadline kept back for a bias")
    told = twin("policies", "nearest-case", "--json").json()
    assert told["about"].startswith("Copies the decision of the case that is most like the slot")
    assert [option["name"] for option in told["options"]] == ["file", "teacher", "start", "grow"]
    assert all(option["about"] for option in told["options"])


def test_settings_go_with_a_scenario() -> None:
    complaint = twin("policies", "p2-exact", "--set", "time.num_slot=3").complaint()
    assert complaint.startswith("twin: --set: goes with a scenario only")
