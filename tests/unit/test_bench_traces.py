"""`twin bench traces`, and what makes writing fast without changing what is written."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sim import Scenario, run
from sim.bench import traces
from sim.show import terminal
from traces.digest import TableDigest
from traces.reader import Trace
from traces.schema import TABLES


@pytest.mark.full
def test_bench_of_little(capsys: pytest.CaptureFixture[str]) -> None:
    report = traces.measure({4: 6, 1_000: 2}, num_repeat=1)
    small, large = report.values["runs"]
    assert (small["goal"], large["goal"]) == (None, 0.2)
    for one in (small, large):
        assert one["share_min"] == one["share"] == one["share_max"] < 1
        assert one["bytes_per_vehicle_slot"] > one["bytes_per_task"] > 0 < one["read_s"]
    terminal.report(report)
    assert "B/vehicle-slot" in capsys.readouterr().out


@pytest.mark.parametrize("block_bytes", [1, 1_000, 10_000])
def test_digests_do_not_depend_on_the_blocks_they_are_computed_in(block_bytes: int) -> None:
    scenario = Scenario.load("dtecn", ["time.num_slot=5", "trace.messages=true"])
    result = run(scenario, policy="random", seed=3)
    for name, table in TABLES.items():
        whole, in_blocks = TableDigest(table), TableDigest(table, block_bytes)
        for digest in (whole, in_blocks):
            digest.add(result.table(name))
        assert in_blocks.hex() == whole.hex(), name


@pytest.mark.parametrize("name", TABLES)
def test_columns_that_files_declare_without_nulls_have_none(tmp_path: Path, name: str) -> None:
    scenario = Scenario.load("dtecn", ["time.num_slot=3", "trace.messages=true"])
    run(scenario, policy="local-only", seed=3, out=tmp_path / "run")
    for path in (tmp_path / "run" / name).glob("part-*.parquet"):
        written = pq.read_schema(path)
        assert not any(written.field(key).nullable for key in TABLES[name].key)
        rows = Trace(tmp_path / "run").table(name)
        assert all(field.nullable or rows.column(field.name).null_count == 0 for field in written)
