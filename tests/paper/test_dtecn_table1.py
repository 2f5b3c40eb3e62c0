"""Table I of paper 'dtecn', worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from physical.closed_form.slot import SlotOutcome, slot_step
from physical.model import channel, computing, energy, rate, units
from physical.params import Mode, Model, Objective, Radio, Server, TaskClass, Time, Vehicles
from physical.system import System, build_system
from sim import Scenario, run

SERVER_HZ = 400e9
NUM_VEHICLE, NUM_CLASS = 10, 3


def table_1(mode: Mode) -> System:
    task = {"size_bytes": (1000, 1500), "cycles_per_byte": 0.25e6, "deadline_s": 0.1}
    return build_system(
        Time(),
        Model(mode=mode),
        Vehicles(num_vehicle=NUM_VEHICLE, cpu_hz=(5e9,), kappa=(1e-28,), transmit_power_w=0.2),
        Radio(bandwidth_hz=20e6, noise_w=units.dbm_to_w(-110.0)),
        (Server(frequency_hz=SERVER_HZ, num_core=10, kappa=1 / SERVER_HZ**3),),
        tuple(TaskClass.model_validate(task | {"name": f"k{k}"}) for k in range(NUM_CLASS)),
        Objective(),
    )


def step(mode: Mode, ratio: float, allocation_hz: float, backlog_bytes: float = 0.0) -> SlotOutcome:
    """Run one slot with all tasks of 1250 bytes at 100 Mbit/s and one ratio and allocation for all."""
    shape = (NUM_VEHICLE, NUM_CLASS)
    return slot_step(
        table_1(mode),
        np.full(shape, 1250.0),
        np.full(NUM_VEHICLE, 1e8),
        np.full(shape, ratio),
        np.full(shape, allocation_hz),
        np.full(NUM_CLASS, backlog_bytes),
    )


def test_one_local_task() -> None:
    cycles = computing.local_part(1250.0 * 0.25e6, 0.0)
    assert cycles == 312.5e6
    assert computing.execution_delay_s(np.array([cycles]), 5e9)[0] == pytest.approx(0.0625)
    assert energy.local_energy_j(cycles, 5e9, 1e-28) == pytest.approx(0.78125)


def test_the_full_server() -> None:
    """10 cores of 40 GHz, kappa 1 / (400 GHz)^3: each takes (1/10)^3 W, together 0.01 W, in a slot 1 mJ."""
    power = energy.edge_power_w(SERVER_HZ, 10, 1 / SERVER_HZ**3)
    assert power == pytest.approx(0.01)
    assert energy.edge_energy(power, 0.1, "power") == power
    assert energy.edge_energy(power, 0.1, "energy") == pytest.approx(1e-3)


def test_the_radio() -> None:
    """At 100 m: 90.5 dB loss, SNR 0.2 x 10^-9.05 / 1e-14 = 17825 or 42.51 dB, 20 MHz x log2(17826) = 282.4 Mbit/s."""
    system = table_1("paper")
    assert system.noise_w == pytest.approx(1e-14)
    gain = channel.large_scale_gain(channel.path_loss_db(np.array([100.0])), 0.0)
    bit_rate = rate.uplink_rate_bps(system.bandwidth_hz[:1], system.transmit_power_w[:1], gain, system.noise_w)
    assert bit_rate[0] == pytest.approx(282.43e6, rel=1e-4)
    assert rate.upload_delay_s(1250.0, bit_rate)[0] == pytest.approx(35.4e-6, rel=1e-3)


def test_fading_is_nearly_independent_between_slots() -> None:
    speed_mps = np.linspace(10.0, 15.0, 1001)
    doppler = channel.doppler_hz(speed_mps, 2e9)
    assert (doppler[0], doppler[-1]) == (pytest.approx(66.667, rel=1e-4), pytest.approx(100.0))
    assert np.all(abs(channel.fading_correlation(doppler, 0.1)) < 0.13)


@pytest.mark.parametrize(("mode", "edge_j", "upload_s"), [("paper", 0.0, 1e-4), ("corrected", 0.0, 0.0)])
def test_everything_local(mode: Mode, edge_j: float, upload_s: float) -> None:
    """62.5 ms and 0.78125 J per task; literal eq. 9 adds the upload that never happens. P2 is dominated by 23.4 J."""
    outcome = step(mode, 0.0, 0.0)
    np.testing.assert_allclose(outcome.delay_s, 0.0625 + upload_s)
    assert outcome.energy_local_j == pytest.approx(30 * 0.78125)
    assert outcome.energy_edge_j == edge_j
    assert outcome.objective == pytest.approx(-(1 - 0.625 - 10 * upload_s) + 23.4375)


@pytest.mark.parametrize(("mode", "edge_j"), [("paper", 0.01), ("corrected", 1e-3)])
def test_everything_offloaded_in_equal_shares(mode: Mode, edge_j: float) -> None:
    """400 GHz / 30: 23.4375 ms at the server, 0.1 ms upload, QoS 0.764625, no backlog: 53 kB of service per class."""
    outcome = step(mode, 1.0, SERVER_HZ / 30)
    np.testing.assert_allclose(outcome.edge_delay_s, 0.0234375)
    np.testing.assert_allclose(outcome.delay_s, 0.0235375)
    assert outcome.qos == pytest.approx(0.764625)
    assert outcome.energy_local_j == 0.0
    assert outcome.energy_edge_j == pytest.approx(edge_j)
    np.testing.assert_allclose(outcome.arrivals_bytes, 12_500.0)
    np.testing.assert_allclose(outcome.service_bytes, 0.1 * 400e9 / 3 / 0.25e6)
    assert outcome.backlog_next_bytes.tolist() == [0.0] * 3
    assert outcome.objective == pytest.approx(edge_j - 0.764625)


def test_backlog_in_mean_slots() -> None:
    """Q0 is 10 x 1250 bytes; one Q0 of backlog per class gives drift 3 (1 - 53333 / 12500) = -9.8."""
    outcome: Any = step("corrected", 1.0, SERVER_HZ / 30, backlog_bytes=12_500.0)
    assert outcome.drift == pytest.approx(-9.8)
    assert outcome.objective == pytest.approx(-9.8 + 1e-3 - 0.764625)


@pytest.mark.full
@pytest.mark.parametrize(("noise", "expected"), [("-110 dBm", -0.764), ("-92 dBm", -0.744)])
def test_the_optimum_with_noise_that_exists(noise: str, expected: float) -> None:
    """-110 dBm on 20 MHz is 9 dB below kTB. With kTB and a noise figure of 9 dB uploads take longer: J is 0.02 more.

    That J is what the results in the documentation say; four seeds of 200 slots.
    """
    scenario = Scenario.load("dtecn", ["time.num_slot=200", f'radio.noise_w="{noise}"'])
    means = [run(scenario, policy="p2-exact", seed=seed).summary["objective_mean"] for seed in range(4)]
    assert np.mean(means) == pytest.approx(expected, abs=2e-3)
