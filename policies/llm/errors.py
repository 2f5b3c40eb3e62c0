"""What may go wrong while a language model decides; a module without llama.cpp, for processes that do not load it."""

from __future__ import annotations


class ModelError(Exception):
    """A decision that the model could not make; costs one slot its decision."""


class DeadlineExceededError(ModelError):
    """The deadline came before the end of the computation."""


class ContextOverflowError(ModelError):
    """The tokens do not fit into the context."""


class MalformedAnswerError(ModelError):
    """The model's answer is not the matrix that was asked for."""


class WorkerDiedError(ModelError):
    """The process that runs the model ended instead of answering."""
