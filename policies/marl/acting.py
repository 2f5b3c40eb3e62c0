"""Decides with trained actors; `apg`, `maddpg` and `ddpg` share this as policies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch

from physical.errors import InputError
from physical.model.arrays import Array
from physical.system import System
from policies.feasible import reserved_hz
from policies.marl.actions import Output, decode
from policies.marl.environment import Observation
from policies.marl.features import features, observation_of
from policies.marl.isolation import num_threads, own_random
from policies.marl.weights import Tensors, WeightsManifest, check, locate, read
from policies.optimal.tasks import check_p2
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

_THREADS_MAX = 1024

Tensor = torch.Tensor
Actor = Callable[[Tensor], Output]
"""Maps features [..., N, K, F] to the output of actors."""


def network_input(system: System, observation: Observation) -> Tensor:
    """Return the features as networks take them: [..., N, K, F] in single precision."""
    return torch.as_tensor(features(system, observation)).to(torch.float32)


def decide(
    system: System, output: Output, observation: Observation, *, rounded: bool, reserved_hz: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Return ratios and allocations (Hz) in double precision, both [..., N, K]."""
    used = None if output.used is None else output.used.to(torch.float64)
    exact = Output(output.ratio.to(torch.float64), output.weight.to(torch.float64), used)
    bias_hz = _tensor(observation.estimation_bias_hz)
    exists = _tensor(observation.size_bytes) > 0
    return decode(system, exact, exists, bias_hz, rounded=rounded, reserved_hz=reserved_hz)


def _tensor(values: Array) -> Tensor:
    """Return a tensor; a NumPy array is copied, because it may be read-only, which torch does not know."""
    return values if isinstance(values, Tensor) else torch.tensor(values)


class LearnedPolicy(ABC):
    """Decides with a trained actor; the same snapshot always gives the same decision.

    algorithm : name in manifests, and of the policy
    variants : names of the variants, the default first
    per_vehicle : variants whose actors are made for one number of vehicles; there is one bundled file for each number
    threads : of torch while it decides; more of them make small networks slower, and machines with other work wait
    """

    algorithm: ClassVar[str]
    variants: ClassVar[tuple[str, ...]]
    per_vehicle: ClassVar[tuple[str, ...]] = ()
    weights: str
    variant: str
    threads: int

    def __post_init__(self) -> None:
        """Check the options."""
        if self.variant not in self.variants:
            problem, accepted = f"{self.variant!r} is wrong", ", ".join(self.variants)
            raise InputError(problem, key=f"{self.algorithm}.variant", accepted=accepted)
        if not 1 <= self.threads <= _THREADS_MAX:
            problem, accepted = f"{self.threads} is out of range", f"1 to {_THREADS_MAX}"
            raise InputError(problem, key=f"{self.algorithm}.threads", accepted=accepted)

    def reset(self, system: System, seed: int) -> None:  # noqa: ARG002 - the contract's signature; nothing is random
        """Load the weights for a system.

        Raises
        ------
        InputError : there are no weights, or they do not suit the system
        """
        check_p2(system, self.algorithm)
        stem = self.algorithm if self.variant == self.variants[0] else f"{self.algorithm}-{self.variant}"
        per_vehicle = self.variant in self.per_vehicle
        path = locate(self.weights, stem, system, per_vehicle=per_vehicle)
        tensors, manifest = read(path)
        check(manifest, self.algorithm, self.variant, system, str(path), any_number=not per_vehicle)
        try:
            with own_random():  # modules draw random weights before they get those of the file
                self._actor = self.load(tensors, manifest)
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"does not fit the actor: {reason}", where=str(path)) from None

    @abstractmethod
    def load(self, tensors: Tensors, manifest: WeightsManifest) -> Actor:
        """Return the actor with these weights; an error of the library means that they are those of another actor."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Let the actor decide for the slot of `snapshot`."""
        system, observation = snapshot.system, observation_of(snapshot)
        reserved = float(reserved_hz(snapshot).sum())
        with num_threads(self.threads), torch.inference_mode():
            output = self._actor(network_input(system, observation))
            ratio, allocation_hz = decide(system, output, observation, rounded=True, reserved_hz=reserved)
        return Decision(ratio.numpy(), allocation_hz.numpy())
