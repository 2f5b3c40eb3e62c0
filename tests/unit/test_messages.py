"""Message counts: every message sent is delivered, lost or in flight, in the books and in the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sim import run
from sim.record.messages import MessageLog
from tests.support.scenarios import SLOT_NS, make_scenario
from traces.writer import TraceWriter
from twin.messages import LOST_NS

pytestmark = pytest.mark.full  # whole runs; the quick loop has some in tests/smoke


def counts(log: MessageLog) -> tuple[int, int, int, int]:
    return log.num_sent.total(), log.num_delivered.total(), log.num_lost.total(), log.num_in_flight()


def test_messages_are_settled_when_their_time_has_come() -> None:
    log = MessageLog(None)
    log.sent("report", 0, 0, None, np.array([5, 20, LOST_NS]), 3)
    log.sent("command", 0, 0, None, 10, 3)
    log.sent("server-report", 0, 0, 0, LOST_NS, 1)
    log.flush(4)
    assert counts(log) == (7, 0, 2, 5)
    log.flush(5)
    assert counts(log) == (7, 1, 2, 4)
    log.flush(10)
    assert counts(log) == (7, 4, 2, 1)
    log.sent("report", 1, 12, np.array([2]), np.array([13]), 1)
    log.flush(19)
    assert counts(log) == (8, 5, 2, 1)
    log.flush(20)
    assert counts(log) == (8, 6, 2, 0)
    assert dict(+log.num_sent) == {"report": 4, "command": 3, "server-report": 1}
    assert dict(+log.num_delivered) == {"report": 3, "command": 3}
    assert dict(+log.num_lost) == {"report": 1, "server-report": 1}


def test_nobody_reporting_is_no_message() -> None:
    for delivered in (7, np.zeros(0, dtype=np.int64)):
        log = MessageLog(None)
        log.sent("report", 0, 0, np.zeros(0, dtype=np.int64), delivered, 0)
        for now in (3, 9):
            log.flush(now)
            assert counts(log) == (0, 0, 0, 0)


def test_rows_name_their_senders() -> None:
    writer = TraceWriter(None, 1000, 1e9)
    log = MessageLog(writer)
    log.sent("report", 3, 40, np.array([0, 2]), np.array([41, LOST_NS]), 2)
    log.sent("command", 3, 42, None, 44, 3)
    log.sent("server-command", 3, 42, 0, 43, 1)
    log.flush(100)
    rows = writer.tables["messages"][0].to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        (3, "report", 0, 40, 41),
        (3, "report", 2, 40, None),
        (3, "command", 0, 42, 44),
        (3, "command", 1, 42, 44),
        (3, "command", 2, 42, 44),
        (3, "server-command", -1, 42, 43),
    ]
    log.flush(200)
    assert len(writer.tables["messages"]) == 1  # written once


NETWORKS: dict[str, tuple[str, ...]] = {
    "ideal": (),
    "slow": ("network.backhaul.latency_s=0.25",),
    "lossy": ("network.access.loss=0.2", "network.backhaul.loss=0.1", "network.lan.loss=0.3"),
    "jittery": ('network.access.latency_s={kind="exponential", mean_s=0.1}', "network.backhaul.loss=0.2"),
    "dead": ("network.backhaul.loss=1",),
    "sparse": ("vehicles.report_interval=3", "network.backhaul.latency_s=0.03"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_conserves_messages(name: str, tmp_path: Path) -> None:
    settings = (*NETWORKS[name], "trace.messages=true", "time.num_slot=20", "trace.part_seconds=1e-9")
    result = run(make_scenario(*settings), policy="edge-equal", seed=2, out=tmp_path)
    rows: list[dict[str, Any]] = pq.read_table(tmp_path / "messages").to_pylist()
    end_ns = 20 * SLOT_NS
    lost = [row for row in rows if row["delivered_ns"] is None]
    delivered = [row for row in rows if row not in lost and row["delivered_ns"] <= end_ns]
    summary = result.summary
    assert summary["messages_sent"] == len(rows)
    assert summary["messages_lost"] == len(lost)
    assert summary["messages_delivered"] == len(delivered)
    assert summary["messages_in_flight"] == len(rows) - len(lost) - len(delivered)
    assert all(row["delivered_ns"] >= row["sent_ns"] for row in rows if row not in lost)
    by_kind = {kind: [row for row in rows if row["kind"] == kind] for kind in {row["kind"] for row in rows}}
    reporting = range(0, 20, 3) if name == "sparse" else range(20)
    assert [(row["slot"], row["vehicle"]) for row in by_kind["report"]] == [(s, n) for s in reporting for n in range(3)]
    assert [row["slot"] for row in by_kind["server-report"]] == list(range(20))
    assert len(by_kind["command"]) == 3 * summary["decisions"]
    assert len(by_kind["server-command"]) == summary["decisions"]
    assert {row["vehicle"] for row in rows} == {-1, 0, 1, 2}
