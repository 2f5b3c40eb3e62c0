"""What a scenario can say: its keys, and what follows from them alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, cast

from pydantic import Field

from physical import params as physical
from physical.params import Params
from physical.quantity import NumRow, Period
from physical.ticks import to_ns
from sim.scenario.links import BASE_STATION, NetworkParams
from sim.scenario.mobility import AnyMobility, Mobility, RunSize
from sim.scenario.timeline import Event, Timeline
from twin.params import Twin


class PolicyChoice(Params):
    """Which policy decides, and which one stands in where it fails.

    name : policy that decides, with its options: ``name:option=value``
    fallback : policy that decides where the other one fails, returns nonsense or takes too long
    """

    name: Annotated[str, Field(min_length=1)] = "edge-equal"
    fallback: Annotated[str, Field(min_length=1)] = "local-only"


class TraceParams(Params):
    """What is written besides the standard tables, and how often.

    messages : write one row per control message, the table `messages`
    part_rows : task rows after which a part of the trace is closed
    part_seconds : wall time after which a part is closed, so that a killed run keeps almost everything
    """

    messages: bool = False
    part_rows: NumRow = 300_000
    part_seconds: Period = 5.0


@dataclass(frozen=True)
class ServingNode:
    """A node that vehicles attach to: the base station, or an RSU."""

    name: str
    position_m: tuple[float, float]
    server: physical.Server
    is_rsu: bool


class ScenarioTables(Params):
    """Everything that a run needs but the seed: the tables and keys of a scenario.

    The serving nodes are the base station, if it is given or if there are no RSUs, then the RSUs.

    title : one line that says what the scenario is, for lists and reports
    engine : what simulates it: "columns" is fast, "events" has a process for each vehicle and server, "auto" takes the
        columns unless a kind has none; both give the same tables [our choice]
    mobility : how vehicles move
    server : the server of the base station, and of every RSU without one of its own
    timeline : timed events, in any order: what happens to the scenario while it runs
    """

    title: str = ""
    engine: Literal["auto", "columns", "events"] = "auto"
    time: physical.Time = physical.Time()
    model: physical.Model = physical.Model()
    vehicles: physical.Vehicles
    mobility: AnyMobility = cast("Mobility", {"kind": "highway"})  # read as what a scenario says
    radio: physical.Radio
    base_station: physical.BaseStation | None = None
    rsus: tuple[physical.Rsu, ...] = ()
    server: physical.Server
    tasks: Annotated[tuple[physical.TaskClass, ...], Field(min_length=1)]
    bursts: physical.Bursts | None = None
    objective: physical.Objective = physical.Objective()
    cost: physical.Cost | None = None
    network: NetworkParams = NetworkParams()
    timeline: tuple[Event, ...] = ()
    twin: Twin = Twin()
    policy: PolicyChoice = PolicyChoice()
    trace: TraceParams = TraceParams()

    @property
    def everybody_stays(self) -> bool:
        """Whether all vehicles are there all the time, as far as the motion goes."""
        return self.mobility.everybody_stays

    def run_size(self) -> RunSize:
        """Return how many vehicles are given, and how long a run is."""
        return RunSize(self.vehicles.num_vehicle or 0, self.time.num_slot, self.time.slot_duration_s)

    def timeline_of_run(self) -> Timeline:
        """Return all timed events of a run, periodic ones spelled out."""
        return Timeline.of(self.timeline, to_ns(self.time.slot_duration_s), self.time.num_slot)

    @property
    def nodes(self) -> tuple[ServingNode, ...]:
        """Serving nodes, in the order of their indices."""
        rsus = tuple(ServingNode(rsu.name, rsu.position_m, rsu.server or self.server, True) for rsu in self.rsus)
        if self.base_station is None and rsus:
            return rsus
        station = self.base_station or physical.BaseStation()
        return (ServingNode(BASE_STATION, station.position_m, self.server, False), *rsus)
