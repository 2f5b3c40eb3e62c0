"""Policies by name: the contract, the registry, projection and fallback, and the baselines."""

from policies.api import Policy
from policies.registry import make, names, register
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot

__all__ = ["Decision", "Diagnostics", "Policy", "TwinSnapshot", "make", "names", "register"]
