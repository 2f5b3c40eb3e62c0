"""The PettingZoo environments pass PettingZoo's own tests, and are the simulator and its closed form."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from physical.arrays import Floats
from physical.errors import InputError
from physical.system import System
from sim.engine.choice import with_engine
from sim.env import fast_parallel_env, parallel_env
from sim.learn.env.reward import Present, own_parts
from sim.runs.run import run
from sim.scenario.scenario import Scenario
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

testing = pytest.importorskip("pettingzoo.test", reason="reason: needs the extra env")

NETWORK = [
    "network.access.jitter_s=0.004",
    "network.access.loss=0.1",
    "network.backhaul.latency_s=0.02",
    "twin.decision.latency=0.15",  # longer than a slot: some are never decided
    "twin.bias.cpu_frequency_hz={kind='random-walk', start=1e8, step_std=1e7}",
    "twin.estimator=predict",
]
EVENT = {
    "table1": ("dtecn", ["vehicles.num_vehicle=3"]),
    "congested": ("dtecn-congested", []),
    "network": ("dtecn-congested", [*NETWORK, "vehicles.num_vehicle=4"]),
    "joint": ("llm6g", ["vehicles.num_vehicle=6"]),
    "corridor": ("corridor", []),
}


def scenario(name: str, num_slot: int) -> Scenario:
    built_in, settings = EVENT[name]
    return Scenario.load(built_in, [*settings, f"time.num_slot={num_slot}"])


def make(name: str) -> Any:
    kind, _, detail = name.partition("-")
    if kind == "fast":
        options: dict[str, Any] = {"num_vehicle": 4, "reward": "own"} if detail else {"bias_spread_hz": 1e8}
        return fast_parallel_env("dtecn-congested", num_slot=25, **options)
    return (
        parallel_env(scenario(detail, 25)) if detail in EVENT else parallel_env(scenario("congested", 25), reward="own")
    )


MADE = (*(f"event-{name}" for name in EVENT), "event-own", "fast", "fast-own")


@pytest.mark.parametrize("name", MADE)
def test_passes_the_api_test(name: str) -> None:
    testing.parallel_api_test(make(name), num_cycles=40)


@pytest.mark.parametrize("name", MADE)
def test_passes_the_seed_test(name: str) -> None:
    testing.parallel_seed_test(lambda: make(name), num_cycles=10)


# ------------------------------------------------------------------------------------------- what an episode amounts to
@dataclass
class Asked:
    """Decides by a fixed rule, as `actions` asks an environment to."""

    snapshots: list[TwinSnapshot] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def reset(self, system: System, seed: int) -> None:
        """Need nothing."""

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        system = snapshot.system
        asked = actions(system, len(self.snapshots)).astype(np.float64)
        num_class = system.num_class
        node = np.maximum(snapshot.serving_node, 0)
        allocation_hz = asked[:, num_class : 2 * num_class] * system.node_hz[node][:, np.newaxis]
        joint = {}
        if system.joint:
            hz, power, bandwidth = asked[:, 2 * num_class :].T
            least_w = system.transmit_power_w_min
            joint = {
                "local_frequency_hz": hz * system.cpu_hz,
                "transmit_power_w": least_w + power * (system.transmit_power_w - least_w),
                "bandwidth_hz": bandwidth * system.node_bandwidth_hz[node],
            }
        self.snapshots.append(snapshot)
        self.decisions.append(Decision(asked[:, :num_class], allocation_hz, **joint))
        return self.decisions[-1]


def actions(system: System, step: int) -> NDArray[np.float32]:
    num_action = 2 * system.num_class + (3 if system.joint else 0)
    drawn = np.random.default_rng(step).uniform(0.05, 0.95, size=(system.num_vehicle, num_action))
    return drawn.astype(np.float32)


def returns(environment: Any, seed: int) -> tuple[Floats, int]:
    """Return the sum of the rewards of each agent over an episode, and its number of steps."""
    environment.reset(seed=seed)
    total, num_step = np.zeros(len(environment.possible_agents)), 0
    while environment.agents:
        asked = actions(environment.system, num_step)
        agents = environment.agents
        _, rewards, terminated, truncated, _ = environment.step(dict(zip(agents, asked, strict=True)))
        assert not any(terminated.values())
        assert all(truncated.values()) == (not environment.agents)
        total += [rewards[agent] for agent in agents]
        num_step += 1
    return total, num_step


@pytest.mark.parametrize("name", EVENT)
def test_the_return_is_that_of_the_run(name: str) -> None:
    """Agents that ask for what a policy decides get what its run brings, slot by slot and in the summary."""
    chosen = scenario(name, 30)
    policy = Asked()
    summary = run(chosen, policy=policy, seed=3).summary
    assert summary["fallbacks"] == 0
    by_reward = {reward: returns(parallel_env(chosen, reward=reward), 3) for reward in ("realised", "predicted", "own")}
    assert {num_step for _, num_step in by_reward.values()} == {len(policy.snapshots)}
    assert len(policy.snapshots) < 30 if name == "network" else len(policy.snapshots) == 30
    np.testing.assert_allclose(by_reward["realised"][0], -30 * summary["objective_mean"], rtol=1e-9)
    # With decisions that take time, the last one is not sent before the end of the run, and so not in the summary.
    if name != "network":
        np.testing.assert_allclose(by_reward["predicted"][0], -30 * summary["objective_predicted_mean"], rtol=1e-9)
    np.testing.assert_allclose(by_reward["own"][0].sum(), by_reward["predicted"][0][0], rtol=1e-9)
    assert np.ptp(by_reward["own"][0]) > 0


@pytest.mark.parametrize("name", ["network", "joint"])
def test_the_engine_that_the_scenario_names_changes_nothing(name: str) -> None:
    one, other = (returns(parallel_env(with_engine(scenario(name, 20), engine)), 3) for engine in ("columns", "events"))
    assert one[1] == other[1]
    np.testing.assert_array_equal(one[0], other[0])


@pytest.mark.parametrize("maker", [parallel_env, fast_parallel_env])
def test_episodes_differ_and_a_seed_repeats_them(maker: Callable[..., Any]) -> None:
    environment = maker("dtecn", num_slot=5, seed=1)
    first, second = (environment.reset()[0] for _ in range(2))
    again, after = environment.reset(seed=1)[0], environment.reset()[0]
    for agent in environment.possible_agents:
        np.testing.assert_array_equal(first[agent], again[agent])
        np.testing.assert_array_equal(second[agent], after[agent])
        assert (first[agent] != second[agent]).any()


def test_observations_are_what_the_twin_believes() -> None:
    """The first report has not arrived when the first window closes: the twin knows means."""
    late = [*EVENT["table1"][1], "network.backhaul.latency_s=0.05", "twin.sync_window_s=0.01", "time.num_slot=5"]
    environment = parallel_env(Scenario.load("dtecn", late))
    seen, _ = environment.reset(seed=1)
    for agent in environment.possible_agents:
        np.testing.assert_array_equal(seen[agent][:3], 1.0)
    half = np.full(6, 0.5, dtype=np.float32)
    seen = environment.step(dict.fromkeys(environment.agents, half))[0]
    assert all((seen[agent][:3] != 1.0).any() for agent in seen)
    np.testing.assert_allclose([values[-1] for values in seen.values()], 1.1, rtol=1e-6)  # age, in slots


def observed(environment: Any, num_step: int) -> NDArray[np.float32]:
    """Return what all agents see before each of the first steps, [steps, N, numbers]."""
    observation, seen = environment.reset(seed=3)[0], []
    for step in range(num_step):
        seen.append([observation[agent] for agent in environment.possible_agents])
        asked = dict(zip(environment.agents, actions(environment.system, step), strict=True))
        observation = environment.step(asked)[0]
    return np.array(seen)


def test_observations_tell_what_waits_if_asked() -> None:
    """Each in slots that the whole CPU, uplink or server takes for it; the first numbers are those without."""
    settings = ["time.num_slot=12", "server.discipline=slices", "vehicles.num_vehicle=4", "server.frequency_hz=4e9"]
    chosen = Scenario.load("dtecn-congested", settings)
    policy, system = Asked(), chosen.system()
    run(chosen, policy=policy, seed=3)
    told, plain = (observed(parallel_env(chosen, show_waiting=asked), 12) for asked in (True, False))
    slot_s = system.slot_duration_s
    expected = [
        np.column_stack(
            [
                snapshot.cpu_backlog_cycles / system.cpu_hz / slot_s,
                snapshot.uplink_backlog_bytes * 8 / snapshot.uplink_rate_bps / slot_s,
                snapshot.flow_backlog_cycles / 4e9 / slot_s,
            ]
        )
        for snapshot in policy.snapshots
    ]
    np.testing.assert_array_equal(told[..., : -2 - system.num_class], plain)
    np.testing.assert_allclose(told[..., -2 - system.num_class :], np.clip(expected, 0, 10), rtol=1e-6)
    assert (np.stack(expected).max(axis=(0, 1)) > 0).all()


@pytest.mark.parametrize("maker", [parallel_env, fast_parallel_env])
def test_what_waits_is_in_the_space(maker: Callable[..., Any]) -> None:
    testing.parallel_api_test(maker("dtecn-congested", num_slot=25, show_waiting=True), num_cycles=40)


def test_bias_that_the_twin_does_not_know_counts_in_the_fast_one() -> None:
    unknown = Scenario.load("dtecn", ["twin.bias.known=false", "twin.bias.cpu_frequency_hz=-1e10"])
    known = Scenario.load("dtecn", ["twin.bias.cpu_frequency_hz=-1e10"])
    by_reward = [fast_parallel_env(unknown, num_slot=5, reward=reward) for reward in ("predicted", "own")]
    predicted, own = (returns(environment, 1)[0] for environment in by_reward)
    np.testing.assert_allclose(own.sum(), predicted[0], rtol=1e-9)
    assert not any(values[-2] for values in by_reward[0].reset()[0].values())
    assert all(values[-2] < 0 for values in fast_parallel_env(known).reset()[0].values())


def test_without_a_decision_everybody_computes_alone() -> None:
    """Ratio 0 and a share: nothing is allocated, and no energy is spent at the server."""
    chosen = Scenario.load("dtecn").system()
    present = Present(
        np.full((10, 3), 1000.0), np.full(10, 1e7), np.zeros(3), np.zeros((10, 3)), np.zeros(10), np.zeros(10, np.int64)
    )
    parts = own_parts(chosen, present, Decision(np.zeros((10, 3)), np.zeros((10, 3))))
    assert np.isfinite(parts).all()
    environment = fast_parallel_env("dtecn", num_slot=1)
    environment.reset(seed=0)
    idle = np.array([0, 0, 0, 1, 1, 1], dtype=np.float32)
    rewards = environment.step(dict.fromkeys(environment.agents, idle))[1]
    local_j = 1e-28 * (5e9) ** 2 * 0.25e6 * 1250 * 30
    assert 0.5 * local_j < -np.mean(list(rewards.values())) < 1.5 * local_j


# --------------------------------------------------------------------------------------------------------------- errors
@pytest.mark.parametrize("maker", [parallel_env, fast_parallel_env])
def test_wrong_options_are_one_line(maker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"env: reward: there is no reward 'mine' \(accepted: .*predicted, own\)"):
        maker("dtecn", reward="mine")
    with pytest.raises(InputError, match="env: num_slot: 0 is too few"):
        maker("dtecn", num_slot=0)
    environment = maker("dtecn", num_slot=2)
    environment.reset()
    with pytest.raises(ValueError, match="no action of vehicle-0, vehicle-1"):
        environment.step({})
    monkeypatch.setitem(sys.modules, "pettingzoo", None)
    with pytest.raises(
        InputError, match=r'parallel_env: needs the extra env \(.*\) \(accepted: after pip install "vectwin\[env\]"\)'
    ):
        maker("dtecn")
