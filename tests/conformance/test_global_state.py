"""Nothing that runs leaves a trace in its process: random numbers, threads, signals, warnings, the collector."""

from __future__ import annotations

import decimal
import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from policies.registry import specs
from sim.batch import BatchEnvironment
from sim.learn.batch.joint import JointBatchEnvironment
from sim.runs.run import run
from sim.scenario.scenario import Scenario

torch = pytest.importorskip("torch", reason="needs the extra marl")
# Nobody may draw from these two; here they are looked at.
python_random: Any = import_module("random")
numpy_random: Any = import_module("numpy.random")


def _state() -> dict[str, Any]:
    """Return what belongs to the process, and not to who computes in it."""
    root = logging.getLogger()
    return {
        "random": python_random.getstate(),
        "numpy": repr(numpy_random.get_state(legacy=False)),
        "torch": torch.random.get_rng_state().tolist(),
        "torch threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch modes": (
            torch.get_default_dtype(),
            torch.are_deterministic_algorithms_enabled(),
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.get_float32_matmul_precision(),
            torch.backends.cudnn.benchmark,
            torch.backends.cudnn.deterministic,
        ),
        "environ": dict(os.environ),
        "warnings": list(warnings.filters),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "gc": (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()),
        "errstate": np.geterr(),
        "print options": repr(np.get_printoptions()),
        "arrow": (pa.cpu_count(), pa.io_thread_count(), pa.default_memory_pool().backend_name),
        "logging": (root.level, list(root.handlers), logging.root.manager.disable),
        "place": (Path.cwd(), list(sys.path)),
        "python": (sys.getrecursionlimit(), sys.getswitchinterval(), sys.excepthook, sys.stdout, sys.stderr),
        "decimal": repr(decimal.getcontext()),
        "threads": {thread.name for thread in threading.enumerate()},
    }


@contextmanager
def _unchanged() -> Iterator[None]:
    before = _state()
    yield
    after = _state()
    assert [name for name in before if before[name] != after[name]] == []


_INSTALLED = [name for name, spec in specs().items() if spec.installed]
_OF_LAYERS = {"layers-exact", "ao-sqp-fp", "rlor", "rrlo"}
_OPTIONS = {"llm": ":start=1,cases=1"}


@pytest.fixture(scope="module", autouse=True)
def _everything_is_imported() -> None:
    """Import what policies import: how a library begins is its own affair."""
    for name in _INSTALLED:
        _run(name, 1)
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))]).step()


def _run(name: str, num_slot: int, **more: Any) -> None:
    scenario = "llm6g" if name in _OF_LAYERS else "dtecn"
    settings = [f"time.num_slot={num_slot}", "vehicles.num_vehicle=4"]
    run(Scenario.load(scenario, settings), policy=name + _OPTIONS.get(name, ""), seed=1, **more)


@pytest.mark.parametrize("name", _INSTALLED)
def test_a_run_leaves_the_process_as_it_was(name: str, tmp_path: Path) -> None:
    with _unchanged():
        _run(name, 3, out=tmp_path / "run")


def test_the_look_sees_what_a_policy_must_not_do() -> None:
    """The test itself can fail: each of these is seen."""
    before, threads = _state(), torch.get_num_threads()
    with warnings.catch_warnings():
        torch.rand(1)
        numpy_random.rand()
        python_random.random()
        torch.set_num_threads(threads + 1)
        warnings.simplefilter("ignore")
        gc.freeze()
        changed = {name for name, value in _state().items() if value != before[name]}
        gc.unfreeze()
        torch.set_num_threads(threads)
    assert changed == {"torch", "numpy", "random", "torch threads", "warnings", "gc"}


def test_what_a_caller_has_frozen_stays_frozen() -> None:
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        _run("local-only", 2)
        assert gc.get_freeze_count() > 0.9 * count  # less what is needed no more
    finally:
        gc.unfreeze()


def test_runs_leave_no_garbage_that_nobody_looks_for() -> None:
    """Python walks what is old only when much has grown old, which it does not count while a run freezes the world."""
    _run("local-only", 2)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        _run("local-only", 2)
    assert (len(gc.get_objects()) - before) / 20 < 100  # the processes of a run and their events are some 400


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_the_batch_engine_leaves_the_process_as_it_was(library: Any) -> None:
    for_bytes = Scenario.load("dtecn")
    with _unchanged():
        environment = BatchEnvironment(for_bytes, 2, 1, library=library)
        ratio = environment.observe().size_bytes * 0
        environment.step(ratio, ratio)
        environment.reset(2)
        joint = JointBatchEnvironment(Scenario.load("llm6g"), 2, 1, library=library)
        joint.reset()


@pytest.mark.parametrize("algorithm", ["apg", "ddpg", "maddpg"])
def test_training_leaves_the_process_as_it_was(algorithm: str, tmp_path: Path) -> None:
    from sim.learn import train

    scenario = Scenario.load("dtecn", ["vehicles.num_vehicle=4"])
    with _unchanged():
        train.train(train.TrainingJob(algorithm, scenario, "dtecn", seed=1, steps=2), tmp_path / "a.safetensors")


def test_the_network_of_a_language_model_leaves_the_process_as_it_was() -> None:
    from policies.llm.bundled.training.network import Network, Shape

    with _unchanged():
        Network(Shape(), 1)


@pytest.mark.parametrize("kind", ["parallel_env", "fast_parallel_env"])
def test_an_environment_leaves_the_process_as_it_was(kind: str) -> None:
    pytest.importorskip("pettingzoo", reason="needs the extra env")
    from sim import env

    with _unchanged():
        made = getattr(env, kind)("dtecn", num_slot=2)
        made.reset(seed=1)
        made.step({agent: np.full(6, 0.5, dtype=np.float32) for agent in made.agents})


class _Counts:
    """Tells in how many threads torch computes while an actor is asked."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.seen: set[int] = set()

    def __call__(self, features: Any) -> Any:
        self.seen.add(torch.get_num_threads())
        return self.actor(features)


@pytest.mark.parametrize(("option", "wanted"), [("", 1), (":threads=2", 2)])
def test_a_learned_policy_decides_in_as_many_threads_as_it_is_told(option: str, wanted: int) -> None:
    from policies.registry import make

    policy: Any = make(f"apg{option}")
    reset = policy.reset

    def watched(system: Any, seed: int) -> None:
        reset(system, seed)
        policy._actor = _Counts(policy._actor)

    policy.reset = watched
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run(Scenario.load("dtecn", ["time.num_slot=2"]), policy=policy, seed=1)
        assert policy._actor.seen == {wanted}
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
