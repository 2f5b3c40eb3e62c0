"""Dask's workers on this machine: a LocalCluster in a process of its own, which ends with the one that started it.

Dask starts workers as `multiprocessing` does: they run the main module again. In a process of its own that module is
none of the user's, so a script needs no ``if __name__ == "__main__"``. Nor does Ctrl-C get there, or a random.py of the
current folder.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from physical.errors import InputError
from physical.printable import one_line
from sim.studies.executors.local import ONE_THREAD

SAFE_PATH = "PYTHONSAFEPATH"
_START = "import json, sys; told = json.loads(sys.stdin.readline()); sys.path += told['path']; {first}serve(told)"
_FROM = "from sim.studies.executors.dask_local import serve; "
_END_S = 10.0
_SETTINGS = {
    "distributed.scheduler.allowed-failures": 2,  # the third death of its worker is a job's last one
    "distributed.scheduler.worker-saturation": 1.0,  # a job that waits at a worker would be blamed for its death
    "distributed.scheduler.worker-ttl": None,  # a long call in C is no death
    "distributed.worker.daemon": False,  # a policy may have processes of its own
    "distributed.admin.tick.interval": "500 ms",  # the loop looks whether it is late, and the run has to wait for it
    "distributed.worker.profile.enabled": False,  # nobody looks at it, and it takes time
}


class DaskOfOurOwn:
    """Starts a scheduler and workers.

    Parameters
    ----------
    num_worker : number of worker processes; None: one for each core that this process may use
    """

    def __init__(self, num_worker: int | None) -> None:
        root = str(Path(__file__).parents[3])
        # The folders of this process come last: its current folder must not replace a library.
        first = f"sys.path.insert(0, {root!r}); " if not _is_installed(root) else ""
        path = [entry for entry in sys.path if entry]
        told = {"num_worker": num_worker, "path": path}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START.format(first=first + _FROM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD, SAFE_PATH: "1"},
            start_new_session=True,
            text=True,
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died; `wait` tells
            self._process.stdin.write(f"{json.dumps(told)}\n")
            self._process.stdin.flush()

    def wait(self) -> tuple[str, str]:
        """Wait until all workers are there, and return the addresses of the scheduler and of its dashboard.

        Raises
        ------
        InputError : they cannot be started
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            told = json.loads(line)
        except ValueError:
            told = {"error": "its process ended"}
        if "error" in told:
            raise InputError(f"Dask cannot start: {told['error']}", where="--executor", accepted="local, dask")
        return told["address"], told["dashboard"]

    def stop(self) -> None:
        """End all processes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def _is_installed(root: str) -> bool:
    """Whether a new Python finds vectwin where this one has it."""
    return root in os.environ.get("PYTHONPATH", "").split(os.pathsep) or "site-packages" in Path(root).parts


def serve(told: dict[str, Any]) -> None:
    """Serve until stdin ends: it does with the process that has started this one, however that ends."""
    folder = tempfile.mkdtemp(prefix="vectwin-")
    threading.Thread(target=_end_with_stdin, args=(folder,), daemon=True).start()
    import dask
    from dask.system import CPU_COUNT

    dask.config.set(_SETTINGS)
    import distributed

    start: Any = distributed.LocalCluster
    try:
        cluster = start(
            n_workers=told["num_worker"] or CPU_COUNT,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            local_directory=folder,
        )
        answer = {"address": cluster.scheduler_address, "dashboard": cluster.dashboard_link}
    except Exception as error:  # of Dask, for example because there are too many processes
        answer = {"error": one_line(f"{type(error).__name__}: {error}")}
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()
    threading.Event().wait()


def _end_with_stdin(folder: str) -> None:
    while sys.stdin.read(1):
        pass
    pids = [child.pid for child in multiprocessing.active_children() if child.pid is not None]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _reap(pids)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _reap(pids: Sequence[int]) -> None:
    for pid in pids:
        with suppress(ChildProcessError):  # Dask's own thread has
            os.waitpid(pid, 0)
