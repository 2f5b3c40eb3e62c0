"""The examples: each has one idea, at most 60 lines, public names only, and prints what the file beside it says."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py"))}
LINES_MAX = 60
QUICK = {"first_run", "closed_form", "sumo_import"}
"""The others are in `make test`, not in `make check`."""
EXTRAS = {
    "language_model": {"llama_cpp": "llm"},
    "pettingzoo_learner": {"pettingzoo": "env"},
    "study_on_a_cluster": {"distributed": "dask"},
    "study": {"matplotlib": "report", "pandas": "dev"},
}
PUBLIC = {"vectwin", "sim", "sim.batch", "sim.env", "traces.exogenous"}
"""Our modules that examples may import from."""
OURS = {"vectwin", "sim", "traces", "policies", "twin", "physical", "tests"}
PUBLIC_OF_SIM = {"Scenario", "run", "compare", "sweep", "RunResult", "replay"}

NAMES = [pytest.param(name, id=name, marks=[] if name in QUICK else [pytest.mark.full]) for name in EXAMPLES]


@pytest.mark.parametrize("name", NAMES)
def test_prints_what_the_file_beside_it_says(name: str, tmp_path: Path) -> None:
    for module, extra in EXTRAS.get(name, {}).items():
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module} of the extra {extra}")
    shared = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES[name])],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": shared},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    expected = EXAMPLES[name].with_suffix(".out").read_text("utf-8")
    lines = difflib.unified_diff(expected.splitlines(), done.stdout.splitlines(), f"{name}.out", "printed", lineterm="")
    assert done.stdout == expected, "\n".join(lines)


def test_every_example_has_its_output_and_no_output_is_left_over() -> None:
    assert len(EXAMPLES) >= 7
    assert {path.stem for path in (ROOT / "examples").glob("*.out")} == EXAMPLES.keys()
    assert EXAMPLES.keys() >= QUICK | EXTRAS.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_is_short_and_says_what_it_is(name: str) -> None:
    text = EXAMPLES[name].read_text("utf-8")
    assert len(text.splitlines()) <= LINES_MAX
    about = ast.get_docstring(ast.parse(text)) or ""
    assert about.splitlines()[0].endswith((".", "?"))
    assert f"python {name}.py" in about


@pytest.mark.parametrize("name", EXAMPLES)
def test_imports_public_names_only(name: str) -> None:
    for node in ast.walk(ast.parse(EXAMPLES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not [alias.name for alias in node.names if alias.name.split(".")[0] in OURS]
        elif isinstance(node, ast.ImportFrom) and (module := node.module or "").split(".")[0] in OURS:
            assert module in PUBLIC
            if module == "sim":
                assert {alias.name for alias in node.names} <= PUBLIC_OF_SIM
