"""Simulates the tasks of all vehicles at once, with one array per property of a task (a column).

Read `pipeline` first: at every event, `DataPlane.advance` brings all tasks up to date. Then read `fleet` (vehicles),
`edge_server`, and `processes`, the SimPy processes that call them.
"""
