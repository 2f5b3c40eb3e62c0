"""Families of the system 'llm6g': RSUs, layers of transformers, and all resources of a vehicle decided."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from physical.model.transformer import layer_flops
from physical.ticks import to_ns
from policies.baselines import EdgeEqual, LocalOnly, Random
from policies.feasible import FLOOR
from sim.scenario.scenario import Scenario
from tests.property.dice import Dice, links, twins
from tests.property.families import CPU_RULES, UPLINK_RULES, Case, Fault, Moody, modes
from twin.params import ConstantBias


def layer_tasks(dice: Dice, slot_s: float, cpu_hz: float) -> tuple[list[dict[str, Any]], float, float]:
    """Draw prompts, plain tasks or both; return them, the FLOP per cycle of a vehicle's GPU, and bytes of an upload."""
    kind = dice.pick(["prompt", "prompt", "prompt", "prompts", "both", "plain"])
    deadline_s = slot_s * dice.pick([0.5, 1.5, 4.0])
    local_s = slot_s * dice.pick([0.3, 0.9, 1.6])  # of the largest task at full speed
    tokens = 64 * dice.integer(1, 8)
    shape = {"num_layer": dice.pick([2, 5, 32]), "hidden_size": dice.pick([256, 1024])}
    prompt = {"num_token": [tokens // 2, tokens], "transformer": shape, "deadline_s": deadline_s}
    plain = {"size_bytes": [50_000, 90_000], "cycles_per_byte": local_s * cpu_hz / 90e3, "deadline_s": deadline_s}
    flop = shape["num_layer"] * float(layer_flops(tokens, shape["hidden_size"], 1))
    chosen = {"prompt": [prompt], "prompts": [prompt, prompt], "both": [prompt, plain], "plain": [plain]}[kind]
    return (
        [task | {"name": f"k{index}"} for index, task in enumerate(chosen)],
        flop / (local_s * cpu_hz),
        90e3 if kind == "plain" else 2.0 * tokens * shape["hidden_size"],
    )


def layer_systems(dice: Dice, slot_s: float) -> tuple[dict[str, Any], float]:
    """Draw a system of RSUs with joint allocation, and return it with a fair share of a server."""
    count, num_rsu, cpu_hz, server_hz = dice.integer(1, 8), dice.integer(1, 4), 1.3e9, 1.4e9
    tasks, flop_per_cycle, upload_bytes = layer_tasks(dice, slot_s, cpu_hz)
    speedup = count / num_rsu * dice.pick([0.5, 1.0, 4.0])
    gpu = {"num_core": 1, "flop_per_cycle": flop_per_cycle}
    server = {
        "frequency_hz": server_hz,
        "num_core": dice.pick([1, 4]),
        "kappa": 1.4e-25,
        "gpu": gpu | {"flop_per_cycle": flop_per_cycle * speedup},
    }
    other = server | {"frequency_hz": 0.5 * server_hz, "kappa": 3e-25, "gpu": gpu}
    # Cells of some ten metres: a vehicle stays for a few slots.
    places_m = [[-40, -40], [40, -40], [-40, 40], [40, 40]]
    rsus = [{"name": f"r{index}", "position_m": places_m[index]} for index in range(num_rsu)]
    slow = dice.pick([0.05, 0.5, 1.5])  # upload time at an equal share and 8 bit/s/Hz, in slots
    system: dict[str, Any] = {
        "time": {"slot_duration_s": slot_s, "num_slot": dice.integer(3, 14)},
        "model": modes(dice) | {"allocation": "joint", "edge_energy": "job"},
        "vehicles": {
            "num_vehicle": count,
            "cpu_hz": dice.pick([[cpu_hz], [cpu_hz, 0.7 * cpu_hz]]),
            "kappa": 1.8e-26,
            "gpu": gpu,
            "transmit_power_w": 20.0,
            "cpu": dice.pick(CPU_RULES),
            "report_interval": dice.pick([1, 1, 2, 3]),
        },
        "mobility": {
            "kind": dice.pick(["area", "area", "highway", "stationary"]),
            "length_m": 160.0,
            "speed_mps": dice.pick([[5, 20], [0, 60]]),
        },
        "radio": {
            "bandwidth_hz": count / num_rsu * upload_bytes / (slow * slot_s),
            "noise_density_paper_dbm_hz": -134.0,
            "fading": dice.pick(["rayleigh", "none"]),
            "association": dice.pick(["nearest", "best-channel"]),
            "range_m": dice.pick([None, None, 60.0]),
            "uplink": dice.pick(UPLINK_RULES),
        },
        "server": server,
        "rsus": [rsu | ({"server": other} if dice.pick([False, False, True]) else {}) for rsu in rsus],
        "tasks": tasks,
        "cost": {"time_weight": 0.5, "normalise": dice.pick([True, False])},
    }
    if dice.pick([False, False, False, True]):  # radios are as they are; the rest is decided
        system["model"] |= {"allocation": "compute", "edge_energy": dice.pick(["job", "energy", "power", None])}
        system["objective"] = {"energy_weight": 0.5, "deadline_price": 2.0, "beta": 0.1}
        del system["cost"]
    if dice.pick([False, False, True]):
        system["base_station"] = {"position_m": [0, 0]}
    if dice.pick([False, True]):
        chances = {"event_begin": 0.2, "event_end": 0.5, "burst_begin": 0.2, "burst_begin_in_event": 0.5}
        system["bursts"] = chances | {"burst_end": 0.5, "size_factor": dice.pick([0.4, 1.5])}
    return system, server_hz / count


def layer_case_of(seed: int) -> Case:
    """Draw a case of the system 'llm6g'."""
    dice = Dice(seed)
    slot_s = dice.pick([0.2, 0.5, 2.0])
    data, share_hz = layer_systems(dice, slot_s)
    ideal = dice.pick([True, False, False, False])
    data["network"] = {} if ideal else {name: links(dice, slot_s) for name in ("access", "backhaul", "lan")}
    data["twin"] = twins(dice, slot_s, share_hz)
    moody = Moody(dice.pick(["some", "switch", "all"]), dice.pick([0.6, 1.0, 1.5]), dice.pick([0.0, 0.3]))
    policy = dice.pick([moody, moody, moody, Random(), Random(), EdgeEqual(), LocalOnly()])
    scenario, faults = Scenario.from_dict(data), []
    num_node, shape = len(scenario.nodes), (scenario.system().num_vehicle, len(scenario.tasks))
    for _ in range(dice.pick([0, 0, 0, 2])):
        at_slot = scenario.time.num_slot * dice.real(0.0, 0.99)
        rate_hz = share_hz * dice.pick([0.0, 0.4, 1.0])
        slot, node = int(at_slot) + dice.integer(0, 1), dice.integer(0, num_node - 1)
        faults.append(Fault(to_ns(at_slot * slot_s), slot, np.full(shape, rate_hz), node))
    seed, block_length = dice.integer(0, 2**32 - 1), dice.pick([1, 2, 3, 256])
    return Case(data, policy, seed, tuple(faults), block_length, num_idle=dice.pick([0, 0, 3, 5]))


def layer_cases() -> st.SearchStrategy[Case]:
    """Let hypothesis choose a case."""
    return st.integers(0, 2**64 - 1).map(layer_case_of)


def commands_reach_all_at_once(case: Case) -> bool:
    """Tell whether no vehicle ever follows another decision than the others: only then is a pool never overbooked."""
    network = case.scenario.network
    hops = (network.access, network.backhaul)
    return all(hop.loss == 0 and hop.jitter_s == 0 and hop.latency_s.kind == "constant" for hop in hops)


def check_capacity_in_force(case: Case) -> None:
    """No server runs faster, and no spectrum is wider than it is: at any slot start and after any command.

    Capacity rule "alloc", the paper's, lets a bias exceed the server; there, too, floors of idle flows come on top.
    """
    system, observed = case.scenario.system(), case.observed
    assert (observed.most_bandwidth_hz <= system.node_bandwidth_hz * (1 + 1e-9)).all()
    if system.model.capacity_rule == "effective":
        assert (observed.most_hz <= system.node_hz * (1 + 1e-9)).all()
    elif not case.faults and case.scenario.twin.bias.cpu_frequency_hz == ConstantBias():
        floors = FLOOR * system.num_vehicle * system.num_class
        assert (observed.most_hz <= system.node_hz * (1 + 1e-9 + floors)).all()
