"""Files of others, as they are: the examples of the help import them, and runs on them have their values."""

from __future__ import annotations

import gzip
import math
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.command import twin
from tests.support.geodesic import arrival
from traces.exogenous import read_link, read_mobility, read_requests
from traces.reader import Trace

SPEED_MPS, NUM_STEP = 12.0, 11
ORIGIN = (44.49, 11.34)


def geo_xml(clock: str = "{}.00", speed: str = ' speed="12.0"') -> str:
    """Return SUMO's geo FCD of a car that drives east from the origin, one row per second."""
    steps = []
    for t in range(NUM_STEP):
        lat, lon = arrival(*ORIGIN, math.pi / 2, SPEED_MPS * t)
        vehicle = f'<vehicle id="veh.7" x="{lon:.6f}" y="{lat:.6f}" angle="90.00" type="car"{speed}/>'
        steps.append(f'<timestep time="{clock.format(t)}">{vehicle}</timestep>')
    return f"<fcd-export>{''.join(steps)}</fcd-export>"


def fcd_parquet(path: Path) -> None:
    rows = {"timestep_time": [0.0, 1.0], "vehicle_id": ["a", "a"], "vehicle_x": [900.0, 910.0]}
    pq.write_table(pa.table({**rows, "vehicle_y": [0.0, 0.0], "vehicle_speed": [10.0, 10.0]}), path)


# As the 5G data set that the example is about has them: kbit/s, one row per second.
DRIVE_5G = """Timestamp,Longitude,Latitude,Speed,DL_bitrate,UL_bitrate
2019.12.14_10.16.30,-8.388167,51.935618,0,52,13
2019.12.14_10.16.31,-8.388167,51.935618,1,6000,250
2019.12.14_10.16.32,-8.388338,51.935625,12,31000,4500
"""
XML = '<fcd-export><timestep time="0"><vehicle id="a" x="900" y="0" speed="0"/></timestep></fcd-export>'
GPS = f"when,taxi,lng,lat\n2024-05-10 10:00:00,a,{ORIGIN[1]},{ORIGIN[0]}\n2024-05-10 10:00:10,a,11.3413,{ORIGIN[0]}\n"
REQUESTS = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.98,4808,10\n2023-11-16 18:17:04.03,3180,8\n"
# (kind, number of the example): what lies in the file that it names.
FILES: dict[tuple[str, int], str | None] = {
    ("fcd", 0): XML,
    ("fcd", 1): None,
    ("fcd", 2): geo_xml(),
    ("csv", 0): "t_s,entity_id,x_m,y_m,speed_mps\n0,a,900,0,1\n",
    ("csv", 1): "time,car,easting,northing,v\n0,a,900,0,36\n1,a,910,0,36\n",
    ("csv", 2): GPS,
    ("requests", 0): REQUESTS,
    ("requests", 1): "arrival,prompt,answer\n1715334000123,10,20\n1715334000623,11,21\n",
    ("link", 0): "t_s,uplink_rate_bps\n0,1e6\n",
    ("link", 1): DRIVE_5G,
}


def examples(kind: str) -> list[list[str]]:
    """Return the commands that a help text shows, as a shell splits them."""
    text = twin("import", kind, "--help").out.partition("Examples:")[2].replace("\\\n", " ")
    return [shlex.split(line) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(("kind", "number"), FILES)
def test_the_examples_of_the_help_work(kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, verb, shown_kind, file, *options = examples(kind)[number]
    assert (program, verb, shown_kind) == ("twin", "import", kind)
    content = FILES[kind, number]
    if content is None:
        fcd_parquet(tmp_path / file)
    else:
        (tmp_path / file).write_bytes(gzip.compress(content.encode()) if file.endswith(".gz") else content.encode())
    monkeypatch.chdir(tmp_path)
    done = twin("import", kind, file, *options)
    assert (done.code, done.err) == (0, ""), done
    out = tmp_path / options[options.index("--out") + 1]
    if kind == "requests":
        assert read_requests(out).column("t_ns").tolist() == [0, (50_000_000, 500_000_000)[number]]
    elif kind == "link":
        assert read_link(out).column("uplink_rate_bps").tolist() == ([1e6], [13e3, 250e3, 4500e3])[number]
    else:
        assert read_mobility(out).num_row > 0


def test_all_examples_are_tested() -> None:
    for kind in ("fcd", "csv", "requests", "link"):
        assert len(examples(kind)) == len([1 for known, _ in FILES if known == kind])


def test_the_5g_data_set_has_its_times_and_rates(tmp_path: Path) -> None:
    """In the file 13, 250 and 4500 kbit/s, one second apart from 10:16:30 on."""
    (tmp_path / "drive.csv").write_text(DRIVE_5G, "utf-8")
    options = examples("link")[1][4:]
    out = tmp_path / "out.parquet"
    options[options.index("--out") + 1] = str(out)
    assert twin("import", "link", tmp_path / "drive.csv", *options).code == 0
    trace = read_link(out)
    assert trace.column("t_ns").tolist() == [0, 10**9, 2 * 10**9]
    assert trace.column("downlink_rate_bps").tolist() == [52e3, 6e6, 31e6]
    assert trace.provenance.epoch_ns == 1_576_318_590 * 10**9


SCENARIO = """
title = "A car that passes"
time = {{ slot_duration_s = "500 ms", num_slot = 20 }}
vehicles = {{ cpu_hz = 1e9, kappa = 1e-27, transmit_power_w = 0.2 }}
mobility = {{ kind = "trace", file = "{file}" }}
radio = {{ bandwidth_hz = 10e6, noise_w = 1e-14{radio} }}
base_station = {{ position_m = [0, 40] }}
server = {{ frequency_hz = 10e9, num_core = 20, kappa = 1e-30 }}

[[tasks]]
name = "a"
size_bytes = [20_000, 30_000]
cycles_per_byte = 3000
deadline_s = 0.5
"""


def run_and_replay(folder: Path, file: str, radio: str = "") -> dict[str, Any]:
    """Run on a file, without it replay, and return the table of vehicles."""
    (folder / "car.toml").write_text(SCENARIO.format(file=file, radio=radio), "utf-8")
    note = f"car.toml: {folder / file}: longitudes and latitudes: metres east and north of 44.49, 11.34\n"
    assert note in twin("check", folder / "car.toml").out
    done = twin("run", folder / "car.toml", "--out", folder / "run", "--json")
    assert done.code == 0, done
    (folder / file).unlink()
    assert twin("replay", folder / "run").code == 0
    table: dict[str, Any] = Trace(folder / "run").table("vehicles").to_pydict()
    return table


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("geo.fcd.xml", geo_xml()),
        ("clock.fcd.xml", geo_xml("00:00:{:0>2}")),
        ("days.fcd.xml", geo_xml("0:00:00:{:0>2}.00")),
        ("still.fcd.xml", geo_xml(speed="")),
        ("fcd", geo_xml()),
        ("fcd.gz", geo_xml("00:00:{:0>2}", speed="")),
    ],
)
@pytest.mark.parametrize("imported", [False, True])
def test_runs_on_files_of_sumo(name: str, text: str, imported: bool, tmp_path: Path) -> None:
    """The car is where it was: at 12 m/s east of the origin, which is that of the plane; to the 0.1 m of six digits."""
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    if imported:
        done = twin("import", "fcd", tmp_path / name, "--out", tmp_path / "car.parquet")
        assert "longitudes and latitudes: metres east and north of 44.49, 11.34\n" in done.out
        assert ("speeds: derived from positions" in done.out) == ("speed" not in text)
        name = "car.parquet"
    table = run_and_replay(tmp_path, name)
    assert table["slot"] == list(range(20))
    kept = read_mobility(tmp_path / "run" / "inputs" / "mobility.parquet").provenance
    assert kept.notes[0] == "longitudes and latitudes: metres east and north of 44.49, 11.34"
    ways_m = SPEED_MPS * 0.5 * np.arange(20)
    assert np.abs(np.array(table["x_m"]) - ways_m).max() < 0.15
    assert np.abs(np.array(table["y_m"])).max() < 0.15
    assert table["speed_mps"] == pytest.approx([SPEED_MPS] * 20, abs=0.2)


def test_a_run_has_the_rates_of_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "drive.csv").write_text(DRIVE_5G, "utf-8")
    (tmp_path / "fcd").write_text(geo_xml(), "utf-8")
    options = ["--map", "t_ns=Timestamp", "--map", "uplink_rate_bps=UL_bitrate:kbit/s"]
    assert twin("import", "link", tmp_path / "drive.csv", "--out", tmp_path / "link.parquet", *options).code == 0
    table = run_and_replay(tmp_path, "fcd", ', rate_file = "link.parquet"')
    assert set(np.round(table["uplink_rate_bps"]).tolist()) <= {13e3, 250e3, 4500e3}
    assert len(set(table["uplink_rate_bps"])) > 1


def test_a_scenario_refuses_what_is_not_clear(tmp_path: Path) -> None:
    """Neither metres nor degrees agree with the speeds: the complaint names the import that says which."""
    rows = "".join(f"{t},a,{11 + 0.01 * t},44,10\n" for t in range(5))
    (tmp_path / "a.csv").write_text(f"t_s,entity_id,x_m,y_m,speed_mps\n{rows}", "utf-8")
    (tmp_path / "car.toml").write_text(SCENARIO.format(file="a.csv", radio=""), "utf-8")
    complaint = twin("run", tmp_path / "car.toml", "--out", tmp_path / "run").complaint()
    assert "twin import with --geo for degrees, --no-geo for metres" in complaint


def test_every_example_of_a_time_in_the_help_is_read(tmp_path: Path) -> None:
    """The help says that a unit stands behind the name, and shows some: they are units."""
    for kind in ("csv", "requests", "link"):
        shown = re.findall(r"\b[a-z_]+=\w+:[\w/]+", twin("import", kind, "--help").out)
        assert shown
        for text in shown:
            field, _, name = text.partition("=")
            (tmp_path / "a.csv").write_text(
                f"{name.partition(':')[0]},t_s2,entity_id,x_m,y_m,num_input_token,num_output_token,uplink_rate_bps\n"
                "5,0,a,0,0,1,1,1\n",
                "utf-8",
            )
            mapped = ["--map", text] + ([] if field.startswith("t_") else ["--map", "t_s=t_s2"])
            assert twin("import", kind, tmp_path / "a.csv", "--out", tmp_path / "a.parquet", *mapped).code == 0, text
