"""Runs many mutants, in several processes, and makes the violating ones smaller."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from typing import Any

from tests.fuzz import corpus as corpora
from tests.fuzz import mutants
from tests.fuzz.corpus import Corpus
from tests.fuzz.forked import Outcome, adopt_orphans, call, die_with_parent
from tests.fuzz.mutants import Mutant
from tests.fuzz.verdict import problems

_DEEP = Path("a/b/c/d")
"""Below it are the mutants, so that a path with some .. in it still ends in a place that is looked at."""

_LIGHT = [
    "sim.runs.run",
    "sim.runs.check",
    "sim.studies.compare",
    "sim.studies.sweep",
    "sim.show.terminal",
    "sim.show.compared",
    "sim.runs.replay",
    "sim.show.report.write",
    "sim.show.export.perfetto.file",
    "sim.show.export.csv",
    "sim.runs.imported",
    "sim.runs.fitting",
    "sim.learn.build_cases",
    "traces.exogenous",
    "traces.exogenous.presence",
    "policies.cases.file",
    "policies.optimal.p2_exact",
    "policies.baselines",
    "scipy.special",
    "rich.progress",
    "pyarrow.pandas_compat",
    "pyarrow.dataset",
    "_strptime",
    "cmath",
    "encodings.ascii",
    "encodings.utf_8_sig",
]
_HEAVY = [
    "torch",
    "safetensors.torch",
    "policies.llm.policy",
    "policies.marl.ddpg",
    "policies.llm.bundled.training.verify",
]

_HELP = {"--help", "-h", "--version"}
_ROOT = str(Path(__file__).resolve().parents[2]) + os.sep
SLOW_S = 10.0
"""A mutant that takes longer is not run again to see where it went wrong."""


@dataclass(frozen=True)
class Tried:
    """What came of a mutant.

    kept : its mutations that there were
    command : the words
    told : what the mutations did
    found : what is wrong; nothing if it is as it should be
    where : what was raised and in which line, or the first line that should not be there
    """

    number: int
    kind: str
    kept: tuple[int, ...]
    command: tuple[str, ...]
    told: tuple[str, ...]
    found: tuple[str, ...]
    code: int
    err: str
    duration_s: float
    memory_bytes: int
    where: str = ""

    def line(self) -> str:
        """Say in one line what is wrong, and how to see it again."""
        done = printable(" & ".join(self.told))
        again = f"python -m tests.fuzz --mutant {self.number} --keep DIR"
        words = printable(shlex.join(self.command))
        found = printable("; ".join(self.found))
        what = f"mutant {self.number} ({self.kind}): {found:.200} | {self.where:.200}"
        return f"{what} | {done:.200} | twin {words:.120} | {again}"


def printable(text: str) -> str:
    """Return a text in one line that any terminal shows as it is.

    >>> printable("a\\x1b[2J")
    'a\\\\x1b[2J'
    """
    return text.encode("ascii", "backslashreplace").decode().translate({code: f"\\x{code:02x}" for code in range(32)})


def _where(traced: str, err: str) -> str:
    """Say what was raised in which line of ours, or quote the first line that should not be there.

    traced : what the command writes when it is asked for tracebacks
    """
    frames = re.findall(r'File "([^"]+)", line (\d+), in (\S+)', traced)
    raised = re.findall(r"(?m)^(?!twin: |Traceback)([A-Za-z_][\w.]*: .*)$", traced)
    if frames and raised:
        ours = [(file.removeprefix(_ROOT), line, name) for file, line, name in frames if file.startswith(_ROOT)]
        file, line, name = (ours or frames)[-1]
        return printable(f"{raised[-1]:.100} at {file}:{line} {name}")
    return printable(next((line for line in err.splitlines() if line and not line.startswith("twin: warning")), ""))[
        :200
    ]


def warm_up() -> None:
    """Import what most commands need, and use nothing of it: threads do not survive a fork."""
    names = [entry.target.partition(":")[0] for entry in importlib.import_module("sim.cli.commands").COMMANDS.values()]
    for name in names + _LIGHT:
        importlib.import_module(name)
    # Half of a short command is Typer making all commands, which are the same for all children.
    main: Any = importlib.import_module("typer.main")
    made: dict[int, Any] = {}
    make_command = main.get_command

    def made_once(app: Any) -> Any:
        return made[id(app)] if id(app) in made else made.setdefault(id(app), make_command(app))

    main.get_command = made_once
    made_once(importlib.import_module("sim.cli.app").app)


def is_heavy(mutant: Mutant) -> bool:
    """Tell whether a mutant's command probably needs torch or llama.cpp."""
    return mutant.seed.kind in {"weights", "model", "language"} or mutant.command[0] in {"policies", "train", "models"}


class Laboratory:
    """One process's place for mutants, one after another."""

    def __init__(self, corpus: Corpus, folder: Path) -> None:
        self.corpus = corpus
        self.folder = folder
        (folder / _DEEP).mkdir(parents=True)
        adopt_orphans()

    def outcome(self, number: int, kept: Sequence[int] | None = None, **variables: str) -> Tried:
        """Make a mutant in a folder of its own and run its command there.

        kept : which of its mutations there are; None: all
        variables : more of the environment
        """
        mutant = mutants.draw(number, self.corpus)
        place = self.folder / _DEEP / f"m{number}"
        if place.exists():
            shutil.rmtree(place)
        record = os.memfd_create("record")

        def child() -> None:
            command, told = mutants.apply(mutant, self.corpus, kept)
            os.write(record, json.dumps([command, told]).encode())
            mutants.run_command(command)

        shutil.copytree(self.corpus.folder / mutant.seed.name, place)
        outcome = call(child, place, variables=variables)
        with os.fdopen(record, "rb") as file:
            file.seek(0)
            data = file.read()
        command, told = json.loads(data) if data else (list(mutant.command), ["the mutations were not made"])
        # A mutant may have lost the word before: then --json is the value of another option.
        asked = any(word == "--json" and not before.startswith("--") for before, word in pairwise(["", *command]))
        is_json = asked and not _HELP & set(command)
        found = problems(outcome, is_json=is_json) if data else ["the fuzzer itself failed"]
        found += self._strangers(place)
        made = tuple(range(mutant.count) if kept is None else kept)
        return _tried(number, mutant.seed.kind, made, command, told, found, outcome)

    def _strangers(self, place: Path) -> list[str]:
        """Name what is beside the mutant's folder and should not be, and remove it."""
        expected = {self.folder / part for part in (_DEEP, *_DEEP.parents)} | {place}
        around = [self.folder, *(self.folder / part for part in reversed(_DEEP.parents)), self.folder / _DEEP]
        found = []
        for folder in around:
            for entry in folder.iterdir():
                if entry not in expected:
                    found.append(f"left {entry.relative_to(self.folder)} outside its folder")
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return list(dict.fromkeys(found))

    def try_one(self, number: int) -> Tried:
        """Try a mutant; of one that violates, leave out the mutations that it does not need."""
        tried = self.outcome(number)
        for index in tried.kept if tried.found and len(tried.kept) > 1 else ():
            fewer = tuple(one for one in tried.kept if one != index)
            less = self.outcome(number, fewer) if fewer else tried
            if set(map(_sort, less.found)) >= set(map(_sort, tried.found[:1])):
                tried = less
        if not tried.found or tried.duration_s > SLOW_S:
            return tried
        traced = self.outcome(number, tried.kept, VECTWIN_TRACEBACK="1")
        return replace(tried, where=_where(traced.err, tried.err))

    def clear(self, number: int) -> None:
        shutil.rmtree(self.folder / _DEEP / f"m{number}", ignore_errors=True)


def _sort(found: str) -> str:
    """Return what sort of violation it is, without its numbers."""
    return "".join(letter for letter in found if not letter.isdigit())


def _tried(
    number: int,
    kind: str,
    kept: tuple[int, ...],
    command: Sequence[str],
    told: Sequence[str],
    found: Sequence[str],
    outcome: Outcome,
) -> Tried:
    return Tried(
        number,
        kind,
        kept,
        tuple(command),
        tuple(told),
        tuple(found),
        outcome.code,
        outcome.err.decode(errors="backslashreplace")[-6_000:],
        outcome.duration_s,
        outcome.memory_bytes,
    )


def _work(corpus: Corpus, folder: Path, numbers: Sequence[int], answers: Connection) -> None:
    """Be a worker: try mutants one after another and tell what came of each."""
    # Ctrl-C is for the parent, which ends its workers: raised in the middle of a fork it would be lost.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()
    laboratory = Laboratory(corpus, folder)
    for number in numbers:
        answers.send_bytes(json.dumps(asdict(laboratory.try_one(number))).encode())
        laboratory.clear(number)


def run(corpus: Corpus, numbers: Sequence[int], workers: int, folder: Path, *, models: bool = True) -> Iterator[Tried]:
    """Try mutants and yield what comes of them, in the order in which they end.

    folder : of the workers, which is created
    models : also those that need the extras marl and llm, after the others
    """
    heavy = [number for number in numbers if is_heavy(mutants.draw(number, corpus))]
    yield from _stage(corpus, sorted(set(numbers) - set(heavy)), workers, folder / "light")
    if models and heavy:
        heat(corpus)
        yield from _stage(corpus, heavy, workers, folder / "heavy")


def _stage(corpus: Corpus, numbers: Sequence[int], workers: int, folder: Path) -> Iterator[Tried]:
    pipes: dict[Connection, int] = {}
    try:
        for index in range(min(workers, len(numbers))):
            here, there = Pipe(duplex=False)
            pid = os.fork()
            if pid == 0:
                code = 70
                try:
                    here.close()
                    _work(corpus, folder / str(index), numbers[index::workers], there)
                    code = 0
                finally:
                    os._exit(code)
            there.close()
            pipes[here] = pid
        left = set(numbers)
        while pipes:
            for ready in wait(list(pipes)):
                assert isinstance(ready, Connection)
                try:
                    told: dict[str, Any] = json.loads(ready.recv_bytes())
                except EOFError:
                    os.waitpid(pipes.pop(ready), 0)
                    continue
                told |= {name: tuple(one) for name, one in told.items() if isinstance(one, list)}
                tried = Tried(**told)
                left.discard(tried.number)
                yield tried
        if left:
            raise RuntimeError(f"a worker failed: {len(left)} mutants were not tried, the first is {min(left)}")
    finally:
        for pid in pipes.values():
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def make(folder: Path) -> Corpus:
    """Warm this process up, and build the corpus below a folder."""
    warm_up()
    return corpora.build(folder / "corpus")


def heat(corpus: Corpus) -> None:
    """Warm this process up for torch and llama.cpp, and add what they read to the corpus."""
    for name in _HEAVY:
        importlib.import_module(name)
    corpora.add_models(corpus)


def show_again(corpus: Corpus, number: int, folder: Path, keep: Path | None) -> Tried:
    """Try one mutant, and keep its smallest form for people: its input before the command ran."""
    if is_heavy(mutants.draw(number, corpus)):
        heat(corpus)
    laboratory = Laboratory(corpus, folder)
    tried = laboratory.try_one(number)
    laboratory.clear(number)
    if keep is not None:
        mutant = mutants.draw(number, corpus)
        shutil.copytree(corpus.folder / mutant.seed.name, keep)

        def child() -> None:
            mutants.apply(mutant, corpus, tried.kept)

        if (done := call(child, keep)).code:
            sys.stderr.write(done.err.decode(errors="replace"))
    return tried
