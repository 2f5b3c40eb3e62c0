"""`twin models`: the language models that `llm` can use."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from physical.errors import InputError
from physical.printable import printable
from sim.cli import output
from sim.cli.app import Json, group, interrupted, print_json
from sim.cli.help import examples

models = group(
    "models", "List, verify and train the language models of the policy llm.", "twin models list", "twin models verify"
)


@models.command(name="list", epilog=examples("twin models list", "twin models list --json"))
def _list(as_json: Json = False) -> None:
    """Show which models there are, and where their files are."""
    from policies.llm.models import known
    from sim.show import terminal

    found = [model.describe() for model in known()]
    if as_json:
        print_json({"models": found})
    else:
        terminal.models(found)


@models.command(name="verify", epilog=examples("twin models verify", "twin models verify mine.gguf --json"))
def _verify(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="bundled, or a file of twin models train.")] = "bundled",
    as_json: Json = False,
) -> int:
    """Check a model's digest, llama.cpp against torch with the same weights, and a decision of before.

    Exit code 1 if something differs.
    """
    verify = _training("verify")
    from policies.llm.models import resolve
    from sim.show import terminal

    checks = verify.verify(resolve(model).path)
    if as_json:
        print_json({"checks": [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in checks]})
    else:
        for check in checks:
            terminal.say(f"{'passed' if check.passed else 'FAILED'}  {check.name}: {check.detail}")
    return 0 if all(check.passed for check in checks) else 1


@models.command(
    name="train",
    epilog=examples(
        "twin models train --out mine.gguf",
        "twin models train --steps 500 --environments 2000 --out small.gguf",
        "twin models train --out mine.gguf --resume",
        "twin run dtecn --policy llm:model=mine.gguf",
    ),
)
def _train(
    out: Annotated[Path, typer.Option("--out", metavar="FILE.gguf", help="Where the model goes.")],
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Updates.")] = None,
    environments: Annotated[
        int | None, typer.Option("--environments", min=1, help="Environments to learn from.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the weights and of the order of prompts.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint beside FILE.")] = False,
    as_json: Json = False,
) -> int:
    """Train a model that decides in context; takes about an hour on two threads.

    A checkpoint lies beside FILE until the training is done: one that was stopped goes on with --resume.
    """
    train = _training("train")
    recipe = train.recipe(steps=steps, num_environment=environments, seed=seed)
    shown = not as_json
    begin_s = time.monotonic()

    def progress(what: str, done: int, total: int, cost: float) -> None:
        if shown:
            above = f"; {cost:.4f} above the best answers" if what == "learning" else ""
            sys.stderr.write(f"{what}: {done} of {total}{above}; {time.monotonic() - begin_s:.0f} s\n")

    try:
        manifest = train.train(recipe, out, resume=resume, progress=progress)
    except KeyboardInterrupt:
        return interrupted(f"stopped; the checkpoint is beside {out}, go on with --resume")
    output.results_in(out)
    if as_json:
        print_json(manifest.model_dump(mode="json"))
    else:
        typer.echo(printable(f"{out}: {out.stat().st_size / 1e6:.1f} MB, SHA-256 {manifest.sha256}"))
    return 0


def _training(module: str) -> ModuleType:
    """Import a module of the training, or name the extra that is missing."""
    try:
        return importlib.import_module(f"policies.llm.bundled.training.{module}")
    except ImportError as error:
        accepted = 'after pip install "vectwin[llm,marl]"'
        raise InputError(f"needs the extras llm and marl ({error})", where="models", accepted=accepted) from error
