"""B independent environments of one system, a slot at a time, over the closed form `slot_step`."""

from __future__ import annotations

from numbers import Integral
from typing import Literal

import numpy as np

from physical.arrays import Floats
from physical.closed_form.slot import SlotOutcome, slot_step
from physical.errors import InputError
from physical.model.arrays import Array
from policies.marl.environment import Observation
from sim.learn.batch.episodes import EPISODE, Episodes
from sim.learn.batch.inputs import BatchInputs, EventInputs, FastInputs, FrequencyBiases, InputBlock
from sim.learn.batch.library import Dtype, LibraryName, library_of
from sim.scenario.mobility import DrawnMobility
from sim.scenario.scenario import Scenario

InputsKind = Literal["fast", "event"]

_LEAST_RATE_BPS = 1.0
_MAX_SLOT, _MIN_SLOT = 64, 8
_MAX_VEHICLE_SLOT = 1 << 17


class BatchEnvironment(Episodes):
    """B environments with the same scenario, arrays [B, N, K]; see `policies.marl.environment.Environment`.

    What a slot brings is `slot_step`: the event simulator on an ideal network with `slices`, where no work is left at
    the end of a slot. Backlog follows eq. 5 and enters the objective, never a delay. What the closed form does not know
    is left out: latencies and losses of messages, decision latency, a shared CPU, biases other than that of the
    frequency. A rate is at least 1 bit/s. An environment never ends.

    Environment b has the seed ``seed + b`` and draws from streams of its own, so more environments change no other one;
    after e resets its seed is ``seed + b + 2^32 e``.

    Parameters
    ----------
    scenario : one node, tasks in bytes, policies that decide ratios and allocations (`dtecn`, `dtecn-congested`)
    num_environment : B
    seed : of the first environment
    library : "numpy", or "torch" (on the CPU); with torch, gradients flow from the outcome to the decision
    num_vehicle : N, if not the scenario's; server and spectrum stay as they are
    bias_spread_hz : Hz, each vehicle of each environment adds a uniform number between minus and plus this to its
        estimation bias, anew with each reset
    inputs : "fast" draws for whole environments at once; "event" draws exactly the numbers of the event simulator with
        the environment's seed, vehicle by vehicle, some ten times slower
    dtype : of torch

    Raises
    ------
    InputError : a scenario that the closed form cannot follow, or an unknown option

    >>> environment = BatchEnvironment(Scenario.load("dtecn"), num_environment=2)
    >>> tuple(environment.observe().size_bytes.shape)
    (2, 10, 3)
    """

    def __init__(
        self,
        scenario: Scenario,
        num_environment: int,
        seed: int = 0,
        *,
        library: LibraryName = "numpy",
        num_vehicle: int | None = None,
        bias_spread_hz: float = 0.0,
        inputs: InputsKind = "fast",
        dtype: Dtype = "float64",
    ) -> None:
        check_count(num_environment)
        if inputs not in ("fast", "event"):
            raise InputError(f"there are no inputs {inputs!r}", where="batch", key="inputs", accepted="fast, event")
        check_supported(scenario)
        self.scenario = with_num_vehicle(scenario, num_vehicle)
        self.num_environment = num_environment
        self._library = library_of(library, dtype)
        self._resolved = self.scenario.resolve()
        self.system = self._resolved.system.map_arrays(self._library.constant)
        self._spread_hz = bias_spread_hz
        self._inputs_type = FastInputs if inputs == "fast" else EventInputs
        self._known = scenario.twin.bias.known
        num_vehicle_slot = num_environment * self.system.num_vehicle
        self._block_length = int(np.clip(_MAX_VEHICLE_SLOT // num_vehicle_slot, _MIN_SLOT, _MAX_SLOT))
        self._begin(seed, 0)

    def _start(self, seeds: range) -> None:
        """Begin an episode."""
        self._inputs: BatchInputs = self._inputs_type(self._resolved, seeds)
        bias = self.scenario.twin.bias.cpu_frequency_hz
        self._biases = FrequencyBiases(bias, self._resolved.system, seeds, self._spread_hz)
        self._bias_hz: Floats | None = None
        self._slot, self._first_slot = 0, 0
        self._block: InputBlock | None = None
        empty = np.zeros((self.system.num_class, self.num_environment)).T
        self._no_bias_hz = self._library.share(np.zeros(self._shape))
        self._observe(self._library.share(empty))

    @property
    def _shape(self) -> tuple[int, int, int]:
        return (self.num_environment, self.system.num_vehicle, self.system.num_class)

    def observe(self) -> Observation:
        """Return the present slot; bias 0 where the twin does not know it."""
        return self._observation

    @property
    def true_bias_hz(self) -> Array:
        """The estimation bias that is in force, [B, N, K], Hz."""
        return self._true_bias_hz

    def step(self, offloading_ratio: Array, compute_allocation_hz: Array) -> SlotOutcome:
        """Decide the present slot and go on to the next one.

        offloading_ratio : [B, N, K], in [0, 1]
        compute_allocation_hz : [B, N, K], Hz, >= 0

        Raises
        ------
        InputError : arrays of another shape
        """
        for name, values in {"ratio": offloading_ratio, "allocation": compute_allocation_hz}.items():
            check_shape(name, values, self._shape)
        present = self._observation
        outcome = slot_step(
            self.system,
            present.size_bytes,
            present.rate_bps,
            self._library.decided(offloading_ratio),
            self._library.decided(compute_allocation_hz),
            present.backlog_bytes,
            self._true_bias_hz,
        )
        self._slot += 1
        self._observe(self._library.carried(outcome.backlog_next_bytes))
        return outcome

    def _observe(self, backlog_bytes: Array) -> None:
        """Lay out the present slot."""
        if self._block is None or self._slot == self._first_slot + self._block_length:
            self._first_slot = self._slot
            self._block = self._inputs.block(self._slot, self._block_length)
            # In a very deep fade a rate rounds to 0: what is sent never arrives, and gradients are not numbers.
            np.maximum(self._block.rate_bps, _LEAST_RATE_BPS, out=self._block.rate_bps)
        row = self._slot - self._first_slot
        bias_hz = self._biases.at(self._slot)
        if self._bias_hz is None or not np.array_equal(bias_hz, self._bias_hz):
            self._bias_hz = bias_hz
            by_class = np.repeat(bias_hz[:, np.newaxis], self.system.num_class, axis=1)
            self._true_bias_hz = self._library.share(by_class.transpose(2, 0, 1))
        self._observation = Observation(
            self._library.share(self._block.size_bytes[row].transpose(2, 0, 1)),
            self._library.share(self._block.rate_bps[row].T),
            backlog_bytes,
            self._true_bias_hz if self._known else self._no_bias_hz,
        )


def check_count(num_environment: int) -> None:
    """Refuse an impossible number of environments.

    Raises
    ------
    InputError : less than one, or so many that seeds of two episodes would meet
    """
    _check_whole(num_environment, "num_environment")
    if not 1 <= num_environment < EPISODE:
        raise InputError(f"{num_environment} is out of range", where="batch", key="num_environment", accepted="1 up")


def check_shape(name: str, values: Array, shape: tuple[int, ...]) -> None:
    """Refuse a decision of another shape.

    Raises
    ------
    InputError : no array, or one of another shape
    """
    found = getattr(values, "shape", None)
    if found is None:
        raise InputError(f"{name} is no array", where="step", accepted=f"an array of shape {list(shape)}")
    if tuple(found) != shape:
        raise InputError(f"{name} has shape {list(found)}", where="step", accepted=f"shape {list(shape)}")


def _check_whole(number: object, key: str) -> None:
    if isinstance(number, bool) or not isinstance(number, Integral):
        raise InputError(f"{number!r} is not an integer", where="batch", key=key, accepted="1 up")


def with_num_vehicle(scenario: Scenario, num_vehicle: int | None) -> Scenario:
    """Return the scenario with another number of vehicles.

    Raises
    ------
    InputError : less than one
    """
    if num_vehicle is None:
        return scenario
    _check_whole(num_vehicle, "num_vehicle")
    if num_vehicle < 1:
        raise InputError(f"{num_vehicle} is too few", where="batch", key="num_vehicle", accepted="1 up")
    return scenario.model_copy(update={"vehicles": scenario.vehicles.model_copy(update={"num_vehicle": num_vehicle})})


def check_supported(scenario: Scenario) -> None:
    """Refuse what the closed form of `dtecn` cannot follow.

    Raises
    ------
    InputError : the first such key
    """
    tasks, moves = scenario.tasks, scenario.mobility
    can_draw, with_columns = isinstance(moves, DrawnMobility), "highway, straight, stationary, area"
    wrong = {
        "model.allocation": (scenario.model.allocation != "compute", 'is "joint"', '"compute"'),
        "cost": (scenario.cost is not None, "is another objective than P2", "none"),
        "rsus": (len(scenario.nodes) > 1, f"make {len(scenario.nodes)} nodes", "one node, the base station"),
        "tasks": (any(task.transformer for task in tasks), "have a transformer", "tasks in bytes"),
        "mobility.file": (moves.trace is not None, "is a trace", "generated motion"),
        "mobility.kind": (not can_draw, f"is {moves.kind!r}, which has no columns", with_columns),
        "mobility.ends": (not moves.everybody_stays, "lets vehicles leave and enter", '"wrap"'),
        "radio.rate_file": (scenario.radio.rate_file is not None, "is a trace", "the channel model"),
        "radio.range_m": (scenario.radio.range_m is not None, "lets vehicles lose their node", "none"),
        "timeline": (bool(scenario.timeline), "has timed events", "none"),
    }
    for key, (is_wrong, problem, accepted) in wrong.items():
        if is_wrong:
            raise InputError(problem, where="batch", key=key, accepted=accepted)
