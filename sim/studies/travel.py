"""Sends classes and objects from one of our processes to another. Only this module pickles; nothing comes from disk.

Other processes cannot import the classes of a script or a notebook. They would import the classes of a user's own
modules as they are in the file, not as they are now. cloudpickle sends such classes with their code and with the values
to which they refer.
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

# cloudpickle gives a random number to every class that is sent by value: 32 characters of the pickle.
_CLASS_NUMBER = re.compile(rb"\x8c\x20[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}")


class Carried(NamedTuple):
    """A class or an object as bytes.

    data : bytes for `unpickled`, in this process or one of its workers
    by_value : whether the bytes hold the code, so that later changes of files do not matter
    """

    data: bytes
    by_value: bool

    @property
    def digest(self) -> str:
        """Digest of code and values. It is equal in every process, unless the values hold a set of texts."""
        return hashlib.blake2b(_CLASS_NUMBER.sub(b"", self.data), digest_size=12).hexdigest()


_here: dict[bytes, Any] = {}
"""What this process has pickled. It takes a class from here, because a copy would be another class."""


def pickled(value: Any, name: str) -> Carried:
    """Return a class or an object as bytes.

    name : its name in errors

    Raises
    ------
    InputError : it holds something that cannot be pickled, such as an open file or a lock
    """
    import cloudpickle

    for each in (value if isinstance(value, type) else type(value)).__mro__:
        # Python adds attributes to a class when its objects are pickled or inspected. They would change the bytes.
        getattr(each, "__annotations__", None)
        if "__slotnames__" in vars(each):
            with suppress(TypeError):
                del each.__slotnames__  # type: ignore[attr-defined]  # copyreg puts it there
    try:
        with _users_modules_by_value():
            carried = Carried(cloudpickle.dumps(value), by_value=True)
    except Exception:  # a module may hold things that cannot be pickled; the class need not refer to them
        try:
            carried = Carried(cloudpickle.dumps(value), by_value=False)
        except Exception as error:  # whatever the object's own code raises
            raise InputError(
                f"cannot travel to another process: {one_line(said(error))}", where=name, accepted="a class"
            ) from error
    _here[carried.data] = value
    return carried


def packed(value: Any) -> bytes:
    """Return plain data of ours, such as a job, as bytes for `unpickled`: who hands them on need not know its class."""
    import cloudpickle

    data: bytes = cloudpickle.dumps(value)
    return data


def unpickled(data: bytes) -> Any:
    """Return what one of our processes pickled: the class itself, or a copy of the object."""
    import cloudpickle

    if data not in _here:
        return cloudpickle.loads(data)
    value = _here[data]
    if isinstance(value, type):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # for example because it holds a module
        return cloudpickle.loads(cloudpickle.dumps(value))


@contextmanager
def _users_modules_by_value() -> Iterator[None]:
    """Pickle classes and functions by value, with their code, if their modules are neither installed nor ours."""
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
