"""Classes and objects on their way between processes of ours: the only place that pickles. Nothing comes from disk.

cloudpickle takes along what other processes cannot import: classes of a script or a notebook.
"""

from __future__ import annotations

from typing import Any

from physical.errors import InputError


def pickled(value: Any, name: str) -> bytes:
    """Return a class or an object as bytes, for `unpickled` in this process or a worker of it.

    name : what errors call it

    Raises
    ------
    InputError : it holds something that cannot travel: a file, a lock
    """
    import cloudpickle

    try:
        data: bytes = cloudpickle.dumps(value)
    except Exception as error:  # whatever the object's own code raises
        raise InputError(f"cannot travel to another process: {error}", where=name, accepted="a class") from error
    return data


def unpickled(data: bytes) -> Any:
    """Return a copy of what a process of ours pickled."""
    import cloudpickle

    return cloudpickle.loads(data)
