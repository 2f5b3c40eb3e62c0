"""The whole training: solve random environments, learn, write the model and its manifest."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from physical.errors import InputError
from policies.llm.bundled.engine import BundledEngine
from policies.llm.bundled.environments import RandomEnvironment, solved_cases
from policies.llm.bundled.manifest import Golden, ModelManifest
from policies.llm.bundled.reading import Reading
from policies.llm.bundled.training import dataset
from policies.llm.bundled.training.export import Quantisation, export
from policies.llm.bundled.training.learn import LearnArguments, Learning
from policies.llm.bundled.training.network import Shape
from policies.llm.models import manifest_path, sha256
from policies.marl.isolation import num_threads, training_seed
from policies.marl.training import Learner, count_of, read_checkpoint, write_checkpoint
from traces.atomic import replacing, writing
from twin.decision import Decision

Progress = Callable[[str, int, int, float], None]
"""Called with the present activity, its finished and its total amount, and the mean cost above the best answers."""

_GOLDEN_SEED = 7
_GOLDEN_CASES = 8
_REPORT = 100


@dataclass(frozen=True)
class DatasetArguments:
    """The environments of the training.

    Parameters
    ----------
    num_environment : number of environments with `dataset.NUM_SLOT` slots each
    seed : of the environments
    """

    num_environment: int = 30_000
    seed: int = 1


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a model.

    Parameters
    ----------
    environments, learning, shape : see their classes
    quantisation : of the matrices in the file
    reading : how probabilities become answers
    """

    environments: DatasetArguments = field(default_factory=DatasetArguments)
    learning: LearnArguments = field(default_factory=LearnArguments)
    shape: Shape = field(default_factory=Shape)
    quantisation: Quantisation = "Q8_0"
    reading: Reading = field(default_factory=Reading)


def recipe(*, steps: int | None = None, num_environment: int | None = None, seed: int = 0) -> Recipe:
    """Return the recipe of the bundled model, with some of its numbers changed."""
    learning, environments = LearnArguments(seed=training_seed(seed)), DatasetArguments()
    if steps is not None:
        learning = replace(learning, steps=steps)
    if num_environment is not None:
        environments = replace(environments, num_environment=num_environment)
    return Recipe(environments, learning)


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    progress: Progress = lambda *_: None,
    report_every: int = _REPORT,
) -> ModelManifest:
    """Train a model, write it and its manifest, and return the manifest.

    During the training, the solved environments (.npz) and a checkpoint lie beside `out`. With `resume`, the training
    continues from them.

    report_every : steps after which `progress` is told, and the checkpoint is written

    Raises
    ------
    InputError : a file cannot be read or written, or the checkpoint is that of another training
    """
    if out.suffix != ".gguf":
        raise InputError(f"{out} has another ending", where="--out", accepted="a file ending in .gguf")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is no directory", where="--out", accepted="a file in a directory that exists")
    with num_threads(recipe.learning.threads):
        return _train(recipe, out, resume=resume, progress=progress, report_every=report_every)


def _train(recipe: Recipe, out: Path, *, resume: bool, progress: Progress, report_every: int) -> ModelManifest:
    stored, checkpoint = out.with_suffix(".npz"), out.with_suffix(".checkpoint")
    if not (resume and stored.exists()):
        _solve(recipe.environments, stored, recipe.learning.threads, progress)
    solved = dataset.load(stored)
    learning = Learning(recipe.learning, recipe.shape)
    learner = Learner({"network": learning.network}, {"muon": learning.muon, "adam": learning.adam})
    arguments = _plain(recipe)
    first = 0
    if resume and checkpoint.exists():
        text = read_checkpoint(checkpoint, learner, arguments)
        first = count_of(text, "num_step", checkpoint)
    total, sums = recipe.learning.steps, 0.0
    for step in range(first, total):
        sums += learning.step(step, solved)
        if (step + 1) % report_every == 0 or step + 1 == total:
            progress("learning", step + 1, total, sums / report_every)
            sums = 0.0
            write_checkpoint(checkpoint, learner, {"arguments": arguments, "num_step": step + 1})
    manifest = write_model(learning.network.state_dict(), recipe, out)
    for path in (stored, checkpoint):
        path.unlink(missing_ok=True)
    return manifest


def _solve(arguments: DatasetArguments, path: Path, workers: int, progress: Progress) -> None:
    total = arguments.num_environment

    def done(count: int) -> None:
        if count % _REPORT == 0 or count == total:
            progress("solving", count, total, 0.0)

    with writing(path):
        solved = dataset.generate(total, arguments.seed, done, workers)
        with replacing(path) as file:
            dataset.save(solved, file)


def write_model(weights: dict[str, torch.Tensor], recipe: Recipe, out: Path) -> ModelManifest:
    """Export weights and write the manifest."""
    export(weights, recipe.shape, out, recipe.quantisation)
    return write_manifest(recipe, out)


def write_manifest(recipe: Recipe, out: Path) -> ModelManifest:
    """Write the manifest of an exported model, including one of its decisions."""
    decision, server_hz = golden_decision(out, recipe.reading, _GOLDEN_SEED, _GOLDEN_CASES)
    golden = Golden(
        seed=_GOLDEN_SEED,
        num_case=_GOLDEN_CASES,
        offloaded=(decision.offloading_ratio > 0).tolist(),
        share=(decision.compute_allocation_hz / server_hz).round(6).tolist(),
    )
    plain = _plain(recipe) | _as_lists({"reading": recipe.reading})
    manifest = ModelManifest(
        sha256=sha256(out),
        quantisation=recipe.quantisation,
        shape=plain["shape"],
        dataset=plain["environments"],
        learning=plain["learning"],
        reading=plain["reading"],
        golden=golden,
        versions={
            "python": platform.python_version(),
            **{name: version(name) for name in ("vectwin", "torch", "numpy", "gguf", "llama-cpp-python")},
        },
    )
    manifest_path(out).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
    return manifest


def golden_decision(model: Path, reading: Reading, seed: int, num_case: int) -> tuple[Decision, float]:
    """Return a model's decision after the cases of a random environment, and the server's capacity, Hz."""
    environment = RandomEnvironment(seed)
    cases, (query,) = solved_cases(environment, num_case, 1)
    with closing(BundledEngine(model, environment.system, num_case=num_case, reading=reading)) as engine:
        decision = engine.decide(list(cases), query, None).decision
    return decision, environment.system.server.frequency_hz


def _plain(recipe: Recipe) -> dict[str, dict[str, object]]:
    """Return the arguments on which the weights depend, as they are read back from JSON."""
    return _as_lists({"environments": recipe.environments, "learning": recipe.learning, "shape": recipe.shape})


def _as_lists(parts: dict[str, Any]) -> dict[str, dict[str, object]]:
    """Return dataclasses as dictionaries, with lists for tuples."""
    plain: dict[str, dict[str, object]] = {}
    for name, part in parts.items():
        values = dataclasses.asdict(part).items()
        plain[name] = {key: list(value) if isinstance(value, tuple) else value for key, value in values}
    return plain
