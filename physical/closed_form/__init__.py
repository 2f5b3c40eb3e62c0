"""A slot in one call: decisions to delays, energy and objective, without a simulation."""
