"""The second plane: task stages as columns, brought up to date by `DataPlane.advance` at every control event.

Everything about NumPy that makes the simulator fast is in here; the processes in `physical.entities` see `Fleet` only.
"""
