"""A wheel works without the repository and without extras, and from a folder that has folders of our names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from email import message_from_string
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("physical", "twin", "policies", "traces", "sim", "vectwin")
OFFLINE = ("--no-deps", "--no-index", "--disable-pip-version-check", "--quiet")

pytestmark = pytest.mark.full


def call(command: list[str | Path], cwd: Path, **variables: str) -> str:
    """Run a command that knows nothing of this repository."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**inherited, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the sources: building leaves folders behind."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "wheel", *OFFLINE, "--no-build-isolation"]
    call([*pip, "--wheel-dir", directory, source], directory)
    (built,) = directory.glob("*.whl")
    return built


def requirements(wheel: Path) -> list[str]:
    """Return what the wheel needs without extras."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_string(archive.read(name).decode())
    return list(metadata.get_all("Requires-Dist") or ())


def needed(requirement_texts: list[str]) -> set[str]:
    """Return the names of the distributions that are needed, and of those that these need."""
    found: set[str] = set()
    waiting = [Requirement(text) for text in requirement_texts]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name not in found and (one.marker is None or one.marker.evaluate({"extra": ""})):
            found.add(name)
            waiting += [Requirement(text) for text in distribution(name).requires or ()]
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment that has the wheel, what it needs, and nothing else."""
    directory = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(directory, with_pip=False)
    commands = directory / "bin"
    site = Path(
        call([commands / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], ROOT).strip()
    )
    for name in needed(requirements(wheel)):
        place = Path(str(distribution(name).locate_file("")))
        for top in {file.parts[0] for file in distribution(name).files or () if file.parts[0] != ".."}:
            if not (site / top).exists():
                (site / top).symlink_to(place / top)
    call([sys.executable, "-m", "pip", "--python", commands / "python", "install", *OFFLINE, wheel], directory)
    return commands


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder of a user whose own packages have the names of ours."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(f"raise SystemError('the user\\'s {package}')\n", "utf-8")
    return tmp_path


def test_the_wheel_holds_all_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    files = {file for package in PACKAGES for file in (ROOT / package).rglob("*") if file.is_file()}
    wanted = {file.relative_to(ROOT).as_posix() for file in files if "__pycache__" not in file.parts}
    assert len(wanted) > 200
    assert wanted <= packed
    assert {name.partition("/")[0] for name in packed if ".dist-info" not in name} == set(PACKAGES)


def test_it_runs_without_extras(installed: Path, tmp_path: Path) -> None:
    place = call([installed / "python", "-c", "import sim; print(sim.__file__)"], tmp_path)
    assert Path(place).is_relative_to(installed.parent)
    for absent in ("pandas", "networkx", "torch", "llama_cpp", "matplotlib"):
        found = call(
            [installed / "python", "-c", f"import importlib.util as u; print(u.find_spec('{absent}'))"], tmp_path
        )
        assert found == "None\n"
    summary = json.loads(call([installed / "twin", "run", "dtecn", "--slots", "3", "--json"], tmp_path))
    assert (summary["slots"], summary["fallbacks"], summary["status"]) == (3, 0, "complete")
    assert "identical" in call([installed / "twin", "replay", summary["trace"]], tmp_path)
    listed = json.loads(call([installed / "twin", "scenarios", "--json"], tmp_path))
    files = {file.stem for file in (ROOT / "sim" / "scenario" / "builtin").glob("*.toml")}
    assert {entry["name"] for entry in listed["scenarios"]} == files


def test_folders_of_our_names_do_not_matter(installed: Path, hostile: Path) -> None:
    """`twin` does not look for packages where it is called, and neither do the processes that it starts."""
    assert "Run and replay" in call([installed / "twin", "--help"], hostile)
    run = ["run", "dtecn", "--slots", "3", "--json"]
    for command in ([installed / "twin"], [installed / "python", "-P", "-m", "sim.cli"]):
        assert json.loads(call([*command, *run], hostile))["slots"] == 3
    assert json.loads(call([installed / "twin", *run], hostile, PYTHONSAFEPATH="1"))["slots"] == 3
    compare = ["compare", "dtecn", "--policies", "random,local-only", "--seeds", "0..1", "--slots", "3", "--json"]
    compared = json.loads(call([installed / "twin", *compare, "--workers", "2"], hostile))
    assert compared["seeds"] == [0, 1]
