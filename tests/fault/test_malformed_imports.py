"""No file, however broken, gives anything but one line that names the file, the row and what is accepted."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from sim.cli import imports
from traces.exogenous import import_file, parse_map, read_fcd, read_link, read_mobility, read_requests

HEAD = "timestep_time,vehicle_id,vehicle_x,vehicle_y,vehicle_angle,vehicle_type,vehicle_speed\n"
GOOD = HEAD + "0,a,1,2,90,car,3\n0,b,1,2,90,car,3\n1,a,1,2,90,car,3\n1,b,1,2,90,car,3\n"

# What to replace in the good file, by what; what the complaint says.
FCD_CSV = [
    ("1,b,1,2", "0.5,b,1,2", "row 4: timestep_time: time goes back from 1.000000000 s to 0.500000000 s"),
    ("1,b,1,2", "1,a,1,2", "row 4: vehicle_id: 'a' has a second row at 1.000000000 s (accepted: one row"),
    ("1,b,1,2", "1,b,nan,2", "row 4: vehicle_x: nan is not finite (accepted: a finite number)"),
    ("1,b,1,2", "1,b,1,-inf", "row 4: vehicle_y: -inf is not finite"),
    ("1,b,1,2", "1,b,1e8,2", "row 4: vehicle_x: 100000000.0 is out of range (accepted: -1e+07 m to 1e+07 m)"),
    ("1,b,1,2", "1,b,-1073741824.00,2", "row 4: vehicle_x: -1073741824.0 is out of range"),
    ("1,b,1,2", "1,b,east,2", "row 4: vehicle_x: 'east' is not a number (accepted: a number)"),
    ("1,b,1,2", "1,b,,2", "row 4: vehicle_x: is missing (accepted: a number)"),
    ("1,b,1,2", "1,b,1", "row 4: has 6 columns (accepted: 7)"),
    ("1,b,1,2", "1,b,1,2,9", "row 4: has 8 columns (accepted: 7)"),
    ("1,b,1,2", "-1,b,1,2", "row 4: timestep_time: -1.0 is out of range (accepted: 0 s to 4e+09 s)"),
    ("1,b,1,2", "1e300,b,1,2", "row 4: timestep_time: 1e+300 is out of range"),
    ("90,car,3\n1,a", "90,car,-3\n1,a", "row 2: vehicle_speed: -3.0 is out of range (accepted: 0 m/s to 150 m/s)"),
    ("90,car,3\n1,a", "90,car,151\n1,a", "row 2: vehicle_speed: 151.0 is out of range"),
    ("90,car,3\n1,a", "inf,car,3\n1,a", "row 2: vehicle_angle: inf is not finite"),
    ("90,car,3\n1,a", ",car,3\n1,a", "row 2: vehicle_angle: is missing"),
    ("90,car,3\n1,a", '90,"car,3\n1,a', ""),
    ("vehicle_y", "v", "y_m: no column for it among timestep_time, vehicle_id"),
    ("vehicle_y", "v", "(accepted: a column vehicle_y or y or vehicle_lat or lat, or twin import csv --map y_m=NAME)"),
    ("vehicle_speed", "vehicle_x", "two columns are called 'vehicle_x'"),
    ("timestep_time", "x" * 100, f"among {'x' * 57}..., vehicle_id"),
    (GOOD, HEAD, "has no rows"),
    (GOOD, HEAD + "0,,,,,,\n", "has no vehicles"),
    (GOOD, "", "is empty (accepted: a file with rows)"),
    (GOOD, "\n\n\n", "header: is not a line of column names"),
    (GOOD, "\0\0\0\0", "header: is not a line of column names"),
    ("car,3\n1,b", "\udcff,3\n1,b", "UTF8"),
    ("car,3\n1,b", "\udcff\n1,b", "row 3: has 6 columns (accepted: 7)"),
    ("vehicle_id", "\r\r", "header: is not CSV"),
    ("vehicle_id", "\udcff", "header: is not UTF-8"),
]


def complaint(call: Callable[[], object], *names: str) -> str:
    """Return the complaint that a call raises: one line that begins with the name of the file."""
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert "Traceback" not in text
    assert len(text) < 700
    for name in names:
        assert name in text.partition(": ")[0]
    return text


@pytest.mark.parametrize(("old", "new", "words"), FCD_CSV)
def test_fcd_csv(tmp_path: Path, old: str, new: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1), "utf-8", errors="surrogateescape")
    assert words in complaint(lambda: read_fcd(path), "bad.csv")
    assert not list(tmp_path.glob("*.parquet"))


def test_the_good_file_is_good(tmp_path: Path) -> None:
    path = tmp_path / "good.csv"
    path.write_text(GOOD, "utf-8")
    assert read_fcd(path).num_row == 4


VEHICLE = '<vehicle id="a" x="1" y="2" angle="0" speed="3"/>'
BOMB = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'

FCD_XML = [
    ("", "is empty"),
    ("<fcd-export>", "line 1: is not well-formed XML: no element found"),
    (f'<fcd-export>\n<timestep time="0">\n{VEHICLE}', "line 3: is not well-formed XML: no element found"),
    ("<fcd-export>\n<timestep></fcd-export>", "line 2: <timestep> has no time"),
    ('<fcd-export><timestep time="0"></fcd-export>', "is not well-formed XML: mismatched tag"),
    ("<routes/>", "line 1: the outermost element is <routes> (accepted: <fcd-export>, floating car data"),
    ("<fcd-export/>", "has no <vehicle>"),
    (f"<fcd-export>{VEHICLE}</fcd-export>", "a <vehicle> stands before any <timestep>"),
    (f"{BOMB}<fcd-export/>", "line 1: has a document type declaration"),
    ('<!DOCTYPE x SYSTEM "http://example.com/x.dtd"><fcd-export/>', "has a document type declaration"),
    ("PK\x03\x04", "line 1: is not well-formed XML"),
    ('<?xml version="1.0" encoding="rot13"?><fcd-export/>', "is not "),
    ('<?xml version="1.0" encoding="utf-7"?><fcd-export/>', "is not "),
    (
        f'<fcd-export><timestep time="soon">{VEHICLE}</timestep></fcd-export>',
        "vehicle element 1: time: 'soon' is not a",
    ),
    (
        f'<fcd-export><timestep time="0">{VEHICLE.replace("x=", "lon=")}</timestep></fcd-export>',
        "lon, y: are metres with degrees (accepted: both metres or both degrees)",
    ),
    (
        f'<fcd-export><timestep time="0">{VEHICLE.replace("x=", "z=")}</timestep></fcd-export>',
        "line 1: a <vehicle> has no x (accepted: an attribute x or lon)",
    ),
    (
        f'<fcd-export><timestep time="0">{VEHICLE.replace(">", ">&#10;&a;")}</timestep></fcd-export>',
        "is not well-formed XML: undefined entity",
    ),
    (
        f'<fcd-export><timestep time="0">{VEHICLE}{VEHICLE}</timestep></fcd-export>',
        "vehicle element 2: id: 'a' has a second row at 0.000000000 s",
    ),
    (
        f'<fcd-export><timestep time="1">{VEHICLE}</timestep><timestep time="0">{VEHICLE}</timestep></fcd-export>',
        "vehicle element 2: time: time goes back from 1.000000000 s to 0.000000000 s",
    ),
    (
        f'<fcd-export><timestep time="0">{VEHICLE.replace("3", "0x10")}</timestep></fcd-export>',
        "vehicle element 1: speed: '0x10' is not a number",
    ),
]


@pytest.mark.parametrize(("text", "words"), FCD_XML)
@pytest.mark.parametrize("packed", [False, True])
def test_fcd_xml(tmp_path: Path, text: str, words: str, packed: bool) -> None:
    path = tmp_path / ("bad.fcd.xml.gz" if packed else "bad.fcd.xml")
    path.write_bytes(gzip.compress(text.encode()) if packed and text else text.encode())
    assert words in complaint(lambda: read_fcd(path), path.name)


@pytest.mark.parametrize("name", ["bad.xml.gz", "bad.csv.gz"])
def test_broken_gzip(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = GOOD if "csv" in name else f'<fcd-export><timestep time="0">{VEHICLE}</timestep></fcd-export>'
    whole = gzip.compress(content.encode() * (50 if "csv" in name else 1))
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    for broken in (b"garbage, not gzip", whole[:12], whole[: len(whole) // 2], whole[:-3], bytes(damaged)):
        path.write_bytes(broken)
        complaint(lambda: read_fcd(path), name)


def edited(**columns: Any) -> pa.Table:
    table = {
        "timestep_time": [0.0, 1.0],
        "vehicle_id": ["a", "a"],
        "vehicle_x": [1.0, 2.0],
        "vehicle_y": [1.0, 2.0],
        "vehicle_speed": pa.array([1.0, 1.0], pa.float32()),
    }
    return pa.table(table | columns)


PARQUET = [
    ({"vehicle_x": [[1.0], [2.0]]}, "vehicle_x: has values of type list<"),
    ({"vehicle_x": [True, False]}, "vehicle_x: has values of type bool (accepted: a number)"),
    ({"vehicle_x": [b"1", b"2"]}, "vehicle_x: has values of type binary"),
    ({"vehicle_x": [1.0, None]}, "row 2: vehicle_x: is missing"),
    ({"vehicle_x": pa.nulls(2)}, "row 1: vehicle_x: is missing"),
    ({"vehicle_id": [1.5, 2.5]}, "vehicle_id: has values of type double (accepted: texts)"),
    ({"vehicle_id": [None, None]}, "has no vehicles"),
    ({"timestep_time": pa.array([0, 1], pa.timestamp("ms"))}, "timestep_time: has values of type timestamp[ms]"),
    ({"vehicle_speed": [{"a": 1}, {"a": 2}]}, "vehicle_speed: has values of type struct<"),
]


@pytest.mark.parametrize(("columns", "words"), PARQUET)
def test_fcd_parquet(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    path = tmp_path / "bad.parquet"
    pq.write_table(edited(**columns), path)
    assert words in complaint(lambda: read_fcd(path), "bad.parquet")


def test_broken_parquet(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    pq.write_table(edited(), path)
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    for broken in (b"PAR1", b"no parquet at all", whole[:-1], whole[: len(whole) // 2]):
        path.write_bytes(broken)
        assert "is not Parquet" in complaint(lambda: read_fcd(path), "bad.parquet")
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(damaged))
        # Some bytes make no difference, but nothing else may be raised.
        with suppress(InputError):
            read_fcd(path)


def test_shuffled_rows(tmp_path: Path) -> None:
    lines = [f"{t},v{i},{i},0,0,car,1\n" for t in range(50) for i in range(4)]
    order = np.random.default_rng(3).permutation(len(lines))
    path = tmp_path / "bad.csv"
    path.write_text(HEAD + "".join(lines[i] for i in order), "utf-8")
    assert "timestep_time: time goes back" in complaint(lambda: read_fcd(path), "bad.csv")
    mapped = {"t_s": "timestep_time", "entity_id": "vehicle_id", "x_m": "vehicle_x", "y_m": "vehicle_y"}
    mapped["speed_mps"] = "vehicle_speed"
    assert "time of 'v" in complaint(lambda: read_mobility(path, mapped), "bad.csv")
    by_vehicle = sorted(lines, key=lambda line: line.split(",")[1])
    path.write_text(HEAD + "".join(by_vehicle), "utf-8")
    assert read_mobility(path, mapped).num_row == 200


def test_places_that_are_no_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04\x00\x00")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    readers: tuple[Callable[[Path], object], ...] = (read_fcd, read_mobility, read_requests, read_link)
    for read in readers:
        assert "is a directory (accepted: a file)" in complaint(partial(read, folder), "folder.csv")
        assert "there is no such file" in complaint(partial(read, tmp_path / "no.csv"), "no.csv")
        assert "is not a regular file" in complaint(partial(read, tmp_path / "pipe.csv"), "pipe.csv")
        assert "is of no known format (accepted: " in complaint(partial(read, tmp_path / "a.zip"), "a.zip")
        complaint(partial(read, tmp_path / "loop.csv"), "loop.csv")


COLUMNS = "time,car,east,north,v\n0,a,1,2,3\n"
MAP = {"t_s": "time", "entity_id": "car", "x_m": "east", "y_m": "north", "speed_mps": "v"}
MAPS = [
    ({}, "t_ns: no column for it among time, car, east, north, v (accepted: a column t_ns or t_s, or --map t_ns=NAME)"),
    ({**MAP, "z_m": "v"}, "--map: 'z_m' is no column to map (accepted: t_ns, t_s, entity_id"),
    ({**MAP, "x_m": "west"}, "--map x_m: there is no column 'west' (accepted: time, car, east, north, v)"),
    ({**MAP, "t_ns": "v"}, "--map: t_ns, t_s: are given both (accepted: one of them)"),
    ({**MAP, "x_m": "car"}, "row 1: car: 'a' is not a number"),
]


@pytest.mark.parametrize(("mapped", "words"), MAPS)
def test_column_maps(tmp_path: Path, mapped: dict[str, str], words: str) -> None:
    path = tmp_path / "drive.csv"
    path.write_text(COLUMNS, "utf-8")
    assert words in complaint(lambda: read_mobility(path, mapped))


def test_maps_of_the_command_line() -> None:
    for texts in (["x_m"], ["=a"], ["x_m="], ["x_m=a", "x_m=b"]):
        assert complaint(partial(parse_map, texts)).startswith("--map: ")


REQUESTS = [
    (
        "t_s,num_input_token,num_output_token\n0,0,1\n",
        "row 1: num_input_token: 0 is out of range (accepted: 1 to 2147483647)",
    ),
    ("t_s,num_input_token,num_output_token\n0,1,-1\n", "row 1: num_output_token: -1 is out of range"),
    ("t_s,num_input_token,num_output_token\n0,1.5,1\n", "row 1: num_input_token: '1.5' is not a whole number"),
    ("t_s,num_input_token,num_output_token\n0,99999999999,1\n", "row 1: num_input_token: 99999999999 is out of range"),
    (f"t_s,num_input_token,num_output_token\n0,{'9' * 40},1\n", "is not a whole number"),
    ("t_s,num_input_token,num_output_token\n1,1,1\n0,1,1\n", "row 2: t_s: time goes back from 1.000000000 s to"),
    ("t_s,num_input_token\n0,1\n", "num_output_token: no column for it"),
    ("TIMESTAMP,input_tokens,output_tokens\nsoon,1,1\n", "row 1: TIMESTAMP: 'soon' is not date and time"),
    (
        "TIMESTAMP,input_tokens,output_tokens\n2023-01-01 00:00:00,1,1\n7,1,1\n",
        "row 2: TIMESTAMP: '7' is not date and time",
    ),
    ("TIMESTAMP,input_tokens,output_tokens\n9999-01-01 00:00:00,1,1\n", "row 1: TIMESTAMP: "),
    ("t_ns,input_tokens,output_tokens\n-5,1,1\n", "row 1: t_ns: -5 is out of range"),
]


@pytest.mark.parametrize(("text", "words"), REQUESTS)
def test_requests(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, "utf-8")
    assert words in complaint(lambda: read_requests(path), "bad.csv")


LINKS = [
    ("t_s,uplink_rate_bps\n0,-1\n", "row 1: uplink_rate_bps: -1.0 is out of range (accepted: 0 bit/s to 1e+13 bit/s)"),
    ("t_s,uplink_rate_bps\n0,nan\n", "row 1: uplink_rate_bps: nan is not finite"),
    ("t_s,uplink_rate_bps\n0,1\n1,\n", "row 2: uplink_rate_bps: is missing"),
    ("t_s,uplink_rate_bps,link_id\n0,1,\n", "row 1: link_id: is missing"),
    ("t_s,rate\n0,1\n", "uplink_rate_bps: no column for it among t_s, rate"),
]


@pytest.mark.parametrize(("text", "words"), LINKS)
def test_links(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, "utf-8")
    assert words in complaint(lambda: read_link(path), "bad.csv")


def canonical(tmp_path: Path) -> Path:
    source = tmp_path / "good.csv"
    source.write_text(GOOD, "utf-8")
    import_file("fcd", source, tmp_path / "good.parquet")
    return tmp_path / "good.parquet"


PROVENANCE = {
    **dict.fromkeys(("origin", "source", "sha256", "licence", "time_label", "interpolation"), ""),
    **dict.fromkeys(("step_ns", "epoch_ns", "num_left_out"), 0),
}
CUT = {"begin_ns": 0, "end_ns": 9, "absent_after_ns": 3, "exceptions_ns": {"car": 2}}
CUTS: list[Any] = [
    *(3, "all", [0, 9, 3], {}, {"begin_ns": 0}, CUT | {"more": 1}, CUT | {"end_ns": 9.0}, CUT | {"end_ns": None}),
    *(CUT | {"absent_after_ns": 1 << 63}, CUT | {"exceptions_ns": None}, CUT | {"exceptions_ns": {"car": "2"}}),
]
METADATA = [
    ({b"vectwin_schema": b"99"}, "version: '99' is another version (accepted: 2, 3)"),
    ({b"table": b"link"}, "table: 'link' is another table (accepted: mobility)"),
    ({b"provenance": b"{"}, "has broken provenance"),
    ({b"provenance": b"[" * 100_000}, "has broken provenance"),
    ({b"provenance": b"{}"}, "has broken provenance"),
    ({b"provenance": b'{"origin": 1}'}, "has broken provenance"),
    *(({b"provenance": json.dumps(PROVENANCE | {"cut": cut}).encode()}, "has broken provenance") for cut in CUTS),
    ({b"digest": b"00"}, "its rows do not have the digest"),
    ({b"digest": b"\xff"}, "its rows do not have the digest"),
]


@pytest.mark.parametrize(("changes", "words"), METADATA)
def test_canonical_files_that_were_edited(tmp_path: Path, changes: dict[bytes, bytes], words: str) -> None:
    path = canonical(tmp_path)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, **changes}), path)
    assert words in complaint(lambda: read_mobility(path), "good.parquet")


def test_canonical_rows_that_were_edited(tmp_path: Path) -> None:
    path = canonical(tmp_path)
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    assert "its rows do not have the digest" in complaint(lambda: read_mobility(path), "good.parquet")
    pq.write_table(table.drop_columns(["kind"]), path)
    assert "has other columns" in complaint(lambda: read_mobility(path), "good.parquet")
    pq.write_table(table.set_column(2, "x_m", table.column("x_m").cast(pa.float32())), path)
    assert "x_m: has type float (accepted: double)" in complaint(lambda: read_mobility(path), "good.parquet")
    assert "'mobility'" in complaint(lambda: read_requests(path), "good.parquet")


def test_outputs(tmp_path: Path) -> None:
    source = tmp_path / "good.csv"
    source.write_text(GOOD, "utf-8")
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "file").write_text("", "utf-8")
    link = tmp_path / "same.parquet"
    link.symlink_to(source)
    places = {
        "out.csv": "has another suffix (accepted: .parquet)",
        "folder.parquet": "is a directory",
        "file/out.parquet": "cannot be written",
        "same.parquet": "is the file to be imported",
    }
    for name, words in places.items():
        assert words in complaint(partial(import_file, "fcd", source, tmp_path / name), name)
    with pytest.raises(InputError, match="accepted: fcd, csv, requests, link"):
        import_file("gpx", source, tmp_path / "out.parquet")
    with pytest.raises(InputError, match="is not for fcd"):
        import_file("fcd", source, tmp_path / "out.parquet", {"x_m": "x"})
    assert not list(tmp_path.glob("*.tmp"))


def test_failed_import_leaves_the_old_file(tmp_path: Path) -> None:
    path = canonical(tmp_path)
    before = path.read_bytes()
    bad = tmp_path / "bad.csv"
    bad.write_text(GOOD.replace("1,b,1,2", "1,a,1,2"), "utf-8")
    arguments = ["fcd", str(bad), "--out", str(path)]
    assert "second row" in complaint(lambda: imports.imports(arguments, standalone_mode=False), "bad.csv")
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bad.csv", "good.csv", "good.parquet"]
