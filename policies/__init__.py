"""Policies: what they have to implement, how they are found by name, and those that come with vectwin.

Read `api` first, then `baselines`, simple policies, and `registry`. `feasible` projects decisions on the feasible set,
and `guarded` calls a policy with a fallback. The folders are `optimal`, `marl`, `llm`, `cases`, and `foreign` for
users' own.
"""

from policies.api import Policy
from policies.registry import make, names, register
from twin.decision import Decision, Diagnostics
from twin.snapshot import TwinSnapshot

__all__ = ["Decision", "Diagnostics", "Policy", "TwinSnapshot", "make", "names", "register"]
