"""Files that jobs name are copied to a worker that does not see them, and change neither numbers nor keys."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from physical.errors import InputError
from policies.baselines import EdgeEqual
from sim import Scenario
from sim.studies.entrants import AnyPolicy, entrants
from sim.studies.evaluation import MEASURED
from sim.studies.executors import on_worker
from sim.studies.executors.luggage import Packer, relocated
from sim.studies.jobs import Finished, Job, Jobs, Outcome
from tests.support.process import as_before

POLICY = """
from pathlib import Path

from policies import make
from rules import shares

from .more.numbers import PART

class Mine:
    def __init__(self, table: str = "tables/part.txt", teacher: str = "edge-equal"):
        self.part = float(Path(table).read_text()) * PART * shares.FACTOR

    def reset(self, system, seed):
        self.inner = make("edge-equal")
        self.inner.reset(system, seed)

    def decide(self, snapshot):
        found = self.inner.decide(snapshot)
        return type(found)(found.offloading_ratio * self.part, found.compute_allocation_hz)
"""
FILES = {
    "own/__init__.py": "",
    "own/policy.py": POLICY,
    "own/more/__init__.py": "",
    "own/more/numbers.py": "PART = 0.5\n",
    "elsewhere/rules/__init__.py": "",
    "elsewhere/rules/shares.py": "FACTOR = 0.5\n",
    "tables/part.txt": "0.8\n",
    "tables/other.txt": "0.4\n",
    "rates.csv": "t_s,uplink_rate_bps\n0,1e6\n1,2e6\n",
}


def write(folder: Path) -> Path:
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def jobs_of(folder: Path, *policies: AnyPolicy) -> list[Job]:
    settings = ["time.num_slot=3", "vehicles.num_vehicle=2", f"radio.rate_file={folder / 'rates.csv'}"]
    rows = Jobs(Scenario.load("dtecn", settings), entrants(policies))([0, 1])
    return [job for row in rows.values() for job in row]


def plain(found: Outcome) -> tuple[object, ...]:
    assert isinstance(found, Finished), found
    told = {key: value for key, value in found.summary.items() if key not in MEASURED}
    return told, found.slot_penalty.tolist(), found.key, found.changed


class Sent:
    """A study that has been sent to a worker: its jobs, and the bytes of their files."""

    def __init__(self, jobs: Sequence[Job], folder: Path) -> None:
        packer = Packer(jobs)
        self.trip = packer.trip
        self.jobs = [packer.pack(job) for job in jobs]
        found = {one for bundle in self.trip.bundles for _, one in bundle.files}
        self._bytes = {one: self.trip.place_of(one).read_bytes() for one in found}
        self.worker = SimpleNamespace(local_directory=str(folder))

    def carry(self) -> int:
        """Bring what is missing, a byte at a time, and return how many files that are."""
        missing, wanted = on_worker.lacking(self.trip.bundles, self.worker)
        for one in wanted:
            data = self._bytes[one]
            for number in range(max(1, len(data))):
                is_last = number >= len(data) - 1
                on_worker.receive(self.trip.name, one, data[number : number + 1], is_last, self.worker)
        assert asyncio.run(on_worker.get_ready(self.trip, missing, self.worker)) == {}
        return len(wanted)

    def perform(self) -> list[tuple[object, ...]]:
        return [plain(on_worker.perform_here(self.trip.name, *job)) for job in self.jobs]


@pytest.mark.full
def test_jobs_run_where_none_of_their_files_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code with its package, a module of another folder, an option by default, a relative one, a scenario's trace."""
    here = write(tmp_path / "here")
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(here / "elsewhere")
    with as_before(lambda name, file: file.is_relative_to(tmp_path)):
        jobs = jobs_of(here, "own/policy.py:Mine", "own/policy.py:Mine,table=tables/other.txt", "edge-equal")
        expected = [plain(job.perform()) for job in jobs]
        sent = Sent(jobs, tmp_path / "there")
        assert sent.carry() == 0  # this machine sees them all
        assert sent.perform() == expected
        on_worker.forget(sent.trip.name, sent.worker)
        (here / "own/more/numbers.py").write_text("PART = 0.25\n", "utf-8")
        assert len(on_worker.lacking(sent.trip.bundles, sent.worker)[1]) == 1  # the one with other bytes
    monkeypatch.chdir(tmp_path)
    shutil.move(here, tmp_path / "away")
    with as_before(lambda name, file: file.is_relative_to(tmp_path)):
        assert sent.carry() == len(set(FILES.values()))
        assert sent.perform() == expected
        assert sent.carry() == 0  # they have come
        copies = tmp_path / "there" / "vectwin" / sent.trip.name
        assert copies.is_dir()
        on_worker.forget(sent.trip.name, sent.worker)
        assert not copies.exists()


def test_what_cannot_move_is_said(tmp_path: Path) -> None:
    """An object holds its path, and what a scenario says belongs to the key."""
    write(tmp_path)
    held = EdgeEqual()
    held.table = tmp_path / "tables/part.txt"  # type: ignore[attr-defined]  # what a user's object may hold
    (fixed,) = Packer(jobs_of(tmp_path, held)).trip.bundles[:1]
    assert (fixed.source, fixed.is_movable) == (str(tmp_path / "tables/part.txt"), False)
    (road,) = Packer(jobs_of(tmp_path, "edge-equal")).trip.bundles
    assert (road.source, road.is_movable, road.owner) == (str(tmp_path / "rates.csv"), True, "the scenario")


def test_a_file_that_changes_on_its_way_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    sent = Sent(jobs_of(tmp_path, "edge-equal"), tmp_path / "there")
    ((_, one),) = sent.trip.bundles[0].files
    with pytest.raises(InputError, match="a file has changed since the study began"):
        on_worker.receive(sent.trip.name, one, b"other bytes", True, sent.worker)
    (tmp_path / "rates.csv").unlink()
    assert sent.carry() == 1


def test_texts_keep_what_names_no_file() -> None:
    place = {"/home/ann/a.gguf": "/tmp/b.gguf", "/home/ann/p.py": "/tmp/p.py"}.get
    for text, expected in {
        "random": "random",
        "llm:model=/home/ann/a.gguf,temperature=0.5": "llm:model=/tmp/b.gguf,temperature=0.5",
        "/home/ann/p.py:Mine": "/tmp/p.py:Mine",
        "/home/ann/p.py:Mine,model=/home/ann/a.gguf": "/tmp/p.py:Mine,model=/tmp/b.gguf",
        "/home/ann/p.py:Mine,teacher=llm:model=/home/ann/a.gguf": "/tmp/p.py:Mine,teacher=llm:model=/tmp/b.gguf",
        "nobody:knows=this": "nobody:knows=this",
    }.items():
        assert relocated(text, place) == expected
