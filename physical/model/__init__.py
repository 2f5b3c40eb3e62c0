"""The formulas of the physical world, as pure functions on arrays with leading batch axes.

Each formula exists only here. Every docstring shows the equation, the units and the source.
"""
