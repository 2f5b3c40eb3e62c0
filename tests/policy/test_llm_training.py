"""`twin models train` from end to end, on few environments: it learns, resumes to the bit, and its model verifies."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from physical.errors import InputError
from policies.llm.bundled.manifest import read_manifest
from policies.llm.models import resolve
from sim.cli import main

pytest.importorskip("torch", reason="reason: needs the extra marl")
pytest.importorskip("llama_cpp", reason="reason: needs the extra llm")

from policies.llm.bundled.training import dataset, train
from policies.llm.bundled.training.learn import LearnArguments, Learning, draw_batch
from policies.llm.bundled.training.network import Shape
from policies.llm.bundled.training.verify import verify

pytestmark = pytest.mark.full  # the quick loop is for what changes every day

SMALL = Shape(width=64, depth=2, num_head=2, num_kv_head=1, num_hidden=96)
RECIPE = train.Recipe(
    environments=train.DatasetArguments(num_environment=12, seed=4),
    learning=LearnArguments(steps=6, tokens=600, num_case=3, seed=2),
    shape=SMALL,
    quantisation="F16",
)


@pytest.mark.slow
def test_it_learns() -> None:
    """After a few updates, answers cost much less above the best ones than those of the first weights."""
    solved = dataset.generate(30, seed=3)
    learning = Learning(LearnArguments(steps=60, tokens=1200, num_case=3, warm_up=5), SMALL)
    costs = [learning.step(step, solved) for step in range(60)]
    assert np.mean(costs[-10:]) < 0.6 * np.mean(costs[:3])


def test_environments_depend_on_their_number_alone() -> None:
    few, many = dataset.generate(3, seed=8), dataset.generate(6, seed=8)
    for count, part in few.items():
        assert (part.rows == many[count].rows[: len(part)]).all()
        assert (part.header == many[count].header[: len(part)]).all()
    assert sum(map(len, many.values())) == 6


def test_solved_slots_come_back_from_a_file(tmp_path: Path) -> None:
    solved = dataset.generate(4, seed=8)
    with (tmp_path / "solved.npz").open("wb") as file:
        dataset.save(solved, file)
    back = dataset.load(tmp_path / "solved.npz")
    assert list(back) == list(solved)
    for count, part in solved.items():
        assert (back[count].rows == part.rows).all()
        for here, there in zip(back[count].terms, part.terms, strict=True):
            np.testing.assert_array_equal(here, there)
    (tmp_path / "broken.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="broken"):
        dataset.load(tmp_path / "broken.npz")


def test_batches_follow_from_the_step() -> None:
    solved = dataset.generate(6, seed=8)
    one, same, other = (draw_batch(solved, 4, 2000, np.random.default_rng((0, step))) for step in (5, 5, 6))
    assert one.tokens.equal(same.tokens)
    assert one.tokens.shape != other.tokens.shape or not one.tokens.equal(other.tokens)


class StoppedError(Exception):
    """Stands for a Ctrl-C."""


@pytest.mark.slow
def test_a_stopped_training_ends_with_the_same_model(tmp_path: Path) -> None:
    def stop_at(last: int) -> Callable[[str, int, int, float], None]:
        def progress(what: str, done: int, total: int, cost: float) -> None:
            if what == "learning" and done > last:
                raise StoppedError

        return progress

    whole = train.train(RECIPE, tmp_path / "whole.gguf", report_every=2)
    with pytest.raises(StoppedError):
        train.train(RECIPE, tmp_path / "parts.gguf", progress=stop_at(3), report_every=2)
    assert {path.suffix for path in tmp_path.glob("parts.*")} == {".npz", ".checkpoint"}
    other = replace(RECIPE, learning=replace(RECIPE.learning, seed=9))
    with pytest.raises(InputError, match="other arguments"):
        train.train(other, tmp_path / "parts.gguf", resume=True, report_every=2)
    parts = train.train(RECIPE, tmp_path / "parts.gguf", resume=True, report_every=2)
    assert parts.sha256 == whole.sha256
    assert parts.golden == whole.golden
    assert {path.suffix for path in tmp_path.glob("parts.*")} == {".gguf", ".json"}
    assert read_manifest(tmp_path / "whole.gguf") == whole
    assert all(check.passed for check in verify(tmp_path / "whole.gguf"))


def test_the_bundled_model_verifies() -> None:
    for check in verify(resolve("bundled").path):
        assert check.passed, check


def test_a_wrong_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.gguf"):
        train.train(RECIPE, tmp_path / "model.bin")
    with pytest.raises(InputError, match="no directory"):
        train.train(RECIPE, tmp_path / "nowhere" / "model.gguf")


@pytest.mark.full
def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled model's recipe, with the numbers that the command line gives, for a smaller network."""
    out, recipe = tmp_path / "mine.gguf", train.recipe

    def smaller(**given: int) -> train.Recipe:
        asked = recipe(**given)
        return replace(asked, learning=replace(asked.learning, tokens=600, num_case=3), shape=SMALL)

    monkeypatch.setattr(train, "recipe", smaller)
    for arguments in (
        ["train", "--steps", "2", "--environments", "4", "--out", str(out), "--json"],
        ["verify", str(out), "--json"],
        ["list", "--json"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(["models", *arguments])
        assert ended.value.code in (0, None)
    lines = capsys.readouterr().out
    assert '"torch parity"' in lines
    found = json.loads(lines[lines.rindex('{\n  "models"') :] if '{\n  "models"' in lines else lines.splitlines()[-1])
    assert [model["name"] for model in found["models"]] == ["bundled", "smollm2"]
    assert recipe(steps=2, num_environment=4).learning.steps == 2
    assert recipe(steps=2, num_environment=4).environments.num_environment == 4
