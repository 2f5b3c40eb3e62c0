"""The base of all parameter classes, and the names of the rules that they choose from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Mode = Literal["paper", "corrected"]
TaskOrder = Literal["sequential", "parallel"]
UploadRule = Literal["proportional", "whole", "always"]
CapacityRule = Literal["alloc", "effective"]
EdgeEnergyRule = Literal["power", "energy", "job"]
AllocationRule = Literal["compute", "joint"]
HandoverRule = Literal["forward", "finish", "drop"]
Discipline = Literal["slices", "fifo"]
CpuRule = Literal["per-task", "in-turn", "sharing"]
UplinkRule = Literal["each", "in-turn", "sharing"]
MissingCommand = Literal["previous", "local", "wait"]
"""What a vehicle does when its patience ends: the previous command, everything local, or wait on."""


class Params(BaseModel):
    """Base of all parameter types: immutable, and an unknown key is an error; a validator is built when it is used."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, defer_build=True)
