"""The simulator: scenarios, the event clock, the network, the world, and the command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.simulation import RunResult, run

__all__ = ["RunResult", "Scenario", "run"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for, so that ``twin --help`` is quick."""
    if name == "Scenario":
        from sim.scenario import Scenario

        return Scenario
    if name in __all__:
        from sim import simulation

        return getattr(simulation, name)
    raise AttributeError(f"module 'sim' has no attribute {name!r}")
