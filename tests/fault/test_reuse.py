"""What is kept of earlier runs is used again if, and only if, nothing that it depends on has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from policies import registry
from sim import Scenario, compare
from sim.scenario.file_entries import file_entries
from sim.studies.comparison import Comparison
from sim.studies.contents import of_scenario, of_vectwin, place_of
from sim.studies.entrants import entrants
from sim.studies.jobs import Jobs
from sim.studies.store import read_row
from tests.support.command import environment, twin

POLICY = """
import numpy as np
from twin.decision import Decision
from {helper} import PART


class Mine:
    def reset(self, system, seed):
        self.system = system

    def decide(self, snapshot):
        shape = snapshot.size_bytes.shape
        share = self.system.node_hz[0] / (shape[0] * shape[1])
        return Decision(np.full(shape, PART), np.full(shape, PART * share))
"""


def write_policy(folder: Path, part: float, helper: str) -> str:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "mine.py").write_text(POLICY.format(helper=helper), "utf-8")
    (folder / f"{helper}.py").write_text(f"PART = {part}\n", "utf-8")
    return f"{folder / 'mine.py'}:Mine"


def small(*settings: str) -> Scenario:
    return Scenario.load("dtecn", ["time.num_slot=5", "vehicles.num_vehicle=3", *settings])


def penalty(found: Comparison) -> float:
    (policy,) = found.policies
    return found.means[policy]["penalty_mean"].mean


def test_a_changed_policy_file_runs_anew(tmp_path: Path) -> None:
    """Also a module beside it that it imports; a folder that moves, unchanged, is answered from the store."""

    def once(folder: Path) -> Comparison:
        return compare(small(), [f"{folder / 'mine.py'}:Mine"], [0, 1], tmp_path / "c")

    write_policy(tmp_path / "one", 0.0, "reuse_part")
    first = once(tmp_path / "one")
    assert first.num_reused == 0
    assert once(tmp_path / "one").num_reused == 2
    shutil.move(tmp_path / "one", tmp_path / "two")
    moved = once(tmp_path / "two")
    assert moved.num_reused == 2
    assert penalty(moved) == penalty(first)
    write_policy(tmp_path / "two", 1.0, "reuse_part")
    changed = once(tmp_path / "two")
    assert changed.num_reused == 0
    assert penalty(changed) != penalty(first)
    local, edge = (penalty(compare(small(), [name], [0, 1])) for name in ("local-only", "edge-equal"))
    assert (penalty(first), penalty(changed)) == pytest.approx((local, edge))


def test_what_changes_while_a_study_runs_is_refused(tmp_path: Path) -> None:
    """Its result would be kept under the key of what was there before."""
    policy = write_policy(tmp_path, 0.0, "early_part")
    (job,) = Jobs(small(), entrants([policy]))([0])[policy]
    before = job.perform()
    (tmp_path / "early_part.py").write_text("PART = 1.0\n", "utf-8")
    with pytest.raises(InputError, match="has changed since this began"):
        job.perform()
    (tmp_path / "early_part.py").write_text("PART = 0.0\n", "utf-8")
    assert job.perform().summary["digest"] == before.summary["digest"]
    town = tmp_path / "town.parquet"
    write_mobility(town, 1.0)
    (job,) = Jobs(on_the_road(town), entrants(["edge-equal"]))([0])["edge-equal"]
    job.perform()
    write_mobility(town, 2.0)
    with pytest.raises(InputError, match="has changed since this began"):
        job.perform()


LOGS = """
from policies.baselines import EdgeEqual


class Logs(EdgeEqual):
    def __init__(self, log):
        super().__init__()
        self.log = log

    def reset(self, system, seed):
        super().reset(system, seed)
        with open(self.log, "a") as file:
            file.write(f"{seed}\\n")
"""


def test_a_policy_may_write_a_file_that_it_names(tmp_path: Path) -> None:
    """It is told, and never answered from the store, as its input is another one each time; the page can be made."""
    (tmp_path / "logs.py").write_text(LOGS, "utf-8")
    (tmp_path / "log.txt").touch()
    policy = f"{tmp_path / 'logs.py'}:Logs,log={tmp_path / 'log.txt'}"
    for _ in range(2):
        found = compare(small(), {"logs": policy, "plain": "edge-equal"}, [0, 1, 2], tmp_path / "c")
        assert [run.reused for run in found.runs["logs"]] == [False] * 3
        assert any("files of logs changed while it ran (option log)" in note for note in found.notes())
        assert found.means["logs"]["penalty_mean"].mean == found.means["plain"]["penalty_mean"].mean
        assert twin("report", tmp_path / "c", "--maps", "0").code == 0


def test_a_changed_option_runs_anew(tmp_path: Path) -> None:
    first = compare(small(), ["p2-exact"], [0], tmp_path)
    assert compare(small(), ["p2-exact:margin=0.5"], [0], tmp_path).num_reused == 0
    assert compare(small(), ["p2-exact"], [0], tmp_path).num_reused == 1
    assert compare(small("vehicles.num_vehicle=4"), ["p2-exact"], [0], tmp_path).num_reused == 0
    assert compare(small(), ["p2-exact"], [0], tmp_path, fresh=True).num_reused == 0
    assert penalty(first) == penalty(compare(small(), ["p2-exact"], [0], tmp_path, fresh=True))


@pytest.mark.full
def test_changed_weights_run_anew(tmp_path: Path) -> None:
    """The weights of an actor, trained for 2 steps and then for 40 with another seed."""
    weights = tmp_path / "a.safetensors"
    policy = f"apg:weights={weights}"
    found = []
    for steps, seed in ((2, 1), (40, 2)):
        words = ("train", "apg", "dtecn", "--steps", str(steps), "--seed", str(seed), "--out", str(weights))
        assert twin(*words).code == 0
        found.append(compare(small(), [policy], [0], tmp_path / "c"))
        assert compare(small(), [policy], [0], tmp_path / "c").num_reused == 1
    assert [one.num_reused for one in found] == [0, 0]
    assert penalty(found[0]) != penalty(found[1])


def write_mobility(path: Path, speed_mps: float) -> None:
    seconds = np.repeat(np.arange(7.0), 2)
    vehicle = np.tile(["a", "b"], 7)
    x_m = 100.0 + speed_mps * seconds
    columns = {"t_s": seconds, "entity_id": vehicle, "x_m": x_m, "y_m": np.zeros(14), "speed_mps": x_m * 0 + speed_mps}
    pq.write_table(pa.table(columns), path)


def on_the_road(file: Path) -> Scenario:
    scenario = Scenario.load("dtecn", ["time.num_slot=5"]).model_dump(mode="json")
    scenario["vehicles"]["num_vehicle"] = None
    scenario["mobility"] |= {"kind": "trace", "file": str(file)}
    return Scenario.from_dict(scenario)


def test_a_replaced_mobility_file_runs_anew(tmp_path: Path) -> None:
    """Of the same name, length and time of change."""
    (tmp_path / "one").mkdir()
    file = tmp_path / "one" / "town.parquet"
    write_mobility(file, 1.0)
    first = compare(on_the_road(file), ["edge-equal"], [0], tmp_path / "c")
    assert compare(on_the_road(file), ["edge-equal"], [0], tmp_path / "c").num_reused == 1
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    moved = on_the_road(tmp_path / "two" / "town.parquet")
    assert compare(moved, ["edge-equal"], [0], tmp_path / "c").num_reused == 1
    assert place_of(moved) == place_of(on_the_road(file))
    write_mobility(file, 40.0)
    second = compare(on_the_road(file), ["edge-equal"], [0], tmp_path / "c")
    assert second.num_reused == 0
    assert first.runs["edge-equal"][0].summary["digest"] != second.runs["edge-equal"][0].summary["digest"]
    assert of_scenario(moved) != of_scenario(on_the_road(file))


def test_a_replaced_model_runs_anew(tmp_path: Path) -> None:
    """The bundled model under another name, then with a byte more at its end; the file beside it counts, too."""
    for file in (Path(registry.__file__).parent / "llm" / "weights").iterdir():
        shutil.copy(file, tmp_path)
    (model,) = tmp_path.glob("*.gguf")
    policy = f"llm:model={model}"

    def digest() -> str:
        return entrants([policy])[0].digest

    before = digest()
    assert before == digest()
    model.write_bytes(model.read_bytes() + b"\0")
    changed = digest()
    assert changed != before
    for beside in tmp_path.glob("*.json"):
        beside.write_bytes(beside.read_bytes() + b"\n")
    assert digest() not in (before, changed)


@pytest.mark.slow
@pytest.mark.full
def test_an_edited_plug_in_runs_anew(tmp_path: Path) -> None:
    """A package that announces a policy; the module that changes is not the one that is announced."""
    package, announced = tmp_path / "site" / "plug", tmp_path / "site" / "plug-1.dist-info"
    write_policy(package, 0.0, "plug_part")
    (package / "__init__.py").touch()
    policy = (package / "mine.py").read_text("utf-8")
    (package / "mine.py").write_text(policy.replace("from plug_part", "from plug.plug_part"), "utf-8")
    announced.mkdir()
    (announced / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1\n", "utf-8")
    (announced / "entry_points.txt").write_text("[vectwin.policies]\nplugged = plug.mine:Mine\n", "utf-8")
    words = [sys.executable, "-m", "sim.cli", "compare", "dtecn", "--slots", "3", "--seeds", "0,1", "--json"]

    def reused() -> tuple[int, float]:
        done = subprocess.run(
            [*words, "--policies", "plugged", "--out", str(tmp_path / "c")],
            capture_output=True, text=True, check=True, env=environment(PYTHONPATH=paths),
        )  # fmt: skip
        found = json.loads(done.stdout)
        return found["runs_reused"], found["mean"]["plugged"]["penalty_mean"]["mean"]

    paths = os.pathsep.join([str(tmp_path / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    assert [reused()[0], reused()[0]] == [0, 2]
    before = reused()[1]
    (package / "plug_part.py").write_text("PART = 1.0\n", "utf-8")
    count, after = reused()
    assert count == 0
    assert after != before


def test_every_file_that_a_scenario_can_name_counts() -> None:
    """Whatever key is added later: one that ends with file must be among those that count by their bytes."""

    def keys(schema: dict[str, Any], name: str) -> set[str]:
        properties = schema.get("properties")
        return (
            {f"{name}.{key}" for key in properties if key.endswith("file")} if isinstance(properties, dict) else set()
        )

    schema = Scenario.model_json_schema()
    definitions = schema["$defs"] | {one["title"]: one for one in schema["properties"]["mobility"]["oneOf"]}
    named = {entry for name, schema in definitions.items() for entry in keys(schema, name)}
    assert named == {"TrafficTrace.file", "Radio.rate_file", "Requests.file"}
    data = {"mobility": {"file": "a"}, "radio": {"rate_file": "b"}, "tasks": [{"requests": {"file": "c"}}, {}]}
    assert [table[key] for table, key in file_entries(data)] == ["a", "b", "c"]


@pytest.mark.full
def test_vectwins_own_code_counts(tmp_path: Path) -> None:
    """A copy of the packages whose physics has one character more has another digest; one whose pages have, not."""
    root = Path(__file__).parents[2]
    names = ("physical", "twin", "policies", "traces", "sim")
    for name in names:
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))

    def digest() -> str:
        code = "from sim.studies.contents import of_vectwin\nprint(of_vectwin())"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment() | {"PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    before = digest()
    assert before == of_vectwin()
    with (tmp_path / "sim" / "show" / "report" / "page.py").open("a") as file:
        file.write("\n")
    assert digest() == before
    with (tmp_path / "physical" / "model" / "qos.py").open("a") as file:
        file.write("\n")
    assert digest() != before


def test_damaged_results_are_run_again(tmp_path: Path) -> None:
    first = compare(small(), ["edge-equal"], range(6), tmp_path)
    files = sorted((tmp_path / "runs").iterdir())
    damage: list[Callable[[Path], object]] = [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:100]),
        lambda file: file.write_bytes(files[-1].read_bytes()),  # another job's
        lambda file: pq.write_table(pa.table({"key": [file.stem]}), file),
        lambda file: pq.write_table(pa.table({"key": pa.array([], pa.string())}), file),
    ]
    for file, change in zip(files, damage, strict=False):
        change(file)
        assert read_row(file, file.stem) is None
    again = compare(small(), ["edge-equal"], range(6), tmp_path)
    assert again.num_reused == 1
    assert again.to_dict() == first.to_dict()
