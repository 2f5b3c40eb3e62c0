"""What differs between a record and its replay is found and named: table, row, column, both values."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim import run
from sim.runs.replay import verify
from tests.support.command import twin
from tests.support.scenarios import make_scenario
from traces.diff import Difference, first_difference
from traces.reader import Trace
from traces.schema import TABLES

pytestmark = pytest.mark.full

NUM_SLOT = 12
SETTINGS = (f"time.num_slot={NUM_SLOT}", "trace.messages=true", "trace.part_rows=20", "trace.part_seconds=1e-9")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("runs") / "run"
    run(make_scenario(*SETTINGS), policy="random", seed=1, out=directory)
    assert len(list((directory / "tasks").iterdir())) > 2
    assert verify(directory).difference is None
    return directory


@pytest.fixture
def damaged(original: Path, tmp_path: Path) -> Path:
    """Return a copy to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "run"))


def part_with(directory: Path, name: str, slot: int) -> Path:
    """Return the part of a table that holds a slot."""
    for path in sorted((directory / name).glob("part-*.parquet")):
        if slot in pq.read_table(path).column("slot").to_pylist():
            return path
    raise AssertionError(f"no part of {name} holds slot {slot}")


Row = dict[str, Any]


def rewrite(directory: Path, name: str, slot: int, change: Callable[[list[Row]], list[Row]]) -> None:
    """Change the rows of the part that holds a slot."""
    path = part_with(directory, name, slot)
    rows = change(pq.read_table(path).to_pylist())
    pq.write_table(pa.Table.from_pylist(rows, schema=TABLES[name].schema()), path)


def flipped(key: Row, column: str, value: Callable[[Any], Any], seen: list[Any]) -> Callable[[list[Row]], list[Row]]:
    """Return what changes one value; `seen` gets the values before and after."""

    def change(rows: list[Row]) -> list[Row]:
        (row,) = [row for row in rows if all(row[name] == item for name, item in key.items())]
        seen.extend([row[column], value(row[column])])
        row[column] = seen[1]
        return rows

    return change


FLIPS: list[tuple[str, Row, str, Callable[[Any], Any]]] = [
    ("tasks", {"slot": 5, "vehicle": 2, "task_class": 1}, "done_ns", lambda ns: ns + 1),
    ("tasks", {"slot": 0, "vehicle": 0, "task_class": 0}, "size_bytes", lambda size: size + 1),
    ("tasks", {"slot": 7, "vehicle": 1, "task_class": 0}, "outcome", lambda outcome: "dropped: result"),
    ("tasks", {"slot": 8, "vehicle": 1, "task_class": 0}, "arrived_ns", lambda ns: None),
    ("vehicles", {"slot": 4, "vehicle": 1}, "x_m", lambda x: math.nextafter(x, math.inf) + 0.001),
    ("vehicles", {"slot": 11, "vehicle": 2}, "serving_node", lambda node: None),
    ("twin", {"slot": 3, "vehicle": 0}, "age_of_information_s", lambda age: age + 1e-9),
    ("slots", {"slot": 6}, "qos", lambda qos: qos * (1 + 1e-15)),
    ("messages", {"slot": 2, "kind": "report", "vehicle": 1}, "delivered_ns", lambda ns: ns + 1),
]


@pytest.mark.parametrize(("name", "key", "column", "value"), FLIPS)
def test_flipped_value_is_named(damaged: Path, name: str, key: Row, column: str, value: Callable[[Any], Any]) -> None:
    seen: list[Any] = []
    rewrite(damaged, name, key["slot"], flipped(key, column, value, seen))
    before, after = ("nothing" if item is None else repr(item) for item in as_stored(name, column, seen))
    where = ", ".join(f"{part} {item}" for part, item in key.items())
    done = twin("replay", damaged)
    assert (done.code, done.err) == (1, "")
    assert done.out == f"{damaged}: differs: {name}: {where}: {column}: recorded {after}, replayed {before}\n"
    found = twin("replay", damaged, "--json").json()
    assert found["identical"] is False
    assert found["difference"]["row"] == key
    assert (found["difference"]["table"], found["difference"]["column"]) == (name, column)


def as_stored(name: str, column: str, values: list[Any]) -> list[Any]:
    field = TABLES[name].schema().field(column)
    return [item.as_py() for item in pa.array(values, field.type)]


def test_latency_is_followed_and_shows_in_the_messages(damaged: Path) -> None:
    rewrite(damaged, "decisions", 9, flipped({"slot": 9}, "latency_ns", lambda ns: ns + 1, []))
    where = {"slot": 9, "kind": "command", "vehicle": 0}
    assert verify(damaged).difference == Difference("messages", where, "sent_ns", 900_000_000, 900_000_001)


def test_what_the_replay_takes_from_the_record_is_checked_too(damaged: Path) -> None:
    """A policy's own claims are copied into the replay; the digest of the table tells that they were changed."""
    rewrite(damaged, "decisions", 6, flipped({"slot": 6}, "gap", lambda _: 0.25, []))
    difference = verify(damaged).difference
    assert difference is not None
    assert (difference.table, difference.column) == ("decisions", "digest")
    assert difference.recorded == Trace(damaged).manifest["digests"]["decisions"]
    done = twin("replay", damaged)
    assert done.code == 1
    assert f"{damaged}: differs: decisions: rows all: digest: recorded " in done.out


def test_swapped_decisions_are_named(damaged: Path) -> None:
    """Two decisions change places, each with its own belief."""
    rows = {row["slot"]: row["offloading_ratio"] for row in Trace(damaged).table("decisions").to_pylist()}

    def swap(slot: int, other: int) -> None:
        rewrite(damaged, "decisions", slot, flipped({"slot": slot}, "offloading_ratio", lambda _: rows[other], []))

    swap(3, 6)
    swap(6, 3)
    difference = verify(damaged).difference
    assert difference is not None
    # The replay decides as the record says: what the policy expected of it, and did not, is the first to differ.
    assert (difference.table, difference.row, difference.column) == ("decisions", {"slot": 3}, "objective_predicted")
    assert twin("replay", damaged).code == 1


def test_other_ratio_shows_in_the_tasks(damaged: Path) -> None:
    """A decision is changed, and what is said of it as well: then the tasks tell."""
    ratio = Trace(damaged).table("decisions").to_pylist()[4]["offloading_ratio"]
    halved = [0.5 * ratio[0], *ratio[1:]]
    rewrite(damaged, "decisions", 4, flipped({"slot": 4}, "offloading_ratio", lambda _: halved, []))
    difference = verify(damaged).difference
    assert difference is not None
    assert difference.column == "objective_predicted"
    seen: list[Any] = []
    replayed = difference.replayed
    rewrite(damaged, "decisions", 4, flipped({"slot": 4}, "objective_predicted", lambda _: replayed, seen))
    assert verify(damaged).difference == Difference(
        "tasks", {"slot": 4, "vehicle": 0, "task_class": 0}, "offloading_ratio", ratio[0], halved[0]
    )


@pytest.mark.parametrize("name", ["tasks", "vehicles", "decisions", "slots"])
@pytest.mark.parametrize("left", [0, 4, 0.5, -1])
def test_truncated_part_is_named(damaged: Path, name: str, left: float) -> None:
    path = sorted((damaged / name).iterdir())[1]
    content = path.read_bytes()
    path.write_bytes(content[: int(left * len(content)) if 0 < left < 1 else int(left)])
    for arguments in (("replay",), ("replay", "--policy", "local-only"), ("branch", "--at", 0.1, "--policy", "random")):
        line = twin(arguments[0], damaged, *arguments[1:]).complaint()
        assert line.startswith(f"twin: {path}: cannot be read: ")


@pytest.mark.parametrize("name", ["tasks", "vehicles", "twin", "decisions", "slots", "messages"])
@pytest.mark.parametrize("which", [0, 1, -1])
def test_deleted_part_is_named(damaged: Path, name: str, which: int) -> None:
    path = sorted((damaged / name).iterdir())[which]
    first = pq.read_table(path).column("slot").to_pylist()[0]
    path.unlink()
    done = twin("replay", damaged)
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith(f"{damaged}: differs: {name}: slot {first}")
    assert done.out.endswith("the record has no such row\n")


def test_row_out_of_nowhere_is_named(damaged: Path) -> None:
    rewrite(damaged, "messages", 5, lambda rows: [*rows, {**rows[0], "slot": 5, "kind": "zz"}])
    done = twin("replay", damaged)
    assert done.code == 1
    assert "messages: slot 5, kind zz, vehicle" in done.out
    assert done.out.endswith("the replay has no such row\n")


def test_order_of_rows_and_parts_does_not_matter(damaged: Path) -> None:
    for name in ("tasks", "decisions", "vehicles"):
        rewrite(damaged, name, 5, lambda rows: rows[::-1])
        parts = sorted((damaged / name).iterdir())
        parts[0].rename(damaged / name / "part-99999.parquet")
    assert verify(damaged).difference is None


def test_another_seed_is_named(damaged: Path) -> None:
    path = damaged / "manifest.json"
    text = path.read_text("utf-8")
    path.write_text(text.replace('"seed": 1', '"seed": 2'), "utf-8")
    difference = verify(damaged).difference
    assert difference is not None
    assert (difference.table, difference.row) == ("vehicles", {"slot": 0, "vehicle": 0})


def tables(**rows: list[Row]) -> dict[str, pa.Table]:
    empty = {name: table.schema().empty_table() for name, table in TABLES.items()}
    return empty | {name: pa.Table.from_pylist(items, schema=TABLES[name].schema()) for name, items in rows.items()}


def events(*times_ns: int, kind: str = "link", detail: str = "") -> dict[str, pa.Table]:
    return tables(events=[{"time_ns": at, "kind": kind, "slot": 0, "detail": detail} for at in times_ns])


@pytest.mark.parametrize("partial", [False, True])
def test_causes_come_before_effects(partial: bool) -> None:
    left = tables(slots=[{"slot": 1, "qos": 0.5}], vehicles=[{"slot": 3, "vehicle": 0, "x_m": 1.0}])
    right = tables(slots=[{"slot": 1, "qos": 0.4}], vehicles=[{"slot": 3, "vehicle": 0, "x_m": 2.0}])
    found = first_difference(left, right, partial=partial)
    assert found == Difference("vehicles", {"slot": 3, "vehicle": 0}, "x_m", 1.0, 2.0)
    assert first_difference(left, left, partial=partial) is None


def test_partial_record_may_lack_rows_but_not_have_more() -> None:
    assert first_difference(events(1, 5), events(1, 3, 5, 9), partial=True) is None
    whole = first_difference(events(1, 5), events(1, 3, 5, 9))
    assert str(whole) == "events: time_ns 3, kind link: the record has no such row"
    assert first_difference(events(), events(3), partial=True) is None
    more = first_difference(events(1, 5), events(1), partial=True)
    assert str(more) == "events: time_ns 5, kind link: the replay has no such row"
    other = first_difference(events(1, 5, detail="a"), events(1, 5, detail="b"), partial=True)
    assert str(other) == "events: time_ns 1, kind link: detail: recorded 'a', replayed 'b'"


def test_place_in_a_list_is_named() -> None:
    left = tables(slots=[{"slot": 1, "backlog_bytes": [1.0, 2.0, 3.0]}])
    right = tables(slots=[{"slot": 1, "backlog_bytes": [1.0, 2.0, 4.0]}])
    shorter = tables(slots=[{"slot": 1, "backlog_bytes": [1.0, 2.0]}])
    assert str(first_difference(left, right)) == "slots: slot 1: backlog_bytes[2]: recorded 3.0, replayed 4.0"
    assert "backlog_bytes: recorded [1.0, 2.0, 3.0], replayed [1.0, 2.0]" in str(first_difference(left, shorter))
    with_nan = tables(slots=[{"slot": 1, "backlog_bytes": [math.nan, 2.0, 4.0]}])
    again = tables(slots=[{"slot": 1, "backlog_bytes": [math.nan, 2.0, 3.0]}])
    assert first_difference(with_nan, with_nan) is None
    assert "backlog_bytes[2]" in str(first_difference(with_nan, again))


def test_wall_times_do_not_count() -> None:
    left, right = (tables(decisions=[{"slot": 1, "policy_wall_s": wall_s}]) for wall_s in (0.1, 0.2))
    assert first_difference(left, right) is None
