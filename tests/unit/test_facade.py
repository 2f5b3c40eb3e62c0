"""`import vectwin` has the public names, is quick, and names what takes the place of one of our packages."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import vectwin
from tests.support.command import environment

pytestmark = pytest.mark.full

ROOT = Path(vectwin.__file__).resolve().parents[1]
RUN = "run(Scenario.load('dtecn', ['time.num_slot=2']))\n"


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call Python in a folder, whose files it finds first."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")


def test_each_public_name_is_that_of_its_package() -> None:
    for name, home in vectwin._PLACES.items():
        assert getattr(vectwin, name) is getattr(importlib.import_module(home), name)
    assert {*vectwin.__all__} == {*vectwin._PLACES} <= {*dir(vectwin)}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vectwin.nothing  # noqa: B018 - reading it is what fails


def test_importing_it_imports_no_library(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import json, sys, vectwin\nprint(json.dumps(list(sys.modules)))\n", "utf-8")
    loaded = set(json.loads(call(tmp_path, "a.py").stdout))
    assert loaded.isdisjoint({"numpy", "pyarrow", "pydantic", "sim.scenario.scenario", "policies.registry"})


@pytest.mark.parametrize("name", ["policies/__init__.py", "sim.py", "twin.py", "physical/__init__.py", "traces.py"])
def test_a_file_that_takes_a_package_s_place_is_named(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: "", "script.py": f"from vectwin import Scenario, run\n{RUN}"})
    done = call(tmp_path, "script.py")
    package = name.partition("/")[0].removesuffix(".py")
    expected = f"ImportError: {tmp_path / name} takes the place of vectwin's package {package}: give it another name"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(expected)


@pytest.mark.parametrize("name", ["policies/__init__.py", "twin.py"])
def test_it_is_named_by_a_script_that_imports_from_sim_and_by_the_command(tmp_path: Path, name: str) -> None:
    write(tmp_path, {name: "", "script.py": f"from sim import Scenario, run\n{RUN}"})
    package = name.partition("/")[0].removesuffix(".py")
    expected = f"{tmp_path / name} takes the place of vectwin's package {package}"
    assert expected in call(tmp_path, "script.py").stderr.splitlines()[-1]
    # What finds an editable installation knows our modules by their full names, whatever their package is.
    code = "import sys; sys.meta_path = [one for one in sys.meta_path if 'editable' not in repr(one).lower()]\n"
    done = call(tmp_path, "-c", f"{code}from sim.cli import main; main(['run', 'dtecn', '--slots', '2'])")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done
    assert done.stderr.startswith(f"twin: {expected}")


def test_a_folder_without_modules_takes_nobody_s_place(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    write(tmp_path, {"script.py": f"from vectwin import Scenario, run\n{RUN}print('done')\n"})
    done = call(tmp_path, "script.py")
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_script_may_be_called_as_the_facade_is(tmp_path: Path) -> None:
    write(tmp_path, {"vectwin.py": f"print('once')\nfrom sim import Scenario, run\n{RUN}"})
    done = call(tmp_path, "vectwin.py")
    assert (done.returncode, done.stdout) == (0, "once\n"), done.stderr
