"""What follows from a scenario alone: hardware, work of tasks, links and biases, by formulas written for the tests."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from physical.arrays import Floats
from tests.swarm.books import AWAY, Books


def _burst_share(bursts: dict[str, Any]) -> float:
    """Return the long-run share of slots in which a vehicle bursts: the chain of (event, burst), stepped to its end."""
    p_event = np.array(
        [[1 - bursts["event_begin"], bursts["event_begin"]], [bursts["event_end"], 1 - bursts["event_end"]]]
    )
    begin = (bursts["burst_begin"], bursts["burst_begin_in_event"])
    step = np.zeros((4, 4))
    for event in range(2):
        for burst in range(2):
            for after in range(2):
                on = 1 - bursts["burst_end"] if burst else begin[after]
                step[2 * event + burst, 2 * after + 1] += p_event[event, after] * on
                step[2 * event + burst, 2 * after] += p_event[event, after] * (1 - on)
    # The mean over two steps: a chain of events that always switches has no limit, but a mean.
    state = np.array([1.0, 0.0, 0.0, 0.0]) @ np.linalg.matrix_power(0.5 * (step + np.eye(4)), 2**14)
    return float(state[1] + state[3])


class Facts:
    """Everything about a run that its scenario tells."""

    def __init__(self, books: Books) -> None:
        self.books, self.scenario = books, books.scenario
        self.slot_s = books.slot_s
        model, vehicles, radio = (self.scenario[name] for name in ("model", "vehicles", "radio"))
        paper = model["mode"] == "paper"
        self.paper = paper
        self.joint = model["allocation"] == "joint"
        self.parallel = model["order"] == "parallel"
        self.upload_rule = model["upload"] or ("always" if paper else "proportional")
        self.effective = (model["capacity"] or ("alloc" if paper else "effective")) == "effective"
        self.edge_energy = model["edge_energy"] or ("power" if paper else "energy")
        self.cpu_rule = vehicles["cpu"] or ("in-turn" if self.joint else "sharing")
        self.uplink_rule = radio["uplink"] or ("in-turn" if self.joint else "sharing")
        self.metered = self.joint or self.has_transformer or self.edge_energy == "job"
        count = np.arange(books.num_vehicle)
        self.cpu_hz = np.array(vehicles["cpu_hz"])[count % len(vehicles["cpu_hz"])]
        self.kappa = np.array(vehicles["kappa"])[count % len(vehicles["kappa"])]
        own = {rsu["name"]: rsu["server"] or self.scenario["server"] for rsu in self.scenario["rsus"]}
        self.servers: list[dict[str, Any]] = [own.get(name, self.scenario["server"]) for name in books.node_names]
        self.server_hz = np.array([server["frequency_hz"] for server in self.servers])
        self.full_power_w = np.array([_power_w(server, server["frequency_hz"]) for server in self.servers])
        self.deadline_s = np.array([task["deadline_s"] for task in self.scenario["tasks"]])
        self.deadline_ns = np.array([round(deadline_s * 1e9) for deadline_s in self.deadline_s])
        weights = self.scenario["objective"]
        self.floor = weights["qos_floor"]
        self.weights = {
            name: weights["v"] * weights[name] for name in ("qos_weight", "energy_weight", "deadline_price")
        }
        self.beta = weights["beta"]

    @property
    def has_transformer(self) -> bool:
        return any(task["transformer"] is not None for task in self.scenario["tasks"])

    @cached_property
    def comes_and_goes(self) -> bool:
        """Whether vehicles enter or leave, or nodes may be out of reach: not everybody is at one node all the time."""
        kinds = ("node-down", "node-up", "vehicle-leaves", "vehicle-enters")
        mobility = self.scenario["mobility"]
        moves = mobility["file"] is not None or mobility["ends"] == "renew"
        several = len(self.books.node_names) > 1 or self.scenario["radio"]["range_m"] is not None
        return moves or several or bool(self.books.occurrences(*kinds))

    def _sizes(self, index: int) -> tuple[Floats, int]:
        """Return equally likely sizes of a class's tasks in units, and the bytes of a unit."""
        task = self.scenario["tasks"][index]
        shape = task["transformer"]
        if shape is None:
            low, high = task["size_bytes"]
            return np.array([low, high], dtype=float), 1
        unit = shape["hidden_size"] * shape["batch_size"] * shape["bits_per_activation"] // 8
        if task["requests"] is not None:
            file = self.books.folder / "inputs" / f"requests-{index}.parquet"
            return pq.read_table(file)["num_input_token"].to_numpy().astype(float), unit
        low, high = task["num_token"]
        return np.arange(low, high + 1.0), unit

    @cached_property
    def mean_bytes(self) -> Floats:
        """Mean size of a task of each class, [K]."""
        bursts = self.scenario["bursts"]
        factor = 1.0 if bursts is None else 1.0 + (bursts["size_factor"] - 1.0) * _burst_share(bursts)
        return np.array([sizes.mean() * unit for sizes, unit in map(self._sizes, range(self.books.num_class))]) * factor

    @cached_property
    def num_present(self) -> float:
        """Vehicles that are on the road at once, mean."""
        if self.scenario["mobility"]["file"] is None:
            return float(self.scenario["vehicles"]["num_vehicle"])
        rows = self.books.table("vehicles")
        return len(rows["slot"]) / self.books.num_slot if rows else 1.0

    @property
    def most_present(self) -> int:
        """Vehicles that are on the road at once, at most."""
        if self.scenario["mobility"]["file"] is None:
            return int(self.scenario["vehicles"]["num_vehicle"])
        return int((self.books.node != AWAY).sum(axis=1).max(initial=1)) or 1

    @cached_property
    def backlog_unit(self) -> float:
        """Q0 of the drift, bytes."""
        return float(self.num_present * self.mean_bytes.mean())

    def flop(self, task_class: int, num_token: Any) -> Any:
        """Return the work of a whole prompt."""
        shape = self.scenario["tasks"][task_class]["transformer"]
        batch, hidden = float(shape["batch_size"]), float(shape["hidden_size"])
        layer = 24.0 * batch * num_token * hidden**2 + 4.0 * batch * num_token**2 * hidden
        return shape["num_layer"] * layer

    def work(self, task_class: Any, size_bytes: Floats, node: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Return cycles of whole tasks at their vehicles, and at a server of `node` (none counts as the first)."""
        local, edge = np.zeros(len(size_bytes)), np.zeros(len(size_bytes))
        speeds = np.array([_flop_per_cycle(server["gpu"]) for server in self.servers])[np.maximum(node, 0)]
        for index, task in enumerate(self.scenario["tasks"]):
            mine = task_class == index
            if task["transformer"] is None:
                local[mine] = edge[mine] = size_bytes[mine] * task["cycles_per_byte"]
            else:
                flop = self.flop(index, size_bytes[mine] / self._sizes(index)[1])
                local[mine] = flop / _flop_per_cycle(self.scenario["vehicles"]["gpu"])
                edge[mine] = flop / speeds[mine]
        return local, edge

    @cached_property
    def cycles_per_byte(self) -> Floats:
        """What queues count with, [K]: of a prompt those of the mean one at the first node."""
        classes = np.arange(self.books.num_class)
        return self.work(classes, self.mean_bytes, np.zeros(len(classes), dtype=np.int64))[1] / self.mean_bytes

    @cached_property
    def energy_scale_j(self) -> float:
        """Energy that a slot may take; the books count in 1e-15 of it."""
        classes = np.arange(self.books.num_class)
        local, edge = self.work(classes, 2.0 * self.mean_bytes, np.zeros(len(classes), dtype=np.int64))
        task_j = float((self.kappa * self.cpu_hz**2).max() * local.max())
        task_j += float((self.full_power_w / self.server_hz).max() * edge.max())
        task_j += self.scenario["vehicles"]["transmit_power_w"] * self.slot_s
        return float(task_j * self.books.num_vehicle * self.books.num_class)

    @cached_property
    def num_layer(self) -> NDArray[np.int64]:
        """Layers of each class, [K]; 0 for what is no prompt."""
        shapes = [task["transformer"] for task in self.scenario["tasks"]]
        return np.array([0 if shape is None else shape["num_layer"] for shape in shapes])

    @cached_property
    def task_work(self) -> tuple[Floats, Floats]:
        """Cycles of the local and of the edge part of every task."""
        rows = self.books.tasks
        ratio = np.nan_to_num(rows["offloading_ratio"])
        node = self.books.node[rows["slot"], rows["vehicle"]]
        local, edge = self.work(rows["task_class"], rows["size_bytes"], node)
        return (1.0 - ratio) * local, ratio * edge

    @cached_property
    def local_hz(self) -> Floats:
        """The frequency of every task on its vehicle; 1 where it has not started."""
        found: Floats = self.cpu_hz[self.books.tasks["vehicle"]]
        if self.metered:
            found = np.nan_to_num(self.books.jobs["local_frequency_hz"].astype(float), nan=1.0)
        return found

    @cached_property
    def sent_bytes(self) -> Floats:
        """What every task sends if it is started."""
        rows = self.books.tasks
        ratio, size = np.nan_to_num(rows["offloading_ratio"]), rows["size_bytes"]
        sent = {"proportional": ratio * size, "whole": np.where(ratio > 0, size, 0.0), "always": size}[self.upload_rule]
        is_prompt = self.num_layer[rows["task_class"]] > 0
        units = np.array([self._sizes(index)[1] for index in range(self.books.num_class)])[rows["task_class"]]
        prompt = size / units / 8 if self.paper else size
        found: Floats = np.where(is_prompt, np.where(ratio > 0, prompt, 0.0), sent)
        return found

    @cached_property
    def time_unit(self) -> tuple[float, float]:
        """Units of time, s, and energy, J, of the weighted cost."""
        cost = self.scenario["cost"]
        if not (not self.paper if cost["normalise"] is None else cost["normalise"]):
            return 1.0, 1.0
        time_s, energy_j = [], []
        for index in range(self.books.num_class):
            sizes, unit = self._sizes(index)
            nodes = np.zeros(len(sizes), dtype=np.int64)
            cycles = self.work(np.full(len(sizes), index), sizes * unit, nodes)[0].mean()
            time_s.append((cycles / self.cpu_hz).mean())
            energy_j.append((cycles * self.kappa * self.cpu_hz**2).mean())
        return float(np.mean(time_s)), float(np.mean(energy_j))

    def links(self, slot: int) -> dict[str, dict[str, Any]]:
        """Return the links as they are for messages of a slot."""
        found = {name: dict(link) for name, link in self.scenario["network"].items()}
        for time_ns, event in self.books.occurrences("link"):
            if self.books.first_slot(time_ns) <= slot:
                told = {key: event[key] for key in ("latency_s", "jitter_s", "loss") if event[key] is not None}
                found[event["link"]] |= told
        return found

    def passage(self, slot: int, *names: str) -> tuple[float, float, bool]:
        """Return the least and the greatest latency of a way over some links, s, and whether it may lose anything."""
        low_s = high_s = 0.0
        links = self.links(slot)
        for name in names:
            low, high = _bounds_s(links[name]["latency_s"])
            low_s, high_s = low_s + low, high_s + high + links[name]["jitter_s"]
        return low_s, high_s, any(links[name]["loss"] > 0 for name in names)

    def bias(self, name: str, slot: int, count: int) -> Floats | None:
        """Return a bias in a slot, [count]; None if it is drawn at random."""
        params = self.scenario["twin"]["bias"][name]
        if params["kind"] == "constant":
            return np.full(count, params["value"])
        if params["kind"] == "per-vehicle" and params["values"]:
            return np.array(params["values"])[np.arange(count) % len(params["values"])]
        if params["kind"] == "timed":
            now_ns = slot * self.books.slot_ns
            passed = [value for at_s, value in sorted(params["points"]) if round(at_s * 1e9) <= now_ns]
            return np.full(count, passed[-1] if passed else 0.0)
        return None

    def frequency_bias(self, slot: int) -> Floats | None:
        """Return the bias of the edge frequencies in a slot, [N], with its jumps; None if it is drawn at random."""
        found = self.bias("cpu_frequency_hz", slot, self.books.num_vehicle)
        if found is None:
            return None
        jumps = self.books.occurrences("bias")
        jump_hz = float(
            sum(event["cpu_frequency_hz"] for time_ns, event in jumps if self.books.first_slot(time_ns) <= slot)
        )
        return found + jump_hz


def _flop_per_cycle(gpu: dict[str, Any] | None) -> float:
    return 1.0 if gpu is None else gpu["num_core"] * gpu["flop_per_cycle"] * gpu["utilisation"]


def _power_w(server: dict[str, Any], speed_hz: float) -> float:
    """Return the power of a server at a speed that is spread over its cores."""
    return float(server["num_core"] * server["kappa"] * (speed_hz / server["num_core"]) ** 3)


def _bounds_s(delay: dict[str, Any]) -> tuple[float, float]:
    if delay["kind"] == "constant":
        return delay["value_s"], delay["value_s"]
    if delay["kind"] == "uniform":
        return delay["low_s"], delay["high_s"]
    if delay["kind"] == "lognormal" and not delay["sigma"]:
        return delay["median_s"], delay["median_s"]
    return 0.0, np.inf
