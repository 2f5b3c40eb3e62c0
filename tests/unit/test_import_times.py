"""Times of any form are the instants that they name; a unit that is not clear is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from traces.exogenous import import_file, read_fcd, read_link, read_mobility, read_requests

EPOCH_S = int(datetime(2019, 12, 14, 10, 16, 30, tzinfo=UTC).timestamp())
assert EPOCH_S == 1_576_318_590

# Two times, one second and a half apart; the first is that of EPOCH_S.
DATES = [
    ("2019.12.14_10.16.30", "2019.12.14_10.16.31.5"),
    ("2019-12-14 10:16:30", "2019-12-14 10:16:31.5"),
    ("2019-12-14T10:16:30Z", "2019-12-14T10:16:31.500Z"),
    ("2019-12-14T11:16:30+01:00", "2019-12-14T10:16:31.5Z"),
    ("2019/12/14 10:16:30", "2019/12/14 10:16:31.5"),
    ("2019-12-14_10-16-30", "2019-12-14_10-16-31.5"),
    ("2019-12-14 10:16:30,000", "2019-12-14 10:16:31,500"),
    ("20191214T101630", "20191214T101631.5"),
    ("20191214_101630", "20191214_101631.5"),
]
SINCE_1970 = [
    (EPOCH_S * 1000, EPOCH_S * 1000 + 1500, "ms since 1970"),
    (f"{EPOCH_S}.0", f"{EPOCH_S + 1}.5", "s since 1970"),
    (f"{EPOCH_S}000.0", f"{EPOCH_S + 1}500.0", "ms since 1970"),
    (f"{EPOCH_S}000.0", f"{EPOCH_S + 1}500.25", "ms since 1970"),
]
MAP = {"t_ns": "Timestamp", "uplink_rate_bps": "up"}


def link(tmp_path: Path, *times: object, quoted: str = '"') -> Path:
    path = tmp_path / "drive.csv"
    path.write_text("Timestamp,up\n" + "".join(f"{quoted}{time}{quoted},{7}\n" for time in times), "utf-8")
    return path


@pytest.mark.parametrize(("first", "second"), DATES)
def test_dates(first: str, second: str, tmp_path: Path) -> None:
    trace = read_link(link(tmp_path, first, second), MAP)
    assert (trace.provenance.epoch_ns, trace.end_ns) == (EPOCH_S * 10**9, 1_500_000_000)
    assert trace.provenance.notes == ()


@pytest.mark.parametrize(("first", "second", "note"), SINCE_1970)
def test_times_since_1970_are_recognised(first: object, second: object, note: str, tmp_path: Path) -> None:
    trace = read_link(link(tmp_path, first, second, quoted=""), MAP)
    assert trace.provenance.epoch_ns == EPOCH_S * 10**9
    assert trace.end_ns == pytest.approx(1_500_000_000, abs=1_000_000)
    assert trace.provenance.notes == (f"Timestamp: {note}",)


def test_whole_seconds_since_1970_are_recognised(tmp_path: Path) -> None:
    trace = read_link(link(tmp_path, *range(EPOCH_S, EPOCH_S + 5)), MAP)
    assert trace.column("t_ns").tolist() == [t * 10**9 for t in range(5)]
    assert trace.provenance.notes == ("Timestamp: s since 1970",)


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64()])
def test_numbers_of_parquet(kind: pa.DataType, tmp_path: Path) -> None:
    """Also in the columns that public request traces have, whose TIMESTAMP is known without a map."""
    path = tmp_path / "code.parquet"
    times = pa.array([EPOCH_S * 1000 + 20 * i for i in range(5)]).cast(kind)
    tokens = pa.array([1, 2, 3, 4, 5])
    pq.write_table(pa.table({"TIMESTAMP": times, "ContextTokens": tokens, "GeneratedTokens": tokens}), path)
    trace = read_requests(path)
    assert trace.column("t_ns").tolist() == [20_000_000 * i for i in range(5)]
    assert trace.provenance.notes == ("TIMESTAMP: ms since 1970",)


def test_mobility_counts_recognised_dates_from_the_first(tmp_path: Path) -> None:
    path = tmp_path / "taxi.csv"
    rows = "".join(f"{EPOCH_S * 1000 + 1000 * i},a,{10 * i},0,10\n" for i in range(3))
    path.write_text(f"Timestamp,entity_id,x_m,y_m,speed_mps\n{rows}", "utf-8")
    trace = read_mobility(path, {"t_ns": "Timestamp"})
    assert trace.column("t_ns").tolist() == [0, 10**9, 2 * 10**9]
    assert trace.provenance.epoch_ns == EPOCH_S * 10**9


def test_whole_ns_stay_ns(tmp_path: Path) -> None:
    """From 1.2 s on, from 1200 s on, and since 1970: magnitudes that others have, but steps that make sense."""
    for begin, step in ((1_200_000_000, 100_000_000), (1200 * 10**9, 10**9), (EPOCH_S * 10**9, 10**6)):
        trace = read_link(link(tmp_path, begin, begin + step), MAP)
        assert (trace.provenance.epoch_ns, trace.end_ns, trace.provenance.notes) == (begin, step, ())


UNCLEAR = [
    ([0, 1, 2], "row 1: Timestamp: 0 is a time of unknown unit: as ns, rows are 1 ns apart (accepted: --map t_ns="),
    (
        [20191214101630, 20191214101631],
        "as ns, rows are 1 ns apart (accepted: --map t_ns=Timestamp:UNIT, with s, ms, us",
    ),
    (
        [EPOCH_S * 10**6, (EPOCH_S + 1) * 10**6],
        "is a time of unknown unit: us since 1970, or ns (accepted: --map t_ns=",
    ),
    ([EPOCH_S], "1576318590 is a time of unknown unit: s since 1970, or ns"),
    ([0.5, 1.5], "row 1: Timestamp: 0.5 is not a whole number (accepted: whole ns; of seconds: --map t_s=Timestamp)"),
    (
        ["14/12/2019 10:16:30"],
        "'14/12/2019 10:16:30' is not date and time (accepted: date and time, such as 2019-12-14",
    ),
    (["12/14/2019 10:16:30"], "10:16:30; other forms: --time-format)"),
    (["2019-13-14 10:16:30"], "'2019-13-14 10:16:30' is not date and time"),
    (["1833-01-01 10:16:30"], "'1833-01-01 10:16:30' is out of range (accepted: years 1970 to 2096)"),
    (["10:61:30"], "row 1: Timestamp: '10:61:30' is not a clock (accepted: h:m:s or d:h:m:s)"),
    (["10:16:30", "soon"], "row 2: Timestamp: 'soon' is not a clock"),
    (["10:16:30", ""], "row 2: Timestamp: is missing"),
]


@pytest.mark.parametrize(("times", "words"), UNCLEAR)
def test_times_that_are_not_clear(times: list[object], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_link(link(tmp_path, *times), MAP)
    assert words in str(caught.value)


def test_a_column_called_t_ns_holds_ns(tmp_path: Path) -> None:
    """Its name says the unit; what cannot be is refused, and may be told otherwise."""
    path = tmp_path / "a.csv"
    path.write_text(f"t_ns,uplink_rate_bps\n{EPOCH_S},1\n{EPOCH_S + 1},1\n", "utf-8")
    with pytest.raises(InputError, match=r"row 1: t_ns: 1576318590 is a time of unknown unit: s since 1970, or ns"):
        read_link(path)
    assert read_link(path, {"t_ns": "t_ns:s"}).end_ns == 10**9
    assert read_link(path, {"t_ns": "t_ns:ns"}).end_ns == 1
    path.write_text("t_ns,uplink_rate_bps\n5,1\n7,1\n", "utf-8")
    assert read_link(path).end_ns == 2


def test_seconds_that_are_ms_are_refused_with_the_map(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"t_s,uplink_rate_bps\n{EPOCH_S}000,1\n{EPOCH_S}500,1\n", "utf-8")
    with pytest.raises(InputError, match=r"0 s to 4e\+09 s; of ms since 1970: --map t_s=t_s:ms"):
        read_link(path)
    assert read_link(path, {"t_s": "t_s:ms"}).end_ns == 500_000_000


@pytest.mark.parametrize(
    ("unit", "times", "end_ns"),
    [
        ("s", (3, 4.25), 1_250_000_000),
        ("ms", (100, 350), 250_000_000),
        ("ms", (100.5, 350.25), 249_750_000),
        ("us", (EPOCH_S * 10**6 + 1, EPOCH_S * 10**6 + 4), 3000),
        ("ns", (EPOCH_S * 10**9 + 1, EPOCH_S * 10**9 + 4), 3),
    ],
)
def test_units_of_times(unit: str, times: tuple[float, float], end_ns: int, tmp_path: Path) -> None:
    for field in ("t_s", "t_ns"):
        path = link(tmp_path, *times, quoted="")
        assert read_link(path, {field: f"Timestamp:{unit}", "uplink_rate_bps": "up"}).end_ns == end_ns


FORMATS = [
    ("%d/%m/%Y %H:%M:%S", ("14/12/2019 10:16:30", "14/12/2019 10:16:32"), EPOCH_S * 10**9, 2 * 10**9),
    ("%m/%d/%Y %I:%M:%S.%f %p", ("12/14/2019 10:16:30.25 AM", "12/14/2019 10:16:31.0 AM"), None, 750_000_000),
    ("%Y%m%d%H%M%S", ("20191214101630", "20191214101631"), EPOCH_S * 10**9, 10**9),
    ("%d.%m.%Y %H:%M:%S %z", ("14.12.2019 11:16:30 +0100", "14.12.2019 10:16:31 +0000"), EPOCH_S * 10**9, 10**9),
    ("%H.%M.%S", ("10.16.30", "10.17.00"), 36_990 * 10**9, 30 * 10**9),
]


@pytest.mark.parametrize(("form", "times", "epoch_ns", "end_ns"), FORMATS)
def test_formats_of_strptime(
    form: str, times: tuple[str, str], epoch_ns: int | None, end_ns: int, tmp_path: Path
) -> None:
    trace = read_link(link(tmp_path, *times), MAP, time_format=form)
    assert trace.end_ns == end_ns
    assert epoch_ns in (None, trace.provenance.epoch_ns)


def test_every_import_of_columns_takes_a_format(tmp_path: Path) -> None:
    path, out = tmp_path / "a.csv", tmp_path / "out.parquet"
    path.write_text(
        "t_ns,entity_id,x_m,y_m,num_input_token,num_output_token,uplink_rate_bps\n"
        "14/12/2019 10:16:30,a,0,0,1,1,1\n14/12/2019 10:16:31,a,1000,0,1,1,1\n",
        "utf-8",
    )
    for kind in ("csv", "requests", "link"):
        trace = import_file(kind, path, out, time_format="%d/%m/%Y %H:%M:%S")
        assert (trace.provenance.epoch_ns, trace.end_ns) == (EPOCH_S * 10**9, 10**9)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ("%Q", "--time-format: 'Q' is a bad directive in format '%Q' (accepted: a format of strptime"),
        ("%", "--time-format: stray %"),
        ("%d/%m/%Y", "drive.csv: row 1: Timestamp: '14/12/2019 10:16:30' is of another form (accepted: %d/%m/%Y)"),
    ],
)
def test_formats_that_are_none(form: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_link(link(tmp_path, "14/12/2019 10:16:30"), MAP, time_format=form)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [("0:00:01:23", 83), ("00:01:23.50", 83.5), ("1:02:03:04", 93_784), ("26:00:00", 93_600), ("83.50", 83.5)],
)
def test_clocks_of_sumo(clock: str, seconds: float, tmp_path: Path) -> None:
    vehicle = '<vehicle id="a" x="1" y="2" angle="0" speed="0"/>'
    (tmp_path / "a.xml").write_text(f'<fcd-export><timestep time="{clock}">{vehicle}</timestep></fcd-export>', "utf-8")
    (tmp_path / "a.csv").write_text(f"timestep_time;vehicle_id;vehicle_x;vehicle_y\n{clock};a;1;2\n", "utf-8")
    for name in ("a.xml", "a.csv"):
        trace = read_fcd(tmp_path / name)
        assert (trace.begin_ns, trace.provenance.epoch_ns) == (int(seconds * 1e9), 0)


def test_xml_takes_no_format_of_times(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<fcd-export/>", "utf-8")
    with pytest.raises(InputError, match=r"--time-format: is for CSV and Parquet"):
        read_mobility(tmp_path / "a.xml", time_format="%S")
