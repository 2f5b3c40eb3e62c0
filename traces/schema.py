"""The tables of a trace: columns, units, and which of them count for the digest."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 3
READABLE_VERSIONS = (2, 3)
"""Version 2 had positions in single precision, and no table `entities`; what it wrote is read as it was meant."""


@dataclass(frozen=True)
class Column:
    """One column.

    unit : of its values; "" for a number without one
    digested : False for what differs between two runs of the same thing, such as wall times
    noisy : values hardly repeat; an imported file keeps no dictionary of them
    effect : in a table of what the world does whatever anybody decides, what earlier decisions have led to
    single : values that single precision holds count for the digest as such, so that it is that of version 2
    """

    name: str
    type: pa.DataType
    unit: str = ""
    digested: bool = True
    noisy: bool = False
    effect: bool = False
    single: bool = False


@dataclass(frozen=True)
class Table:
    """One table; `key` orders its rows when it is read, and `since` is the version in which it came."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    since: int = 2

    def schema(self) -> pa.Schema:
        """Return the Arrow schema, units in the metadata of the columns."""
        return pa.schema(
            [pa.field(column.name, column.type, metadata={"unit": column.unit}) for column in self.columns],
            metadata={"vectwin_schema": str(SCHEMA_VERSION), "table": self.name},
        )


_INT32, _INT64, _FLOAT, _BOOL = pa.int32(), pa.int64(), pa.float64(), pa.bool_()
_TEXT = pa.dictionary(pa.int32(), pa.string())
OUTCOME = pa.dictionary(pa.int8(), pa.string())
_SINGLE = pa.float32()  # gains are quantised to it, see physical.quantize
_FLOATS = pa.list_(_FLOAT)


def _time(name: str) -> Column:
    return Column(name, _INT64, "ns")


def _place(name: str) -> Column:
    """Return a column of positions: generated ones are quantised to single precision, those of traces are not."""
    return Column(name, _FLOAT, "m", single=True)


TASKS = Table(
    "tasks",
    ("slot", "vehicle", "task_class"),
    (
        Column("slot", _INT32),
        Column("vehicle", _INT32),
        Column("task_class", _INT32),
        Column("size_bytes", _FLOAT, "B"),
        Column("offloading_ratio", _FLOAT),
        Column("generated_ns", _INT64, "ns"),
        _time("started_ns"),
        _time("local_end_ns"),
        _time("upload_end_ns"),
        _time("arrived_ns"),
        _time("service_begin_ns"),
        _time("service_end_ns"),
        _time("done_ns"),
        Column("outcome", OUTCOME),
    ),
)
"""One row per task; a stage that did not take place is null, and so is the end of a task in flight.

`offloading_ratio` is NaN for a task that no command has started.
"""

JOBS = Table(
    "jobs",
    ("slot", "vehicle", "task_class"),
    (
        Column("slot", _INT32),
        Column("vehicle", _INT32),
        Column("task_class", _INT32),
        Column("num_token", _INT64),
        Column("layers_local", _INT32),
        Column("local_frequency_hz", _FLOAT, "Hz"),
        Column("energy_local_j", _FLOAT, "J"),
        Column("energy_transmit_j", _FLOAT, "J"),
        Column("energy_edge_j", _FLOAT, "J"),
    ),
)
"""Where jobs are metered one by one, more about each task: null before it starts, `num_token` 0 if it has none.

`energy_edge_j` is null where the server's energy is that of its power (eq. 15), and not counted job by job;
`energy_transmit_j` is null where the radio costs nothing, which is so without joint allocation.
"""

SLOTS = Table(
    "slots",
    ("slot",),
    (
        Column("slot", _INT32),
        Column("objective", _FLOAT),
        Column("penalty", _FLOAT),
        Column("drift", _FLOAT),
        Column("qos", _FLOAT),
        Column("delay_s_mean", _FLOAT, "s"),
        Column("deadline_miss_ratio", _FLOAT),
        Column("energy_local_j", _FLOAT, "J"),
        Column("energy_transmit_j", _FLOAT, "J"),
        Column("energy_edge_j", _FLOAT, "J"),
        Column("backlog_bytes", _FLOATS, "B"),
        Column("arrived_bytes", _FLOATS, "B"),
        Column("service_bytes", _FLOATS, "B"),
        Column("waiting_cpu_s", _FLOAT, "s"),
        Column("waiting_uplink_s", _FLOAT, "s"),
        Column("waiting_server_s", _FLOAT, "s"),
        Column("num_completed", _INT32),
        Column("num_late", _INT32),
        Column("num_dropped", _INT32),
        Column("num_in_flight", _INT32),
    ),
)
"""One row per slot: what became of the tasks that it generated; queues, their drift and edge energy of the slot itself.

`objective`, `penalty`, `qos`, `delay_s_mean` and `deadline_miss_ratio` are NaN for a slot without a task that counts.

`penalty` is the objective without the drift, which is that of the recorded backlog up to the next slot's start, or the
end of the run. What waits is that of the slot's start, in seconds of the CPUs, uplinks and servers that have to do it.
"""

VEHICLES = Table(
    "vehicles",
    ("slot", "vehicle"),
    (
        Column("slot", _INT32),
        Column("vehicle", _INT32),
        _place("x_m"),
        _place("y_m"),
        Column("speed_mps", _FLOAT, "m/s"),
        Column("channel_gain", _SINGLE),
        Column("uplink_rate_bps", _FLOAT, "bit/s"),
        Column("serving_node", _TEXT),
        Column("cpu_backlog_cycles", _FLOAT, "cycles", effect=True),
        Column("uplink_backlog_bytes", _FLOAT, "B", effect=True),
    ),
)
"""The true state of every vehicle at every slot start; backlogs are those of the tasks of earlier slots.

`channel_gain` is that to the serving node, or to the first node for who has none, and always 1e-36 to 1e36: path loss
and shadowing together are -300 to 300 dB.
"""

TWIN = Table(
    "twin",
    ("slot", "vehicle"),
    (
        Column("slot", _INT32),
        Column("vehicle", _INT32),
        Column("age_of_information_s", _FLOAT, "s"),
        Column("estimation_bias_hz", _FLOAT, "Hz"),
        _place("estimated_x_m"),
        _place("estimated_y_m"),
        Column("estimated_channel_gain", _SINGLE),
        Column("estimated_cpu_backlog_cycles", _FLOAT, "cycles", effect=True),
        Column("estimated_uplink_backlog_bytes", _FLOAT, "B", effect=True),
        Column("position_error_m", _FLOAT, "m"),
        Column("channel_gain_error_db", _FLOAT, "dB"),
    ),
)
"""What the twin believed of every vehicle when it decided a slot; errors are estimate minus truth.

`estimated_channel_gain` is 1e-36 to 1e36 as the true gain is, so that `channel_gain_error_db` is always finite.
"""

DECISIONS = Table(
    "decisions",
    ("slot",),
    (
        Column("slot", _INT32),
        Column("decided_ns", _INT64, "ns"),
        Column("latency_ns", _INT64, "ns"),
        Column("belief_digest", pa.uint64()),
        Column("estimated_size_bytes", _FLOATS, "B"),
        Column("estimated_backlog_bytes", _FLOATS, "B"),
        Column("estimated_flow_backlog_cycles", _FLOATS, "cycles"),
        Column("offloading_ratio", _FLOATS),
        Column("compute_allocation_hz", _FLOATS, "Hz"),
        Column("local_frequency_hz", _FLOATS, "Hz"),
        Column("transmit_power_w", _FLOATS, "W"),
        Column("bandwidth_hz", _FLOATS, "Hz"),
        Column("objective_predicted", _FLOAT),
        Column("repaired", _BOOL),
        Column("fallback", _BOOL),
        Column("feasible", _BOOL),
        Column("objective", _FLOAT),
        Column("lower_bound", _FLOAT),
        Column("gap", _FLOAT),
        Column("model", _TEXT),
        Column("num_token", _INT64),
        Column("num_binding", _INT64),
        Column("capacity_price", _FLOAT),
        Column("policy_wall_s", _FLOAT, "s", digested=False),
        Column("solve_wall_s", _FLOAT, "s", digested=False),
    ),
)
"""One row per decision; lists run over vehicles, then task classes. `objective` and `capacity_price` are the policy's
own claims, and so are `gap` and the `model` for which it holds ("" if the policy names none); numbers that it does not
claim are NaN. `objective_predicted` is infinite where the decision lets a task wait for ever, as the twin sees it.

Frequency, power and bandwidth are empty where the system fixes them, the backlog of flows where nothing waits, and
where servers do not work with `slices`. `objective_predicted` is infinite where what the twin believes has a task that
can never be sent.
"""

PROMPTS = Table(
    "prompts",
    ("slot",),
    (
        Column("slot", _INT32),
        Column("digest", pa.string()),
        Column("num_case", _INT32),
        Column("num_token", _INT64),
        Column("num_reused_token", _INT64),
        Column("num_answer_token", _INT64),
        Column("guarded", _BOOL),
        Column("prefill_wall_s", _FLOAT, "s", digested=False),
        Column("decode_wall_s", _FLOAT, "s", digested=False),
    ),
)
"""One row per answer of a language model: what it was asked, and what that took.

`guarded` is true where a simple decision took the place of the model's.
"""

EVENTS = Table(
    "events",
    ("time_ns", "kind"),
    (
        Column("time_ns", _INT64, "ns"),
        Column("kind", _TEXT),
        Column("slot", _INT32),
        Column("detail", pa.string()),
    ),
)
"""Fallbacks, and whatever else happens that is not part of every slot."""

MESSAGES = Table(
    "messages",
    ("slot", "kind", "vehicle"),
    (
        Column("slot", _INT32),
        Column("kind", _TEXT),
        Column("vehicle", _INT32),
        Column("sent_ns", _INT64, "ns"),
        Column("delivered_ns", _INT64, "ns"),
    ),
)
"""Optional, one row per control message; vehicle -1 is the first edge server, -2 the second.

A lost message has no delivery time.
"""

ENTITIES = Table(
    "entities",
    ("vehicle",),
    (
        Column("vehicle", _INT32),
        Column("vehicle_id", pa.string()),
        Column("kind", _TEXT),
    ),
    since=3,
)
"""Which vehicle of a mobility trace has which number in the other tables; no rows in a run without such a trace.

Numbers are in the natural order of the names: "2" comes before "10". `kind` is null where the source does not tell it.
"""

TABLES = {
    table.name: table for table in (TASKS, JOBS, SLOTS, VEHICLES, TWIN, DECISIONS, PROMPTS, EVENTS, MESSAGES, ENTITIES)
}
