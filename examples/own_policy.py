"""Your own policy: offload only what the vehicle itself would finish too late.

A policy is a class with `reset` and `decide`. `decide` gets the twin's snapshot and returns two arrays [N, K], for N
vehicles and K classes of tasks: the part of each task that goes to the edge server, and the server's speed for it.
The fields of the class are its options. `compare` runs all policies with the same random numbers.

    python own_policy.py
    twin compare rush-hour --policies ./own_policy.py:LateOnes,slack=0.8,greedy-latency --seeds 0..4
"""

from dataclasses import dataclass

import numpy as np

from vectwin import Decision, Scenario, compare


@dataclass
class LateOnes:
    """Offload tasks whose local delay, waiting included, is more than `slack` of their deadline."""

    slack: float = 1.0

    def reset(self, system, seed):
        """Keep what never changes."""
        self.system = system

    def decide(self, snapshot):
        """Decide one slot from what the twin believes."""
        system = self.system
        cycles = snapshot.size_bytes * system.cycles_per_byte  # [N, K]
        waiting_s = snapshot.cpu_backlog_cycles / system.cpu_hz  # [N]
        local_s = waiting_s[:, np.newaxis] + cycles / system.cpu_hz[:, np.newaxis]
        offloads = local_s > self.slack * system.deadline_s
        share = offloads * cycles
        return Decision(offloads.astype(float), share / max(share.sum(), 1.0) * system.server.frequency_hz)


if __name__ == "__main__":
    found = compare(
        Scenario.load("rush-hour", ["time.num_slot=100"]),
        {"late ones": LateOnes, "late ones, early": LateOnes(slack=0.5), "greedy-latency": "greedy-latency"},
        seeds=range(3),
        warmup=30,
    )
    for policy, means in found.means.items():
        values = (means[key].mean for key in ("penalty_mean", "deadline_miss_ratio", "energy_j_mean"))
        print("{:18} penalty {:6.2f}   missed {:.2f}   energy {:5.1f} J/slot".format(policy, *values))
