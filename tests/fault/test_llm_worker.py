"""A model's process that dies, hangs or talks nonsense costs one call, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from physical.errors import InputError
from policies.llm.errors import (
    ContextOverflowError,
    DeadlineExceededError,
    MalformedAnswerError,
    ModelError,
    WorkerDiedError,
)
from policies.llm.text import worker
from policies.llm.text.completion import Question
from policies.llm.text.worker import Worker

ANSWER = {
    "text": "[[0.500, 0.500]]",
    "num_prompt_token": 1,
    "num_reused_token": 0,
    "num_answer_token": 1,
    "prefill_s": 0.0,
    "decode_s": 0.0,
    "prompt_digest": "",
}
# `asked` is the query; `first` holds for the first child only.
CHILD = """
import json, os, signal, sys, time
mark = json.loads(sys.argv[2])["path"]
first = not os.path.exists(mark)
open(mark, "w").close()
def say(message):
    print(json.dumps(message), flush=True)
{at_start}
say({{"result": {{}}}})
for line in sys.stdin:
    asked = json.loads(line)["question"]["query"]
{at_call}
    say({{"result": {answer!r}}})
"""


def script(at_call: str = "", at_start: str = "") -> str:
    """Return the program of a child that does this."""
    return CHILD.format(at_start=at_start, at_call="\n".join(f"    {line}" for line in [at_call]), answer=ANSWER)


def ask(model: Worker, query: str = "", deadline_s: float | None = None) -> str:
    return model.complete(Question("", query, 1, 2), deadline_s).text


KILLED = "os.kill(os.getpid(), signal.{name})"


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
def test_a_dead_child_costs_one_call(name: str, tmp_path: Path) -> None:
    program = script(at_call="if asked == 'die': " + KILLED.format(name=name))
    with Worker(tmp_path / "mark", program=program) as model:
        assert ask(model) == ANSWER["text"]
        for count in range(1, 5):
            with pytest.raises(WorkerDiedError, match=f"died of {name}"):
                ask(model, "die")
            assert ask(model) == ANSWER["text"]
            assert (model.num_death, model.num_restart) == (count, count)


def test_a_child_that_ends_says_why(tmp_path: Path) -> None:
    program = script(at_call="if asked == 'die': sys.exit('out of memory')")
    with (
        Worker(tmp_path / "mark", program=program) as model,
        pytest.raises(WorkerDiedError, match="status 1: out of memory"),
    ):
        ask(model, "die")


def test_deaths_in_a_row_are_the_end(tmp_path: Path) -> None:
    program = script(at_call="if asked == 'die': " + KILLED.format(name="SIGSEGV"))
    with Worker(tmp_path / "mark", program=program) as model:
        for _ in range(worker.MAX_DEATHS):
            with pytest.raises(WorkerDiedError):
                ask(model, "die")
        for _ in range(3):
            with pytest.raises(ModelError, match="not started again"):
                ask(model)
        assert model.pid is None
        assert model.num_restart == worker.MAX_DEATHS - 1


def test_a_model_that_crashes_at_the_probe_is_bad_input(tmp_path: Path) -> None:
    program = script(at_start=KILLED.format(name="SIGSEGV"))
    with pytest.raises(InputError, match="died of SIGSEGV"):
        Worker(tmp_path / "mark", program=program)


def test_a_child_that_dies_while_starting_again_costs_a_call(tmp_path: Path) -> None:
    program = script(
        at_call="if asked == 'die': " + KILLED.format(name="SIGKILL"),
        at_start="if not first: " + KILLED.format(name="SIGSEGV"),
    )
    with Worker(tmp_path / "mark", program=program) as model:
        for query in ("die", "", ""):
            with pytest.raises(WorkerDiedError):
                ask(model, query)
        with pytest.raises(ModelError, match="not started again"):
            ask(model)


def test_a_hanging_child_is_killed(tmp_path: Path) -> None:
    program = script(at_call="if asked == 'hang': time.sleep(1000)")
    with Worker(tmp_path / "mark", program=program, grace_s=0.05) as model:
        pid = model.pid
        assert pid is not None
        with pytest.raises(DeadlineExceededError, match="killed"):
            ask(model, "hang", deadline_s=0.05)
        assert not alive(pid)
        assert ask(model, deadline_s=60.0) == ANSWER["text"]


def test_a_stopped_child_cannot_block_a_long_prompt(tmp_path: Path) -> None:
    program = script()
    with Worker(tmp_path / "mark", program=program, grace_s=0.05) as model:
        assert model.pid is not None
        os.kill(model.pid, signal.SIGSTOP)
        with pytest.raises(DeadlineExceededError, match="killed"):
            ask(model, "x" * 1_000_000, deadline_s=0.05)
        assert ask(model, "x" * 1_000_000) == ANSWER["text"]


def test_a_child_that_is_still_loading_is_left_alone(tmp_path: Path) -> None:
    program = script(
        at_call="if asked == 'die': " + KILLED.format(name="SIGKILL"),
        at_start="if not first: sys.stdin.readline()",
    )
    with Worker(tmp_path / "mark", program=program) as model:
        with pytest.raises(WorkerDiedError):
            ask(model, "die")
        with pytest.raises(DeadlineExceededError, match="starting"):
            ask(model, deadline_s=0.01)
        pid = model.pid
        with pytest.raises(DeadlineExceededError, match="starting"):
            ask(model, deadline_s=0.01)
        assert model.pid == pid
        assert model.num_restart == 1


def test_a_child_that_talks_nonsense_is_ended(tmp_path: Path) -> None:
    program = script(at_call="if asked == 'talk': print('llama_model_loader: hello', flush=True)")
    with Worker(tmp_path / "mark", program=program) as model:
        with pytest.raises(WorkerDiedError):
            ask(model, "talk")
        assert ask(model) == ANSWER["text"]


@pytest.mark.parametrize(
    ("reported", "kind"),
    [("ContextOverflowError", ContextOverflowError), ("MalformedAnswerError", MalformedAnswerError)],
)
def test_a_childs_error_is_the_parents(reported: str, kind: type[Exception], tmp_path: Path) -> None:
    message = {"error": reported, "text": "too long"}
    program = script(at_call=f"if asked == 'fail': say({message!r}); continue")
    with Worker(tmp_path / "mark", program=program) as model:
        with pytest.raises(kind, match="too long"):
            ask(model, "fail")
        assert ask(model) == ANSWER["text"]
        assert model.num_death == 0


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that has ended stays until its parent, here whoever adopted it, has asked for its status.
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] != "Z"


PARENT = """
import sys
from pathlib import Path
from policies.llm.text.worker import Worker
from policies.llm.text.completion import Question
model = Worker(Path(sys.argv[1]), program=sys.argv[2])
print(model.pid, flush=True)
try:
    model.complete(Question("", "hang", 1, 2))
except KeyboardInterrupt:
    print("stopped", model.pid, flush=True)
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that waits for a worker's answer, which never comes."""
    program = script(at_call="if asked == 'hang': time.sleep(1000)")
    hearing = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = program.replace("for line in sys.stdin:", READING)
    process = subprocess.Popen(
        [sys.executable, "-c", hearing + PARENT, str(tmp_path / "mark"), code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    yield process
    process.kill()
    process.communicate()


# What `serve` does about its input, around the scripted answers.
READING = """import queue, threading
from policies.llm.text.worker import _read_lines
sys.path[:] = json.loads(sys.argv[1])
lines = queue.Queue()
threading.Thread(target=_read_lines, args=(sys.stdin.buffer, lines), daemon=True).start()
while line := lines.get():"""


def child_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def wait_until_dead(pid: int) -> None:
    ends_s = time.monotonic() + 30
    while alive(pid):
        assert time.monotonic() < ends_s, "the child outlives its parent"
        time.sleep(0.02)


@pytest.mark.full
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_child_dies_with_its_parent(name: str, parent: subprocess.Popen[str]) -> None:
    pid = child_of(parent)
    parent.send_signal(signal.Signals[name])
    parent.wait()
    wait_until_dead(pid)


@pytest.mark.full
def test_ctrl_c_is_for_the_parent(parent: subprocess.Popen[str]) -> None:
    pid = child_of(parent)
    time.sleep(0.2)  # so that it waits for the answer
    os.killpg(parent.pid, signal.SIGINT)
    out, err = parent.communicate(timeout=30)
    assert (out, err) == ("stopped None\n", "")
    wait_until_dead(pid)
