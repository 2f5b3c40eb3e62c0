"""Errors of a language model that decides. This module does not import llama.cpp, so that every process can load it."""

from __future__ import annotations


class ModelError(Exception):
    """The model could not make a decision; one slot has no decision of the model."""


class DeadlineExceededError(ModelError):
    """The deadline came before the end of the computation."""


class ContextOverflowError(ModelError):
    """The tokens do not fit into the context."""


class MalformedAnswerError(ModelError):
    """The model's answer is not the matrix that was asked for."""


class WorkerDiedError(ModelError):
    """The process that runs the model ended instead of answering."""
