"""What is kept of earlier runs is used again if, and only if, nothing that it depends on has changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from physical.errors import InputError
from physical.system import System
from policies import registry
from policies.baselines import EdgeEqual
from sim import Scenario, compare, sweep
from sim.contents import of_scenario, of_vectwin, place_of
from sim.entrants import AnyPolicy, entrants
from sim.evaluation import Comparison
from sim.files import file_entries
from sim.store import read_row
from tests.fault.command import environment, twin
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

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

    definitions = Scenario.model_json_schema()["$defs"]
    named = {entry for name, schema in definitions.items() for entry in keys(schema, name)}
    assert named == {"Mobility.file", "Radio.rate_file", "Requests.file"}
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
        code = "from sim.contents import of_vectwin\nprint(of_vectwin())"
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment() | {"PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    before = digest()
    assert before == of_vectwin()
    with (tmp_path / "sim" / "report" / "page.py").open("a") as file:
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


class Doubled:
    """Decides as edge-equal, and says so."""

    def __init__(self, part: float = 1.0) -> None:
        self.part = part

    def reset(self, system: System, seed: int) -> None:
        self.inner = EdgeEqual()
        self.inner.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        return self.inner.decide(snapshot)


@pytest.mark.full
def test_classes_objects_and_names_take_part(tmp_path: Path) -> None:
    """Called as the mapping says; what decides alike has alike penalties; an object with another state runs anew."""
    both: dict[str, AnyPolicy] = {"class": Doubled, "object": Doubled(0.5), "name": "edge-equal"}
    found = compare(small(), both, [0, 1], tmp_path, num_worker=2)
    assert {round(row["penalty_mean"].mean, 12) for row in found.means.values()} == {
        round(found.means["name"]["penalty_mean"].mean, 12)
    }
    assert compare(small(), both, [0, 1], tmp_path).num_reused == 6
    changed = compare(small(), {**both, "object": Doubled(0.6)}, [0, 1], tmp_path)
    assert changed.num_reused == 4
    assert "object" in str(changed)
    with pytest.raises(InputError, match="'Doubled' is given twice"):
        compare(small(), [Doubled, Doubled], [0])
    with pytest.raises(InputError, match="is not a policy: it needs reset"):
        compare(small(), [dict], [0])
    held = Doubled()
    held.inner = threading.Lock()  # type: ignore[assignment]  # what a user's object may hold
    with pytest.raises(InputError, match="cannot travel"):
        compare(small(), [held], [0])


def test_any_executor_runs_the_jobs(tmp_path: Path) -> None:
    alone = compare(small(), ["edge-equal", Doubled], range(3))
    with ThreadPoolExecutor(2) as executor:
        shared = compare(small(), ["edge-equal", Doubled], range(3), tmp_path, executor=executor)
        assert executor.submit(int, "7").result() == 7  # it is still open
    assert shared.to_dict() == alone.to_dict()
    assert compare(small(), ["edge-equal", Doubled], range(3), tmp_path).num_reused == 6


class Dies:
    """Takes its process along, the first times."""

    def __init__(self, folder: str, times: int) -> None:
        self.folder = folder
        self.times = times

    def reset(self, system: System, seed: int) -> None:
        marks = Path(self.folder)
        if len(list(marks.iterdir())) < self.times:
            (marks / str(os.getpid())).touch()
            os._exit(9)
        self.inner = Doubled()
        self.inner.reset(system, seed)

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        return self.inner.decide(snapshot)


@pytest.mark.full
def test_a_worker_that_dies_costs_a_repetition(tmp_path: Path) -> None:
    (tmp_path / "marks").mkdir()
    mixed: dict[str, AnyPolicy] = {"dies": Dies(str(tmp_path / "marks"), 1), "lives": Doubled}
    found = compare(small(), mixed, range(3), tmp_path / "c", num_worker=2)
    assert len(list((tmp_path / "marks").iterdir())) == 1
    assert found.means["dies"]["penalty_mean"].mean == found.means["lives"]["penalty_mean"].mean
    (tmp_path / "more").mkdir()
    compare(small(), {"lives": Doubled}, [5], tmp_path / "d")
    mixed["dies"] = Dies(str(tmp_path / "more"), 99)
    words = r"workers died 3 times without finishing a run; 1 runs are left, the first of dies with seed 5"
    with pytest.raises(InputError, match=words):
        compare(small(), mixed, [5], tmp_path / "d", num_worker=2)


@pytest.mark.full
def test_two_commands_write_one_store(tmp_path: Path) -> None:
    """At the same time, with jobs in common: what they print is what they print one after the other."""
    arguments = ["compare", "dtecn", "--slots", "40", "--warmup", "0", "--json", "--out"]
    rivals = (("local-only,edge-equal", "0..5"), ("edge-equal,random", "2..9"))

    def start(folder: Path, policies: str, seeds: str) -> subprocess.Popen[str]:
        words = [*arguments, str(folder), "--policies", policies, "--seeds", seeds, "--workers", "2"]
        command = [sys.executable, "-m", "sim.cli", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())

    def told(process: subprocess.Popen[str]) -> dict[str, object]:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        found: dict[str, object] = json.loads(out)
        return {key: value for key, value in found.items() if key not in ("directory", "runs_reused")}

    together = [start(tmp_path / "together", *rival) for rival in rivals]
    at_once = [told(process) for process in together]
    in_turn = [told(start(tmp_path / "turn", *rival)) for rival in rivals]
    assert at_once == in_turn
    files = {folder: {one.name for one in (tmp_path / folder / "runs").iterdir()} for folder in ("together", "turn")}
    assert files["together"] == files["turn"]
    assert len(files["turn"]) == 2 * 6 + 2 * 8 - 4  # edge-equal with seeds 2 to 5 is in both


def test_a_sweep_takes_any_policy_and_is_reused(tmp_path: Path) -> None:
    grid: dict[str, list[Any]] = {"vehicles.num_vehicle": [2, 3], "server.frequency_hz": ["40 GHz"]}
    points = sweep(small(), ["edge-equal", Doubled], grid, [0], tmp_path)
    assert [point.values["vehicles.num_vehicle"] for point in points] == ["2", "3"]
    again = sweep(small(), ["edge-equal", Doubled], grid, [0], tmp_path)
    assert [point.comparison.num_reused for point in again] == [2, 2]
    assert [point.comparison.to_dict() for point in again] == [point.comparison.to_dict() for point in points]
