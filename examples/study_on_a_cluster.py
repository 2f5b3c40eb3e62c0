"""A study on a cluster: Dask's workers give the same table as this process.

Without an address Dask starts two workers on this machine; with one, the workers of that scheduler do the work. The
policy below is a class of this script: it travels to the workers with its code. What finished stays in `out=`.

    pip install -c constraints.txt ".[dask]"
    python study_on_a_cluster.py
    python study_on_a_cluster.py tcp://10.0.0.1:8786
"""

import sys

import numpy as np

from vectwin import Decision, Scenario, compare

MEASURED = ("decision_ms", "vehicle_slots_per_s", "wall_s")  # what a clock measured is another number in every run


class HalfAway:
    """Offload half of every task, and share the server by what arrives."""

    def reset(self, system, seed):
        """Keep what never changes."""
        self.system = system

    def decide(self, snapshot):
        """Decide one slot."""
        cycles = 0.5 * snapshot.size_bytes * self.system.cycles_per_byte  # [N, K]
        half = np.full(cycles.shape, 0.5)
        return Decision(half, cycles / max(cycles.sum(), 1.0) * self.system.server.frequency_hz)


def table(found):
    """Return a row per policy and seed, without what was measured."""
    return [{key: row[key] for key in row if not key.startswith(MEASURED)} for row in found.rows()]


scenario = Scenario.load("rush-hour", ["time.num_slot=60"])
policies = {"half away": HalfAway, "greedy-latency": "greedy-latency", "p2-exact": "p2-exact"}
where = {"scheduler": sys.argv[1]} if sys.argv[1:] else {"num_worker": 2}
by_dask = compare(scenario, policies, range(4), "runs/on-a-cluster", warmup=20, executor="dask", **where)
in_process = compare(scenario, policies, range(4), warmup=20)

for policy, means in by_dask.means.items():
    penalty, missed = (means[key].mean for key in ("penalty_mean", "deadline_miss_ratio"))
    print(f"{policy:15} penalty {penalty:6.2f}   missed {missed:.2f}")
print(f"the same {len(table(by_dask))} rows in one process: {table(by_dask) == table(in_process)}")
