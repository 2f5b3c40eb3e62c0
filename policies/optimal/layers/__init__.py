"""Solvers of problem P1 of the llm6g paper (eq. 10): layer split, frequencies, transmit power, bandwidth."""
