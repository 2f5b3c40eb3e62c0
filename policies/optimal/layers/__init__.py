"""Solvers of problem P1 of the llm6g paper (eq. 10): layer split, frequencies, transmit power, bandwidth.

Read `problem` first, the constants of a slot, then `cells` (vehicles by node), `frequency` and `bandwidth` (the best
resources), `bound` (the lower bound) and `search` with `flips`, `branch` and `prefix` (the optimum). `exact`,
`alternating` and `schemes` are the policies.
"""
