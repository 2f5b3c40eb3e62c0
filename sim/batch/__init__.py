"""Many independent environments at once; see `sim.learn.batch`."""

from sim.learn.batch import BatchEnvironment, JointBatchEnvironment

__all__ = ["BatchEnvironment", "JointBatchEnvironment"]
