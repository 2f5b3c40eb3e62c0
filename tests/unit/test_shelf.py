"""Traces of studies on a shelf: they verify, none collides, what is missing runs again, a bad place is one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from physical.errors import InputError
from sim import Scenario, compare, sweep
from sim.runs.check import check
from sim.runs.replay import verify
from sim.studies.entrants import AnyPolicy
from sim.studies.plan import plan_comparison
from sim.studies.shards import Shard, run_shard
from sim.studies.shelf import Shelf
from tests.support.command import twin
from tests.support.process import at_work

SMALL = Scenario.load("dtecn", ["time.num_slot=3", "vehicles.num_vehicle=2"])
MANIFEST = "manifest.json"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_traces_verify_and_tell_what_they_are_of(tmp_path: Path) -> None:
    """A folder for each run, whole, with the digest that the run has without a shelf."""
    shelf = tmp_path / "deep" / "traces"
    kept = compare(SMALL, ["edge-equal", "random"], (0, 3), tmp_path / "out", keep_traces=shelf)
    assert [name.rsplit("-", 1)[0] for name in names(shelf)] == ["edge-equal-0", "edge-equal-3", "random-0", "random-3"]
    digests = {run.summary["digest"] for policy in kept.policies for run in kept.runs[policy]}
    found = [verify(folder) for folder in shelf.iterdir()]
    assert [each.difference for each in found] == [None] * 4
    assert {each.result.summary["digest"] for each in found} == digests
    assert all(check(str(folder)).ok for folder in shelf.iterdir())
    plain = compare(SMALL, ["edge-equal", "random"], (0, 3))
    assert plain.to_dict() == kept.to_dict()


def test_the_command_line_keeps_traces(tmp_path: Path) -> None:
    words = ("dtecn", "--policies", "random", "--seeds", 1, "--slots", 3, "--warmup", 0, "--out", tmp_path / "out")
    assert twin("compare", *words, "--keep-traces", tmp_path / "traces", "--json").code == 0
    (folder,) = (tmp_path / "traces").iterdir()
    assert "all digests are right" in twin("check", folder).out
    assert "is identical" in twin("replay", folder).out


def test_a_run_is_reused_if_its_trace_is_there(tmp_path: Path) -> None:
    """One whose trace is missing, or was never finished, runs again; without a shelf all are reused."""
    out, shelf = tmp_path / "out", tmp_path / "traces"
    compare(SMALL, ["random"], range(3), out)

    def reused(**more: Any) -> int:
        return compare(SMALL, ["random"], range(3), out, **more).num_reused

    assert reused(keep_traces=shelf) == 0
    assert reused(keep_traces=shelf) == 3
    first, second, _ = sorted(shelf.iterdir())
    (first / MANIFEST).unlink()
    for file in sorted(second.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    second.rmdir()
    assert reused() == 3
    assert reused(keep_traces=shelf) == 1
    assert len(names(shelf)) == 3
    assert all(verify(folder).difference is None for folder in shelf.iterdir())
    assert reused(keep_traces=tmp_path / "elsewhere") == 0
    assert reused(keep_traces=shelf, fresh=True) == 0
    assert reused(keep_traces=shelf) == 3


def test_names_that_clean_up_alike_do_not_collide(tmp_path: Path) -> None:
    alike: dict[str, AnyPolicy] = {"a b": "edge-equal", "a/b": "random", "a:b": "local-only", "ä" * 90: "greedy-cost"}
    compare(SMALL, alike, (0,), keep_traces=tmp_path)
    assert len(names(tmp_path)) == 4
    assert all(verify(folder).difference is None for folder in tmp_path.iterdir())
    assert all(name.isascii() and "/" not in name and len(name) < 120 for name in names(tmp_path))


def test_no_trace_is_hidden(tmp_path: Path) -> None:
    """A policy by path begins with a dot."""
    compare(SMALL, {"./mine.py:Mine": "edge-equal", "...": "random"}, [0], tmp_path / "out", keep_traces=tmp_path / "t")
    assert [name.rpartition("-")[0] for name in names(tmp_path / "t")] == ["mine.py-Mine-0", "policy-0"]


def test_two_names_of_one_policy_share_a_trace(tmp_path: Path) -> None:
    """At the same time, too: one of them wins, and neither fails."""
    alike: dict[str, AnyPolicy] = dict.fromkeys(("a b", "a/b", "a:b", "a?b"), "edge-equal")
    with ThreadPoolExecutor(4) as executor:
        compare(SMALL, alike, (0, 1), keep_traces=tmp_path, executor=executor)
    assert len(names(tmp_path)) == 2
    assert all(verify(folder).difference is None for folder in tmp_path.iterdir())


def test_traces_of_one_name_may_come_at_once(tmp_path: Path) -> None:
    """Several put one trace there at once: nobody fails, and one of them is there."""
    shelf = Shelf(str(tmp_path))

    def put(number: int) -> None:
        for _ in range(10):
            with shelf.place_for("x") as place:
                place.mkdir()
                (place / MANIFEST).write_text(str(number), "utf-8")

    with ThreadPoolExecutor(4) as executor:
        for done in [executor.submit(put, number) for number in range(4)]:
            done.result()
    assert names(tmp_path) == ["x"]
    assert shelf.has("x")


def test_a_run_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    """Neither there nor beside; what was there before stays."""
    shelf = Shelf(str(tmp_path))
    with shelf.place_for("x") as place:
        place.mkdir()
        (place / MANIFEST).touch()

    def fail(name: str) -> None:
        with shelf.place_for(name) as place:
            place.mkdir()
            raise ZeroDivisionError

    for name in ("x", "y"):
        with pytest.raises(ZeroDivisionError):
            fail(name)
    assert names(tmp_path) == ["x"]
    assert shelf.has("x")


def test_points_of_a_sweep_have_traces_of_their_own(tmp_path: Path) -> None:
    sweep(SMALL, ["random"], {"vehicles.num_vehicle": [1, 2]}, (0,), tmp_path / "out", keep_traces=tmp_path / "t")
    assert len(names(tmp_path / "t")) == 2


# --------------------------------------------------------------------------------------------------------------- places


class Elsewhere:
    """Runs jobs in another working directory, as a worker on another machine does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        here, future = Path.cwd(), Future[Any]()
        os.chdir(self.folder)
        try:
            future.set_result(call(*arguments))
        finally:
            os.chdir(here)
        return future


def test_a_relative_folder_is_that_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for num_reused in (0, 1):
        by = Elsewhere(tmp_path / "there")
        assert compare(SMALL, ["random"], (0,), "out", keep_traces="traces", executor=by).num_reused == num_reused
    assert names(tmp_path / "there") == []
    assert len(names(tmp_path / "here" / "traces")) == 1


@pytest.mark.parametrize("begun", ["study", "shard"])
@pytest.mark.parametrize("place", ["out/traces", "out/deep/er", "out"])
def test_traces_may_lie_in_the_folder_of_the_study(
    place: str, begun: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study that was stopped there goes on; it is still no folder of something else."""
    out = tmp_path / "out"
    words: dict[str, Any] = {"keep_traces": tmp_path / place}

    def stop(*done: int) -> None:
        if done[0] == 1:
            raise KeyboardInterrupt

    def begin() -> None:
        if begun == "study":
            compare(SMALL, ["random"], range(3), out, progress=stop, **words)
        else:
            run_shard(plan_comparison(SMALL, ["random"], range(3)), Shard(0, 1), out, progress=stop, **words)

    with pytest.raises(KeyboardInterrupt):
        begin()
    assert compare(SMALL, ["random"], range(3), out, **words).num_reused == 1
    assert compare(SMALL, ["random"], range(3), out, **words).num_reused == 3


def test_a_url_of_fsspec(tmp_path: Path) -> None:
    """Of a file system in memory: all files of the trace, and the same reuse."""
    fsspec = pytest.importorskip("fsspec", reason="needs the extra dask")
    system = fsspec.filesystem("memory")
    place = f"memory://{tmp_path.name}/traces"
    try:
        kept = compare(SMALL, ["random"], (0, 1), tmp_path / "out", keep_traces=f"{place}/")
        assert compare(SMALL, ["random"], (0, 1), tmp_path / "out", keep_traces=place).num_reused == 2
        folders = [path.rpartition("/")[2] for path in system.ls(f"/{tmp_path.name}/traces", detail=False)]
        assert len(folders) == 2
        digests = set()
        for folder in folders:
            system.get(f"/{tmp_path.name}/traces/{folder}", str(tmp_path / folder), recursive=True)
            found = verify(tmp_path / folder)
            assert found.difference is None
            digests.add(found.result.summary["digest"])
        assert digests == {run.summary["digest"] for run in kept.runs["random"]}
        system.rm(f"/{tmp_path.name}/traces/{folders[0]}/{MANIFEST}")
        assert compare(SMALL, ["random"], (0, 1), tmp_path / "out", keep_traces=place).num_reused == 1
    finally:
        system.rm(f"/{tmp_path.name}", recursive=True)


@pytest.mark.parametrize(
    "place", ["nowhere://bucket/x", "file/none.txt/traces", "file://file/none.txt/traces", "a\0b", ""]
)
@pytest.mark.parametrize("out", [None, "out"])
def test_an_impossible_place_is_one_line(
    place: str, out: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first run: an hour of runs must not be lost to a typing error."""
    pytest.importorskip("fsspec", reason="needs the extra dask")
    monkeypatch.chdir(tmp_path)
    Path("file").mkdir()
    Path("file/none.txt").touch()
    told: list[str] = []
    with at_work("sim.studies.jobs:run", lambda: pytest.fail("a run began")), pytest.raises(InputError) as found:
        compare(SMALL, ["random"], (0, 1), out, keep_traces=place, tell=told.append)
    assert "--keep-traces" in str(found.value)
    assert "\n" not in str(found.value)
    assert len(told) <= 1


def test_a_url_without_fsspec_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fsspec", None)  # as if there were none
    with pytest.raises(InputError, match=r'--keep-traces: needs the extra dask .*pip install "vectwin\[dask\]"'):
        compare(SMALL, ["random"], (0,), tmp_path, keep_traces="s3://bucket/x")
