"""A package of somebody else brings a policy: installed offline, found by name, run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).resolve().parents[1] / "example_plugin"


def call(arguments: list[str], cwd: Path, path: Path | None = None) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), environment.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.full
def test_installed_package_brings_a_policy(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(PLUGIN, source, ignore=shutil.ignore_patterns("__pycache__"))
    site = tmp_path / "site"
    offline = ["--no-index", "--no-build-isolation", "--no-deps", "--disable-pip-version-check", "--quiet"]
    call(["-m", "pip", "install", *offline, "--target", str(site), str(source)], tmp_path)

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
