"""The system as arrays: units of the weighted cost, noise, nominal cycles, one entry per node."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from physical.params import Cost
from physical.system import System
from sim import Scenario


def llm6g(*settings: str) -> System:
    return Scenario.load("llm6g", settings).system()


def flops(num_token: float) -> float:
    """Work of all 32 layers of the prompt."""
    return 32 * (24 * num_token * 4096**2 + 4 * num_token**2 * 4096)


def test_units_are_those_of_the_mean_task_run_locally() -> None:
    """Every prompt from 64 to 1024 tokens is equally likely; cores x FLOP per cycle x utilisation at 1.3 GHz."""
    system = llm6g()
    mean_flop = sum(flops(num_token) for num_token in range(64, 1025)) / 961
    cycles = mean_flop / (2048 * 16 * 0.45)
    assert system.time_unit_s == pytest.approx(cycles / 1.3e9, rel=1e-12)
    assert system.energy_unit_j == pytest.approx(1.8206645425580337e-26 * 1.3e9**2 * cycles, rel=1e-12)
    # The unit of energy is that of time at full power: 40 W.
    assert system.energy_unit_j / system.time_unit_s == pytest.approx(40.0, rel=1e-9)
    # The mean work is more than the work of the mean prompt: attention is convex in its length.
    assert mean_flop > flops(544)


def test_units_are_means_over_vehicle_types() -> None:
    system = llm6g('vehicles.cpu_hz=["1 GHz", "2 GHz"]', "vehicles.kappa=[1e-26, 3e-26]", "tasks.0.num_token=100")
    cycles = flops(100) / (2048 * 16 * 0.45)
    assert system.time_unit_s == pytest.approx(0.5 * cycles * (1e-9 + 0.5e-9), rel=1e-12)
    assert system.energy_unit_j == pytest.approx(0.5 * cycles * (1e-26 * 1e18 + 3e-26 * 4e18), rel=1e-12)


@pytest.mark.parametrize(("weight", "normalise"), [(0.3, True), (0.3, False), (0.8, True)])
def test_weights_of_the_cost(weight: float, normalise: bool) -> None:
    system = llm6g(f"cost.time_weight={weight}", f"cost.normalise={str(normalise).lower()}")
    units = (system.time_unit_s, system.energy_unit_j)
    assert (units == (1.0, 1.0)) is (not normalise)
    assert system.cost_weights == pytest.approx((weight / units[0], (1 - weight) / units[1]), rel=1e-15)
    assert system.cost == Cost(time_weight=weight, normalise=normalise)


@pytest.mark.parametrize(
    ("given", "mode", "counted"),
    [
        (None, "corrected", True),
        (None, "paper", False),
        ("true", "paper", True),
        ("false", "corrected", False),
    ],
)
def test_the_mode_decides_whether_seconds_are_added_to_joules(given: str | None, mode: str, counted: bool) -> None:
    """Eq. 10 of 'llm6g' to the letter has no units of its own: T0 = 1 s and E0 = 1 J, unless the scenario asks."""
    settings = [f"model.mode={mode}", *([] if given is None else [f"cost.normalise={given}"])]
    system = llm6g(*settings)
    mean_local_s = sum(flops(num_token) for num_token in range(64, 1025)) / 961 / (2048 * 16 * 0.45) / 1.3e9
    expected = (mean_local_s, 40.0 * mean_local_s) if counted else (1.0, 1.0)
    assert (system.time_unit_s, system.energy_unit_j) == pytest.approx(expected, rel=1e-9)


def test_noise_density_of_each_mode() -> None:
    """-174 dBm/Hz and a noise figure of 9 dB; in mode "paper" -134 dBm/Hz as given, without the figure."""
    assert llm6g().noise_density_w_hz == pytest.approx(10**-16.5 * 1e-3, rel=1e-12)
    assert llm6g("model.mode=paper").noise_density_w_hz == pytest.approx(10**-13.4 * 1e-3, rel=1e-12)
    data = Scenario.load("llm6g").model_dump(mode="json")
    data["radio"]["noise_density_paper_dbm_hz"] = None
    both = [Scenario.from_dict(data, settings=[f"model.mode={mode}"]).system() for mode in ("paper", "corrected")]
    assert both[0].noise_density_w_hz == both[1].noise_density_w_hz == llm6g().noise_density_w_hz


def test_nominal_cycles_per_byte_are_those_of_the_mean_prompt() -> None:
    """544 tokens of 8192 B, in cycles of the first node's server."""
    system = llm6g()
    assert system.size_bytes_mean.tolist() == [544 * 8192.0]
    expected = flops(544) / (6912 * 32 * 0.45) / (544 * 8192)
    np.testing.assert_allclose(system.cycles_per_byte, [expected], rtol=1e-12)


def test_nodes_have_servers_and_pools_of_their_own() -> None:
    own = '{frequency_hz="2 GHz", kappa=3e-26, num_core=2, gpu={num_core=100, flop_per_cycle=8}}'
    system = llm6g(f"rsus.1.server={own}", 'radio.bandwidth_hz="30 MHz"')
    assert (system.num_node, system.num_vehicle, system.num_class) == (5, 20, 1)
    np.testing.assert_array_equal(system.node_hz, [1.41e9, 2e9, 1.41e9, 1.41e9, 1.41e9])
    assert system.node_kappa[1] == 3e-26
    assert (system.node_kappa[[0, 2, 3, 4]] == 1.426929949511651e-25).all()
    np.testing.assert_array_equal(system.node_num_core, [1, 2, 1, 1, 1])
    np.testing.assert_array_equal(system.node_bandwidth_hz, 30e6)
    flop = 6912 * 32 * 0.45
    np.testing.assert_allclose(system.node_flop_per_cycle, [flop, 800.0, flop, flop, flop], rtol=1e-15)


def test_there_is_one_server_only_where_all_nodes_have_it() -> None:
    """What belongs to no node in particular is nobody's: the first node has no privilege."""
    alike = llm6g()
    assert alike.server == Scenario.load("llm6g").server
    differing = llm6g('rsus.1.server={frequency_hz="2 GHz", kappa=3e-26, gpu={num_core=100, flop_per_cycle=8}}')
    with pytest.raises(ValueError, match="nodes have different servers; take what holds at each, such as node_hz"):
        _ = differing.server
    for system in (alike, differing):
        assert (system.discipline, len(system.servers)) == ("slices", 5)
        sizes = np.full((20, 1), 1e6)
        with pytest.raises(ValueError, match="there are 5 nodes; tell who is at which"):
            system.work_cycles(sizes, None)


def test_a_base_station_is_the_first_node_if_it_is_given() -> None:
    names = [node.name for node in Scenario.load("llm6g").nodes]
    with_station = Scenario.load("llm6g", ["base_station.position_m=[5, 6]"]).nodes
    assert [node.name for node in with_station[1:]] == names == [f"rsu-{index}" for index in range(1, 6)]
    assert (with_station[0].position_m, with_station[0].is_rsu) == ((5.0, 6.0), False)
    assert len(Scenario.load("dtecn").nodes) == 1


def test_arrays_are_read_only_and_can_be_mapped() -> None:
    system = llm6g()
    arrays = [field.name for field in dataclasses.fields(System) if hasattr(getattr(system, field.name), "shape")]
    assert {"node_hz", "num_layer", "bytes_per_token", "node_flop_per_cycle"} <= set(arrays)
    assert not any(getattr(system, name).flags.writeable for name in arrays)
    doubled = system.map_arrays(lambda array: 2 * array)
    for name in arrays:
        np.testing.assert_array_equal(getattr(doubled, name), 2 * getattr(system, name))
    assert doubled.time_unit_s == system.time_unit_s


def test_the_first_system_has_neither_layers_nor_joint_allocation() -> None:
    system = Scenario.load("dtecn").system()
    assert (system.joint, system.has_transformer, system.num_node, system.cost) == (False, False, 1, None)
    assert (system.time_unit_s, system.energy_unit_j) == (1.0, 1.0)
    sizes = np.random.default_rng(1).uniform(1e3, 2e3, (10, 3))
    local, edge = system.work_cycles(sizes, np.zeros(10, dtype=np.int64))
    np.testing.assert_array_equal(local, sizes * 0.25e6)
    np.testing.assert_array_equal(edge, local)
