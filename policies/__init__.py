"""Policies by name: the contract, the registry, projection and fallback, and the baselines."""

from policies.api import Policy
from policies.registry import make, names, register

__all__ = ["Policy", "make", "names", "register"]
