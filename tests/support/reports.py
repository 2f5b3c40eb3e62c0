"""Runs and comparisons to report, and a parser of the pages."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from sim import Scenario, compare, run
from sim.show.report import page
from sim.show.report.runs import open_runs
from sim.studies.comparison import Comparison
from sim.studies.entrants import entrants
from sim.studies.jobs import Finished, Jobs
from sim.studies.store import Store

EVIL = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
SLOW = ("network.backhaul.loss=0.2", 'twin.decision.latency={kind="exponential", mean_s=0.05}')
RUNS: dict[str, tuple[str, str, int, tuple[str, ...]]] = {
    "blackout": ("blackout", "greedy-cost", 70, SLOW),
    "equal": ("dtecn-congested", "edge-equal", 30, ()),
    "random": ("dtecn-congested", "random", 30, ()),
    "layers": ("llm6g", "layers-exact", 4, ()),
}


def make_runs(folder: Path) -> dict[str, Path]:
    """Make the runs; return where they are."""
    made = {}
    for name, (scenario, policy, num_slot, settings) in RUNS.items():
        made[name] = folder / name
        run(Scenario.load(scenario, [*settings, f"time.num_slot={num_slot}"]), policy=policy, seed=2, out=made[name])
    return made


class Page(HTMLParser):
    """Takes a page apart: its elements with attributes, the texts outside of scripts, and the data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] == "script" and self.cdata_elem == "script":
            self.scripts.append(data)
        elif data.strip():
            self.texts.append(data.strip())

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts[0])
        return found


def page_of(*directories: Path) -> Page:
    return Page(page.page(open_runs(directories)))


def killed(directory: Path, to: Path) -> Path:
    """Copy a run as a kill leaves it: no summary, and the last part of some tables is missing."""
    shutil.copytree(directory, to)
    manifest = json.loads((to / "manifest.json").read_text("utf-8"))
    left = {key: value for key, value in manifest.items() if key not in ("summary", "digest", "digests")}
    (to / "manifest.json").write_text(json.dumps(left | {"status": "running"}), "utf-8")
    for name in ("tasks", "slots", "events"):
        shutil.rmtree(to / name, ignore_errors=True)
    return to


def stored(folder: Path, level: dict[str, float], num_seed: int, num_slot: int, **more: Any) -> Comparison:
    """Make a comparison of runs that somebody else has made, as far as its folder tells."""
    scenario = Scenario.load("rush-hour", [f"time.num_slot={num_slot}"])
    generator = np.random.default_rng(1)
    jobs = Jobs(scenario, entrants(list(level)))(range(num_seed))
    store = Store(folder)
    delays = {"counts": [generator.integers(0, 99, 200).tolist() for _ in scenario.tasks], "ended": [10**5] * 3}
    for policy, mean in level.items():
        for seed in range(num_seed):
            energies = dict(zip(("energy_local_j", "energy_transmit_j", "energy_edge_j"), (2e3, 5e2, 1e3), strict=True))
            summary = {"stable": mean < 10, "energy_j_mean": 3.5, **energies, "deadline_miss_ratio": 0.01, **more}
            made = Finished(summary, mean + generator.normal(scale=0.2, size=num_slot), delays, jobs[policy][seed].key)
            store.put(jobs[policy][seed], made)
    return compare(scenario, list(level), range(num_seed), folder)
