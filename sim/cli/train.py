"""`twin train`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from physical.errors import InputError
from physical.extras import needs
from sim.cli import output
from sim.cli.app import Json, Settings, app, interrupted, load, print_json
from sim.cli.help import examples


@app.command(
    name="train",
    epilog=examples(
        "twin train apg dtecn-congested --out apg.safetensors",
        "twin train maddpg dtecn --set vehicles.num_vehicle=4 --steps 2000 --seed 3 --out four.safetensors",
        "twin train maddpg dtecn-congested --variant analytic --out ten.safetensors --resume",
    ),
)
def _train(
    algorithm: Annotated[str, typer.Argument(help="apg, maddpg or ddpg.")],
    scenario: Annotated[str, typer.Argument(help="Built-in name or TOML file.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Weights; the manifest goes beside them.")],
    variant: Annotated[str, typer.Option("--variant", help="As the policy's option.")] = "",
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Updates; by default the algorithm's.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of everything that is random.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint beside FILE.")] = False,
    settings: Settings = None,
    as_json: Json = False,
) -> int:
    """Train a policy's weights; then use them as ALGORITHM:weights=FILE.

    A checkpoint lies beside FILE until the training is done: one that was stopped goes on with --resume, and ends with
    the same weights as one that was not.
    """
    try:
        from sim.learn import train
        from sim.show import terminal
    except ImportError as error:
        raise needs("marl", error, where="train") from error

    if algorithm not in train.VARIANTS:
        accepted = ", ".join(train.VARIANTS)
        raise InputError(f"there is no trainer {algorithm!r}", where="ALGORITHM", accepted=accepted)
    chosen = load(scenario, settings)
    name = " ".join([scenario, *(settings or ())])
    job = train.TrainingJob(algorithm, chosen, name, variant, seed, steps)

    def progress(step: int, value: float) -> None:
        if not as_json and (sys.stderr.isatty() or step % 1_000 == 0):
            typer.echo(f"step {step}: mean return per slot {value:.4f}", err=True)

    try:
        manifest = train.train(job, out, resume=resume, progress=progress)
    except KeyboardInterrupt:
        return interrupted(f"interrupted; the same command with --resume goes on: {out}")
    output.results_in(out)
    if as_json:
        print_json({**manifest.model_dump(), "file": str(out)})
    else:
        terminal.say(f"{out}: {manifest.steps} steps, mean cost P2 + w_U per slot {manifest.score:.4f} at the end")
    return 0
