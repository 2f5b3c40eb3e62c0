"""A language model in the loop: it reads cases of good decisions, and decides the next slots.

`llm` shows the bundled model, a Llama of 3 million parameters, eight cases and the present state. `p2-exact` decides
the first 16 slots, which are the first cases. Decisions may differ in their last digits from machine to machine; what
is printed here does not.

    pip install "vectwin[llm]"
    python language_model.py
"""

from sim import replay
from vectwin import Scenario, run

scenario = Scenario.load("dtecn-congested", ["time.num_slot=24"])
result = run(scenario, policy="llm:guard=no", seed=1, out="runs/llm")
best = run(scenario, policy="p2-exact", seed=1)
prompts = result.table("prompts")
reused = sum(prompts["num_reused_token"].to_pylist()) / sum(prompts["num_token"].to_pylist())

print("decisions:", result.summary["decisions"])
print("of these by the model:", prompts.num_rows)
print("cases in each prompt:", sorted(set(prompts["num_case"].to_pylist())))
print("most of a prompt was in the model's cache already:", reused > 0.5)
print("decisions that failed:", result.summary["fallbacks"])
distance = result.summary["penalty_mean"] - best.summary["penalty_mean"]
print("penalty within 0.2 of p2-exact:", abs(distance) < 0.2)
print("a replay needs no model and is identical:", replay.verify("runs/llm").difference is None)
