"""Without its extra, whatever needs one says so in one line that names the extra and how to install it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from policies import registry
from tests.support.command import environment

HIDDEN = {
    "marl": ["torch", "safetensors"],
    "llm": ["llama_cpp", "gguf"],
    "report": ["matplotlib"],
    "env": ["gymnasium", "pettingzoo"],
    "dask": ["dask", "distributed"],
}
COMMANDS = {
    "run dtecn --slots 2 --policy llm": "--policy: llm: needs the extra llm (No module named 'llama_cpp')",
    "run dtecn --slots 2 --policy llm:model=smollm2": "--policy: llm: needs the extra llm",
    "run dtecn --slots 2 --policy apg": "--policy: apg: needs the extra marl (No module named 'torch')",
    "run dtecn --slots 2 --policy ./mine.py:Mine": "--policy: ./mine.py: cannot be imported: ModuleNotFoundError",
    "cases build dtecn --policy llm --count 2 --out c.parquet": "--policy: llm: needs the extra llm",
    "compare dtecn --policies random,llm --seeds 0 --slots 2 --out c": "--policies: llm: needs the extra llm",
    "compare dtecn --policies random --seeds 0 --slots 2 --out c --plot a.svg": "needs the extra report",
    "compare dtecn --policies random --seeds 0 --slots 2 --out d --executor dask": "--executor: needs the extra dask",
    "figures dtecn --out f": "twin figures: needs the extra report (No module named 'matplotlib')",
    "train apg dtecn --out a.safetensors": "train: needs the extra marl (No module named 'torch')",
    "models train --out m.gguf": "models: needs the extra",
    "bench training": "twin: needs the extra marl (No module named 'torch')",
    "bench llm": "twin: needs the extra llm (No module named 'llama_cpp')",
    "bench heldout": "twin: needs the extra llm (No module named 'llama_cpp')",
    "bench kernel_": "NAME: there is no bench 'kernel_'",
}
PYTHON = {
    "from sim.env import parallel_env; parallel_env('dtecn')": "needs the extra env (No module named 'gymnasium')",
    "from sim.env import fast_parallel_env; fast_parallel_env('dtecn')": "needs the extra env (",
    "from sim.batch import BatchEnvironment; BatchEnvironment(S, num_environment=1, library='torch')": "extra marl",
    "from sim import run; run(S, policy='llm')": "--policy: llm: needs the extra llm (No module named 'llama_cpp')",
    "from policies import make; make('maddpg')": "--policy: maddpg: needs the extra marl (No module named 'torch')",
}
SCRIPT = """
import importlib.machinery, io, json, sys
from contextlib import redirect_stderr, redirect_stdout
hidden, commands, python = json.load(sys.stdin)
look = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = lambda name, *more: None if name in hidden else look(name, *more)
from sim import Scenario
from sim.cli import main
from physical.errors import InputError
S = Scenario.load("dtecn", ["time.num_slot=2"])
found = {}
for command in commands:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(command.split())
        except SystemExit as ended:
            code = ended.code
    found[command] = [code, err.getvalue()]
for text in python:
    call, _, rest = text.partition("; ")
    try:
        eval(compile(call, "x", "exec"))
        eval(rest)
    except InputError as error:
        found[text] = [2, str(error)]
print(json.dumps(found))
"""


@pytest.mark.full
def test_each_missing_library_is_one_line_that_names_its_extra(tmp_path: Path) -> None:
    hidden = [name for names in HIDDEN.values() for name in names]
    (tmp_path / "mine.py").write_text("import torch\n\nclass Mine: ...\n", "utf-8")
    root = str(Path(registry.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([hidden, list(COMMANDS), list(PYTHON)]),
        cwd=tmp_path,
        env=environment(PYTHONPATH=root),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for text, words in (COMMANDS | PYTHON).items():
        code, told = found[text]
        assert (code, words in told, told.strip().count("\n")) == (2, True, 0), (text, told)
        if "needs the extra" in words:
            assert 'pip install "vectwin[' in told
