"""A scheduler and workers of Dask as somebody starts them by hand, on the loopback address, each in its own folder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.command import environment, wait_until

TREE = Path(__file__).resolve().parents[2]
_HIDDEN = """
import sys
class Hides:
    def find_spec(self, name, path=None, target=None):
        if name == "sim":
            raise ModuleNotFoundError("No module named 'sim'", name="sim")
sys.meta_path.insert(0, Hides())
from distributed.cli.dask_worker import main
main()
"""


@contextmanager
def scheduler(folder: Path) -> Iterator[Path]:
    """Start a scheduler, and yield its file."""
    folder.mkdir()
    file = folder / "scheduler.json"
    words = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(file)]
    with _process("-m", "distributed.cli.dask_scheduler", *words, folder=folder, log=folder / "log"):
        wait_until(file.is_file)
        yield file


@contextmanager
def worker(file: Path, folder: Path, *, tree: Path = TREE, has_vectwin: bool = True, threads: int = 1) -> Iterator[int]:
    """Start a worker, and yield its process.

    Parameters
    ----------
    file : of the scheduler
    folder : which the worker starts in, and where it keeps its files
    tree : vectwin's code there
    has_vectwin : whether there is any
    """
    folder.mkdir()
    words = ["--scheduler-file", str(file), "--nthreads", str(threads), "--local-directory", str(folder), "--no-nanny"]
    words += ["--host", "127.0.0.1", "--no-dashboard", "--memory-limit", "0"]
    start = ["-m", "distributed.cli.dask_worker"] if has_vectwin else ["-c", _HIDDEN]
    with _process(*start, *words, folder=folder, log=folder / "log", PYTHONPATH=str(tree)) as started:
        wait_until(lambda: "Registered to" in (folder / "log").read_text("utf-8"))
        yield started.pid


@contextmanager
def _process(*words: str, folder: Path, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        command = [sys.executable, *words]
        started = subprocess.Popen(command, cwd=folder, env=environment(**variables), stdout=file, stderr=file)
    try:
        yield started
    finally:
        started.terminate()  # so that it removes its files
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
