"""Classes and objects on their way between processes of ours: the only place that pickles. Nothing comes from disk.

cloudpickle takes along what other processes cannot import, or would import as it is in its file and not as it is by
now: classes of a script or a notebook, and those of a user's own modules, with the values that they refer to.
"""

from __future__ import annotations

import copy
import hashlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from physical.errors import InputError
from physical.printable import one_line
from policies.foreign.closure import is_installed, is_own
from policies.foreign.mistakes import said

# cloudpickle numbers the classes that travel by value at random; 32 characters as a pickle has them.
_CLASS_NUMBER = re.compile(rb"\x8c\x20[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}")


class Carried(NamedTuple):
    """A class or an object as bytes.

    data : for `unpickled`, in this process or a worker of it
    by_value : the code is in them, and what happens to its files does not matter
    """

    data: bytes
    by_value: bool

    @property
    def digest(self) -> str:
        """Digest of code and values; the same in every process, unless a set of texts is among them."""
        return hashlib.blake2b(_CLASS_NUMBER.sub(b"", self.data), digest_size=12).hexdigest()


_here: dict[bytes, Any] = {}
"""What this process has pickled: it needs no copy of a class, which would change the class itself."""


def pickled(value: Any, name: str) -> Carried:
    """Return a class or an object as bytes.

    name : what errors call it

    Raises
    ------
    InputError : it holds something that cannot travel: a file, a lock
    """
    import cloudpickle

    for each in (value if isinstance(value, type) else type(value)).__mro__:
        # What Python adds to a class when somebody looks at it, or pickles one of its objects, would change the bytes.
        getattr(each, "__annotations__", None)
        if "__slotnames__" in vars(each):
            with suppress(TypeError):
                del each.__slotnames__  # type: ignore[attr-defined]  # copyreg puts it there
    try:
        with _users_modules_by_value():
            carried = Carried(cloudpickle.dumps(value), by_value=True)
    except Exception:  # a module may hold what cannot travel, and its class need not refer to it
        try:
            carried = Carried(cloudpickle.dumps(value), by_value=False)
        except Exception as error:  # whatever the object's own code raises
            raise InputError(
                f"cannot travel to another process: {one_line(said(error))}", where=name, accepted="a class"
            ) from error
    _here[carried.data] = value
    return carried


def unpickled(data: bytes) -> Any:
    """Return what a process of ours pickled: a class itself, a copy of an object."""
    import cloudpickle

    if data not in _here:
        return cloudpickle.loads(data)
    value = _here[data]
    if isinstance(value, type):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # it holds a module, say
        return cloudpickle.loads(cloudpickle.dumps(value))


@contextmanager
def _users_modules_by_value() -> Iterator[None]:
    """Let classes and functions of modules that are neither installed nor ours travel with their code and values."""
    import cloudpickle

    modules = [module for name, module in list(sys.modules.items()) if _is_users(name, module)]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _is_users(name: str, module: Any) -> bool:
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or name == "__main__" or getattr(module, "__name__", "") != name:
        return False
    path = Path(file).resolve()
    return path.suffix == ".py" and not is_own(path) and not is_installed(path.parent)
