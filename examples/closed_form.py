"""Thousands of environments at once: the closed form of a slot as arrays [environment, vehicle, class].

Every environment offloads the same part of every task and shares its server equally. What does that part cost? The
closed form knows no waiting; the event simulator (`vectwin.run`) does.

    python closed_form.py
"""

import numpy as np

from sim.batch import BatchEnvironment
from vectwin import Scenario

NUM_ENVIRONMENT, NUM_SLOT = 1000, 5
scenario = Scenario.load("dtecn-congested")

print("part offloaded   mean objective   95 % of the environments")
for part in (0.0, 0.25, 0.5, 0.75, 1.0):
    batch = BatchEnvironment(scenario, NUM_ENVIRONMENT, seed=1)  # the same seed: the same tasks and channels
    equal_hz = scenario.system().server.frequency_hz / batch.observe().size_bytes[0].size
    costs = []
    for _ in range(NUM_SLOT):
        ratio = np.full_like(batch.observe().size_bytes, part)
        outcome = batch.step(ratio, equal_hz * (ratio > 0))
        costs.append(outcome.objective)  # [environment]
    mean = np.mean(costs, axis=0)
    low, high = np.quantile(mean, [0.025, 0.975])
    print(f"{part:14.2f}   {mean.mean():14.2f}   {low:8.2f} to {high:.2f}")
