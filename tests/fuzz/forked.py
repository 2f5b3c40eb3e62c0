"""One call in a forked child: with limits, its output caught, and nothing of it left afterwards.

The parent has one thread and has imported what the call needs, so that a child starts in milliseconds. Orphans of the
child become children of the parent, which is how it sees that there are any.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIME_S = 30.0
MEMORY_BYTES = 2_000_000_000
GRACE_S = 2.0
"""How long processes of a child may outlive it: they end when they see that it is gone."""
BROKEN = 99
"""Exit code of a child that failed outside the call."""

_OUTPUT_BYTES = 256 << 20
_SET_DEATH_SIGNAL, _SET_CHILD_SUBREAPER = 1, 36
_prctl = ctypes.CDLL(None).prctl
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGING = {
    "os.mkdir": (0,),
    "os.rmdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.link": (1,),
    "os.symlink": (1,),
    "os.truncate": (0,),
    "os.chmod": (0,),
    "os.chown": (0,),
    "os.utime": (0,),
}
"""Events that change files, and which of their arguments are paths."""


@dataclass(frozen=True)
class Outcome:
    """What a child left.

    code : exit code; negative: the signal that ended it
    out, err : what it wrote
    duration_s : wall time
    memory_bytes : the most that it, or a process of its own, had in memory
    is_late : it was killed after the time limit
    num_left : processes that outlived it
    touched : files outside its folder that it changed, or wanted to
    """

    code: int
    out: bytes = b""
    err: bytes = b""
    duration_s: float = 0.0
    memory_bytes: int = 0
    is_late: bool = False
    num_left: int = 0
    touched: tuple[str, ...] = field(default=())


def adopt_orphans() -> None:
    """Become the parent of the orphans of one's children."""
    _prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Be killed when one's parent ends, however that comes about."""
    _prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)


def call(
    function: Callable[[], Any],
    folder: Path,
    *,
    time_s: float = TIME_S,
    memory_bytes: int = MEMORY_BYTES,
    grace_s: float = GRACE_S,
    variables: dict[str, str] | None = None,
) -> Outcome:
    """Call a function in a child as the main function of a program.

    function : ends with `SystemExit`, or returns an exit code
    folder : working directory, HOME and place of temporary files; what it may change
    time_s : after which the child and all its processes are killed
    memory_bytes : that it may add to what the parent has; beyond one and a half times as much it gets no more
    grace_s : how long its own processes may outlive it
    variables : more of the environment
    """
    files = [os.memfd_create(name) for name in ("stdout", "stderr", "touched")]
    begin_s = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _be_child(function, folder, files, memory_bytes * 3 // 2, variables or {})
    with contextlib.suppress(OSError):  # the child does the same: whoever comes first
        os.setpgid(pid, pid)
    watched = os.pidfd_open(pid)
    try:
        is_late = not select.select([watched], [], [], time_s)[0]
    finally:
        os.close(watched)
        if not _has_ended(pid):
            os.killpg(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    duration_s = time.monotonic() - begin_s
    num_left = _end_the_rest(0.0 if is_late else grace_s)
    out, err, touched = map(_contents, files)
    return Outcome(
        code=os.waitstatus_to_exitcode(status),
        out=out,
        err=err,
        duration_s=duration_s,
        memory_bytes=usage.ru_maxrss * 1024,
        is_late=is_late,
        num_left=0 if is_late else num_left,
        touched=tuple(dict.fromkeys(touched.decode(errors="replace").splitlines())),
    )


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _contents(file: int) -> bytes:
    with os.fdopen(file, "rb") as opened:
        opened.seek(0)
        return opened.read()


def _end_the_rest(grace_s: float) -> int:
    """Wait for the processes that a child left; kill what is still there, and return how many were."""
    until_s = time.monotonic() + grace_s
    killed: set[int] = set()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return len(killed)
        if pid == 0:
            if time.monotonic() >= until_s:
                for left in _children():
                    killed.add(left)
                    os.kill(left, signal.SIGKILL)
            time.sleep(0.005)


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split()]


def _be_child(
    function: Callable[[], Any], folder: Path, files: list[int], memory_bytes: int, variables: dict[str, str]
) -> None:
    """Set up the child, make the call, and end as Python ends: never returns."""
    code = BROKEN
    try:
        gc.freeze()
        os.setpgid(0, 0)
        die_with_parent()
        _redirect(files)
        os.chdir(folder)
        os.environ.update({"HOME": str(folder), "TMPDIR": str(folder), **variables})
        tempfile.tempdir = None  # of the parent
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _limit(memory_bytes)
        _watch(str(folder), files[2])
        code = _called(function)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def _redirect(files: list[int]) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate([null, *files[:2]]):
        os.dup2(file, number)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _limit(memory_bytes: int) -> None:
    """Limit what the child can have: a safety net, the verdict measures what it had."""
    status = Path("/proc/self/status").read_text("ascii").split()
    data_bytes = int(status[status.index("VmData:") + 1]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes + memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_OUTPUT_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _watch(folder: str, record: int) -> None:
    """Note on `record` what Python is asked to change outside the folder."""
    inside = os.path.realpath(folder) + os.sep
    allowed = (inside, "/dev/null", "/dev/tty", "/proc/self/", "/dev/shm/")

    def note(path: object) -> None:
        if isinstance(path, int):
            return
        full = os.path.realpath(os.fsdecode(path))  # type: ignore[arg-type]  # an audit event's argument is a path
        if not (full + os.sep).startswith(allowed):
            os.write(record, full.encode(errors="backslashreplace") + b"\n")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if flags & _WRITING and path is not None:
                note(path)
        elif event in _CHANGING:
            for index in _CHANGING[event]:
                with contextlib.suppress(ValueError, TypeError):
                    note(arguments[index])

    sys.addaudithook(hook)


def _called(function: Callable[[], Any]) -> int:
    """Call the function and do what Python does when a program ends."""
    import atexit
    import threading

    try:
        code: Any = function()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # what Python calls when it ends
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        return 120
    return code or 0
