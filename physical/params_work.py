"""Parameters of what is to be done and what it is worth: tasks, bursts, the objective of P2, the weighted cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from physical import quantity
from physical.errors import InputError
from physical.model import transformer
from physical.params_base import Mode, Params


class Transformer(Params):
    """A language model that is split between vehicle and edge at a whole layer; by default that of Llama-2-7B.

    num_layer : transformer layers of the model [llm6g eq. 5 (Upsilon)]
    hidden_size : numbers that describe a token between two layers [llm6g sec. II-A (h)]
    batch_size : prompts that are run together [llm6g sec. II-A (B)]
    bits_per_activation : bits of one number that is sent between two layers [our choice]
    """

    num_layer: quantity.NumLayer = 32
    hidden_size: quantity.HiddenSize = 4096
    batch_size: quantity.BatchSize = 1
    bits_per_activation: quantity.NumBit = 16

    @property
    def bytes_per_token(self) -> int:
        """Activations of one token between two layers, bytes."""
        return int(transformer.activation_bytes(1, self.hidden_size, self.batch_size, self.bits_per_activation))


class Requests(Params):
    """Prompts of a request trace instead of one for every vehicle and slot.

    file : request trace (``twin import requests``), relative to the scenario's file
    speed : the trace runs this much faster than the run
    begin_s : time of the request trace at which the run begins
    """

    file: str
    speed: quantity.Factor = 1.0
    begin_s: quantity.TraceSeconds = 0.0


class TaskClass(Params):
    """One of the K task types: a task of it appears at every vehicle in every slot.

    name : name of the class, in tables and in timed events
    size_bytes : range of the size of a task, uniform in whole bytes [dtecn sec. III-C (D), dtecn Table I]
    cycles_per_byte : work of one byte of a task, on a vehicle as on a server [dtecn eq. 7 (c_k), dtecn Table I]
    num_token : range of the tokens of a prompt, uniform; with `transformer` [llm6g sec. II-A (d_n)]
    transformer : the task is a prompt for this language model: its size is that of the activations between two layers,
        its work follows from the tokens, and `size_bytes` and `cycles_per_byte` are absent [llm6g sec. II-A]
    requests : the prompts are those of a request trace, and `num_token` is absent
    deadline_s : time from the slot's start in which the task should end [dtecn eq. 11 (T_max)]
    """

    name: Annotated[str, Field(min_length=1)]
    size_bytes: quantity.SizeRange | None = None
    cycles_per_byte: quantity.CyclesPerByte | None = None
    num_token: quantity.TokenRange | None = None
    transformer: Transformer | None = None
    requests: Requests | None = None
    deadline_s: quantity.Period

    @model_validator(mode="after")
    def _check(self) -> TaskClass:
        needed = {"size_bytes", "cycles_per_byte"} if self.transformer is None else {"num_token"}
        if self.requests is not None:
            if self.transformer is None:
                raise InputError("belongs to a transformer task", key="requests")
            needed = set()
        for key in ("size_bytes", "cycles_per_byte", "num_token"):
            given = getattr(self, key) is not None
            if given and key not in needed:
                kind = "a task without a transformer" if self.transformer is None else "a transformer task"
                kind = "a task of a request trace" if self.requests is not None else kind
                accepted = ", ".join(sorted(needed)) or "nothing more"
                raise InputError(f"does not belong to {kind}", key=key, accepted=accepted)
            if not given and key in needed:
                raise InputError("is missing", key=key)
        low, high = self.units
        if not 0 < low <= high or low != int(low) or high != int(high):
            key, unit = ("size_bytes", "bytes") if self.transformer is None else ("num_token", "tokens")
            raise ValueError(f"{key} {[low, high]} is not a range of whole {unit} with 0 < low <= high")
        return self

    @property
    def units(self) -> tuple[float, float]:
        """Least and greatest size in units, bytes or tokens; a request trace has its own."""
        if self.requests is not None:
            return (1, 1)
        given = self.size_bytes if self.transformer is None else self.num_token
        assert given is not None
        return given

    @property
    def bytes_per_unit(self) -> int:
        """Bytes of one unit of size."""
        return 1 if self.transformer is None else self.transformer.bytes_per_token


class Bursts(Params):
    """Bursty tasks: events that concern everybody come and go, and vehicles burst more often while one lasts.

    **Source** our choice

    event_begin : probability per slot that an event begins, while there is none
    event_end : probability per slot that an event ends
    burst_begin : probability per slot that a vehicle's burst begins, without an event
    burst_begin_in_event : probability per slot that a vehicle's burst begins, while an event lasts
    burst_end : probability per slot that a vehicle's burst ends
    size_factor : a vehicle in a burst makes tasks this much as large
    """

    event_begin: quantity.Probability
    event_end: quantity.Probability
    burst_begin: quantity.Probability
    burst_begin_in_event: quantity.Probability
    burst_end: quantity.PositiveProbability
    size_factor: quantity.Factor


class Objective(Params):
    """Weights of P2 (eq. 24): beta * drift + V * (deadline_price * misses + energy_weight * E - qos_weight * QoS).

    qos_weight : weight of the mean QoS of the tasks; the paper has 1 [our choice, dtecn eq. 24]
    energy_weight : weight of a slot's energy, 1/J; the paper has 1 [our choice, dtecn eq. 24]
    deadline_price : price of a slot in which every task misses its deadline; the paper has a constraint instead [our
        choice, dtecn eq. 24]
    beta : weight of the drift of the servers' backlog, as in the paper [dtecn eq. 24, dtecn Table I]
    v : weight V of the penalty, as in the drift-plus-penalty literature; only V / beta matters for decisions [our
        choice, Neely 2010]
    qos_floor : least QoS of a task in what a run realises, in mode "corrected" (-1: a task at twice its deadline); a
        task that is later, dropped, or in flight and overdue beyond it counts with it. Decisions do not know it [our
        choice]
    """

    qos_weight: quantity.Weight = 1.0
    energy_weight: quantity.Weight = 1.0
    deadline_price: quantity.Weight = 0.0
    beta: quantity.Weight = 1.0
    v: quantity.Weight = 1.0
    qos_floor: quantity.QosFloor = -1.0

    def with_v_folded_in(self) -> Objective:
        """Return the same objective with V = 1 and the penalty's weights multiplied by V."""
        weights = {name: self.v * getattr(self, name) for name in ("qos_weight", "energy_weight", "deadline_price")}
        return self.model_copy(update={**weights, "v": 1.0})


class Cost(Params):
    """Weighted cost of time and energy; given, it is the objective in place of P2.

    time_weight : weight omega_t of the time; that of the energy is omega_e = 1 - omega_t [llm6g eq. 5 (omega_t)]
    normalise : count time and energy in units of the mean task that is run locally at full speed; the paper adds
        seconds to joules. By default true in mode "corrected" and false in mode "paper" [our choice, llm6g eq. 10]
    """

    time_weight: quantity.TimeWeight = 0.5
    normalise: bool | None = None

    def is_normalised(self, mode: Mode) -> bool:
        """Whether time and energy are counted in units of the mean local task."""
        return mode == "corrected" if self.normalise is None else self.normalise
