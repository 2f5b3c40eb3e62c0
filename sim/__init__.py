"""The simulator: scenarios, the event clock, the network, the world, and the command line."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.comparing import compare
    from sim.scenario import Scenario
    from sim.simulation import RunResult, run
    from sim.sweeping import sweep

_PLACES = {
    "RunResult": "sim.simulation",
    "Scenario": "sim.scenario",
    "compare": "sim.comparing",
    "run": "sim.simulation",
    "sweep": "sim.sweeping",
}

__all__ = ["RunResult", "Scenario", "compare", "run", "sweep"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for, so that ``twin --help`` is quick."""
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'sim' has no attribute {name!r}")
