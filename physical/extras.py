"""Extras: which library belongs to which, and the sentence that says that one is missing."""

from __future__ import annotations

import importlib.util

from physical.errors import InputError

_EXTRAS = {
    "torch": "marl",
    "safetensors": "marl",
    "llama_cpp": "llm",
    "gguf": "llm",
    "matplotlib": "report",
    "gymnasium": "env",
    "pettingzoo": "env",
    "cvxpy": "dev",
    "dask": "dask",
    "distributed": "dask",
    "fsspec": "dask",
    "clarabel": "dev",
}

MODULES = {"marl": ("torch", "safetensors"), "llm": ("llama_cpp",)}
"""The libraries without which what an extra brings cannot run."""


def not_installed(extra: str) -> list[str]:
    """Return the libraries of an extra that are not there; nothing without an extra.

    >>> not_installed("")
    []
    """
    return [name for name in MODULES.get(extra, ()) if importlib.util.find_spec(name) is None]


def needs(extra: str, why: object, *, where: str = "", key: str = "") -> InputError:
    """Return the error that an extra is missing.

    >>> print(needs("marl", "No module named 'torch'", key="apg"))
    apg: needs the extra marl (No module named 'torch') (accepted: after pip install "vectwin[marl]")
    """
    problem, accepted = f"needs the extra {extra} ({why})", f'after pip install "vectwin[{extra}]"'
    return InputError(problem, where=where, key=key, accepted=accepted)


def missing(error: ImportError, where: str) -> InputError | None:
    """Return what to say of a library that is not there; None if no extra brings it.

    >>> missing(ModuleNotFoundError("No module named 'numpi'", name="numpi"), "twin")
    """
    extra = _EXTRAS.get((error.name or "").partition(".")[0])
    return None if extra is None else needs(extra, error, where=where)
