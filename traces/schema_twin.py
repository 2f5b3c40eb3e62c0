"""The tables of what the twin believed, what was decided and sent, and of what else there is to say about a run."""

from __future__ import annotations

import pyarrow as pa

from traces.table import BOOL, FLOAT, FLOATS, INT32, INT64, SINGLE, STRING, TEXT, Column, Table, place

TWIN = Table(
    "twin",
    ("slot", "vehicle"),
    (
        Column("slot", INT32, "", "slot that was decided, from 0 on"),
        Column("vehicle", INT32, "", "number of the vehicle, from 0 on"),
        Column(
            "age_of_information_s",
            FLOAT,
            "s",
            "time from the state on which the estimate rests to the decision; before the first report the state of the"
            " registration at 0",
        ),
        Column(
            "estimation_bias_hz",
            FLOAT,
            "Hz",
            "bias of the edge frequencies as the policy is told it; 0 unless `twin.bias.known`",
        ),
        place("estimated_x_m", "estimated position along x"),
        place("estimated_y_m", "estimated position along y"),
        Column(
            "estimated_channel_gain",
            SINGLE,
            "",
            "estimated linear power gain; 1e-36 to 1e36 as the true gain is, so that its error is always finite",
        ),
        Column(
            "estimated_cpu_backlog_cycles",
            FLOAT,
            "cycles",
            "estimated work that waits or runs on the vehicle's CPU",
            effect=True,
        ),
        Column(
            "estimated_uplink_backlog_bytes", FLOAT, "B", "estimated bytes that wait or are being sent", effect=True
        ),
        Column("position_error_m", FLOAT, "m", "distance between the estimated and the true position"),
        Column("channel_gain_error_db", FLOAT, "dB", "estimated minus true gain, in decibels"),
    ),
    about=(
        "What the twin believed of every vehicle that is in the scene when it decided a slot. Errors compare it with "
        "the truth at the start of the slot in which it decided."
    ),
)

DECISIONS = Table(
    "decisions",
    ("slot",),
    (
        Column("slot", INT32, "", "slot that was decided, from 0 on"),
        Column("decided_ns", INT64, "ns", "when the twin took its snapshot and began to decide"),
        Column("latency_ns", INT64, "ns", "simulated time from there until the commands left the cloud"),
        Column("belief_digest", pa.uint64(), "", "64 bits that change with anything that the policy saw"),
        Column(
            "estimated_size_bytes",
            FLOATS,
            "B",
            "estimated size of each task of the slot, 0 where there is none; by vehicle and class",
        ),
        Column("estimated_backlog_bytes", FLOATS, "B", "estimated backlog of each class, all servers together"),
        Column(
            "estimated_flow_backlog_cycles",
            FLOATS,
            "cycles",
            "estimated work of each flow at its vehicle's server, by vehicle and class; empty where nothing waits, and"
            ' where servers do not work with "slices"',
        ),
        Column(
            "offloading_ratio",
            FLOATS,
            "",
            "commanded part of each task that the server computes, 0 to 1; by vehicle and class",
        ),
        Column(
            "compute_allocation_hz",
            FLOATS,
            "Hz",
            "commanded frequency of each flow at its vehicle's server; by vehicle and class",
        ),
        Column(
            "local_frequency_hz", FLOATS, "Hz", "commanded frequency of each vehicle; empty without joint allocation"
        ),
        Column(
            "transmit_power_w", FLOATS, "W", "commanded transmit power of each vehicle; empty without joint allocation"
        ),
        Column("bandwidth_hz", FLOATS, "Hz", "commanded bandwidth of each vehicle; empty without joint allocation"),
        Column(
            "objective_predicted",
            FLOAT,
            "",
            "P2, or the weighted cost, as it follows from the commands and from what the twin believed; infinite where"
            " a task can then never end",
        ),
        Column(
            "repaired",
            BOOL,
            "",
            "the policy's own decision was not feasible and has been projected on the feasible set",
        ),
        Column("fallback", BOOL, "", "the fallback decided: the table `events` says why"),
        Column("feasible", BOOL, "", "claimed: the policy found a decision that keeps its own constraints"),
        Column("objective", FLOAT, "", "claimed: the objective as the policy computed it"),
        Column("lower_bound", FLOAT, "", "claimed: certified bound below every feasible objective"),
        Column("gap", FLOAT, "", "claimed: certified relative gap (objective - lower_bound) / max(|objective|, 1)"),
        Column("model", TEXT, "", 'claimed: model for which bound and gap hold, in words; "" if the policy names none'),
        Column("num_token", INT64, "", "tokens that a language model read and wrote; 0 for other policies"),
        Column("num_binding", INT64, "", "claimed: tasks that just meet their deadline, by design"),
        Column(
            "capacity_price", FLOAT, "", "claimed: price of the whole server at which tasks ask for what there is of it"
        ),
        Column("policy_wall_s", FLOAT, "s", "wall time that the policy took", digested=False),
        Column("solve_wall_s", FLOAT, "s", "claimed: wall time of the policy's solver", digested=False),
    ),
    about=(
        "One row per decision: what the policy saw, what was commanded, and what the policy says about it. Lists run "
        "over vehicles, then task classes. What a policy claims is not checked; numbers that it does not claim are "
        "NaN, counts 0."
    ),
)

PROMPTS = Table(
    "prompts",
    ("slot",),
    (
        Column("slot", INT32, "", "slot that was decided, from 0 on"),
        Column("digest", STRING, "", "digest of all tokens of the prompt, hexadecimal"),
        Column("num_case", INT32, "", "cases in the prompt"),
        Column("num_token", INT64, "", "tokens of the prompt"),
        Column(
            "num_reused_token",
            INT64,
            "",
            "tokens of the prompt that were in the model's cache from the decision before",
        ),
        Column("num_answer_token", INT64, "", "tokens of the answer"),
        Column("guarded", BOOL, "", "a simple decision took the place of the model's"),
        Column("prefill_wall_s", FLOAT, "s", "wall time to read the prompt", digested=False),
        Column("decode_wall_s", FLOAT, "s", "wall time to answer", digested=False),
    ),
    about="One row per answer of a language model: what it was asked, and what that took.",
)

EVENTS = Table(
    "events",
    ("time_ns", "kind"),
    (
        Column("time_ns", INT64, "ns", "when it happens; of a fallback when the decision began"),
        Column("kind", TEXT, "", 'kind of the timed event as the scenario names it, or "fallback"'),
        Column("slot", INT32, "", "slot in which it happens; of a fallback the slot that was decided"),
        Column("detail", STRING, "", "what else the event says; of a fallback why the policy's decision was not taken"),
    ),
    about="One row per timed event of the scenario that happens, and per decision of the fallback.",
)

MESSAGES = Table(
    "messages",
    ("slot", "kind", "vehicle"),
    (
        Column("slot", INT32, "", "slot that the message is about, from 0 on"),
        Column(
            "kind",
            TEXT,
            "",
            '"report" of a vehicle and "server-report" to the cloud; "command" to a vehicle and "server-command" from '
            "it",
        ),
        Column(
            "vehicle", INT32, "", "vehicle that sends or gets the message; -1 is the first edge server, -2 the second"
        ),
        Column("sent_ns", INT64, "ns", "when the message was sent"),
        Column(
            "delivered_ns",
            INT64,
            "ns",
            "when it is delivered, which may be after the end of the run; null for a lost message",
        ),
    ),
    about="One row per control message, with `trace.messages`.",
)

ENTITIES = Table(
    "entities",
    ("vehicle",),
    (
        Column("vehicle", INT32, "", "number of the vehicle in the other tables, from 0 on"),
        Column("vehicle_id", STRING, "", "name of the vehicle in the mobility trace"),
        Column("kind", TEXT, "", "kind of the vehicle in the mobility trace; null where the trace does not tell it"),
    ),
    since=3,
    about=(
        "Which vehicle of a mobility trace has which number in the other tables; no rows in a run without such a "
        'trace. Numbers are in the natural order of the names: "2" comes before "10".'
    ),
)
