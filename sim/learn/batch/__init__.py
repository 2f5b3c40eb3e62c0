"""Many independent environments at once, as arrays over the closed form of one slot."""

from sim.learn.batch.engine import BatchEnvironment
from sim.learn.batch.joint import JointBatchEnvironment

__all__ = ["BatchEnvironment", "JointBatchEnvironment"]
