"""Many runs: compares policies with the same random numbers, for one scenario or for a grid of scenarios.

Read `compare` and `sweep` first, which users call. They make `jobs` from `entrants`, and a `pool` runs them; `store`
keeps the results. `evaluation` turns results into a `comparison`, with `statistics` and `warmup`.
"""
