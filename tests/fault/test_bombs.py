"""Files made to fill a memory, to take hours, to read other files, or never to end: refused at once, in one line."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from physical.reading import read_bytes
from sim import Scenario
from sim.scenario import nesting
from tests.support.command import twin
from traces.exogenous import read_fcd, read_link, read_mobility, source
from traces.exogenous.fcd import CHUNK_BYTES, DEPTH, TOKEN_BYTES

HEAD = '<fcd-export>\n<timestep time="0">\n'
VEHICLE = '<vehicle id="a" x="1" y="2" speed="1" angle="0"/>\n'
TAIL = "</timestep></fcd-export>"
COLUMNS = "t_s,entity_id,x_m,y_m\n"
QUICK_S = 10.0
"""More than any of this takes where other processes keep the machine busy, and far less than it would take."""


def refused(read: Callable[[], object]) -> str:
    """Return the complaint, which must come soon."""
    begin_s = time.monotonic()
    with pytest.raises(InputError) as found:
        read()
    assert time.monotonic() - begin_s < QUICK_S
    assert "\n" not in str(found.value)
    return str(found.value)


def xml(folder: Path, text: str) -> str:
    path = folder / "a.xml"
    path.write_text(text, "utf-8")
    return refused(lambda: read_fcd(path)).removeprefix(f"{path}: ")


def _entities(levels: int) -> str:
    """Return a billion laughs: each entity is ten of the one before."""
    lines = "".join(f'<!ENTITY b{i} "{f"&b{i - 1};" * 10 if i else "lol" * 10}">' for i in range(levels))
    return f"<!DOCTYPE fcd-export [{lines}]><fcd-export>&b{levels - 1};</fcd-export>"


@pytest.mark.parametrize(
    "text",
    [
        _entities(12),
        f'<!DOCTYPE fcd-export [<!ENTITY a "{"x" * 100_000}">]><fcd-export>{"&a;" * 100_000}</fcd-export>',
        '<!DOCTYPE fcd-export [<!ENTITY a SYSTEM "file:///etc/passwd">]><fcd-export>&a;</fcd-export>',
        '<!DOCTYPE fcd-export SYSTEM "http://127.0.0.1:1/x.dtd"><fcd-export/>',
        '<!DOCTYPE fcd-export [<!ENTITY % a SYSTEM "file:///dev/zero"> %a;]><fcd-export/>',
    ],
    ids=["billion laughs", "quadratic", "external", "external type", "parameter"],
)
def test_entities(tmp_path: Path, text: str) -> None:
    assert xml(tmp_path, text).startswith("line 1: has a document type declaration")


MANY = "a" * (8 * TOKEN_BYTES)


@pytest.mark.parametrize(
    "text",
    [
        f'{HEAD}<vehicle id="{MANY}" x="1" y="2"/>{TAIL}',
        f"<!--{MANY}-->{HEAD}{VEHICLE}{TAIL}",
        f"<?x {MANY}?>{HEAD}{VEHICLE}{TAIL}",
        f"{HEAD}<{MANY}/>{TAIL}",
        HEAD + "<vehicle " + " ".join(f'a{number}="1"' for number in range(200_000)) + "/>" + TAIL,
    ],
    ids=["attribute", "comment", "instruction", "name", "attributes"],
)
def test_elements_that_do_not_end(tmp_path: Path, text: str) -> None:
    """The parser would read each of them anew with every part of the file that comes."""
    assert f"has an element or a comment of more than {TOKEN_BYTES} bytes" in xml(tmp_path, text)


def test_elements_within_each_other(tmp_path: Path) -> None:
    assert f"line 3: has elements within each other more than {DEPTH} deep" in xml(tmp_path, HEAD + "<a>" * 1_000_000)
    path = tmp_path / "b.xml"
    inside = "<a>" * (DEPTH - 2) + "</a>" * (DEPTH - 2)
    path.write_text(HEAD + inside + VEHICLE + "<param/>" * 100 + TAIL, "utf-8")
    assert read_fcd(path).num_row == 1


def test_a_long_text_is_none_of_these(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(f"<!--{'c' * (TOKEN_BYTES - 2 * CHUNK_BYTES)}-->{HEAD}{MANY}{VEHICLE}{TAIL}", "utf-8")
    assert read_fcd(path).num_row == 1


def _packed(path: Path, head: str, part: bytes, times: int) -> Path:
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(head.encode())
        for _ in range(times):
            file.write(part)
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "EXPANDED_BYTES", 2**20)


@pytest.mark.usefixtures("small")
def test_what_is_packed_expands_to_a_limit(tmp_path: Path) -> None:
    words = "expands to more than 1 MiB, over 100 times its size"
    blank = b" " * 10_000
    rows = b"0,a,1,2\n" * 2_000
    for read, path in (
        (read_fcd, _packed(tmp_path / "a.xml.gz", HEAD, blank, 200)),
        (read_fcd, _packed(tmp_path / "b.xml.gz", HEAD, VEHICLE.encode() * 200, 200)),
        (read_mobility, _packed(tmp_path / "a.csv.gz", COLUMNS, rows, 100)),
        (read_link, _packed(tmp_path / "b.csv.gz", "t_s,uplink_rate_bps\n0,", blank, 200)),
        (read_link, _packed(tmp_path / "c.csv.gz", "t_s,uplink_rate_bps,", blank, 200)),
    ):
        assert path.stat().st_size < 100_000
        assert refused(partial(read, path)).startswith(f"{path}: {words}")
    honest = tmp_path / "d.csv.gz"
    lines = "".join(f"{row},a,{row * 7 % 1_000_003},{row * 11 % 1_000_003}\n" for row in range(60_000))
    with gzip.open(honest, "wt", encoding="utf-8") as file:
        file.write(COLUMNS + lines)
    assert len(lines) > 2**20
    assert read_mobility(honest).num_row == 60_000


def _rows(num: int, **columns: Any) -> pa.Table:
    number = np.zeros(num)
    return pa.table({"t_s": number, "entity_id": ["a"] * num, "x_m": number, "y_m": number} | columns)


@pytest.mark.usefixtures("small")
def test_what_parquet_expands_to(tmp_path: Path) -> None:
    """Rows that take no byte, and texts that stand once for all rows."""
    path = tmp_path / "a.parquet"
    pq.write_table(_rows(100_000), path)
    assert "expands to more than 1 MiB" in refused(lambda: read_mobility(path))
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(1_000, np.int32)), pa.array(["x" * 10_000]))
    pq.write_table(_rows(1_000, entity_id=long), path, store_schema=False)
    assert path.stat().st_size < 20_000
    assert "expands to more than" in refused(lambda: read_mobility(path))
    pq.write_table(_rows(2, x_m=[[0.0] * 5] * 2), path)
    assert refused(lambda: read_mobility(path)) == (
        f"{path}: x_m: has values of type list<element: double> (accepted: numbers or texts)"
    )


@pytest.mark.full
def test_a_real_bomb(tmp_path: Path) -> None:
    """Some kB that would be half a GB."""
    path = _packed(tmp_path / "a.csv.gz", COLUMNS, b"0,a,1,2\n" * 125_000, 500)
    begin_s = time.monotonic()
    line = twin("import", "csv", path, "--out", tmp_path / "a.parquet").complaint()
    assert "expands to more than 2" in line
    assert time.monotonic() - begin_s < 30
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (COLUMNS + "0,a\0,1,2\n", "row 1: entity_id: holds a NUL"),
        (COLUMNS + "0\0,a,1,2\n", "row 1: t_s: '0\\x00' is not a number"),
        (f"{COLUMNS}0,{'a' * 3_000_000},1,2\n", "cannot be read: straddling object"),
        (COLUMNS + '0,"' + "a\n" * 1_000_000, "row 1: has 2 columns (accepted: 4)"),
        (",".join(f"c{number}" for number in range(140_000)) + "\n1\n", "t_ns: no column for it among c0, c1"),
        (f"{COLUMNS.strip()}{',' * 900_000}\n1\n", "two columns are called ''"),
        ("x" * 2_000_000, "header: is not a line of column names"),
        ("\n" * 2_000_000, "header: is not a line of column names"),
    ],
    ids=["NUL", "NUL in a number", "line", "quote", "columns", "commas", "header", "lines"],
)
def test_tables(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content, "utf-8")
    assert refused(lambda: read_mobility(path)).startswith(f"{path}: {words}")


def test_texts_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes((COLUMNS + "0,a,1,2\n").encode("utf-16"))
    assert refused(lambda: read_mobility(path)) == f"{path}: header: is not UTF-8: invalid start byte"
    scenario = tmp_path / "a.toml"
    scenario.write_bytes("title = 'x'".encode("utf-16"))
    assert twin("check", scenario).complaint().startswith(f"twin: {scenario}: cannot be read: 'utf-8' codec")
    path = tmp_path / "a.xml"  # XML says its encoding
    path.write_bytes(f'<?xml version="1.0" encoding="UTF-16"?>{HEAD}{VEHICLE}{TAIL}'.encode("utf-16"))
    assert read_fcd(path).num_row == 1


DOTS = "a." * 100_000
TABLES = {
    "key": f"{DOTS}a = 1",
    "spaces": f"x = 1\n[ a{' . a' * 100_000} ]",
    "quotes": 'x = { "a"' + ".'b'.\"c\"" * 50_000 + " = 1 }",
    "in a list": f"x = [1, {{ y = 1, {DOTS}a = 1 }}]",
    "arrays of tables": f"[[{DOTS}a]]",
}


@pytest.mark.parametrize("name", TABLES)
def test_keys_of_many_parts(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(TABLES[name], "utf-8")
    line = 2 if name == "spaces" else 1
    assert refused(lambda: Scenario.load(path)) == (
        f"{path}: line {line}: has a key of more than {nesting.DEPTH_MAX} parts (accepted: at most {nesting.DEPTH_MAX})"
    )


@pytest.mark.parametrize("depth", [nesting.DEPTH_MAX + 1, 100, 900, 100_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ("{ a = ", " }")])
def test_deep_tables(tmp_path: Path, depth: int, left: str, right: str) -> None:
    value = f"{left * depth}1{right * depth}"
    path = tmp_path / "a.toml"
    path.write_text(f"title = {value}", "utf-8")
    words = f"is nested too deeply (accepted: at most {nesting.DEPTH_MAX} levels)"
    assert refused(lambda: Scenario.load(path)).startswith(f"{path}: {words}")
    assert refused(lambda: Scenario.load("dtecn", [f"title={value}"])).endswith(words)


def test_settings_of_many_parts() -> None:
    assert "--set: a.a.a" in refused(lambda: Scenario.load("dtecn", [f"{DOTS}a=1"]))
    assert "has a key of more than 32 parts" in refused(lambda: Scenario.load("dtecn", [f"title={{{DOTS}a=1}}"]))
    assert Scenario.load("dtecn", [f"title='{'a.' * 20}'"]).title == "a." * 20
    assert Scenario.load("dtecn", ["title=[not a list"]).title == "[not a list"


def test_data_that_hold_themselves() -> None:
    data: dict[str, Any] = Scenario.load("dtecn").model_dump(mode="json")
    data["mobility"]["ends"] = data
    assert "is nested too deeply" in refused(lambda: Scenario.from_dict(data))


def test_long_scenarios(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("#" * (nesting.BYTES_MAX + 1), "utf-8")
    assert refused(lambda: Scenario.load(path)) == (
        f"{path}: has {nesting.BYTES_MAX + 1} bytes (accepted: at most {nesting.BYTES_MAX})"
    )
    path.write_bytes(b"title = 'one'\r\n[time]\rnum_slot = 2")
    assert "vehicles: is missing" in refused(lambda: Scenario.load(path))


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, Path("/dev/zero"), Path("/dev/stdin")):
        if not place.exists() or place.is_file():
            continue
        words = f"twin: {place}: is not a regular file (accepted: a file)"
        assert twin("check", place).complaint() == words
        assert twin("run", place, "--slots", "2").complaint() == words
        for kind in ("fcd", "csv", "requests", "link"):
            assert twin("import", kind, place, "--out", tmp_path / "a.parquet").complaint() == words
        settings = ("--set", f"mobility.file='{place}'", "--set", "mobility.kind='trace'")
        assert twin("run", "dtecn", "--slots", "2", *settings).code == 2
    assert twin("run", tmp_path, "--slots", "2").complaint().startswith(f"twin: {tmp_path}: is a directory")
    with pytest.raises(InputError, match="is not a regular file"):
        read_bytes(pipe, 10)


def test_files_of_the_system_that_say_zero_bytes(tmp_path: Path) -> None:
    big = tmp_path / "grown"
    big.write_bytes(b"x" * 20)
    assert read_bytes(big, 20) == b"x" * 20
    with pytest.raises(InputError, match=r"has 20 bytes \(accepted: at most 19\)"):
        read_bytes(big, 19)
    if (status := Path("/proc/self/status")).exists():
        with pytest.raises(InputError, match=r"has too many bytes \(accepted: at most 10\)"):
            read_bytes(status, 10)
