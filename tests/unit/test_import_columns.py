"""Units in the map, formats by content, and speeds that no file tells."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from physical.quantity import parse
from traces.exogenous import MobilityTrace, parse_map, read_fcd, read_link, read_mobility, read_requests

RATES = [("", 1.0), (":bit/s", 1.0), (":kbit/s", 1e3), (":kbps", 1e3), (":Mbit/s", 1e6), (":kB/s", 8e3), (":GB/s", 8e9)]


@pytest.mark.parametrize(("unit", "factor"), RATES)
def test_rates_have_the_unit_of_the_map(unit: str, factor: float, tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    path.write_text("t_s,UL_bitrate,DL_bitrate\n0,12.5,3\n1,0.1,4\n", "utf-8")
    mapped = {"uplink_rate_bps": f"UL_bitrate{unit}", "downlink_rate_bps": "DL_bitrate:kbit/s"}
    trace = read_link(path, mapped)
    assert trace.column("uplink_rate_bps").tolist() == [12.5 * factor, 0.1 * factor]
    assert trace.column("downlink_rate_bps").tolist() == [3e3, 4e3]


def moving(tmp_path: Path, header: str, values: str, **mapped: str) -> MobilityTrace:
    path = tmp_path / "drive.csv"
    path.write_text(f"t_s,entity_id,{header}\n0,a,{values}\n", "utf-8")
    return read_mobility(path, {"speed_mps": "v", **mapped})


def test_units_of_mobility(tmp_path: Path) -> None:
    trace = moving(
        tmp_path, "x,y,v,h", "1.5,-2500,36,90", x_m="x:km", y_m="y:mm", speed_mps="v:km/h", heading_rad="h:deg"
    )
    row = trace.rows.to_pylist()[0]
    assert (row["x_m"], row["y_m"], row["speed_mps"]) == (1500.0, -2.5, 10.0)
    assert row["heading_rad"] == pytest.approx(math.pi / 2, abs=1e-4)
    trace = moving(tmp_path, "x_m,y_m,v,h", f"0,0,10,{math.pi / 2}", speed_mps="v:kn", angle_deg="h:rad")
    row = trace.rows.to_pylist()[0]
    assert (row["speed_mps"], row["heading_rad"]) == (pytest.approx(5.144, abs=1e-3), 0.0)
    assert moving(tmp_path, "x_m,y_m,v", "0,0,100", speed_mps="v:mph").column("speed_mps")[0] == pytest.approx(44.704)


def test_a_scenario_and_a_map_know_the_same_units() -> None:
    assert parse("36 km/h", "m/s") == 10.0
    assert parse("10 kn", "m/s") == pytest.approx(18520 / 3600)
    assert parse("2 Mbit/s", "bit/s") == 2e6
    with pytest.raises(ValueError, match="is not in bit/s"):
        parse("2 mbit/s", "bit/s")  # no rate is in thousandths


def test_a_column_may_have_a_colon_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    path.write_text("t_s,up:kbit/s,up\n0,1,5\n", "utf-8")
    assert read_link(path, {"uplink_rate_bps": "up:kbit/s"}).column("uplink_rate_bps").tolist() == [1.0]
    assert read_link(path, {"uplink_rate_bps": "up:kbit/s:kbit/s"}).column("uplink_rate_bps").tolist() == [1000.0]


UNITS = [
    (
        {"uplink_rate_bps": "up:kbit"},
        "--map: uplink_rate_bps: 'kbit' is not in bit/s (accepted: bit/s, kbit/s, Mbit/s, kB/s)",
    ),
    ({"uplink_rate_bps": "up:ms"}, "--map: uplink_rate_bps: 'ms' is not in bit/s"),
    ({"uplink_rate_bps": "up:"}, "--map: uplink_rate_bps: '' is not in bit/s"),
    ({"t_s": "t_s:min"}, "--map: t_s: 'min' is not in s (accepted: s, ms, us, ns)"),
    ({"link_id": "who:km"}, "--map: link_id: has no unit"),
    ({"uplink_rate_bps": "down:kbit/s"}, "--map uplink_rate_bps: there is no column 'down' (accepted: t_s, up, who)"),
]


@pytest.mark.parametrize(("mapped", "words"), UNITS)
def test_units_that_are_refused(mapped: dict[str, str], words: str, tmp_path: Path) -> None:
    path = tmp_path / "drive.csv"
    path.write_text("t_s,up,who\n0,1,a\n", "utf-8")
    with pytest.raises(InputError) as caught:
        read_link(path, {"uplink_rate_bps": "up", **mapped})
    assert words in str(caught.value)


def test_the_command_line_keeps_units() -> None:
    assert parse_map(["speed_mps=v:km/h", "t_s=a=b:ms"]) == {"speed_mps": "v:km/h", "t_s": "a=b:ms"}


# ------------------------------------------------------------------------------------------------- formats by content
STEP = '<timestep time="{0}"><vehicle id="a" x="{1}" y="0" angle="90" type="car" speed="10"/></timestep>'
XML = f"<fcd-export>{''.join(STEP.format(t, 10 * t) for t in range(4))}</fcd-export>"
CSV = "timestep_time,vehicle_id,vehicle_x,vehicle_y,vehicle_angle,vehicle_type,vehicle_speed\n" + "".join(
    f"{t},a,{10 * t},0,90,car,10\n" for t in range(4)
)


def contents(tmp_path: Path) -> dict[str, bytes]:
    table = {"timestep_time": [0.0, 1, 2, 3], "vehicle_id": ["a"] * 4, "vehicle_x": [0.0, 10, 20, 30]}
    table |= {"vehicle_y": [0.0] * 4, "vehicle_angle": [90.0] * 4, "vehicle_type": ["car"] * 4}
    pq.write_table(pa.table({**table, "vehicle_speed": [10.0] * 4}), tmp_path / "made")
    plain = {"xml": XML.encode(), "csv": CSV.encode(), "parquet": (tmp_path / "made").read_bytes()}
    return plain | {"bom": b"\xef\xbb\xbf" + plain["xml"], "declared": b'<?xml version="1.0"?>\n' + plain["xml"]}


@pytest.mark.parametrize("name", ["fcd", "fcd.gz", "town.fcd", "town.fcd.gz", "town.out", "town.2024-05-10"])
def test_files_are_recognised_by_their_content(name: str, tmp_path: Path) -> None:
    digests = set()
    for kind, content in contents(tmp_path).items():
        for packed in (content, gzip.compress(content)):
            if kind == "parquet" and packed != content:
                continue  # nobody packs it twice
            (tmp_path / name).write_bytes(packed)
            digests.add(read_fcd(tmp_path / name).digest)
            digests.add(read_mobility(tmp_path / name).digest)
    assert len(digests) == 1


def test_gzip_is_recognised_whatever_the_name(tmp_path: Path) -> None:
    """Browsers unpack what they load and keep its name; others pack and keep it."""
    (tmp_path / "a.xml.gz").write_text(XML, "utf-8")
    (tmp_path / "b.csv").write_bytes(gzip.compress(CSV.encode()))
    (tmp_path / "c.csv").write_text(XML, "utf-8")
    digests = {read_fcd(tmp_path / name).digest for name in ("a.xml.gz", "b.csv", "c.csv")}
    assert len(digests) == 1
    assert read_fcd(tmp_path / "c.csv").provenance.origin == "sumo-fcd-xml"


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    for content in (b"PK\x03\x04\x00", b"\xff\xfea\x00", b"\x89PNG\r\n", "naïve".encode("latin-1")):
        (tmp_path / "fcd").write_bytes(content)
        with pytest.raises(InputError, match="is of no known format"):
            read_fcd(tmp_path / "fcd")
    (tmp_path / "fcd").write_text(XML, "utf-8")
    for read in (read_requests, read_link):
        with pytest.raises(InputError, match=r"fcd: is XML \(accepted: CSV or Parquet"):
            read(tmp_path / "fcd")
    # A character that lies across the end of what is looked at.
    (tmp_path / "fcd").write_text(CSV.replace("car", "é" * 4001), "utf-8")
    assert read_fcd(tmp_path / "fcd").names("kind") == ["é" * 4001]


# ------------------------------------------------------------------------------------------------- speeds
def test_speeds_of_sumo_are_those_of_its_steps(tmp_path: Path) -> None:
    """SUMO moves a vehicle by the speed that it then writes; so the way to a row, over the step, is the row's speed."""
    rng = np.random.default_rng(4)
    speeds = np.cumsum(rng.uniform(-1, 1.2, (3, 50)), axis=1) + 12
    x = np.cumsum(speeds, axis=1)
    vehicle = '<vehicle id="{}" x="{}" y="{}"/>'
    steps = "".join(
        f'<timestep time="{t}">{"".join(vehicle.format(v, x[v, t], 10 * v) for v in range(3))}</timestep>'
        for t in range(50)
    )
    (tmp_path / "a.xml").write_text(f"<fcd-export>{steps}</fcd-export>", "utf-8")
    trace = read_fcd(tmp_path / "a.xml")
    found = trace.column("speed_mps").reshape(50, 3).T
    assert found[:, 1:] == pytest.approx(speeds[:, 1:], abs=2e-3)
    assert found[:, 0] == pytest.approx(speeds[:, 1], abs=2e-3)
    assert trace.provenance.notes == ("speeds: derived from positions",)


def derived(tmp_path: Path, rows: list[tuple[float, str, float]]) -> list[float]:
    path = tmp_path / "gps.csv"
    path.write_text("t_s,entity_id,x_m,y_m\n" + "".join(f"{t},{who},{x},0\n" for t, who, x in rows), "utf-8")
    trace = read_mobility(path)
    assert trace.provenance.notes[-1] == "speeds: derived from positions"
    found = {(row["t_ns"] / 1e9, row["entity_id"]): round(row["speed_mps"], 3) for row in trace.rows.to_pylist()}
    return [found[t, who] for t, who, _ in rows]


def test_speeds_of_instants_are_those_of_the_ways_around(tmp_path: Path) -> None:
    """Under constant acceleration that is the speed itself, but for the ends."""
    rows = [(float(t), "a", 1000 + 2.0 * t**2) for t in range(6)]
    assert derived(tmp_path, rows) == [2.0, 4.0, 8.0, 12.0, 16.0, 18.0]


def test_phases_absences_and_jumps(tmp_path: Path) -> None:
    """Each vehicle has its own times; one that was away, or was moved, has no speed across the gap."""
    taxis = [(10.0 * i, "taxi1", 1000 + 50.0 * i) for i in range(4)] + [
        (5 + 10.0 * i, "taxi2", 2000 + 80.0 * i) for i in range(4)
    ]
    assert derived(tmp_path, sorted(taxis)) == [5.0, 8.0] * 4
    away = [(float(t), "a", 1000 + 3.0 * t) for t in (0, 1, 2, 3, 9, 10, 11)]
    assert derived(tmp_path, away) == [3.0] * 7
    moved = [(float(t), "a", 1000 + 3.0 * t + (5000 if t > 3 else 0)) for t in range(8)]
    assert derived(tmp_path, moved) == [3.0] * 8
    assert derived(tmp_path, [(0.0, "a", 1000.0), (0.0, "b", 2000.0), (7.0, "b", 2070.0)]) == [0.0, 10.0, 10.0]
