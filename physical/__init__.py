"""The physical world: equations, parameters, and the life of tasks.

`model` holds the formulas, `params` the keys of a scenario, and `system` their values as arrays. `columns` simulates
the tasks of all vehicles, and `closed_form` computes a slot in one call. The other files are small tools for all
packages.
"""
