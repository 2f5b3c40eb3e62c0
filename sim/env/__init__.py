"""PettingZoo environments; see `sim.learn.env`."""

from sim.learn.env import fast_parallel_env, parallel_env

__all__ = ["fast_parallel_env", "parallel_env"]
