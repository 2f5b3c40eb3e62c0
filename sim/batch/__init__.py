"""Many independent environments at once, as arrays over the closed form of one slot."""

from sim.batch.engine import BatchEnvironment
from sim.batch.joint import JointBatchEnvironment

__all__ = ["BatchEnvironment", "JointBatchEnvironment"]
