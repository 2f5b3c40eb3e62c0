"""What all trainers share: rounds, so that a training can stop and go on, checkpoints, progress, a smooth objective."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from safetensors.torch import save

from physical.closed_form.slot import SlotOutcome
from physical.errors import InputError
from physical.reading import check_regular
from physical.system import System
from policies.marl.environment import Environment
from policies.marl.isolation import training_seed
from traces.atomic import replacing, writing

Tensor = torch.Tensor
Tensors = dict[str, Tensor]

Factory = Callable[[int], Sequence[Environment]]
"""Makes the environments of a round, given its number. A checkpoint holds no environment: each round has new ones."""
Progress = Callable[[int, float], None]
"""Is told the number of steps done, and the mean return per slot, -(P2 + w_U), since the last report."""


_REPORT_STEPS = 100


class Trained(NamedTuple):
    """What a trainer gives: the actors' tensors, and the mean return per slot of every report, as (step, return)."""

    tensors: Tensors
    returns: tuple[tuple[int, float], ...]


@dataclass
class Learner:
    """What is trained, and so belongs in a checkpoint.

    modules, optimizers : by name
    tensors : others by name, changed in place; replay buffers for example
    """

    modules: dict[str, torch.nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]
    tensors: Tensors = field(default_factory=dict)

    def state(self) -> Tensors:
        """Return all tensors of the state."""
        found = {f"tensor.{name}": value for name, value in self.tensors.items()}
        for name, module in self.modules.items():
            found |= {f"module.{name}.{key}": value for key, value in module.state_dict().items()}
        for name, optimizer in self.optimizers.items():
            for index, moments in optimizer.state_dict()["state"].items():
                found |= {f"optimizer.{name}.{index}.{key}": value for key, value in moments.items()}
        return found

    def restore(self, tensors: Tensors) -> None:
        """Take over all tensors of a state."""
        for name, value in self.tensors.items():
            value.copy_(tensors[f"tensor.{name}"])
        for name, module in self.modules.items():
            prefix = f"module.{name}."
            module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        for name, optimizer in self.optimizers.items():
            prefix = f"optimizer.{name}."
            moments: dict[int, Tensors] = {}
            for key, value in tensors.items():
                if key.startswith(prefix):
                    index, _, moment = key.removeprefix(prefix).partition(".")
                    moments.setdefault(int(index), {})[moment] = value
            optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})


@dataclass
class TrainingSession:
    """One training, from its beginning or from a checkpoint: counts steps, reports returns, writes checkpoints.

    Parameters
    ----------
    learner : what is trained
    arguments : of the trainer, as plain data with a seed; a checkpoint is refused for others
    steps : of the whole training
    round_steps : steps from one checkpoint, and one set of environments, to the next
    environments : of each round
    progress : is told steps and mean return
    checkpoint : file to write after every round, and to go on from if `resume`
    """

    learner: Learner
    arguments: dict[str, Any]
    steps: int
    round_steps: int
    environments: Factory
    progress: Progress = lambda _step, _return: None
    checkpoint: Path | None = None
    resume: bool = False
    returns: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Let the seed be an integer that a checkpoint can hold."""
        self.arguments = {**self.arguments, "seed": training_seed(self.arguments["seed"])}

    def run(self) -> Iterator[tuple[int, Environment, torch.Generator]]:
        """Yield step, environment and the generator of random numbers; the caller reports with `add`."""
        first = self._load() if self.resume else 0
        for number in range(first, -(-self.steps // self.round_steps)):
            # All that is random in a round follows from its number, so that no generator needs to be stored.
            generator = torch.Generator().manual_seed(self.arguments["seed"] * 1_000_003 + number)
            environments = self.environments(number)
            self._values: list[float] = []
            for step in range(number * self.round_steps, min((number + 1) * self.round_steps, self.steps)):
                index = int(torch.randint(len(environments), (1,), generator=generator))
                yield step, environments[index], generator
                if (step + 1) % _REPORT_STEPS == 0 or step + 1 == self.steps:
                    self.returns.append((step + 1, sum(self._values) / len(self._values)))
                    self._values.clear()
                    self.progress(*self.returns[-1])
            self._save(number + 1)

    def add(self, system: System, outcome: SlotOutcome) -> None:
        """Count the return of a step."""
        self._values.append(-float(outcome.objective.detach().mean()) - system.objective.qos_weight)

    def _save(self, num_round: int) -> None:
        if self.checkpoint is not None:
            text = {"arguments": self.arguments, "num_round": num_round, "returns": self.returns}
            write_checkpoint(self.checkpoint, self.learner, text)

    def _load(self) -> int:
        """Take over a checkpoint; return the number of rounds that it has behind it."""
        assert self.checkpoint is not None, "who resumes names a checkpoint"
        text = read_checkpoint(self.checkpoint, self.learner, self.arguments)
        try:
            self.returns = [(int(step), float(value)) for step, value in text["returns"]]
        except (LookupError, TypeError, ValueError):
            accepted = "a checkpoint of the same training"
            raise InputError("holds no returns", where=str(self.checkpoint), accepted=accepted) from None
        return count_of(text, "num_round", self.checkpoint)


def count_of(text: dict[str, Any], name: str, path: Path) -> int:
    """Return a number of the text of a checkpoint.

    Raises
    ------
    InputError : it is missing, or no such number
    """
    count = text.get(name)
    if type(count) is not int or count < 0:
        accepted = "a checkpoint of the same training"
        raise InputError(f"{count!r} is no number of these", where=str(path), key=name, accepted=accepted)
    return count


def write_checkpoint(path: Path, learner: Learner, text: dict[str, Any]) -> None:
    """Write all tensors of a training and a text with its `arguments`; a kill while it writes keeps the last one.

    Raises
    ------
    InputError : the file cannot be written
    """
    # By way of bytes: the library's own writer calls a full disk something else.
    packed = save({k: v.contiguous() for k, v in learner.state().items()}, {"training": json.dumps(text)})
    with writing(path), replacing(path) as file:
        file.write(packed)


def read_checkpoint(path: Path, learner: Learner, arguments: dict[str, Any]) -> dict[str, Any]:
    """Take over the tensors of a checkpoint; return its text.

    Raises
    ------
    InputError : no such file, or one of a training with other arguments
    """
    accepted = "a checkpoint of the same training"
    try:
        check_regular(path)
        with safetensors.safe_open(str(path), "pt") as file:
            text: dict[str, Any] = json.loads(file.metadata()["training"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - the file is no mapping
        if not isinstance(known := text["arguments"], dict):
            raise ValueError("its text is none of a training")
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, RecursionError, safetensors.SafetensorError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), accepted=accepted) from None
    differing = [key for key, value in arguments.items() if known.get(key) != value]
    if differing or set(known) != set(arguments):
        problem = f"was trained with other arguments: {', '.join(differing) or 'of another algorithm'}"
        raise InputError(problem, where=str(path), accepted=accepted)
    try:
        learner.restore(tensors)
    except (RuntimeError, KeyError, ValueError):
        raise InputError("is of another actor", where=str(path), accepted=accepted) from None
    return text


def smooth_cost(system: System, outcome: SlotOutcome, temperature: float) -> Tensor:
    """Return P2 + w_U with a gradient for lateness, [B].

    A miss counts ``sigmoid(ln(t / T) / temperature)`` instead of [t > T], whose gradient is 0 everywhere.
    """
    lateness = torch.log(torch.clamp(outcome.delay_s, min=1e-9) / system.deadline_s)
    missed = torch.sigmoid(lateness / temperature) - outcome.missed
    surplus = system.objective.deadline_price * missed.mean((-2, -1))
    cost: Tensor = outcome.objective + system.objective.qos_weight + surplus
    return cost
