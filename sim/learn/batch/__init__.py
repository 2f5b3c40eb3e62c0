"""Many independent environments at once, as arrays, which use the closed form of one slot.

Read `engine` first, then `joint`, the same for joint allocation.
"""

from sim.learn.batch.engine import BatchEnvironment
from sim.learn.batch.joint import JointBatchEnvironment

__all__ = ["BatchEnvironment", "JointBatchEnvironment"]
