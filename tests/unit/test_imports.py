"""What is imported when: a run and a help text import what they use and nothing else."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from sim.cli.commands import COMMANDS
from tests.support.command import environment

pytestmark = pytest.mark.full

# Heavy libraries that a plain run has no use for.
UNUSED = (
    *("pandas", "networkx", "matplotlib", "plotly", "torch", "llama_cpp", "gguf", "safetensors", "cvxpy"),
    *("gymnasium", "pettingzoo", "scipy", "pyarrow.compute", "pyarrow.dataset", "pyarrow.csv", "pyarrow.pandas_compat"),
    *("traces.exogenous", "policies.optimal", "policies.llm", "policies.marl", "policies.cases.file"),
    *(
        "sim.batch",
        "sim.bench",
        "sim.studies.compare",
        "sim.learn.build_cases",
        "sim.env",
        "sim.show.export",
        "sim.show.figures",
        "sim.runs.replay",
    ),
    *("sim.show.report", "sim.learn.train", "sim.studies.statistics"),
)
# A help text needs none of the libraries that simulate.
UNUSED_BY_HELP = (*UNUSED, "numpy", "pyarrow", "pydantic", "simpy", "rich", "physical.model", "policies", "traces")
# What `import sim` brings is two names that are looked up when they are used.
UNUSED_BY_SIM = (*UNUSED_BY_HELP, "typer", "sim.scenario.scenario", "sim.runs.run")


def imported(code: str, directory: Path) -> set[str]:
    """Return the modules that are there after `code`, run by a process of its own."""
    script = f"import atexit, sys\natexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment(), cwd=directory
    )
    return set(done.stderr.split())


def call(*arguments: str) -> str:
    return f"from sim.cli import main\nmain({arguments!r})"


def within(modules: set[str], names: tuple[str, ...]) -> set[str]:
    """Return the modules that are one of `names`, or in a package of that name."""
    return {module for module in modules if any(f"{module}.".startswith(f"{name}.") for name in names)}


def test_the_names_are_there() -> None:
    """A module that has another name by now would never be found among those imported."""
    missing = [name for name in UNUSED_BY_SIM if importlib.util.find_spec(name) is None]
    extras = {"matplotlib", "plotly", "torch", "llama_cpp", "gguf", "safetensors", "cvxpy", "gymnasium", "pettingzoo"}
    assert set(missing) <= extras


@pytest.mark.parametrize("more", [(), ("--json",), ("--out", "there")])
def test_a_run_imports_what_it_uses(more: tuple[str, ...], tmp_path: Path) -> None:
    modules = imported(call("run", "dtecn", "--slots", "1", *more), tmp_path)
    assert modules >= {"numpy", "pyarrow.parquet", "pydantic", "simpy", "sim.runs.run"}
    assert not within(modules, UNUSED)


def test_messages_events_and_handovers_need_no_more(tmp_path: Path) -> None:
    """All tables, several nodes, vehicles that enter and leave, a fallback: what only those write imports no more."""
    late = ("twin.decision.latency=0.03", "twin.decision.deadline_s=0.02")
    settings = ("trace.messages=true", "network.access.loss=0.2", *late)
    code = call("run", "corridor", "--slots", "30", *(word for text in settings for word in ("--set", text)))
    assert not within(imported(code, tmp_path), UNUSED)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("run", "--help"), ("import", "--help")])
def test_a_help_text_imports_no_simulator(arguments: tuple[str, ...], tmp_path: Path) -> None:
    modules = imported(call(*arguments), tmp_path)
    assert "typer" in modules
    # Typer shows the types of options with Pydantic.
    assert not within(modules, tuple(name for name in UNUSED_BY_HELP if name != "pydantic" or len(arguments) == 1))


def test_the_list_of_commands_imports_none_of_them(tmp_path: Path) -> None:
    modules = imported(call("--help"), tmp_path)
    assert not modules & {entry.target.partition(":")[0] for entry in COMMANDS.values()}


def test_the_package_imports_nothing(tmp_path: Path) -> None:
    modules = imported("import sim", tmp_path)
    assert "sim" in modules
    assert not within(modules, UNUSED_BY_SIM)


def test_a_list_of_policies_imports_no_learning_library(tmp_path: Path) -> None:
    assert not within(imported(call("policies"), tmp_path), UNUSED)
