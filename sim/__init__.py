"""The simulator, in rooms; each imports only from the rooms below it.

From the ground up: `scenario` (what is simulated), `inputs` (what is drawn) and `record` (what is kept), `engine`,
`runs` (one run), `studies` (many runs), `learn`, `bench`, `show` and `cli`. `batch` and `env` are names for parts of
`learn`.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.runs import replay
    from sim.runs.run import RunResult, run
    from sim.scenario.scenario import Scenario
    from sim.studies.compare import compare
    from sim.studies.sweep import sweep

_PLACES = {
    "RunResult": "sim.runs.run",
    "Scenario": "sim.scenario.scenario",
    "compare": "sim.studies.compare",
    "run": "sim.runs.run",
    "sweep": "sim.studies.sweep",
}
_MODULES = {"replay": "sim.runs.replay"}

__all__ = ["RunResult", "Scenario", "compare", "replay", "run", "sweep"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for, so that ``twin --help`` is quick."""
    if name not in {*_PLACES, *_MODULES}:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    check_packages()
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    return getattr(importlib.import_module(_PLACES[name]), name)


def check_packages() -> None:
    """See that no file of the user's takes the place of one of our packages; her script may be called vectwin.py.

    Raises
    ------
    ImportError : one line that names the file
    """
    facade = Path(__file__).resolve().parents[1] / "vectwin" / "__init__.py"
    spec = importlib.util.find_spec("vectwin")
    if spec is not None and spec.origin is not None and Path(spec.origin).resolve() == facade:
        importlib.import_module("vectwin").check()
