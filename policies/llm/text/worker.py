"""Runs a text model in another process, so that a crash costs decisions but not the run.

Parent and child exchange lines of JSON through two pipes. The child ends when its standard input ends, which always
happens when the parent ends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

from physical.errors import InputError
from physical.extras import needs
from policies.llm import errors
from policies.llm.errors import DeadlineExceededError, ModelError, WorkerDiedError
from policies.llm.header import ACCEPTED
from policies.llm.text.completion import Completion, Method, Question

GRACE_S = 2.0
"""Time beyond the deadline after which a child that does not answer is killed."""
LOADING_S = 600.0
"""Time for the loading of a model."""
MAX_DEATHS = 3
"""After this number of deaths in a row, no child is started any more."""

# The child finds the same modules as its parent, wherever they are.
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from policies.llm.text.worker import serve; serve()"
_ERRORS = {
    kind.__name__: kind
    for kind in (
        errors.ModelError,
        errors.DeadlineExceededError,
        errors.ContextOverflowError,
        errors.MalformedAnswerError,
    )
}


class Worker:
    """A child process with one text model.

    Parameters
    ----------
    path : GGUF file
    method : how answers are made
    num_thread : threads
    num_gpu_layer : layers on the GPU; -1: all

    Raises
    ------
    InputError : `TextModel` refuses the file, or llama.cpp crashes with it

    Attributes
    ----------
    num_restart : number of children after the first one
    num_death : children that died or had to be killed
    """

    def __init__(
        self,
        path: Path,
        method: Method = "text",
        *,
        num_thread: int = 1,
        num_gpu_layer: int = 0,
        program: str = _START,
        grace_s: float = GRACE_S,
    ) -> None:
        self._program, self._grace_s = program, grace_s
        self.num_restart = 0
        self.num_death = 0
        self._deaths_in_a_row = 0
        self._model = {"path": str(path), "method": method, "num_thread": num_thread, "num_gpu_layer": num_gpu_layer}
        self._child: _Child | None = _Child(self._program, self._model)
        try:
            self._wait_until_loaded(None)
        except ModelError as error:
            self.close()
            raise InputError(str(error), where=str(path), accepted=ACCEPTED) from None
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """Process identifier of the child; None without one."""
        return None if self._child is None else self._child.pid

    def complete(self, question: Question, deadline_s: float | None = None) -> Completion:
        """Return an action matrix as text; see `TextModel.complete`.

        Raises
        ------
        InputError, ModelError : as the model does
        DeadlineExceededError : the deadline is over, which may happen while a new child is still loading its model
        WorkerDiedError : the child ended; the next call starts another one
        """
        return Completion(**self._call("complete", question, deadline_s))

    def reserve(self, question: Question) -> None:
        """Make room for prompts of this length; see `TextModel.reserve`.

        Raises
        ------
        ModelError : as the model does
        """
        self._call("reserve", question, None)

    def read(self, question: Question) -> None:
        """Read a prompt in advance; see `TextModel.read`.

        Raises
        ------
        ModelError : as the model does
        """
        self._call("read", question, None)

    def close(self) -> None:
        """End the child; a later call starts another one."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def __enter__(self) -> Worker:
        """Return the worker."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self.close()

    def _call(self, what: str, question: Question, deadline_s: float | None) -> dict[str, Any]:
        """Call a method of the model in the child."""
        message: dict[str, Any] = {"call": what, "question": question._asdict()}
        begin = time.monotonic()
        self._restart()
        self._wait_until_loaded(deadline_s)
        limit_s = None
        if deadline_s is not None:
            left_s = max(deadline_s - (time.monotonic() - begin), 0.0)
            message["deadline_s"] = left_s
            limit_s = left_s + self._grace_s
        answer = self._exchange(message, limit_s)
        self._deaths_in_a_row = 0
        return _checked(answer)

    def _restart(self) -> None:
        """Start a child if there is none, unless that has failed too often."""
        if self._deaths_in_a_row >= MAX_DEATHS:
            raise ModelError(f"the model's process died {MAX_DEATHS} times in a row; it is not started again")
        if self._child is None:
            self._child = _Child(self._program, self._model)
            self.num_restart += 1

    def _wait_until_loaded(self, limit_s: float | None) -> None:
        """Wait for the child's first message.

        A child that is still loading its model at the deadline continues, so that a later call finds it ready.
        """
        child = self._child
        if child is None or child.is_ready:
            return
        loading_s = max(child.began_s + LOADING_S - time.monotonic(), 0.0)
        if limit_s is not None and limit_s < loading_s:
            try:
                answer = child.receive(limit_s)
            except TimeoutError:
                raise DeadlineExceededError("the deadline came while the model's process was starting") from None
            except EOFError:
                raise self._died() from None
        else:
            answer = self._exchange(None, loading_s)
        try:
            _checked(answer)
        except BaseException:
            self.close()
            raise
        child.is_ready = True

    def _exchange(self, message: dict[str, Any] | None, limit_s: float | None) -> dict[str, Any]:
        """Send a message, if there is one, and return the answer; a child that does not answer is ended."""
        child = self._child
        if child is None:
            raise ModelError("the worker is closed")
        ends_s = None if limit_s is None else time.monotonic() + limit_s
        try:
            if message is not None:
                child.send(message, limit_s)
            return child.receive(None if ends_s is None else max(ends_s - time.monotonic(), 0.0))
        except TimeoutError:
            self._count_death()
            self.close()
            raise DeadlineExceededError(
                f"the model's process did not answer in {limit_s:.1f} s and was killed"
            ) from None
        except (EOFError, OSError, ValueError):
            raise self._died() from None
        except BaseException:
            # After an interrupt in the middle of an exchange, a late answer would look like that to another question.
            self.close()
            raise

    def _died(self) -> WorkerDiedError:
        """Remove a child that has ended, and return a sentence about its end."""
        self._count_death()
        how = "ended"
        if self._child is not None:
            how = self._child.end()
            self._child = None
        return WorkerDiedError(f"the model's process {how}")

    def _count_death(self) -> None:
        self.num_death += 1
        self._deaths_in_a_row += 1


class _Child:
    """One child process and the pipes to it; sending and receiving can time out."""

    def __init__(self, program: str, model: dict[str, Any]) -> None:
        self.is_ready = False
        self.began_s = time.monotonic()
        # A file, because a pipe could fill up. The last words of a dying child are part of the error.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 it lives as long as the child
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", program, json.dumps(sys.path), json.dumps(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            # With this, the last words of a crash are its reason, not a list of calls, which takes seconds to make.
            env={**os.environ, "GGML_NO_BACKTRACE": "1"},
            bufsize=0,
            # Only the parent handles Ctrl-C.
            start_new_session=True,
        )
        self._buffer = b""
        os.set_blocking(self._stdin, False)

    @property
    def pid(self) -> int:
        """Process identifier."""
        return self._process.pid

    @property
    def _stdin(self) -> int:
        assert self._process.stdin is not None
        return self._process.stdin.fileno()

    @property
    def _stdout(self) -> int:
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def send(self, message: dict[str, Any], limit_s: float | None) -> None:
        """Send a message; TimeoutError if the child does not take it, OSError if it has ended."""
        data = memoryview(json.dumps(message).encode() + b"\n")
        while data:
            if not select.select([], [self._stdin], [], limit_s)[1]:
                raise TimeoutError
            data = data[os.write(self._stdin, data) :]

    def receive(self, limit_s: float | None) -> dict[str, Any]:
        """Return the next message; TimeoutError if none comes, EOFError if the child has ended."""
        ends_s = None if limit_s is None else time.monotonic() + limit_s
        while b"\n" not in self._buffer:
            left_s = None if ends_s is None else max(ends_s - time.monotonic(), 0.0)
            if not select.select([self._stdout], [], [], left_s)[0]:
                raise TimeoutError
            if not (data := os.read(self._stdout, 1 << 16)):
                raise EOFError
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def end(self) -> str:
        """End the process, and say how it had ended if it had ended already."""
        process = self._process
        try:
            # The exit status is available a moment after the end of file.
            code = process.wait(0.2 if process.poll() is None and self._at_end() else 0)
        except subprocess.TimeoutExpired:
            code = None
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        how = _describe(code, self._last_words())
        self._said.close()
        return how

    def _at_end(self) -> bool:
        """Whether the child has closed its side."""
        return bool(select.select([self._stdout], [], [], 0)[0])

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1].strip()[:200] if lines else ""


def _describe(code: int | None, said: str) -> str:
    """Say how a process ended; None means that we killed it."""
    if code is None:
        return "was killed"
    if code < 0:
        with contextlib.suppress(ValueError):
            code_name = signal.Signals(-code).name
            return f"died of {code_name}" + (f": {said}" if said else "")
    return f"ended with status {code}" + (f": {said}" if said else "")


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a child's answer, or raise the error that it reports."""
    if (wrong := answer.get("input_error")) is not None:
        raise InputError(wrong["problem"], where=wrong["where"], key=wrong["key"], accepted=wrong["accepted"])
    if (kind := answer.get("error")) is not None:
        raise _ERRORS.get(kind, ModelError)(answer["text"])
    result: dict[str, Any] = answer["result"]
    return result


def serve() -> None:
    """Run the child: load the model named on the command line and answer until standard input ends."""
    # Printed text must not get between the messages.
    with os.fdopen(os.dup(1), "wb", buffering=0) as replies:
        os.dup2(2, 1)
        lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=_read_lines, args=(sys.stdin.buffer, lines), daemon=True).start()
        try:
            from policies.llm.text.model import TextModel

            asked = json.loads(sys.argv[2])
            asked["path"] = Path(asked["path"])
            model = TextModel(**asked)
        except Exception as error:  # the parent gets every error
            _reply(replies, _reported(error))
            return
        _reply(replies, {"result": {}})
        while True:
            request = json.loads(lines.get())
            question = Question(**request["question"])
            try:
                answer: dict[str, Any] = {"result": {}}
                if request["call"] == "reserve":
                    model.reserve(question)
                elif request["call"] == "read":
                    model.read(question)
                else:
                    answer = {"result": dataclasses.asdict(model.complete(question, request.get("deadline_s")))}
            except Exception as error:  # the same
                answer = _reported(error)
            _reply(replies, answer)


def _read_lines(stdin: BinaryIO, lines: queue.Queue[bytes]) -> None:
    """Pass lines on; at the end of the input, end the process, even in the middle of an answer."""
    for line in stdin:
        lines.put(line)
    os._exit(0)


def _reply(replies: Any, message: dict[str, Any]) -> None:
    data = memoryview(json.dumps(message).encode() + b"\n")
    while data:
        data = data[replies.write(data) :]


def _reported(error: Exception) -> dict[str, Any]:
    """Return an error as a message."""
    if isinstance(error, InputError):
        names = ("problem", "where", "key", "accepted")
        return {"input_error": {name: getattr(error, name) for name in names}}
    if isinstance(error, ImportError):
        return _reported(needs("llm", error, where="--policy", key="llm"))
    known = type(error).__name__
    text = str(error) if known in _ERRORS else f"{known}: {error}"
    return {"error": known, "text": text}
