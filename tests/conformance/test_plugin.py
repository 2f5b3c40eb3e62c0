"""Packages of somebody else bring a policy, a kind of motion and one of estimators: installed, found by name, run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.scenario.mobility import MOBILITY
from tests.support.command import twin as here
from twin.estimators import ESTIMATORS

TESTS = Path(__file__).resolve().parents[1]


def called(arguments: list[str], cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), environment.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def call(arguments: list[str], cwd: Path, path: Path | None = None) -> str:
    done = called(arguments, cwd, path)
    assert done.returncode == 0, done.stderr
    return done.stdout


def installed(package: str, folder: Path) -> Path:
    """Install a package of the tests offline; return the folder where it is."""
    source, site = folder / "source", folder / "site"
    shutil.copytree(TESTS / package, source, ignore=shutil.ignore_patterns("__pycache__"))
    offline = ["--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check", "--quiet"]
    call(["-m", "pip", "install", *offline, "--target", str(site), str(source)], folder)
    return site


@pytest.mark.full
def test_installed_package_brings_a_policy(tmp_path: Path) -> None:
    site = installed("example_plugin", tmp_path)
    listed = call(["-m", "sim.cli", "policies"], tmp_path, site)
    assert "half-and-half   from vectwin-half-and-half" in listed
    assert "half-and-half" not in call(["-m", "sim.cli", "policies"], tmp_path)

    command = ["-m", "sim.cli", "run", "dtecn", "--policy", "half-and-half:ratio=0.3", "--slots", "20", "--json"]
    summary = json.loads(call(command, tmp_path, site))
    assert summary["slots"] == summary["decisions"] == 20
    assert summary["fallbacks"] == summary["decisions_repaired"] == 0
    assert summary["trace"] == "runs/dtecn-half-and-half-ratio-0.3-seed0"
    manifest = json.loads((tmp_path / summary["trace"] / "manifest.json").read_text("utf-8"))
    assert manifest["policy"] == "half-and-half:ratio=0.3"


ROUND = """
[mobility]
kind = "roundabout"
radius_m = "120 m"

[twin.estimator]
kind = "capped"
horizon_s = "200 ms"
"""
FAULTS = {
    "mobility.radius_m='3 kg'": "--set: mobility.radius_m: '3 kg' is not in m",
    "mobility.radius_m='1 nm'": "--set: mobility.radius_m: '1 nm' is out of range (accepted: 0.001 to 100000000 m)",
    "mobility.radius_m=true": "--set: mobility.radius_m: true is not what belongs here",
    "mobility.raduis_m=3": "mobility.raduis_m: unknown key; did you mean radius_m? (accepted: kind, ",
    "mobility.num_lane=3": "mobility.num_lane: unknown key (accepted: kind, radius_m, speed_mps)",
    "mobility.kind=roundabuot": "mobility.kind: 'roundabuot' is not one of the choices; did you mean roundabout?",
    "twin.estimator.horizon=1": "twin.estimator.horizon: unknown key; did you mean horizon_s?",
    "twin.estimator=cappd": "twin.estimator: 'cappd' is not one of the choices; did you mean capped?",
}


def round_scenario(folder: Path) -> Path:
    """Write a scenario that names kinds of the package."""
    text = (TESTS.parent / "sim" / "scenario" / "builtin" / "dtecn.toml").read_text("utf-8")
    kept, inside = [], False
    for line in text.splitlines():
        inside = line.startswith("[mobility]") or (inside and not line.startswith("["))
        kept += [] if inside else [line]
    path = folder / "round.toml"
    path.write_text("\n".join(kept) + ROUND, "utf-8")
    return path


@pytest.mark.full
def test_installed_package_brings_kinds_of_motion_and_estimators(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, twin = installed("example_kinds", tmp_path), ["-m", "sim.cli"]
    listed = call([*twin, "kinds"], tmp_path, site)
    assert "roundabout from vectwin-roundabout" in listed
    assert "capped from vectwin-roundabout" in listed
    assert "roundabout" not in call([*twin, "kinds", "mobility"], tmp_path)
    told = call([*twin, "kinds", "mobility", "roundabout"], tmp_path, site)
    assert "A circle around the origin" in told
    assert "mobility.radius_m" in told
    assert "0.001 to 100000000 m; by default 50" in told

    scenario = round_scenario(tmp_path)
    run = [*twin, "run", str(scenario), "--slots", "20", "--set", "vehicles.report_interval=3", "--json"]
    summary = json.loads(call([*run, "--out", "one"], tmp_path, site))
    assert summary["slots"] == summary["decisions"] == 20
    assert json.loads(call([*run, "--out", "two"], tmp_path, site))["digest"] == summary["digest"]
    scenario_of_run = json.loads((tmp_path / "one" / "manifest.json").read_text("utf-8"))["scenario"]
    assert scenario_of_run["mobility"] == {"kind": "roundabout", "radius_m": 120.0, "speed_mps": [5.0, 10.0]}
    assert scenario_of_run["twin"]["estimator"] == {"kind": "capped", "horizon_s": 0.2}
    assert json.loads(call([*twin, "replay", "one", "--json"], tmp_path, site))["identical"]

    for command in (["run", str(scenario), "--out", "three"], ["replay", "one"]):
        done = called([*twin, *command], tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert "mobility.kind: 'roundabout' is not one of the choices" in done.stderr

    monkeypatch.syspath_prepend(site)
    for registry in (MOBILITY, ESTIMATORS):
        monkeypatch.setitem(vars(registry), "_installed", None)
    for setting, words in FAULTS.items():
        assert words in here("run", scenario, "--out", tmp_path / "three", "--set", setting).complaint()
    assert here("check", scenario).code == 0
