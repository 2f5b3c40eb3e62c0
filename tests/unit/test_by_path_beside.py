"""What lies beside a policy by path, or where packages lie, does not stand in for what belongs to the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from policies.foreign.closure import module_files

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[2]
POLICY = """
import numpy as np

from vectwin import Decision


class Late:
    def reset(self, system, seed):
        import helper_of_late

        self.part = helper_of_late.PART

    def decide(self, snapshot):
        shape = snapshot.size_bytes.shape
        return Decision(np.full(shape, self.part), np.ones(shape))
"""
# As setuptools does it for ``pip install -e``: what is on ``sys.path`` comes first.
EDITABLE = f"""
import sys
from importlib.machinery import PathFinder


class Editable:
    @staticmethod
    def find_spec(fullname, path=None, target=None):
        if path is None and fullname in ("physical", "twin", "policies", "traces", "sim", "vectwin"):
            return PathFinder.find_spec(fullname, [{str(ROOT)!r}], target)


sys.meta_path.insert(sys.meta_path.index(PathFinder) + 1, Editable)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a policy, and beside it what has the names of the program's and Python's own modules."""
    home = tmp_path / "home"
    (home / "traces").mkdir(parents=True)
    (home / "policies").mkdir()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(EDITABLE, "utf-8")
    (home / "policy.py").write_text(POLICY, "utf-8")
    (home / "helper_of_late.py").write_text("PART = 0.25\n", "utf-8")
    for name in ("sim.py", "random.py", "traces/__init__.py", "policies/mine.py"):
        (home / name).write_text("x = 1\n", "utf-8")
    return home


def _compare(place: str, cwd: Path, num_worker: int, site: Path) -> list[float]:
    """Return the mean penalties of a comparison, by a process that finds the packages as an editable install does."""
    command = ["compare", "dtecn", "--policies", f"greedy-cost,{place}:Late", "--seeds", "0", "--slots", "5"]
    where = ["--out", str(site / f"out-{num_worker}-{cwd.name}"), "--json", "--workers", str(num_worker)]
    start = "import sys; sys.path.remove(''); from sim.cli import main; main()"  # as the installed command begins
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-c", start, *command, *where],
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return [row["penalty_mean"]["mean"] for row in json.loads(done.stdout)["mean"].values()]


def test_workers_use_the_packages_of_their_parent(folder: Path) -> None:
    site = folder.parent / "site"
    alone = _compare("./policy.py", folder, 1, site)
    assert len(alone) == 2
    assert _compare("./policy.py", folder, 2, site) == alone
    assert _compare(str(folder / "policy.py"), site, 2, site) == alone


def _write(place: Path, text: str = "") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, "utf-8")
    return place


def test_packages_of_any_environment_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others, target, shared = tmp_path / "other" / "site-packages", tmp_path / "target", tmp_path / "shared"
    _write(others / "far" / "__init__.py", "import far.deep")
    _write(others / "far" / "deep.py")
    _write(target / "near" / "__init__.py", "from near import deep")
    _write(target / "near" / "deep.py")
    record = "near/__init__.py,,\nnear/deep.py,,\nnear-1.dist-info/RECORD,,\n"
    _write(target / "near-1.dist-info" / "RECORD", record)
    _write(target / "mine.py")
    _write(shared / "ours.py")
    policy = _write(tmp_path / "home" / "policy.py", "import far, near, mine, ours")
    for folder in (others, target, shared):
        monkeypatch.syspath_prepend(folder)
    assert module_files(policy) == {"policy": policy, "mine": target / "mine.py", "ours": shared / "ours.py"}
    own = module_files(target / "near" / "__init__.py")
    assert sorted(own) == ["near", "near.deep"]


def test_what_was_compiled_counts_before_its_source_and_imports_what_that_does(tmp_path: Path) -> None:
    policy = _write(tmp_path / "policy.py", "import fast")
    compiled = _write(tmp_path / f"fast{EXTENSION_SUFFIXES[0]}")
    _write(tmp_path / "fast.py", "import table")
    table = _write(tmp_path / "table.py")
    assert module_files(policy) == {"policy": policy, "fast": compiled, "table": table}
