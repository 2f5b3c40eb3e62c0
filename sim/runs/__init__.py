"""One run, from a scenario and a policy to a trace and a summary; and replays of recorded runs.

Read `run` first, then `summary` and `replay`. `check` and `fitting` look at files and policies without a run.
"""
