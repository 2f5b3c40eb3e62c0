"""A study: policies at several points of a grid, its rows in pandas, and a figure.

Every policy meets the same seeds, so differences between policies are paired. `out=` keeps finished runs: the same
script goes on where it was stopped. (`twin sweep` does the same on the command line.)

    pip install "vectwin[report]" pandas
    python study.py
"""

import pandas as pd
from matplotlib.figure import Figure

from vectwin import Scenario, sweep

KEY = "server.frequency_hz"
points = sweep(
    Scenario.load("rush-hour", ["time.num_slot=40"]),
    ["p2-exact", "greedy-latency"],
    {KEY: ["20 GHz", "40 GHz", "60 GHz"]},
    seeds=range(3),
    out="runs/study",
    warmup=15,
)
table = pd.DataFrame([row for point in points for row in point.rows()])  # one row per point, policy and seed
means = table.pivot_table(index=KEY, columns="policy", values="penalty_mean")
print(means.round(2).rename_axis(None).to_string())

paired = table.pivot_table(index=[KEY, "seed"], columns="policy", values="penalty_mean")
difference = (paired["greedy-latency"] - paired["p2-exact"]).groupby(KEY).agg(["mean", "min", "max"])
print("\npenalty of greedy-latency minus that of p2-exact, same seed")
print(difference.round(2).rename_axis(None).to_string())

figure = Figure(figsize=(5, 3), layout="constrained")
axes = figure.subplots()
means.plot(ax=axes, marker="o", xlabel="server", ylabel="penalty (lower is better)")
figure.savefig("study.svg")
print("\nfigure: study.svg")
