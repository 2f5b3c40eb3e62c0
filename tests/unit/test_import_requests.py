"""Requests to language models, and rates of links."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sim.cli import imports
from tests.support.data import data_file
from traces.exogenous import import_file, read_link, read_requests

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319600,3180,8
2023-11-16 18:17:04.0319600,110,0
"""


def test_azure_csv(tmp_path: Path) -> None:
    path = tmp_path / "code.csv"
    path.write_text(AZURE, "utf-8")
    trace = read_requests(path, licence="CC-BY-4.0")
    assert trace.rows.to_pylist() == [
        {"t_ns": 0, "num_input_token": 4808, "num_output_token": 10},
        {"t_ns": 52_000_000, "num_input_token": 3180, "num_output_token": 8},
        {"t_ns": 52_000_000, "num_input_token": 110, "num_output_token": 0},
    ]
    assert trace.provenance.epoch_ns == 1_700_158_623_979_960_000
    assert trace.summary()["num_entity"] is None


def test_times_of_any_kind_are_the_same(tmp_path: Path) -> None:
    begin = datetime.datetime(2024, 5, 10, tzinfo=datetime.UTC)
    micro = [0, 9_930, 1_500_000]
    tokens = {"num_input_token": [1, 2, 3], "num_output_token": pa.array([4, 5, 6], pa.int8())}
    times = {
        "t_ns": pa.array([1000 * time + 77 for time in micro]),
        "t_s": pa.array([time / 1e6 + 3 for time in micro]),
        "moment": pa.array(
            [begin + datetime.timedelta(microseconds=time) for time in micro], pa.timestamp("us", "UTC")
        ),
        "text": pa.array([f"2024-05-10T00:00:0{time / 1e6:.6f}Z" for time in micro]),
    }
    digests = set()
    for name, column in times.items():
        path = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({name: column, **tokens}), path)
        digests.add(read_requests(path, {} if name.startswith("t_") else {"t_ns": name}).digest)
    assert len(digests) == 1


def test_requests_round_trip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "code.csv", tmp_path / "code.parquet"
    source.write_text(AZURE, "utf-8")
    imports.imports(["requests", str(source), "--out", str(out), "--licence", "CC0", "--json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    back = read_requests(out)
    assert (found["digest"], found["num_row"], found["licence"]) == (back.digest, 3, "CC0")
    assert back == read_requests(source, licence="CC0")


@pytest.mark.parametrize(("name", "num_row"), [("llm_azure2023_code", 8_819), ("llm_azure2023_conv", 19_366)])
def test_azure_requests(tmp_path: Path, name: str, num_row: int) -> None:
    source = data_file(f"{name}.parquet")
    trace = import_file("requests", source, tmp_path / "out.parquet")
    table = pq.read_table(source)
    assert trace.num_row == num_row
    assert np.array_equal(trace.column("t_ns"), table.column("t_ns").to_numpy())
    assert np.array_equal(trace.column("num_input_token"), table.column("input_tokens").to_numpy())
    assert read_requests(tmp_path / "out.parquet") == trace


LINK = "time,ul,dl,who\n10,5e6,1e7,b\n11,0,2e7,b\n10,1e6,0,a\n12,2e6,0,a\n11,3e6,0,a\n11,4e6,0,a\n"
LINK_MAP = {"t_s": "time", "uplink_rate_bps": "ul", "downlink_rate_bps": "dl", "link_id": "who"}


def test_link_rows_are_sorted_and_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    path.write_text(LINK, "utf-8")
    trace = read_link(path, LINK_MAP)
    assert trace.rows.column("link_id").to_pylist() == ["a", "a", "a", "b", "b"]
    assert trace.column("t_ns").tolist() == [0, 10**9, 2 * 10**9, 0, 10**9]
    assert trace.column("uplink_rate_bps").tolist() == [1e6, 4e6, 2e6, 5e6, 0.0]
    assert trace.column("downlink_rate_bps").tolist() == [0.0, 0.0, 0.0, 1e7, 2e7]
    assert (trace.provenance.num_left_out, trace.provenance.epoch_ns) == (1, 10 * 10**9)
    assert trace.provenance.interpolation == "hold"


def test_one_link_with_uplink_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "drive.csv", tmp_path / "out.parquet"
    source.write_text("t_s,uplink_rate_bps\n0,100\n2,200\n", "utf-8")
    imports.imports(["link", str(source), "--out", str(out)], standalone_mode=False)
    assert (
        "2 rows, 1 link, 0 to 2 s, step 2 s, uplink 100 to 200 bit/s, median 150 bit/s, digest"
        in capsys.readouterr().out
    )
    trace = read_link(out)
    assert trace.rows.column("downlink_rate_bps").null_count == 2
    assert trace == read_link(source)


def test_irish_drives(tmp_path: Path) -> None:
    source = data_file("net_irish5g_driving.parquet")
    trace = import_file("link", source, tmp_path / "out.parquet", licence="GPL-3.0")
    assert (trace.num_row + trace.provenance.num_left_out, len(trace.names("link_id"))) == (103_545, 60)
    same_link = np.diff(trace.column("link_id")) == 0
    assert (np.diff(trace.column("t_ns"))[same_link] > 0).all()
    assert trace.column("uplink_rate_bps").min() >= 0
    assert read_link(tmp_path / "out.parquet") == trace
