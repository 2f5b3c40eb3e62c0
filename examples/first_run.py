"""A first run: what happened, what the twin believed, and what was decided.

Ten vehicles send reports to the twin over a radio link that takes 5 ms and loses every tenth message. The policy
`greedy-cost` decides once per slot of 100 ms. Every table of the trace is an Arrow table.

    python first_run.py
"""

from collections import Counter

import numpy as np

from vectwin import Scenario, run

scenario = Scenario.load(
    "rush-hour", ["time.num_slot=200", 'network.access.latency_s="5 ms"', "network.access.loss=0.1"]
)
result = run(scenario, policy="greedy-cost", seed=7, out="runs/first")

print("Summary")
for key in ("slots", "penalty_mean", "deadline_miss_ratio", "delay_s_mean", "energy_j_mean", "messages_lost"):
    print(f"  {key:20} {result.summary[key]:.3f}")

print("What happened: tasks")
outcomes = Counter(result.table("tasks")["outcome"].to_pylist())
for outcome, count in sorted(outcomes.items()):
    print(f"  {outcome:20} {count}")

print("What the twin believed")
belief = result.table("twin")
age_s = belief["age_of_information_s"].to_numpy()
error_m = np.abs(belief["position_error_m"].to_numpy())
print(f"  age of a report      {1e3 * age_s.mean():.1f} ms on average, {1e3 * age_s.max():.0f} ms at most")
print(f"  error of a position  {error_m.mean():.2f} m on average, {error_m.max():.2f} m at most")

print("What was decided")
ratio = np.array(result.table("decisions")["offloading_ratio"].to_pylist()).reshape(-1, 10, 3)
for name, part in zip(("control", "perception", "mapping"), ratio.mean(axis=(0, 1)), strict=True):
    print(f"  {name:20} {part:.2f} of the tasks' work goes to the edge server")

print("Trace:", ", ".join(sorted(path.name for path in result.directory.iterdir())))
