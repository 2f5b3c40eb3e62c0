"""PettingZoo environments, in which every vehicle is an agent.

Read `base` first. `event` runs the event simulator, and `fast` uses the closed form of a slot.
"""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Literal

from physical.errors import InputError
from physical.extras import needs
from sim.scenario.files import length_of_inputs
from sim.scenario.ranges import check_num_slot
from sim.scenario.scenario import Scenario

if TYPE_CHECKING:
    from sim.learn.env.event import EventEnvironment
    from sim.learn.env.fast import FastEnvironment

__all__ = ["fast_parallel_env", "parallel_env"]

EventReward = Literal["realised", "predicted", "own"]
FastReward = Literal["predicted", "own"]


def parallel_env(
    scenario: Scenario | str,
    *,
    reward: EventReward = "realised",
    num_slot: int | None = None,
    seed: int = 0,
    show_waiting: bool = False,
) -> EventEnvironment:
    """Return the event simulator as a ParallelEnv: messages, latencies, losses, the twin and its bias included.

    Agents are ``vehicle-0 ... vehicle-<N-1>``, also while a vehicle is out of range or away. A step is one decision of
    the twin; where deciding takes longer than a slot, slots pass between two steps. The episode is the run: at its end
    all agents are truncated.

    An action is in [0, 1]^(2K): offloading ratios of the K tasks, then shares of the serving node's server. Vehicles
    that together ask for more than the server has get less in proportion (`policies.feasible.project`). Where the
    system has joint allocation, three more numbers follow: frequency, transmit power between its least and its
    greatest, and a share of the node's bandwidth.

    An observation is what the twin believes of the vehicle, without unit, in [-10, 10]^(2K + 4): task sizes in means,
    the queues in the drift's unit, bit/s per Hz of the uplink / 10, vehicle CPU in the fastest one, known bias in equal
    shares of a server, age of the information in slots. With `show_waiting`, K + 2 more numbers follow: what waits at
    the vehicle's CPU, on its uplink and at the server of its serving node, there by task class, each in slots that the
    whole CPU, uplink or server needs for it. The last K are 0 where servers do not work with `slices`.

    Parameters
    ----------
    scenario : what to simulate, or its name; by the engine that its key `engine` names
    reward : "realised", for all agents minus the objective of the slots that have become final since the last step, so
        that the return is that of the run's summary; "predicted", for all agents minus what the decision leads to by
        the closed form if the twin is right; "own", an agent's own part of that: the parts sum to "predicted". What is
        realised has the floor of the QoS and the drift that has happened; what is predicted is P2 as policies see it
    num_slot : length of an episode; None: the scenario's
    seed : of the first episode, where `reset` gives none; each `reset` without a seed adds 2^32
    show_waiting : whether observations tell what waits

    Raises
    ------
    InputError : the extra "env" is not installed, an unknown reward, a scenario that cannot be read
    """
    _need_pettingzoo("parallel_env")
    from sim.learn.env.event import EventEnvironment

    loaded = _loaded(scenario)
    _check(loaded, reward, ("realised", "predicted", "own"), num_slot)
    if num_slot is not None and num_slot > loaded.time.num_slot and length_of_inputs(loaded) is not None:
        accepted = f"at most {loaded.time.num_slot}, for which the scenario takes its trace"
        raise InputError(f"{num_slot} slots are too many", where="env", key="num_slot", accepted=accepted)
    return EventEnvironment(loaded, reward, num_slot, seed, show_waiting=show_waiting)


def fast_parallel_env(
    scenario: Scenario | str,
    *,
    reward: FastReward = "predicted",
    num_slot: int | None = None,
    seed: int = 0,
    num_vehicle: int | None = None,
    bias_spread_hz: float = 0.0,
    show_waiting: bool = False,
) -> FastEnvironment:
    """Return one environment of the batch engine as a ParallelEnv; agents, actions, observations as `parallel_env` has.

    By the closed form nothing waits at vehicles, and queues do not tell flows apart: what `show_waiting` adds to the
    observations is 0.

    Parameters
    ----------
    scenario : one that `sim.batch.BatchEnvironment` can follow, or its name
    reward : "predicted" or "own", see `parallel_env`; by the closed form, what is predicted comes true
    num_slot : length of an episode; None: the scenario's
    seed : of the first episode, where `reset` gives none
    num_vehicle, bias_spread_hz : see `sim.batch.BatchEnvironment`
    show_waiting : see `parallel_env`

    Raises
    ------
    InputError : the extra "env" is not installed, an unknown reward, a scenario that the closed form cannot follow
    """
    _need_pettingzoo("fast_parallel_env")
    from sim.learn.env.fast import FastEnvironment

    chosen = _loaded(scenario)
    _check(chosen, reward, ("predicted", "own"), num_slot)
    return FastEnvironment(chosen, reward, num_slot, seed, num_vehicle, bias_spread_hz, show_waiting=show_waiting)


def _loaded(scenario: Scenario | str) -> Scenario:
    return Scenario.load(scenario) if isinstance(scenario, str) else scenario


def _check(scenario: Scenario, reward: str, known: tuple[str, ...], num_slot: int | None) -> None:
    if reward not in known:
        raise InputError(f"there is no reward {reward!r}", where="env", key="reward", accepted=", ".join(known))
    if num_slot is None:
        return
    if isinstance(num_slot, bool) or not isinstance(num_slot, Integral):
        raise InputError(f"{num_slot!r} is not an integer", where="env", key="num_slot", accepted="1 up")
    if num_slot < 1:
        raise InputError(f"{num_slot} is too few", where="env", key="num_slot", accepted="1 up")
    check_num_slot(num_slot, scenario.time.slot_duration_s, "num_slot", where="env")


def _need_pettingzoo(name: str) -> None:
    try:
        import gymnasium
        import pettingzoo
    except ImportError as error:
        raise needs("env", error, where=name) from None
    del gymnasium, pettingzoo
