"""Results are written into new folders, empty ones, or those with an earlier result of the same command."""

from __future__ import annotations

from pathlib import Path

import pytest

from physical.errors import InputError
from sim.runs.run import run
from sim.scenario.scenario import Scenario
from tests.support.command import twin
from traces.folder import folder_for

_SHORT = Scenario.load("dtecn", ["time.num_slot=2", "vehicles.num_vehicle=2"])
_COMMANDS: dict[str, tuple[object, ...]] = {
    "run": ("run", "dtecn", "--slots", 2),
    "replay": ("replay", "recorded", "--policy", "random"),
    "branch": ("branch", "recorded", "--at", 0.1, "--policy", "random"),
    "export": ("export", "recorded", "--to", "csv"),
    "figures": ("figures", "llm6g", "--quick", "--mode", "corrected"),
}
_FILES: dict[str, tuple[object, ...]] = {
    "perfetto": ("export", "recorded", "--to", "perfetto"),
    "report": ("report", "recorded"),
    "train": ("train", "apg", "dtecn"),
    "cases": ("cases", "build", "dtecn"),
    "import": ("import", "fcd", "a.xml"),
    "models": ("models", "train"),
    "compare": ("compare", "dtecn", "--policies", "random,local-only", "--seeds", 0),
    "sweep": ("sweep", "dtecn", "--policies", "random", "--seeds", 0, "--grid", "vehicles.num_vehicle=2"),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder that is at hand, with a run and a folder of somebody's own."""
    monkeypatch.chdir(tmp_path)
    run(_SHORT, policy="local-only", out="recorded")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("two years of work", "utf-8")
    return tmp_path


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("command", _COMMANDS | _FILES)
@pytest.mark.parametrize("empty", [("--out", ""), ("--out", "  "), ("--out=",)], ids=repr)
def test_an_empty_text_is_no_place(command: str, empty: tuple[str, ...], place: Path) -> None:
    before = _names(place)
    said = twin(*(_COMMANDS | _FILES)[command], *empty).complaint()
    assert said == "twin: --out: is empty (accepted: a path)"
    assert _names(place) == before


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_folder_with_other_files_is_left_alone(command: str, place: Path) -> None:
    before = _names(place)
    said = twin(*_COMMANDS[command], "--out", "mine").complaint()
    assert said.startswith("twin: mine: is not empty: it holds thesis.txt (accepted: a new or empty directory")
    assert _names(place) == before
    assert twin(*_COMMANDS[command], "--out", "mine/thesis.txt").code == 2
    assert (place / "mine" / "thesis.txt").read_text("utf-8") == "two years of work"


@pytest.mark.parametrize("command", ["run", "replay", "branch"])
def test_a_run_is_never_written_over(command: str, place: Path) -> None:
    said = twin(*_COMMANDS[command], "--out", "recorded").complaint()
    assert said == "twin: recorded: holds a run already (accepted: a new or empty directory)"
    (place / "empty").mkdir()
    (place / "empty" / ".gitkeep").touch()
    assert twin(*_COMMANDS[command], "--out", "empty").code == 0
    assert (place / "empty" / "manifest.json").is_file()


def test_tables_are_exported_again_where_they_were(place: Path) -> None:
    for _ in range(2):
        assert twin(*_COMMANDS["export"], "--out", "tables").code == 0
    (place / "tables" / "note.txt").touch()
    assert twin(*_COMMANDS["export"], "--out", "tables").code == 0


def test_from_python(place: Path) -> None:
    with pytest.raises(InputError, match=r"^out: is empty \(accepted: a new or empty directory\)$"):
        run(_SHORT, policy="random", out="")
    for out in ("mine", place / "mine"):
        with pytest.raises(InputError, match=r"mine: is not empty: it holds thesis\.txt"):
            run(_SHORT, policy="random", out=out)
    assert _names(place / "mine") == ["thesis.txt"]


_MARKS, _PARTS = ("compare.json", "runs.parquet"), ("runs",)


@pytest.mark.parametrize(
    ("names", "held"),
    [
        ([], ""),
        (["runs"], ""),
        ([".DS_Store"], ""),
        (["runs", "compare.json", "report.html"], ""),
        (["runs", "code.py"], "code.py"),
        (["a", "b", "c", "d", "e"], "a, b, c and 2 more"),
    ],
)
def test_a_folder_is_taken_for_what_it_holds(names: list[str], held: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).touch()
    if not held:
        assert folder_for(tmp_path, _MARKS, _PARTS) == tmp_path
        return
    with pytest.raises(InputError) as caught:
        folder_for(tmp_path, _MARKS, _PARTS, what="a comparison")
    assert caught.value.problem == f"is not empty: it holds {held}"
    assert caught.value.accepted == "a new or empty directory, or one with a comparison"


@pytest.mark.parametrize(
    ("grid", "more", "said"),
    [
        ("foo=1", (), "--grid: foo: unknown key"),
        ("tasks.9.deadline_s=1", (), "--grid: tasks.9.deadline_s: '9' is not an index"),
        ("title.x=3", (), "--grid: title: is not a table"),
        ("vehicles.num_vehicle=-1", (), "--grid: vehicles.num_vehicle: -1 is out of range"),
        ("tasks..x=1", (), "--grid: 'tasks..x=1' is not a setting"),
        ("vehicles.num_vehicle=1,2", ("--set", "foo=1"), "--set: foo: unknown key"),
        ("vehicles.num_vehicle=1,2", ("--set", "vehicles.cpu_hz=0"), "--set: vehicles.cpu_hz: 0 is out of range"),
    ],
)
def test_a_wrong_grid_is_not_blamed_on_settings(grid: str, more: tuple[str, ...], said: str, place: Path) -> None:
    done = twin("sweep", "dtecn", "--policies", "random", "--seeds", 0, "--slots", 2, "--grid", grid, *more)
    assert done.complaint().startswith(f"twin: {said}")
    assert _names(place / "mine") == ["thesis.txt"]


_READERS: dict[str, tuple[object, ...]] = {
    "run": ("run", "NAME"),
    "check": ("check", "NAME"),
    "replay": ("replay", "NAME"),
    "branch": ("branch", "NAME", "--at", 0.1, "--policy", "random"),
    "report": ("report", "NAME"),
    "export": ("export", "NAME", "--to", "csv", "--out", "b.zip"),
    "cases show": ("cases", "show", "NAME"),
    "import": ("import", "csv", "NAME", "--out", "b.parquet"),
    "models verify": ("models", "verify", "NAME"),
    "policies": ("policies", "NAME"),
    "weights": ("run", "dtecn", "--slots", 2, "--policy", "apg:weights=NAME"),
    "cases": ("run", "dtecn", "--slots", 2, "--policy", "nearest-case:cases=NAME"),
    "by path": ("run", "dtecn", "--slots", 2, "--policy", "NAME:Policy"),
    "compare": ("compare", "NAME", "--policies", "random", "--seeds", 0),
}


@pytest.mark.full
@pytest.mark.parametrize("name", ["n" * 5_000, "loop.toml"])
@pytest.mark.parametrize("command", _READERS)
def test_names_that_no_file_has_are_one_line(command: str, name: str, place: Path) -> None:
    (place / "loop.toml").symlink_to("loop.toml")
    words = (str(word).replace("NAME", name) for word in _READERS[command])
    assert twin(*words).complaint()


@pytest.mark.parametrize("command", _COMMANDS | _FILES)
@pytest.mark.parametrize("name", ["n" * 5_000 + ".parquet", "mine/thesis.txt/a.parquet"])
def test_places_that_cannot_be_are_one_line(command: str, name: str, place: Path) -> None:
    assert twin(*(_COMMANDS | _FILES)[command], "--out", name).complaint()
