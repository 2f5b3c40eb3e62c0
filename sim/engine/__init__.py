"""The engine: the clock, and the world that it moves."""
