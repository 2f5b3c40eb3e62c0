"""What a scenario assumes although no hardware has it: readings of the papers, and numbers that physics forbids."""

from __future__ import annotations

from physical.model import energy, rate, units
from sim.scenario.resolved import Resolved
from sim.scenario.tables import ScenarioTables

_ROUNDING_DB = 1e-6
_CORE_W_MAX = 1000.0


def readings(scenario: ScenarioTables) -> tuple[str, ...]:
    """Return a sentence for each reading of a paper that no hardware has."""
    model, joint = scenario.model, scenario.model.allocation == "joint"
    literal, prompts = model.mode == "paper", any(task.transformer is not None for task in scenario.tasks)
    kept = {
        "eq. 7: every task has a CPU of its own": scenario.vehicles.cpu_rule(model.allocation) == "per-task",
        "eq. 9: every upload has the whole rate of its vehicle": scenario.radio.uplink_rule(model.allocation) == "each",
        "eq. 9: a task that stays on its vehicle waits for its whole upload": model.upload_rule == "always",
        "eq. 15: the power of a server is added to joules": model.edge_energy_rule == "power",
        "eq. 24c: allocations, not true speeds, sum to at most the capacity": model.capacity_rule == "alloc",
        "eq. 4 of 'llm6g': a prompt of d tokens sends d bits": literal and prompts,
        "eqs. 4, 8 and 10 of 'llm6g': communication takes no time": literal and joint,
        "eq. 10 of 'llm6g': seconds are added to joules": (
            scenario.cost is not None and not scenario.cost.is_normalised(model.mode)
        ),
    }
    return tuple(sentence for sentence, holds in kept.items() if holds)


def warnings(resolved: Resolved) -> tuple[str, ...]:
    """Return a sentence for each number that physics forbids: too little noise, cores too hot, vehicles that jump."""
    return (*_noise_warnings(resolved), *_core_warnings(resolved), *resolved.files.warnings())


def _core_warnings(resolved: Resolved) -> tuple[str, ...]:
    """Find servers whose cores draw more power at full speed than cooling can carry away from a chip."""
    told = {}
    for node in resolved.nodes:
        server = node.server
        if server.gpu is not None:
            continue
        core_w = float(energy.edge_power_w(server.frequency_hz, server.num_core, server.kappa)) / server.num_core
        if core_w > _CORE_W_MAX:
            core_ghz = server.frequency_hz / server.num_core / 1e9
            told[server] = (
                f"server.frequency_hz: each core has {core_ghz:.3g} GHz and draws {core_w:.3g} W; "
                f"server.num_core, here {server.num_core}, divides the frequency"
            )
    return tuple(told.values())


def _noise_warnings(resolved: Resolved) -> tuple[str, ...]:
    """Find noise below that of a resistor at 290 K (kTB); the rates of a link trace need no noise."""
    radio, system = resolved.tables.radio, resolved.system
    if radio.rate_file is not None:
        return ()
    bandwidth_hz, noise_w, spectrum = float(system.bandwidth_hz[0]), system.noise_w, system.spectrum
    if spectrum is not None:  # whatever share of it a vehicle gets
        bandwidth_hz, noise_w = 1.0, spectrum.noise_density_w_hz
    thermal_w = float(rate.noise_power_w(rate.THERMAL_DENSITY_DBM_HZ, bandwidth_hz))
    below_db = float(units.linear_to_db(thermal_w / noise_w))
    if below_db < _ROUNDING_DB:
        return ()
    noise_dbm, thermal_dbm = float(units.w_to_dbm(noise_w)), float(units.w_to_dbm(thermal_w))
    key = "noise_w" if radio.noise_w is not None and spectrum is None else "noise_density_dbm_hz"
    where = f"{bandwidth_hz:g} Hz" if bandwidth_hz < 1e6 else f"{bandwidth_hz / 1e6:g} MHz"
    return (
        f"radio.{key}: {noise_dbm:.1f} dBm on {where} is {below_db:.1f} dB below thermal noise (kTB), "
        f"{thermal_dbm:.1f} dBm",
    )
