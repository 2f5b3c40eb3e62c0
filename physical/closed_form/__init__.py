"""Computes a slot in one call, from decisions to delays, energy and objective, without a simulation.

`slot` is the closed form of the dtecn paper, and `split` that of the llm6g paper.
"""
