"""``python -m tests.fuzz``: many mutants, or one again."""

from __future__ import annotations

import argparse
import collections
import shlex
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import campaign
from tests.fuzz.campaign import Tried, printable
from tests.fuzz.corpus import Corpus


def _range(text: str) -> range:
    first, _, last = text.partition("..")
    return range(int(first), int(last or first) + 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--mutants", type=_range, default=range(300), metavar="A..B", help="which; default 0..299")
    parser.add_argument("--workers", type=int, default=1, help="processes to use; default 1")
    parser.add_argument("--mutant", type=int, metavar="N", help="only this one, and say all about it")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="with --mutant: keep its input there, a new folder")
    parser.add_argument("--no-models", action="store_true", help="none that needs torch or llama.cpp")
    return parser.parse_args()


def main() -> int:
    """Return 1 if any mutant violates, else 0; 130 after Ctrl-C."""
    told = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a script in the background ignores Ctrl-C
        signal.signal(number, signal.default_int_handler)
    if told.keep is not None and told.keep.exists():
        sys.exit(f"{told.keep} exists already")
    # No TemporaryDirectory: the children end as programs do, and would remove it then.
    folder = Path(tempfile.mkdtemp(prefix="vectwin-fuzz-")).resolve()
    try:
        corpus = campaign.make(folder)
        if told.mutant is not None:
            return _show(campaign.show_again(corpus, told.mutant, folder / "one", told.keep), told.keep)
        return _many(corpus, told, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _show(tried: Tried, keep: Path | None) -> int:
    print(f"mutant {tried.number} ({tried.kind}): {tried.duration_s:.2f} s, exit code {tried.code}")
    for index, done in zip(tried.kept, tried.told, strict=False):
        print(f"  mutation {index}: {printable(done)}")
    print(f"  stderr: {printable(tried.err.strip())}")
    for one in tried.found:
        print(f"  VIOLATION: {printable(one)}; {tried.where}")
    place = "" if keep is None else f"cd {shlex.quote(str(keep))} && "
    print(f"{place}twin {printable(shlex.join(tried.command))}")
    return 1 if tried.found else 0


def _many(corpus: Corpus, told: argparse.Namespace, folder: Path) -> int:
    numbers: range = told.mutants
    begin_s = time.monotonic()
    bad: list[Tried] = []
    codes: collections.Counter[int] = collections.Counter()
    slowest, code = 0.0, 0
    try:
        for tried in campaign.run(corpus, numbers, told.workers, folder / "many", models=not told.no_models):
            codes[tried.code] += 1
            slowest = max(slowest, tried.duration_s)
            if tried.found:
                bad.append(tried)
                print(f"mutant {tried.number} violates: {printable('; '.join(tried.found)):.150}", flush=True)
            done = codes.total()
            if done % 250 == 0 and done < len(numbers):
                print(f"{done} of {len(numbers)} mutants, {len(bad)} violate, {_passed(begin_s)}", flush=True)
    except KeyboardInterrupt:
        code = 130
    done = codes.total()
    ends = ", ".join(f"{count} with {end}" for end, count in sorted(codes.items()))
    print(f"{done} of {len(numbers)} mutants in {_passed(begin_s)} ({ends}; the slowest took {slowest:.1f} s)")
    print(f"{len(bad)} violate" + (":" if bad else ""))
    for tried in sorted(bad, key=lambda one: one.number):
        print(f"  {tried.line()}")
    return code or (1 if bad else 0)


def _passed(begin_s: float) -> str:
    return f"{time.monotonic() - begin_s:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
