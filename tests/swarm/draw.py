"""One integer, one complete scenario with its files, a policy and a seed: over every key that a scenario may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.swarm import rogue
from tests.swarm.draw_files import link_file, mobility_file, requests_file
from tests.swarm.draw_tables import networks, objectives, timelines, twins
from tests.swarm.lot import Lot
from tests.swarm.toml import to_toml

ANYWHERE = ("local-only", "edge-equal", "random")
PLAIN = (*ANYWHERE, "greedy-latency", "greedy-cost", "p2-exact", "nearest-case", "mean-case")
"""The last three solve P2, which has one server."""
LAYERS = (*ANYWHERE, "rlor", "rrlo", "layers-exact")


@dataclass(frozen=True)
class Case:
    """All that a run needs.

    data : the scenario, as nested tables; files that it names are beside it
    files : name -> text
    policy : a name; of `rogue` with its options; "" for the scenario's
    seed : of the run
    """

    data: dict[str, Any]
    policy: str = ""
    seed: int = 0
    files: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Write the scenario and the files that it names; return the path of the former."""
        folder.mkdir(parents=True, exist_ok=True)
        text = to_toml(self.data)
        for name, content in self.files.items():
            if name in text:
                (folder / name).write_text(content, "utf-8")
        path = folder / "scenario.toml"
        path.write_text(text, "utf-8")
        return path


class _Maker:
    """Draws the tables one after the other; later ones know what has been drawn before."""

    def __init__(self, seed: int) -> None:
        self.seed, self.lot = seed, Lot(seed)
        lot = self.lot
        self.files: dict[str, str] = {}
        self.joint = lot.chance(0.25)
        self.prompts = lot.chance(0.5 if self.joint else 0.15)
        self.traffic = lot.chance(0.15)
        self.slot_s: float = lot.pick([0.01, 0.025, 0.1, 0.1, 0.5, 1.0, 0.001, 0.0333, 0.0123456789])
        if self.prompts or self.traffic:
            self.slot_s = lot.pick([0.025, 0.1, 0.5, 1.0])
        self.num_slot, self.count = lot.integer(1, 12), lot.integer(1, 6)
        rare = lot.real(0.0, 1.0)
        if rare < 0.04:
            self.count = lot.integer(20, 40)
        elif rare < 0.09:
            self.num_slot = lot.integer(30, 60)
        elif rare < 0.11:
            self.num_slot, self.count = lot.integer(100, 120), lot.integer(1, 2)
        self.cpu_hz = lot.pick([1e9, 1.3e9, 7.7e8])
        self.num_rsu = lot.pick([0, 0, 0, 1, 2, 3])
        self.station = self.num_rsu == 0 or lot.chance(0.5)
        self.nodes = [f"r{index}" for index in range(self.num_rsu)]
        if self.station:
            self.nodes.insert(0, "base-station")
        self.fifo = len(self.nodes) == 1 and lot.chance(0.5)
        self.longest = self.num_slot
        self.edge_energy: str | None = "job" if self.joint else lot.pick([None, "energy", "power", "job"])
        if self.fifo and self.edge_energy == "job":
            if self.joint:
                self.fifo = False
            else:
                self.edge_energy = lot.pick([None, "energy", "power"])

    def make(self) -> Case:
        """Draw everything."""
        lot = self.lot
        tasks, cycles, upload_bytes = self._tasks()
        server_hz = self.count * sum(cycles) / self.slot_s * lot.pick([0.2, 0.5, 0.8, 2.0]) / len(self.nodes)
        share_hz = server_hz / (self.count * len(tasks))
        data: dict[str, Any] = {"title": lot.pick(["swarm", "", 'a "title" \\ with Ünïcode <b>'])}
        data["model"] = self._model()
        data["vehicles"] = self._vehicles()
        data["mobility"] = self._mobility()
        data["radio"] = self._radio(upload_bytes)
        data["server"] = self._server(server_hz)
        data["tasks"] = tasks
        if self.station and (self.num_rsu or lot.chance(0.5)):
            data["base_station"] = (
                {} if lot.chance(0.2) else {"position_m": [lot.real(-60, 60), lot.quantity(20.0, "m")]}
            )
        if self.num_rsu or lot.chance(0.1):
            data["rsus"] = [self._rsu(index, server_hz) for index in range(self.num_rsu)]
        if lot.chance(0.3):
            data["bursts"] = self._bursts()
        data |= objectives(lot, joint=self.joint)
        data["network"] = networks(lot, self.slot_s)
        names = None if self.traffic else self.count
        allowed = ANYWHERE if self.joint or self.prompts else PLAIN[:5]
        ends_s = self.num_slot * self.slot_s
        if events := timelines(lot, self.slot_s, ends_s, self.nodes, [task["name"] for task in tasks], names, allowed):
            data["timeline"] = events
        data["twin"] = twins(lot, self.slot_s, share_hz)
        data["policy"] = {"name": lot.pick(ANYWHERE), "fallback": lot.pick(ANYWHERE)}
        data["trace"] = self._trace()
        # Last: files that were drawn on the way bound the length of the run.
        self.num_slot = min(self.num_slot, self.longest)
        data["time"] = {"slot_duration_s": lot.quantity(self.slot_s, "s")}
        if not ((self.traffic or "requests.csv" in self.files) and self.longest <= 40 and lot.chance(0.4)):
            data["time"]["num_slot"] = self.num_slot
        seed = lot.pick([0, lot.integer(0, 2**32 - 1), lot.integer(0, 2**62)])
        policy = self._policy(data)
        if lot.chance(0.5):  # last of all: it changes no number
            data["engine"] = lot.pick(["auto", "columns", "events"])
        return Case(data, policy, seed, self.files)

    def _tasks(self) -> tuple[list[dict[str, Any]], list[float], float]:
        """Return tasks, mean cycles of each, and bytes of an upload."""
        lot, found, cycles = self.lot, [], []
        upload_bytes = 0.0
        self.flop_per_cycle = 1.0
        for index in range(lot.integer(1, 3)):
            deadline_s = self.slot_s * lot.pick([0.3, 1.0, 1.7, 4.0])
            task: dict[str, Any] = {"name": lot.pick([f"k{index}", f"task {index}"])}
            heavy_s = self.slot_s * lot.pick([0.1, 0.5, 1.0, 1.9])
            if self.prompts and (index == 0 or lot.chance(0.5)):
                upload_bytes = max(upload_bytes, self._prompt(task, heavy_s, first=index == 0))
            else:
                low = lot.pick([1, 7, 1000 * lot.integer(1, 4), 1013])
                high = low + lot.pick([0, 1, 1000])
                upload_bytes = max(upload_bytes, float(high))
                task["size_bytes"] = lot.quantity(float(low), "B") if low == high else [low, lot.quantity(high, "B")]
                task["cycles_per_byte"] = heavy_s * self.cpu_hz / high
            cycles.append(0.7 * heavy_s * self.cpu_hz)
            found.append(task | {"deadline_s": lot.quantity(deadline_s, "s")})
        return found, cycles, upload_bytes

    def _prompt(self, task: dict[str, Any], heavy_s: float, *, first: bool) -> float:
        """Make a task a prompt; return how many bytes its activations have."""
        lot = self.lot
        shape: dict[str, Any] = {"num_layer": lot.pick([2, 5, 32]), "hidden_size": lot.pick([16, 256])}
        if lot.chance(0.5):
            shape |= {"batch_size": lot.pick([1, 2]), "bits_per_activation": lot.pick([8, 16, 32])}
        tokens, hidden, batch = 64 * lot.integer(1, 4), shape["hidden_size"], shape.get("batch_size", 1)
        if first:
            flop = shape["num_layer"] * (24 * batch * tokens * hidden**2 + 4 * batch * tokens**2 * hidden)
            self.flop_per_cycle = max(flop / (heavy_s * self.cpu_hz), 0.01)
        task["transformer"] = shape
        if first and lot.chance(0.35):
            text, self.longest, told = requests_file(lot, self.slot_s, self.longest, self.count)
            self.files["requests.csv"] = text
            task["requests"] = {"file": "requests.csv", **told}
        else:
            task["num_token"] = lot.pick([tokens, [tokens // 2, tokens], [1, 2]])
        return float(tokens * hidden * batch * shape.get("bits_per_activation", 16) // 8)

    def _model(self) -> dict[str, Any]:
        lot = self.lot
        mode = lot.pick(["paper", "corrected"])
        model: dict[str, Any] = {"mode": mode}
        if lot.chance(0.5):
            model["order"] = lot.pick(
                ["sequential", "parallel"] if not (self.joint or self.prompts) else ["sequential"]
            )
        if lot.chance(0.5):
            model["upload"] = lot.pick(["proportional", "whole", "always"])
        if lot.chance(0.5):
            model["capacity"] = lot.pick(["effective", "alloc"] if mode == "paper" else ["effective"])
        if self.edge_energy is not None:
            model["edge_energy"] = self.edge_energy
        if self.joint or lot.chance(0.2):
            model["allocation"] = "joint" if self.joint else "compute"
        if lot.chance(0.6):
            model["handover"] = lot.pick(["forward", "drop"] + ["finish"] * (not self.fifo))
        return model

    def _gpu(self, speed: float) -> dict[str, Any]:
        lot = self.lot
        if lot.chance(0.5):
            return {"num_core": 1, "flop_per_cycle": self.flop_per_cycle * speed}
        return {"num_core": 4, "flop_per_cycle": self.flop_per_cycle * speed / 2, "utilisation": 0.5}

    def _vehicles(self) -> dict[str, Any]:
        lot = self.lot
        table: dict[str, Any] = {} if self.traffic else {"num_vehicle": self.count}
        cpu_hz = [self.cpu_hz, lot.quantity(1.5 * self.cpu_hz, "Hz")]
        table["cpu_hz"] = lot.pick([self.cpu_hz, cpu_hz, [self.cpu_hz]])
        table["kappa"] = lot.pick([1e-28, [1e-28, 0.0, 2.5e-28]])
        table["transmit_power_w"] = lot.quantity(lot.pick([0.2, 20.0]), "W")
        if lot.chance(0.5):
            table["transmit_power_w_min"] = lot.pick([0.001, 0.1])
        if self.prompts or lot.chance(0.1):
            table["gpu"] = self._gpu(1.0)
        if lot.chance(0.7):
            table["cpu"] = lot.pick(["per-task", "in-turn", "sharing"])
        if lot.chance(0.5):
            table["report_interval"] = lot.pick([1, 2, 3])
        return table

    def _mobility(self) -> dict[str, Any]:
        lot = self.lot
        if self.traffic:
            name, text, longest, told = mobility_file(lot, self.slot_s, self.longest, self.count)
            # Without a number of slots, the run is as long as the shortest of its files.
            self.longest = min(self.longest, longest) if "requests.csv" in self.files else longest
            self.files[name] = text
            return {"kind": "trace", "file": name, **told}
        table: dict[str, Any] = {"kind": lot.pick(["highway", "highway", "straight", "stationary", "area"])}
        if lot.chance(0.7):
            table["length_m"] = lot.pick([lot.quantity(600.0, "m"), 40.0])
        if lot.chance(0.5):
            table["num_lane"] = lot.pick([1, 2, 4])
            table["lane_width_m"] = lot.pick([3.5, 7])
        fast = 40.0 / (self.slot_s * self.num_slot)  # once round a short road
        table["speed_mps"] = lot.pick([[10, 15], [0, lot.quantity(40.0, "m/s")], 0, min(fast, 3000.0)])
        if table["kind"] == "highway" and lot.chance(0.5):
            table["ends"] = lot.pick(["wrap", "renew"])
            if table["ends"] == "renew":  # a number of entrants that is small
                table |= {"length_m": 60.0, "speed_mps": [0.2, min(120.0 / (self.slot_s * self.num_slot), 3000.0)]}
        return table

    def _radio(self, upload_bytes: float) -> dict[str, Any]:
        lot = self.lot
        slow_s = self.slot_s * lot.pick([0.02, 0.3, 1.0, 2.5])
        bandwidth_hz = 8 * upload_bytes / (5 * slow_s) * (self.count / len(self.nodes) if self.joint else 1)
        bandwidth_hz = max(bandwidth_hz, 1.0)  # what keys accept
        radio: dict[str, Any] = {"bandwidth_hz": lot.pick([lot.quantity(bandwidth_hz, "Hz"), bandwidth_hz])}
        options: dict[str, list[Any]] = {
            "bandwidth_sharing": ["each", "equal"],
            "uplink": ["each", "in-turn", "sharing"],
            "noise_w": ["-110 dBm", 1e-14],
            "noise_density_dbm_hz": [-174, -134.5],
            "noise_figure_db": [0, "9 dB"],
            "noise_density_paper_dbm_hz": [-134],
            "carrier_hz": ["2 GHz", 5.9e9],
            "path_loss_intercept_db": ["128.1 dB", 90],
            "path_loss_slope_db": [37.6, 0],
            "distance_m_min": [1, "10 m"],
            "shadowing_std_db": [0, 8],
            "shadowing_decorrelation_m": [50, "5 m"],
            "fading": ["rayleigh", "none"],
            "association": ["nearest", "best-channel"],
            "hysteresis_m": [0, 10],
            "hysteresis_db": [0, "3 dB"],
            "range_m": [60, "300 m"],
        }
        radio |= {key: lot.pick(values) for key, values in options.items() if lot.chance(0.3)}
        if not self.joint and lot.chance(0.15):
            self.files["link.csv"] = link_file(lot, self.slot_s, bandwidth_hz)
            radio["rate_file"] = "link.csv"
        return radio

    def _server(self, server_hz: float) -> dict[str, Any]:
        lot = self.lot
        table: dict[str, Any] = {"frequency_hz": lot.quantity(server_hz, "Hz"), "kappa": lot.pick([1e-28, 0.0])}
        if lot.chance(0.7):
            table["num_core"] = lot.pick([1, 4])
        if self.prompts or lot.chance(0.1):
            table["gpu"] = self._gpu(lot.pick([1.0, 4.0]))
        if self.fifo or lot.chance(0.3):
            table["discipline"] = "fifo" if self.fifo else "slices"
        return table

    def _rsu(self, index: int, server_hz: float) -> dict[str, Any]:
        lot = self.lot
        place = [lot.real(-150, 150), lot.pick([20.0, -20.0])]
        table: dict[str, Any] = {"name": f"r{index}", "position_m": place}
        if lot.chance(0.4):
            table["server"] = self._server(0.5 * server_hz)
        return table

    def _bursts(self) -> dict[str, Any]:
        lot = self.lot
        names = ("event_begin", "event_end", "burst_begin", "burst_begin_in_event")
        chances: dict[str, Any] = {name: lot.pick([0.0, 0.2, 0.5, 1.0]) for name in names}
        return chances | {"burst_end": lot.pick([0.3, 1.0]), "size_factor": lot.pick([0.4, 1.5, 1.0])}

    def _trace(self) -> dict[str, Any]:
        lot = self.lot
        trace: dict[str, Any] = {"messages": lot.chance(0.7)}
        if lot.chance(0.6):
            trace["part_rows"] = lot.pick([1, 7, 50])
        if lot.chance(0.3):
            trace["part_seconds"] = lot.pick(["1 ns", 0.001, "5 s"])
        return trace

    def _policy(self, data: dict[str, Any]) -> str:
        lot = self.lot
        if self.seed % 4 != 1 and lot.chance(0.15):
            return ""
        if self.seed % 4 != 1 and lot.chance(0.5):
            known: Sequence[str] = ANYWHERE
            if not self.prompts and not self.joint:
                has_p2 = not self.num_rsu and "cost" not in data and data["model"].get("edge_energy") != "job"
                known = PLAIN if has_p2 else PLAIN[:5]
            elif self.joint and len(data["tasks"]) == 1 and self.prompts and self.count <= 6:
                known = LAYERS
            return str(lot.pick(known))
        options = f"offload={lot.pick(['some', 'some', 'all', 'none'])},load={lot.pick([0.3, 1.0, 1.5])}"
        kind = "fine"
        if self.seed % 4 == 1:  # in turn, so that not many seeds are needed for all of them
            kind = rogue.KINDS[self.seed // 4 % len(rogue.KINDS)]
        return f"rogue:kind={kind},every={lot.pick([1, 2, 3])},{options}"


def case_of(seed: int) -> Case:
    """Draw the whole case that belongs to an integer."""
    return _Maker(seed).make()
