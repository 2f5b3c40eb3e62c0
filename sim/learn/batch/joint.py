"""B independent environments of a system with joint allocation, a slot at a time, over the closed form `split_step`."""

from __future__ import annotations

from typing import NamedTuple

from physical.closed_form.split import SplitOutcome, split_step
from physical.errors import InputError
from physical.model import rate
from physical.model.arrays import Array
from sim.learn.batch.engine import check_count, check_shape, with_num_vehicle
from sim.learn.batch.episodes import Episodes
from sim.learn.batch.inputs import EventInputs, JointBlock
from sim.learn.batch.library import Dtype, LibraryName, library_of
from sim.scenario.scenario import Scenario

_BLOCK_LENGTH = 16


class JointObservation(NamedTuple):
    """What a decision may rest on at a slot start; B environments, N vehicles, K classes.

    size_bytes : [B, N, K], activations of the whole prompt, 0 where there is no task
    channel_gain : [B, N], to the serving node
    serving_node : [B, N], index of the node, negative without one
    """

    size_bytes: Array
    channel_gain: Array
    serving_node: Array


class JointBatchEnvironment(Episodes):
    """B environments with the same scenario (`llm6g`), arrays [B, N, K] and [B, N].

    What a slot brings is `split_step`: the event simulator where no job waits for another. Nothing is carried over.
    Layers are decided as ratios that need not be whole, so that they have gradients. Inputs are exactly those of the
    event simulator, and seeds are as in `sim.batch.BatchEnvironment`.

    Parameters
    ----------
    scenario : joint allocation and a weighted cost
    num_environment, seed, library, num_vehicle, dtype : see `sim.batch.BatchEnvironment`

    Raises
    ------
    InputError : a scenario that fixes frequency, power and bandwidth, or has timed events; an unknown option

    >>> environment = JointBatchEnvironment(Scenario.load("llm6g"), num_environment=2)
    >>> tuple(environment.observe().channel_gain.shape)
    (2, 20)
    """

    def __init__(
        self,
        scenario: Scenario,
        num_environment: int,
        seed: int = 0,
        *,
        library: LibraryName = "numpy",
        num_vehicle: int | None = None,
        dtype: Dtype = "float64",
    ) -> None:
        check_count(num_environment)
        if scenario.model.allocation != "joint" or scenario.cost is None:
            accepted = "joint allocation and a weighted cost"
            raise InputError("leaves less to decide", where="batch", key="model.allocation", accepted=accepted)
        if scenario.timeline:
            raise InputError("has timed events", where="batch", key="timeline", accepted="none")
        self.scenario = with_num_vehicle(scenario, num_vehicle)
        self.num_environment = num_environment
        self._library = library_of(library, dtype)
        self._resolved = self.scenario.resolve()
        self.system = self._resolved.system.map_arrays(self._library.constant)
        self._begin(seed, 0)

    def _start(self, seeds: range) -> None:
        self._inputs = EventInputs(self._resolved, seeds)
        self._slot = 0
        self._observe()

    def observe(self) -> JointObservation:
        """Return the present slot."""
        return self._observation

    def step(
        self,
        offloading_ratio: Array,
        compute_allocation_hz: Array,
        transmit_power_w: Array,
        bandwidth_hz: Array,
        local_frequency_hz: Array,
    ) -> SplitOutcome:
        """Decide the present slot and go on to the next one; nothing is repaired.

        offloading_ratio, compute_allocation_hz : [B, N, K]
        transmit_power_w, bandwidth_hz, local_frequency_hz : [B, N]

        Raises
        ------
        InputError : arrays of another shape
        """
        of_vehicles = (self.num_environment, self.system.num_vehicle)
        for name, values in {"ratio": offloading_ratio, "allocation": compute_allocation_hz}.items():
            check_shape(name, values, (*of_vehicles, self.system.num_class))
        own = {"power": transmit_power_w, "bandwidth": bandwidth_hz, "frequency": local_frequency_hz}
        for name, values in own.items():
            check_shape(name, values, of_vehicles)
        present, decided = self._observation, self._library.decided
        power_w = decided(transmit_power_w)
        outcome = split_step(
            self.system,
            present.size_bytes,
            # Not in single precision, as recorded rates are: that has no gradient.
            rate.fdma_rate_bps(decided(bandwidth_hz), power_w, present.channel_gain, self.system.noise_density_w_hz),
            present.serving_node,
            decided(offloading_ratio),
            decided(compute_allocation_hz),
            power_w,
            decided(local_frequency_hz),
        )
        self._slot += 1
        self._observe()
        return outcome

    def _observe(self) -> None:
        row = self._slot % _BLOCK_LENGTH
        if row == 0:
            self._block: JointBlock = self._inputs.joint_block(self._slot, _BLOCK_LENGTH)
        size_bytes, gain, node = (values[row] for values in self._block)
        share = self._library.share
        self._observation = JointObservation(share(size_bytes.transpose(2, 0, 1)), share(gain.T), share(node.T))
