"""The simulator: scenarios, the event clock, the network, the world, and the command line."""

from sim.run import RunResult, run
from sim.scenario import Scenario

__all__ = ["RunResult", "Scenario", "run"]
