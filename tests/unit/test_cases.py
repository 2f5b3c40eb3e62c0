"""Case sets: likeness, selections, and files that keep every bit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from physical.errors import InputError
from physical.system import System
from policies.cases.case import Case, CaseSet, features
from policies.cases.file import CASES, open_cases, read_cases, write_cases
from policies.cases.selection import Selection, nearest, select
from policies.scoring import predicted_objective
from sim import Scenario
from sim.runs.check import check
from tests.support.cases import JOINT, SYSTEM, make_case, make_set
from tests.support.scenarios import make_scenario
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

KINDS: tuple[Selection, ...] = ("diverse", "best", "recent", "random")


def assert_same(one: Case, other: Case) -> None:
    """Compare every field bit for bit."""
    for part in ("snapshot", "decision"):
        for field in dataclasses.fields(getattr(one, part)):
            value, found = (getattr(getattr(case, part), field.name) for case in (one, other))
            if isinstance(value, np.ndarray):
                assert value.dtype == found.dtype, field.name
                assert value.tobytes() == found.tobytes(), field.name
            elif field.name != "system":
                assert value == found, field.name
    for name in ("objective", "realised", "origin", "capacity_price"):
        np.testing.assert_equal(getattr(one, name), getattr(other, name))


# ------------------------------------------------------------------------------------------------------------- likeness


def test_distance_is_the_mean_square_of_standardised_features() -> None:
    """An independent computation, feature by feature."""
    cases, other = make_set(7), make_case(100).snapshot
    columns = list(zip(*(features(case.snapshot) for case in cases), strict=True))
    expected = np.zeros(7)
    for column, value in zip(columns, features(other), strict=True):
        expected += ((np.array(column) - value) / np.std(column)) ** 2
    np.testing.assert_allclose(cases.distances(other), expected / len(columns), rtol=1e-9)


def test_features_have_no_scale() -> None:
    """Sizes count in class means, biases in shares of the server, backlog in its unit."""
    system = make_scenario("server.frequency_hz=120e9").system()
    case = make_case(3)
    one = case.snapshot
    other = replace(one, system=system, estimation_bias_hz=2 * one.estimation_bias_hz)
    np.testing.assert_array_equal(features(one), features(other))
    assert len(features(one)) == 2 * 6 + 3 + 2


def test_what_never_varied_still_counts() -> None:
    """A bias that all cases share has no spread; a snapshot with another one is not at distance 0."""
    case = make_case(1)
    cases = CaseSet(SYSTEM, [case, replace(case, objective=0.0)])
    assert cases.distances(case.snapshot).tolist() == [0, 0]
    moved = replace(case.snapshot, estimation_bias_hz=case.snapshot.estimation_bias_hz + 6e9)
    np.testing.assert_allclose(cases.distances(moved), 6 * 0.1**2 / 17, rtol=1e-9)


def test_any_system_has_a_predicted_objective() -> None:
    for system, seed in ((SYSTEM, 1), (JOINT, 2)):
        case = make_case(seed, system)
        assert math.isfinite(predicted_objective(case.snapshot, case.decision))


def test_a_set_holds_cases_of_one_shape_only() -> None:
    with pytest.raises(ValueError, match=r"a case of \[3, 1\] vehicles and classes does not fit \[3, 2\]"):
        make_set(2).append(make_case(1, JOINT))


def test_version_grows_with_every_change() -> None:
    cases = make_set(3)
    versions = [cases.version]
    cases.append(make_case(9))
    versions.append(cases.version)
    cases.remove(0)
    versions.append(cases.version)
    cases.replace(cases[1], make_case(2, realised=5.0))
    versions.append(cases.version)
    assert versions == sorted(set(versions))
    assert [case.snapshot.slot for case in cases] == [1, 2, 9]
    assert cases[1].realised == 5.0
    cases.replace(make_case(2), make_case(3))  # equal, but not one of the set
    assert cases.version == versions[-1]


# ------------------------------------------------------------------------------------------------------------ selection


@given(st.integers(1, 12), st.integers(0, 14), st.integers(0, 100))
def test_nearest_are_the_nearest_and_the_nearest_is_last(num: int, count: int, seed: int) -> None:
    cases, snapshot = make_set(num), make_case(seed).snapshot
    away = dict(zip(map(id, cases), cases.distances(snapshot).tolist(), strict=True))
    chosen = [away[id(case)] for case in nearest(cases, count, snapshot)]
    assert chosen == sorted(away.values())[:count][::-1]


def test_nearest_case_of_a_member_is_that_member() -> None:
    cases = make_set(10)
    for case in cases:
        assert nearest(cases, 4, case.snapshot)[-1] is case


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 5, 9, 20])
def test_selections_are_of_different_cases_and_repeat(kind: Selection, count: int) -> None:
    cases = make_set(9)
    one, two = (select(cases, kind, count, np.random.default_rng(4)) for _ in range(2))
    assert [id(case) for case in one] == [id(case) for case in two]
    assert len({id(case) for case in one}) == len(one) == min(count, 9)
    assert select(CaseSet(SYSTEM), kind, count, np.random.default_rng(4)) == ()


def test_recent_best_and_random() -> None:
    rng = np.random.default_rng(0)
    cases = make_set(9)
    assert [case.snapshot.slot for case in select(cases, "recent", 3, rng)] == [6, 7, 8]
    unknown = CaseSet(SYSTEM, [make_case(seed, objective=-float(seed), realised=math.nan) for seed in range(6)])
    assert [case.snapshot.slot for case in select(unknown, "best", 3, rng)] == [3, 4, 5]
    unknown.replace(unknown[5], make_case(5, objective=-5.0, realised=0.5))  # worse than expected
    unknown.append(make_case(6, objective=math.nan, realised=math.nan))
    assert [case.snapshot.slot for case in select(unknown, "best", 3, rng)] == [2, 3, 4]
    drawn = {tuple(case.snapshot.slot for case in select(cases, "random", 3, rng)) for _ in range(20)}
    assert len(drawn) > 10
    with pytest.raises(ValueError, match="'nearest' is no selection without a snapshot"):
        select(cases, "nearest", 3, rng)


def test_diverse_cases_cover_the_set() -> None:
    """Three tight groups of sizes: three diverse cases take one of each, and more cases go on from there."""
    base = make_case(0)
    groups = [
        replace(base, snapshot=replace(base.snapshot, size_bytes=base.snapshot.size_bytes * factor * (1 + near / 1e3)))
        for factor in (0.01, 1.0, 30.0)
        for near in range(4)
    ]
    cases, rng = CaseSet(SYSTEM, groups), np.random.default_rng(0)
    index = {id(case): place // 4 for place, case in enumerate(groups)}
    three = select(cases, "diverse", 3, rng)
    assert {index[id(case)] for case in three} == {0, 1, 2}
    assert select(cases, "diverse", 6, rng)[:3] == three
    twins = CaseSet(SYSTEM, [base, replace(base, origin="copy")])
    assert len({case.origin for case in select(twins, "diverse", 2, rng)}) == 2


# ---------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("system", [SYSTEM, JOINT], ids=["dtecn", "llm6g"])
def test_a_file_keeps_every_bit(tmp_path: Path, system: System) -> None:
    path = tmp_path / "new" / "cases.parquet"
    cases = make_set(5, system)
    cases.append(make_case(9, system, realised=math.nan, objective=math.inf, origin="Größe, 1 %"))
    write_cases(cases, path)
    found = read_cases(path, system)
    assert len(found) == len(cases)
    for one, other in zip(cases, found, strict=True):
        assert_same(one, other)
        assert other.snapshot.system is system
        assert not other.snapshot.size_bytes.flags.writeable
    assert [entry.name for entry in path.parent.iterdir()] == ["cases.parquet"]
    write_cases(found, path)
    assert open_cases(path).is_intact
    assert pq.read_metadata(path).row_group(0).column(0).compression == "ZSTD"
    assert pq.read_schema(path).field("size_bytes").metadata == {b"unit": b"B"}


def test_the_file_describes_its_system(tmp_path: Path) -> None:
    write_cases(make_set(2), tmp_path / "a.parquet")
    system = open_cases(tmp_path / "a.parquet").system
    assert {name: system[name] for name in ("num_vehicle", "num_class", "num_node")} == {
        "num_vehicle": 3,
        "num_class": 2,
        "num_node": 1,
    }
    assert system["deadline_s"] == [0.04, 0.5]
    assert [server["frequency_hz"] for server in system["servers"]] == [60e9]
    fields = {field.name for field in dataclasses.fields(System)}
    assert fields <= system.keys()


def test_cases_serve_a_system_with_other_constants(tmp_path: Path) -> None:
    write_cases(make_set(2), tmp_path / "a.parquet")
    other = make_scenario("server.frequency_hz=1e9", "tasks.0.deadline_s=1").system()
    assert len(read_cases(tmp_path / "a.parquet", other)) == 2


MISFITS: list[tuple[System, str]] = [
    (make_scenario("vehicles.num_vehicle=4").system(), "num_vehicle: is 3 in this case set (accepted: 4)"),
    (JOINT, "num_class: is 2 in this case set (accepted: 1)"),
]


@pytest.mark.parametrize(("system", "words"), MISFITS)
def test_a_file_for_another_system_is_refused(tmp_path: Path, system: System, words: str) -> None:
    path = tmp_path / "a.parquet"
    write_cases(make_set(2), path)
    with pytest.raises(InputError) as caught:
        read_cases(path, system)
    assert str(caught.value) == f"{path}: {words}"


def test_nodes_and_joint_fields_must_suit(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_cases(make_set(2, JOINT), path)
    data = make_scenario().model_dump(mode="json")
    one_class = Scenario.from_dict(data | {"tasks": data["tasks"][:1]}).system()
    with pytest.raises(InputError, match=r"bandwidth_hz: are decided in only one of this case set and the scenario"):
        read_cases(path, one_class)
    case = make_case(1, JOINT)
    far = replace(case, snapshot=replace(case.snapshot, serving_node=np.array([0, 4, -1])))
    write_cases(CaseSet(JOINT, [far]), path)
    data = Scenario.load("llm6g", ["vehicles.num_vehicle=3"]).model_dump(mode="json")
    three_nodes = Scenario.from_dict(data | {"rsus": data["rsus"][:3]}).system()
    with pytest.raises(InputError, match=r"serving_node: 4 is no node of this scenario \(accepted: at most 2\)"):
        read_cases(path, three_nodes)


def change(path: Path, edit: Callable[[pa.Table], pa.Table]) -> None:
    table = pq.read_table(path)
    pq.write_table(edit(table), path)


def with_column(table: pa.Table, name: str, values: Any, kind: pa.DataType) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, pa.field(name, kind), pa.array(values, type=kind))


def with_metadata(rows: pa.Table, **entries: str) -> pa.Table:
    return rows.replace_schema_metadata(rows.schema.metadata | {name.encode(): text for name, text in entries.items()})


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


FLOATS = pa.list_(pa.float64())
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "there is no such file"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as Parquet"),
    "text": (lambda path: path.write_text("a,b\n1,2\n" * 50), "cannot be read as Parquet"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-700]), "cannot be read as Parquet"),
    "directory": (replace_by_folder, "is a directory"),
    "other": (lambda path: pq.write_table(pa.table({"a": [1]}), path), "is none of our files"),
    "table": (lambda path: change(path, lambda t: with_metadata(t, table="mobility")), "is a file of mobility"),
    "version": (lambda path: change(path, lambda t: with_metadata(t, vectwin_schema="9")), "version: '9' is another"),
    "system": (lambda path: change(path, lambda t: with_metadata(t, system="[" * 9)), "num_vehicle: None is no number"),
    "count": (
        lambda path: change(path, lambda t: with_metadata(t, system='{"num_vehicle": 3, "num_class": -2}')),
        "num_class: -2 is no number",
    ),
    "column": (lambda path: change(path, lambda t: t.drop_columns(["x_m"])), "x_m: is missing (accepted: list"),
    "type": (
        lambda path: change(path, lambda t: with_column(t, "slot", ["a", "b"], pa.string())),
        "slot: has type string (accepted: int64)",
    ),
    "null": (
        lambda path: change(path, lambda t: with_column(t, "x_m", [[1, 2, 3], None], FLOATS)),
        "x_m: has a value that is null",
    ),
    "length": (
        lambda path: change(path, lambda t: with_column(t, "x_m", [[1, 2, 3], [1, 2]], FLOATS)),
        "x_m: has a list of 2 values (accepted: 3 of them)",
    ),
    "not finite": (
        lambda path: change(path, lambda t: with_column(t, "x_m", [[1, 2, 3], [1, 2, math.inf]], FLOATS)),
        "x_m: has a value that is not finite",
    ),
    "negative": (
        lambda path: change(path, lambda t: with_column(t, "backlog_bytes", [[1, 2], [1, -2]], FLOATS)),
        "backlog_bytes: has a negative value (accepted: >= 0)",
    ),
    "half joint": (
        lambda path: change(path, lambda t: with_column(t, "bandwidth_hz", [[1, 2, 3]] * 2, FLOATS)),
        "local_frequency_hz, transmit_power_w: is missing, others are given",
    ),
    "no rows": (lambda path: change(path, lambda t: t.slice(0, 0)), "holds no case"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "cases.parquet"
    write_cases(make_set(2), path)
    damage, words = BROKEN[name]
    damage(path)
    with pytest.raises(InputError) as caught:
        read_cases(path, SYSTEM)
    assert str(caught.value).startswith(f"{path}: {words}")
    assert "\n" not in str(caught.value)


def test_changed_numbers_do_not_have_the_digest(tmp_path: Path) -> None:
    path = tmp_path / "cases.parquet"
    write_cases(make_set(2), path)
    assert check(str(path)).text == (
        f"{path}: is a valid case set: 2 cases of 3 vehicles, 2 task classes, 2 with a realised objective"
    )
    change(path, lambda table: with_column(table, "objective", [0.0, 1.0], pa.float64()))
    verdict = check(str(path))
    assert not verdict.ok
    assert verdict.text == f"{path}: its rows do not have the digest that was written with them"


def test_what_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "file").write_text("")
    for path, words in (
        (tmp_path / "a.csv", "has another suffix (accepted: .parquet)"),
        (tmp_path / "folder.parquet", "is a directory (accepted: a file)"),
        (tmp_path / "file" / "a.parquet", "cannot be written: "),
    ):
        with pytest.raises(InputError) as caught:
            write_cases(make_set(1), path)
        assert str(caught.value).startswith(f"{path}: {words}")
    with pytest.raises(InputError, match="there is no case to write"):
        write_cases(CaseSet(SYSTEM), tmp_path / "a.parquet")


def test_every_array_of_a_snapshot_and_of_a_decision_is_in_the_file() -> None:
    """A field that is added to either must be added to the schema, too."""
    fields = {field.name for part in (TwinSnapshot, Decision) for field in dataclasses.fields(part)}
    of_case = {"origin", "objective", "realised", "capacity_price"}
    assert fields - {"system"} == {column.name for column in CASES.columns} - of_case
