"""``python -m tests.mutants``: do the tests find what is wrong in an engine? One wrong token at a time."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.mutants.campaign import SURVIVED, Results, Tried, campaign, known, summary
from tests.mutants.draw import FILES, draw, sources
from tests.mutants.stages import ROOT


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--number", type=int, default=100, help="of mutants; default 100")
    parser.add_argument("--seed", type=int, default=0, help="draws them; default 0")
    parser.add_argument("--only", action="append", metavar="FILE", help="mutate this file, or files like a/*.py")
    parser.add_argument("--mutant", metavar="KEY", help="only this one of them, again")
    parser.add_argument("--list", action="store_true", help="say which are drawn, and try none")
    parser.add_argument("--resume", action="store_true", help="go on where the last run into the folder ended")
    parser.add_argument("--again", action="store_true", help="the same, and try those again that survived")
    parser.add_argument("--quick", action="store_true", help="compare the engines only; then try the rest with --again")
    parser.add_argument("--out", type=Path, default=Path("runs/mutants"), help="folder of results.json")
    return parser.parse_args()


def main() -> int:
    """Return 1 if a mutant survives that is not known to be equivalent, else 0; 130 after Ctrl-C."""
    told = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a script in the background ignores Ctrl-C
        signal.signal(number, signal.default_int_handler)
    mutants = draw(sources(ROOT, told.only or FILES), told.number, told.seed)
    if told.mutant:
        mutants = [mutant for mutant in mutants if mutant.key == told.mutant]
    if not mutants:
        sys.exit("no mutant is drawn there")
    if told.list:
        print("\n".join(f"{mutant.key} {mutant.told()}" for mutant in mutants))
        return 0
    results = Results(told.out / "results.json", resume=bool(told.resume or told.again or told.mutant))
    folder = Path(tempfile.mkdtemp(prefix="vectwin-mutants-")).resolve()
    tried: list[Tried] = []
    try:
        again = bool(told.again or told.mutant)
        _try_all(campaign(mutants, folder, results, known(), again=again, quick=told.quick), len(mutants), tried)
    except KeyboardInterrupt:
        print(f"{summary(tried)}\ninterrupted; go on with --resume", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(summary(tried))
    return int(any(one.verdict == SURVIVED for one in tried))


def _try_all(attempts: Iterable[Tried], number: int, tried: list[Tried]) -> None:
    """Take what comes of each mutant, and show it."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("mutants", total=number)
        for one in attempts:
            tried.append(one)
            survived = sum(other.verdict == SURVIVED for other in tried)
            bar.update(task, advance=1, description=f"mutants, {survived} survived")
            print(one.told(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
