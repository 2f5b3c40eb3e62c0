"""The part that all trainers share: rounds, checkpoints from which a training continues, and a smooth objective."""

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
"""Makes the environments of a round, given its number. Each round has new ones, so that no checkpoint holds any."""
Progress = Callable[[int, float], None]
"""Called with the number of steps done, and the mean return per slot, -(P2 + w_U), since the last report."""


_REPORT_STEPS = 100


class Trained(NamedTuple):
    """The result of a trainer: the actors' tensors, and the mean return per slot of every report, as (step, return)."""

    tensors: Tensors
    returns: tuple[tuple[int, float], ...]


@dataclass
class Learner:
    """The state of a training, which a checkpoint has to hold.

    modules, optimizers : by name
    tensors : other tensors by name, which are changed in place, for example replay buffers
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
        """Load all tensors of a state."""
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
    """One training, from its begin or from a checkpoint: counts steps, reports returns, writes checkpoints.

    Parameters
    ----------
    learner : state that is trained
    arguments : of the trainer, as plain data with a seed; a checkpoint with other arguments is refused
    steps : number of steps of the whole training
    round_steps : number of steps of a round, which has its own environments and ends with a checkpoint
    environments : makes those of each round
    progress : called with steps and mean return
    checkpoint : file that is written after every round, and from which the training continues if `resume`
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
        """Turn the seed into an integer that a checkpoint can hold."""
        self.arguments = {**self.arguments, "seed": training_seed(self.arguments["seed"])}

    def run(self) -> Iterator[tuple[int, Environment, torch.Generator]]:
        """Yield step, environment and the generator of random numbers; the caller reports with `add`."""
        first = self._load() if self.resume else 0
        for number in range(first, -(-self.steps // self.round_steps)):
            # All random numbers of a round depend only on its number, so that no generator has to be stored.
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
        """Load a checkpoint; return the number of its finished rounds."""
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
    InputError : it is missing, or is no such number
    """
    count = text.get(name)
    if type(count) is not int or count < 0:
        accepted = "a checkpoint of the same training"
        raise InputError(f"{count!r} is no number of these", where=str(path), key=name, accepted=accepted)
    return count


def write_checkpoint(path: Path, learner: Learner, text: dict[str, Any]) -> None:
    """Write all tensors of a training and a text with its `arguments`; if it is killed, the last checkpoint stays.

    Raises
    ------
    InputError : the file cannot be written
    """
    # Through bytes, because the library's own writer reports a full disk as another error.
    packed = save({k: v.contiguous() for k, v in learner.state().items()}, {"training": json.dumps(text)})
    with writing(path), replacing(path) as file:
        file.write(packed)


def read_checkpoint(path: Path, learner: Learner, arguments: dict[str, Any]) -> dict[str, Any]:
    """Load the tensors of a checkpoint; return its text.

    Raises
    ------
    InputError : there is no such file, or it is of a training with other arguments
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

    A miss counts ``sigmoid(ln(t / T) / temperature)`` instead of [t > T], because the gradient of that is 0 everywhere.
    """
    lateness = torch.log(torch.clamp(outcome.delay_s, min=1e-9) / system.deadline_s)
    missed = torch.sigmoid(lateness / temperature) - outcome.missed
    surplus = system.objective.deadline_price * missed.mean((-2, -1))
    cost: Tensor = outcome.objective + system.objective.qos_weight + surplus
    return cost
