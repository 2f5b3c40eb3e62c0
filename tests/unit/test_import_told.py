"""What people are told of an import: spans of time, why rows are missing, whether rates can be, and `twin check`."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from sim import Scenario
from sim.runs.check import check
from tests.support.command import twin
from tests.support.scenarios import write_scenario
from traces.exogenous import read_link

EPOCH_S = 1_575_000_000  # what this is as a date, the standard library says below
DATE = f"{datetime.datetime.fromtimestamp(EPOCH_S, datetime.UTC):%Y-%m-%d %H:%M:%S}"
DRIVE = "Timestamp,up\n2019-11-29 04:00:00,{0}\n2019-11-29 04:00:00,{0}\n2019-11-29 04:00:01,{1}\n"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def gps() -> None:
    rows = "".join(f"{EPOCH_S + after},a,{after},0,1\n" for after in (0, 2, 4, 125, 127))
    Path("gps.csv").write_text(f"t_s,entity_id,x_m,y_m,speed_mps\n{rows}", "utf-8")
    assert (
        f": 5 rows, 1 entity, 127 s from {DATE} UTC, " in twin("import", "csv", "gps.csv", "--out", "gps.parquet").out
    )


def test_times_since_1970_are_told_as_a_length_and_a_date() -> None:
    gps()
    path = write_scenario(Path("town.toml"), Path("gps.parquet"), 1.0)
    with pytest.raises(InputError) as too_long:
        Scenario.load(path, ["time.num_slot=200"])
    assert f"the mobility trace gps.parquet has 127 s from {DATE} UTC (accepted: at most 128" in str(too_long.value)
    with pytest.raises(InputError) as outside:
        Scenario.load(path, ["mobility.begin_s=5"])
    values = f"{EPOCH_S} to {EPOCH_S + 127} s"  # what may be written, and when it is
    assert f"(accepted: {values}: 127 s from {DATE} UTC)" in str(outside.value)
    with pytest.raises(InputError) as later:
        Scenario.load(path, ["time.num_slot=200", f"mobility.begin_s={EPOCH_S + 10}"])
    assert "and the run begins 10 s after its begin" in str(later.value)


def test_long_times_have_no_exponent() -> None:
    Path("a.csv").write_text("t_s,entity_id,x_m,y_m,speed_mps\n1575000.25,a,0,0,1\n1575127,a,126.75,0,1\n", "utf-8")
    assert "1575000.25 to 1575127 s, step 126.75 s" in twin("import", "csv", "a.csv", "--out", "a.parquet").out


def test_rates_are_told_and_doubted_without_a_unit() -> None:
    Path("drive.csv").write_text(DRIVE.format(100, 60_000), "utf-8")
    words = ["import", "link", "drive.csv", "--out", "a.parquet", "--map", "t_ns=Timestamp", "--map"]
    done = twin(*words, "uplink_rate_bps=up:kbit/s")
    left_out = "1 row left out (same link and time; the last counts)"
    assert f"2 rows, 1 link, 0 to 1 s, step 1 s, {left_out}, uplink 0.1 to 60 Mbit/s, median 30.1 Mbit/s, " in done.out
    assert done.err == ""
    assert np.median(read_link("a.parquet").column("uplink_rate_bps")) == 30_050_000
    doubted = twin(*words, "uplink_rate_bps=up")
    assert "the unit may be missing (--map uplink_rate_bps=up:kbit/s)" in doubted.err
    assert doubted.code == 0
    told = twin(*words, "uplink_rate_bps=up:bit/s")
    assert told.err == ""  # somebody says that they are as slow


def test_dates_as_numbers_and_a_map_turned_round() -> None:
    Path("drive.csv").write_text(DRIVE.format(1, 2), "utf-8")
    table = pa.table({"Timestamp": pa.array([EPOCH_S], pa.timestamp("s")), "up": [1.0]})
    pq.write_table(table, "drive.parquet")
    for file in ("drive.csv", "drive.parquet"):
        words = ["import", "link", file, "--out", "a.parquet", "--map", "uplink_rate_bps=up", "--map"]
        complaint = twin(*words, "t_s=Timestamp").complaint()
        assert f"'{DATE}' is not a number (accepted: a number; dates go with --map t_ns=Timestamp)" in complaint
        assert twin(*words, "t_ns=Timestamp").code == 0
    words = ["import", "link", "drive.csv", "--out", "a.parquet", "--map", "t_ns=Timestamp", "--map"]
    for turned, right in (
        ("up=uplink_rate_bps", "uplink_rate_bps=up"),
        ("up=uplink_rate_bps:kbit/s", "uplink_rate_bps=up:kbit/s"),
    ):
        assert f"turned round: --map {right})" in twin(*words, turned).complaint()
        assert twin(*words, right).code == 0


def test_imports_are_checked() -> None:
    gps()
    verdict = check("gps.parquet")
    assert verdict.ok
    assert verdict.text.startswith("gps.parquet: is a valid import of mobility: 5 rows, 1 entity, 127 s from ")
    assert verdict.notes[0] == "gps.parquet: made from gps.csv (csv)"
    table = pq.read_table("gps.parquet")
    pq.write_table(table.slice(1), "cut.parquet")
    done = twin("check", "cut.parquet")
    assert (done.code, done.err) == (1, "")
    assert done.out == "cut.parquet: its rows do not have the digest that was written with them\n"
    complaint = twin(
        "run", "rush-hour", "--set", 'radio.rate_file="gps.parquet"', "--slots", 5, "--out", "d"
    ).complaint()
    assert "gps.parquet: table: 'mobility' is another table (accepted: link)" in complaint
