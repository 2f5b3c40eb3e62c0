"""All that a script needs, from one place that sees to it that the packages below are ours.

>>> from vectwin import Scenario, run
>>> run(Scenario.load("dtecn", ["time.num_slot=2"]), policy="edge-equal").summary["slots"]
2
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from policies import Decision, Policy, TwinSnapshot, register
    from sim import RunResult, Scenario, compare, run, sweep

__all__ = ["Decision", "Policy", "RunResult", "Scenario", "TwinSnapshot", "compare", "register", "run", "sweep"]

_PLACES = {
    "Decision": "policies",
    "Policy": "policies",
    "RunResult": "sim",
    "Scenario": "sim",
    "TwinSnapshot": "policies",
    "compare": "sim",
    "register": "policies",
    "run": "sim",
    "sweep": "sim",
}
_PACKAGES = ("physical", "twin", "policies", "traces", "sim")


def check() -> None:
    """See that our packages are found, and nobody else's folders or files of the same names.

    Raises
    ------
    ImportError : one line that names what takes a package's place
    """
    root = Path(__file__).resolve().parents[1]
    for name in _PACKAGES:
        found = _place(name)
        if found is None:
            raise ImportError(f"vectwin's package {name} is not at {root}: install vectwin again")
        if found != root / name / "__init__.py":
            raise ImportError(
                f"{found} takes the place of vectwin's package {name}: "
                f"give it another name, or keep the script in a folder without it"
            )


def _place(name: str) -> Path | None:
    """Return where a top-level module is or would be imported from."""
    module = sys.modules.get(name)
    spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
    if module is not None and module.__file__:
        return Path(module.__file__).resolve()
    if spec is None:
        return None
    places = [spec.origin] if spec.origin else list(spec.submodule_search_locations or ())
    return Path(places[0]).resolve() if places else None


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for."""
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'vectwin' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "check"]


check()
