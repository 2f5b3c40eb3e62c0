"""The physical world as SimPy processes: vehicles, base station and edge server."""
