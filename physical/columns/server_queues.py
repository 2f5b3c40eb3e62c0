"""What waits at edge servers: what the data plane and the servers ask of a discipline."""

from __future__ import annotations

from typing import Protocol

from physical.arrays import Floats, Ints, Mask


class ServerQueues(Protocol):
    """The queues of all servers; times `now` are ticks."""

    def admit(self, rows: Ints) -> None:
        """Take rows that have arrived since the last call, in ascending order."""

    def advance(self, now: int, /) -> tuple[Ints, Ints]:
        """Serve up to `now`; return the rows served and their ends, those of each queue in order."""

    def set_rates(self, now: int, rate_hz: Floats, serving_node: Ints, /) -> None:
        """Change the rates [N, K] at `now`, to which the queues have been advanced; rescale what is in service.

        serving_node : [N], at whose server each vehicle has its rates
        """

    def backlog(self, now: int, vehicles: Mask | None = None, /) -> tuple[Floats, Floats | None]:
        """Return the work that has arrived and is not served at `now`; of some `vehicles` [N] only, if given.

        Of each class, [K], bytes; of each flow, [N, K], cycles, or None if there is none, or if flows are not told
        apart.
        """

    def leave_behind(self, flow: Ints, now: int, /) -> tuple[Ints, Floats, Floats]:
        """Take all rows of some flows out at `now`; also return the rate and the power of each flow, [num_flow].

        Raises
        ------
        InputError : flows are not told apart
        """

    def remove(self, flow: Ints, now: int, /) -> Ints:
        """Take all rows of some flows out at `now`, to which the queues have been advanced; return them."""

    def settle(self, now: int, /) -> None:
        """Charge what is in service for the time up to `now`, where services are metered."""

    def renumber(self, renumbered: Ints) -> None:
        """Follow rows that moved."""
