"""The tables of what really happened: tasks, jobs, slots, vehicles."""

from __future__ import annotations

import pyarrow as pa

from traces.table import FLOAT, FLOATS, INT32, INT64, SINGLE, TEXT, Column, Table, place

OUTCOME = pa.dictionary(pa.int8(), pa.string())

TASKS = Table(
    "tasks",
    ("slot", "vehicle", "task_class"),
    (
        Column("slot", INT32, "", "slot that generated the task, from 0 on"),
        Column("vehicle", INT32, "", "number of the vehicle that generated the task, from 0 on"),
        Column("task_class", INT32, "", "class of the task, its place in `tasks` of the scenario, from 0 on"),
        Column(
            "size_bytes", FLOAT, "B", "size of the whole task; of a prompt that of its activations between two layers"
        ),
        Column(
            "offloading_ratio",
            FLOAT,
            "",
            "part of the task that the server computes, 0 to 1, as the command or the vehicle's rule for a missing one"
            " had it; NaN for a task that nothing has started",
        ),
        Column("generated_ns", INT64, "ns", "start of the slot, when the task appeared"),
        Column(
            "started_ns",
            INT64,
            "ns",
            "when the vehicle got its command for the task, or lost patience: the local part runs or waits for the CPU",
        ),
        Column("local_end_ns", INT64, "ns", "when the local part ended, also one without work"),
        Column("upload_end_ns", INT64, "ns", "when the last byte was sent; null if nothing is sent"),
        Column(
            "arrived_ns",
            INT64,
            "ns",
            "when the last byte reached the server, or would have where the literal eq. 9 lets a local task pay for "
            "its upload; null if the upload was lost",
        ),
        Column(
            "service_begin_ns", INT64, "ns", "when the server began to work on the task; null if nothing is offloaded"
        ),
        Column("service_end_ns", INT64, "ns", "when the server had finished its part"),
        Column(
            "done_ns",
            INT64,
            "ns",
            "when the result was at the vehicle; of a dropped task when it was dropped, or would have arrived where a "
            "link lost it; null in flight",
        ),
        Column(
            "outcome",
            OUTCOME,
            "",
            '"completed" in time, "late" after the deadline, "in flight" at the end of the run, "dropped: uplink" or '
            '"dropped: result" by a lossy link, "dropped: handover" at a node that the vehicle left, "dropped: vehicle'
            ' left" with its vehicle',
        ),
    ),
    about=(
        "One row per task, when it has ended, or at the end of the run. A time is null where the stage did not take "
        "place: in a task that never came so far, that was dropped before, or that is in flight at the end of the "
        "run."
    ),
)

JOBS = Table(
    "jobs",
    ("slot", "vehicle", "task_class"),
    (
        Column("slot", INT32, "", "slot that generated the task, from 0 on"),
        Column("vehicle", INT32, "", "number of the vehicle that generated the task, from 0 on"),
        Column("task_class", INT32, "", "class of the task, its place in `tasks` of the scenario, from 0 on"),
        Column("num_token", INT64, "", "tokens of the prompt; 0 for a task that is none"),
        Column(
            "layers_local",
            INT32,
            "",
            "transformer layers that the vehicle ran; null for a task that is no prompt, or that nothing has started",
        ),
        Column(
            "local_frequency_hz",
            FLOAT,
            "Hz",
            "frequency at which the vehicle ran its part; null for a task that nothing has started",
        ),
        Column(
            "energy_local_j",
            FLOAT,
            "J",
            "what the vehicle's CPU or GPU spent on the task; 0 for a task that nothing has started",
        ),
        Column(
            "energy_transmit_j",
            FLOAT,
            "J",
            "what the vehicle's radio spent on the upload; null without joint allocation, where the radio costs "
            "nothing",
        ),
        Column(
            "energy_edge_j",
            FLOAT,
            "J",
            "what the server spent on the task; null where the server's energy is that of its power (eq. 15), and not "
            "counted job by job",
        ),
    ),
    about=(
        "More about each task where jobs are metered one by one: with a transformer task, joint allocation, or "
        '`model.edge_energy` "job". What was spent counts up to the end of the task, or of the run.'
    ),
)

SLOTS = Table(
    "slots",
    ("slot",),
    (
        Column("slot", INT32, "", "number of the slot, from 0 on"),
        Column(
            "objective",
            FLOAT,
            "",
            "realised objective: penalty plus beta times drift (eq. 24); with `cost` the weighted cost, as the "
            "penalty; NaN without a task that counts",
        ),
        Column(
            "penalty",
            FLOAT,
            "",
            "realised penalty: QoS, energy and deadline misses with their weights, or the weighted cost of time and "
            "energy; NaN without a task that counts",
        ),
        Column(
            "drift",
            FLOAT,
            "",
            "what the servers' backlog really did up to the next slot's start, or the end of the run: sum over classes"
            " of q/Q0 (q' - q)/Q0, with Q0 the mean bytes of a class in a slot",
        ),
        Column(
            "qos",
            FLOAT,
            "",
            'mean QoS, 1 - delay / deadline (eq. 11), not below `objective.qos_floor` in mode "corrected"; NaN without'
            " a task that counts",
        ),
        Column(
            "delay_s_mean",
            FLOAT,
            "s",
            "mean delay from generation to result; a dropped task counts with the delay at the QoS floor or its age, "
            "whichever is longer, one in flight with its age; NaN without a task that counts",
        ),
        Column(
            "deadline_miss_ratio",
            FLOAT,
            "",
            "part of the tasks that count that were late, dropped, or in flight past their deadline; NaN without a "
            "task that counts",
        ),
        Column("energy_local_j", FLOAT, "J", "what vehicles spent on the slot's tasks, whenever they ran"),
        Column("energy_transmit_j", FLOAT, "J", "what radios spent on the slot's tasks; 0 without joint allocation"),
        Column(
            "energy_edge_j",
            FLOAT,
            "J",
            "what servers spent: during the slot, by the power of eq. 15, or on the slot's tasks with "
            '`model.edge_energy` "job"; with "power" it is the mean in watts',
        ),
        Column(
            "backlog_bytes",
            FLOATS,
            "B",
            "true backlog of each class at the slot's start, all servers together, before the slot's tasks",
        ),
        Column("arrived_bytes", FLOATS, "B", "offloaded bytes of each class that reached the servers during the slot"),
        Column(
            "service_bytes",
            FLOATS,
            "B",
            "bytes of each class that the servers offered to serve during the slot, whether or not there was work",
        ),
        Column(
            "waiting_cpu_s",
            FLOAT,
            "s",
            "local work that waits or runs at the slot's start, in seconds of its vehicle's CPU, all vehicles together",
        ),
        Column(
            "waiting_uplink_s",
            FLOAT,
            "s",
            "bytes that wait or are being sent at the slot's start, in seconds at the mean rate of their vehicle so "
            "far, all vehicles together",
        ),
        Column(
            "waiting_server_s",
            FLOAT,
            "s",
            "backlog at the slot's start, in seconds of its node's whole server, all nodes together",
        ),
        Column("num_completed", INT32, "", "tasks of the slot that ended in time"),
        Column("num_late", INT32, "", "tasks of the slot that ended after their deadline"),
        Column("num_dropped", INT32, "", "tasks of the slot that were lost"),
        Column("num_in_flight", INT32, "", "tasks of the slot that had not ended at the end of the run"),
    ),
    about=(
        "One row per slot, once all its tasks have ended, or at the end of the run. Outcomes, delays and what tasks "
        "spent are those of the tasks that the slot generated, whenever they ended; queues, their drift and the "
        "energy of a server that is billed for its power are those of the slot itself. A task counts if it has ended, "
        "or if it is in flight at the end of the run and past its deadline."
    ),
)

VEHICLES = Table(
    "vehicles",
    ("slot", "vehicle"),
    (
        Column("slot", INT32, "", "slot at whose start the state is true, from 0 on"),
        Column("vehicle", INT32, "", "number of the vehicle, from 0 on"),
        place("x_m", "position along x, the direction of a generated road"),
        place("y_m", "position along y"),
        Column("speed_mps", FLOAT, "m/s", "speed"),
        Column(
            "channel_gain",
            SINGLE,
            "",
            "linear power gain of path loss, shadowing and fading to the serving node, or to the first node for who "
            "has none; always 1e-36 to 1e36",
        ),
        Column(
            "uplink_rate_bps",
            FLOAT,
            "bit/s",
            "uplink rate during the slot (eq. 2); 0 without a node, and with joint allocation, where it follows from "
            "decisions",
        ),
        Column("serving_node", TEXT, "", "name of the node that serves the vehicle; null where none does"),
        Column(
            "cpu_backlog_cycles",
            FLOAT,
            "cycles",
            "work of earlier slots' tasks that waits or runs on the vehicle's CPU",
            effect=True,
        ),
        Column(
            "uplink_backlog_bytes", FLOAT, "B", "bytes of earlier slots' tasks that wait or are being sent", effect=True
        ),
    ),
    about="The true state of every vehicle that is in the scene, at every slot start.",
)
