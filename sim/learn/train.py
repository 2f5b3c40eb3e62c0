"""Connects scenarios to the trainers of `policies.marl`: chooses the environments and writes the weight files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from physical.errors import InputError
from policies.marl import apg, ddpg, maddpg
from policies.marl.isolation import training_seed
from policies.marl.training import Factory, Progress, Trained
from policies.marl.weights import WeightsManifest, write
from sim.learn.batch import BatchEnvironment
from sim.scenario.scenario import Scenario

VARIANTS: dict[str, tuple[str, ...]] = {
    "apg": apg.Apg.variants,
    "maddpg": maddpg.Maddpg.variants,
    "ddpg": ddpg.Ddpg.variants,
}

_VEHICLES = (3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 25, 30)
_VEHICLES_SCALED = (16, 25)
_VEHICLES_BIASED = (8, 12, 20)
_BATCH_VEHICLE = 1_280
_BIAS_PART = 0.15
"""Largest bias in biased environments, in equal shares of the server among the tasks of 10 vehicles."""
_SEED_STRIDE = 1 << 20


@dataclass(frozen=True)
class EnvironmentSet:
    """One set of environments.

    scenario : with its number of vehicles
    num_environment : B
    bias_spread_hz : see `BatchEnvironment`
    """

    scenario: Scenario
    num_environment: int
    bias_spread_hz: float = 0.0


def mixed_plans(scenario: Scenario) -> list[EnvironmentSet]:
    """Return environments of many sizes, for an actor for any number of vehicles.

    In most of them, server and spectrum are the same for every number of vehicles. In some of them, they grow with the
    number of vehicles; in others, the server has a bias.
    """
    share_hz = scenario.server.frequency_hz / (10 * len(scenario.tasks))
    plans = [EnvironmentSet(with_vehicles(scenario, count), _BATCH_VEHICLE // count) for count in _VEHICLES]
    plans += [EnvironmentSet(scaled(scenario, count), _BATCH_VEHICLE // count) for count in _VEHICLES_SCALED]
    biased = [
        EnvironmentSet(with_vehicles(scenario, n), _BATCH_VEHICLE // n, _BIAS_PART * share_hz) for n in _VEHICLES_BIASED
    ]
    return plans + biased


def with_vehicles(scenario: Scenario, num_vehicle: int) -> Scenario:
    """Return the scenario with another number of vehicles."""
    vehicles = scenario.vehicles.model_copy(update={"num_vehicle": num_vehicle})
    return scenario.model_copy(update={"vehicles": vehicles})


def scaled(scenario: Scenario, num_vehicle: int) -> Scenario:
    """Return the scenario with another number of vehicles, and per vehicle the same server, spectrum and weights."""
    factor = num_vehicle / scenario.resolve().crowd.mean
    server, radio, objective = scenario.server, scenario.radio, scenario.objective
    bandwidth_hz = radio.bandwidth_hz * (factor if radio.bandwidth_sharing == "equal" else 1.0)
    return with_vehicles(scenario, num_vehicle).model_copy(
        update={
            "server": server.model_copy(
                update={
                    "frequency_hz": server.frequency_hz * factor,
                    "num_core": max(1, round(server.num_core * factor)),
                }
            ),
            "radio": radio.model_copy(update={"bandwidth_hz": bandwidth_hz}),
            "objective": objective.model_copy(update={"energy_weight": objective.energy_weight / factor}),
        }
    )


def factory(plans: Sequence[EnvironmentSet], seed: int) -> Factory:
    """Return a function that makes the environments of each round; no two environments share random numbers."""

    def make(number: int) -> list[BatchEnvironment]:
        first = seed * 1_000 + number
        return [
            BatchEnvironment(
                plan.scenario,
                plan.num_environment,
                (first * len(plans) + index) * _SEED_STRIDE,
                library="torch",
                bias_spread_hz=plan.bias_spread_hz,
            )
            for index, plan in enumerate(plans)
        ]

    return make


@dataclass(frozen=True)
class TrainingJob:
    """A training.

    Parameters
    ----------
    algorithm, variant : which trainer; variant "" is the algorithm's first
    scenario : where to train
    name : of the scenario, for the manifest
    seed : of everything that is random
    steps : of the trainer; None: its own number
    """

    algorithm: str
    scenario: Scenario
    name: str
    variant: str = ""
    seed: int = 0
    steps: int | None = None


class _Choice(NamedTuple):
    """A choice of arguments, environments and trainer, with the numbers of vehicles that the weights will suit."""

    arguments: Any
    plans: list[EnvironmentSet]
    num_vehicle: tuple[int, int]
    train: Callable[..., Trained]


def train(
    job: TrainingJob, out: Path, *, resume: bool = False, progress: Progress = lambda _step, _return: None
) -> WeightsManifest:
    """Train, write weights and manifest, and return the manifest.

    A checkpoint lies beside `out` during the training. With `resume` the training continues from it, and the weights
    are bit for bit those of a training without interruption.

    Raises
    ------
    InputError : the scenario does not suit the trainer, or a file cannot be read or written
    """
    if out.suffix != ".safetensors":
        raise InputError(f"{out} has another ending", where="--out", accepted="a file ending in .safetensors")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is no directory", where="--out", accepted="a file in a directory that exists")
    job = dataclasses.replace(job, seed=training_seed(job.seed))
    chosen = _choose(job)
    checkpoint = out.with_suffix(".checkpoint")
    trained = chosen.train(
        factory(chosen.plans, job.seed), chosen.arguments, progress=progress, checkpoint=checkpoint, resume=resume
    )
    manifest = write(
        out,
        trained.tensors,
        WeightsManifest(
            algorithm=job.algorithm,
            variant=job.variant or VARIANTS[job.algorithm][0],
            scenario=job.name,
            seed=job.seed,
            steps=chosen.arguments.steps,
            arguments=dataclasses.asdict(chosen.arguments),
            num_vehicle=chosen.num_vehicle,
            num_class=len(job.scenario.tasks),
            score=mean_cost(trained),
        ),
    )
    checkpoint.unlink()
    return manifest


def mean_cost(trained: Trained) -> float:
    """Return the mean cost P2 + w_U per slot over the last tenth of a training."""
    last = [value for _, value in trained.returns[-max(1, len(trained.returns) // 10) :]]
    return -sum(last) / len(last)


def _choose(job: TrainingJob) -> _Choice:
    """Return arguments, environments and trainer for a training."""
    variants = VARIANTS[job.algorithm]
    variant = job.variant or variants[0]
    if variant not in variants:
        raise InputError(f"{variant!r} is wrong", where="--variant", accepted=", ".join(variants))
    scenario, num_class = job.scenario, len(job.scenario.tasks)
    own: dict[str, Any] = {"seed": job.seed} | ({} if job.steps is None else {"steps": job.steps})
    count = scenario.num_vehicle
    many = (min(_VEHICLES), max(_VEHICLES))
    if job.algorithm == "apg":
        return _Choice(apg.ApgArguments(variant=variant, **own), mixed_plans(scenario), many, apg.train)
    if job.algorithm == "ddpg":
        plans = [EnvironmentSet(with_vehicles(scenario, n), max(1, 160 // n)) for n in _VEHICLES]
        return _Choice(ddpg.DdpgArguments(num_class=num_class, **own), plans, many, ddpg.train)
    if variant == "analytic":
        trainer = partial(maddpg.train_analytic, num_vehicle=count, num_class=num_class)
        plans = [EnvironmentSet(scenario, max(1, _BATCH_VEHICLE // count))]
        return _Choice(apg.ApgArguments(**({"learning_rate": 4e-3} | own)), plans, (count, count), trainer)
    arguments = maddpg.MaddpgArguments(num_vehicle=count, num_class=num_class, **own)
    return _Choice(arguments, [EnvironmentSet(scenario, 16)], (count, count), maddpg.train)
