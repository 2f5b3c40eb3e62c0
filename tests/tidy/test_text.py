"""Rules about the text of the repository that no linter knows: sizes, banned calls, reasons, dead files, leaked paths.

A checker takes source text and returns its problems as strings; `test_checkers_can_fail` feeds each one a bad snippet.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.tidy.repository import PACKAGES, Checker, dotted, imported, nodes, python_files, read, repository_files

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
CLASS_LINES_MAX = 200

BANNED_CALLS = {"eval", "exec", "__import__"}
TRAVEL = ("sim/studies/travel.py", "cloudpickle")
"""The one file that pickles, only for processes of ours."""
BANNED_MODULES = {"random", "pickle", "dill", "cloudpickle", "marshal", "shelve"}
HOST_CLOCKS = {"time", "perf_counter", "monotonic", "process_time", "thread_time"}
RANDOM_ALLOWED = {"default_rng", "Generator", "BitGenerator", "SeedSequence", "PCG64", "PCG64DXSM", "Philox", "SFC64"}
DIRECTIVE = re.compile(
    r"#\s*(?:noqa(?::\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*)?|type:\s*ignore(?:\[[^\]]*\])?)", re.IGNORECASE
)
BLANKET = re.compile(r"#\s*(?:noqa|type:\s*ignore)", re.IGNORECASE)
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~$})-])/(?:work|root|opt)/")
SKIP = re.compile(r"pytest\.(?:mark\.)?(?:skip|skipif|xfail|importorskip)")

PATCH = re.compile(r"\.setattr\(|(?<![\w.])setattr\(|\bmock\.patch|\bpatch\.(?:object|dict|multiple)\(")
PATCHES = {
    "tests/fault/test_bombs.py": "a file that really expands to 256 MiB takes seconds",
    "tests/fault/test_compare.py": "stands in for the workers: the rule about seeds needs hundreds of runs",
    "tests/fault/test_killed_runs.py": "a part per slot at any speed; a run has no say in its writer's clock",
    "tests/fault/test_realtime.py": "the wall clock is a fake, so that no time passes; SimPy reads it itself",
    "tests/policy/test_first_decision.py": "counts how often the model reads a case, which nothing tells",
    "tests/policy/test_llm_training.py": "the command's recipe trains for an hour",
    "tests/property/families.py": "short blocks and idle vehicles, which no scenario has",
    "tests/support/process.py": "Ctrl-C or a full disk while a command is at work; limits that a small test meets",
    "tests/swarm/test_shrink.py": "a check that fails on purpose; the swarm's own have to find nothing",
    "tests/unit/test_twin.py": "another truth after the last report, which no scenario has",
}
"""Files of tests that replace something of ours or of a library's, once each, and why there is no other way."""

TOO_LONG_YET = {("tests/swarm/draw.py", "_Maker"), ("tests/swarm/facts.py", "Facts")}
"""Classes of tests that are longer than the limit until they are cut."""


def sizes(name: str, text: str) -> Iterator[str]:
    """Limit the lines of a file, of each function and of each class."""
    lines = len(text.splitlines())
    if lines > FILE_LINES_MAX:
        yield f"{name}: {lines} lines, more than {FILE_LINES_MAX}"
    for node in nodes(text):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            limit = CLASS_LINES_MAX if isinstance(node, ast.ClassDef) else FUNCTION_LINES_MAX
            if lines > limit and (name, node.name) not in TOO_LONG_YET:
                yield f"{name}:{node.lineno}: {node.name} has {lines} lines, more than {limit}"


def _banned_name(name: str, full: str) -> str:
    """Say why a fully spelled name is banned in a file, or nothing."""
    module, _, attribute = full.rpartition(".")
    if full.split(".", maxsplit=1)[0] in BANNED_MODULES and (name, module or full) != TRAVEL:
        return "unseeded, or runs code from data"
    if module == "numpy.random" and attribute not in RANDOM_ALLOWED:
        return "global random state; draw from a Generator that the caller passes"
    if module == "time" and attribute.removesuffix("_ns") in HOST_CLOCKS and name.startswith("physical/"):
        return "the physical world has its own clock"
    return ""


def banned_calls(name: str, text: str) -> Iterator[str]:
    """Ban hidden randomness, code run from data, and the host's clock in the physical world."""
    names: dict[str, str] = {}
    for line, module, attribute, local in imported(name, text):
        full = f"{module}.{attribute}" if attribute else module
        names[local] = full if attribute or local != module.split(".")[0] else local
        if why := _banned_name(name, full):
            yield f"{name}:{line}: import of {full}: {why}"
    for node in nodes(text):
        if isinstance(node, ast.Attribute) and (why := _banned_name(name, full := dotted(node, names))):
            yield f"{name}:{node.lineno}: {full}: {why}"
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
                yield f"{name}:{node.lineno}: {node.func.id}() runs code from data"
            if dotted(node.func, names) == "numpy.random.default_rng" and not (node.args or node.keywords):
                yield f"{name}:{node.lineno}: default_rng() without a seed"


def _has_words(text: str) -> bool:
    return len(re.findall(r"[^\W\d_]{2,}", text)) >= 2


def silenced(name: str, text: str) -> Iterator[str]:
    """Demand codes and a reason beside every silenced lint or type error."""
    if not BLANKET.search(text):
        return
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        found = DIRECTIVE.findall(token.string)
        if not found:
            continue
        if any(BLANKET.fullmatch(directive) for directive in found):
            yield f"{name}:{token.start[0]}: which error is silenced? {token.string}"
        if not _has_words(DIRECTIVE.sub("", token.string)):
            yield f"{name}:{token.start[0]}: no reason: {token.string}"


def skipped_tests(name: str, text: str) -> Iterator[str]:
    """Demand a reason in every skip and expected failure."""
    called = {id(node.func): node for node in nodes(text) if isinstance(node, ast.Call)}
    for node in nodes(text):
        if not isinstance(node, ast.Attribute) or not SKIP.fullmatch(full := dotted(node)):
            continue
        call = called.get(id(node))
        given = [] if call is None else [word.value for word in call.keywords if word.arg in ("reason", "msg")]
        if call is not None and full in ("pytest.skip", "pytest.xfail", "pytest.mark.skip"):
            given += call.args[:1]
        literal = [part for value in given for part in ast.walk(value) if isinstance(part, ast.Constant)]
        if not any(isinstance(part.value, str) and _has_words(part.value) for part in literal):
            yield f"{name}:{node.lineno}: {full} without a reason"


def unfinished(name: str, text: str) -> Iterator[str]:
    """Ban notes to oneself."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := UNFINISHED.search(line):
            yield f"{name}:{number}: {found[0]}: do it or file it"


def machine_paths(name: str, text: str) -> Iterator[str]:
    """Ban absolute paths that exist on the author's machine only."""
    for number, line in enumerate(text.splitlines(), 1):
        if MACHINE_PATH.search(line):
            yield f"{name}:{number}: path of one machine: {line.strip()}"


def patches(name: str, text: str) -> Iterator[str]:
    """Demand that tests use arguments, files and processes; what they patch all the same is listed."""
    found = [number for number, line in enumerate(text.splitlines(), 1) if PATCH.search(line)]
    if name.startswith("tests/") and not name.startswith("tests/tidy/"):
        for number in found[name in PATCHES :]:
            yield f"{name}:{number}: patches something: give the product an argument for it"


@pytest.mark.parametrize("checker", [patches, sizes, banned_calls, silenced, skipped_tests])
def test_python_files(checker: Checker) -> None:
    problems = [problem for name in python_files() for problem in checker(name, read(name))]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("checker", [unfinished, machine_paths])
def test_text_files(checker: Checker) -> None:
    problems = [problem for name in repository_files() for problem in checker(name, read(name))]
    assert not problems, "\n".join(problems)


def test_patches_are_few() -> None:
    assert len(PATCHES) <= 10
    assert [name for name in PATCHES if not PATCH.search(read(name))] == []


@pytest.mark.parametrize(
    "line",
    ["monkeypatch.setattr(a, 'b', 1)", "setattr(a, 'b', 1)", "with mock.patch('a'):", "with patch.object(a, 'b'):"],
)
def test_a_patch_is_found(line: str) -> None:
    assert list(patches("tests/unit/test_a.py", line))
    assert not list(patches("tests/unit/test_twin.py", line))
    assert list(patches("tests/unit/test_twin.py", f"{line}\n{line}"))


def test_repository_is_seen() -> None:
    assert "tests/tidy/test_text.py" in repository_files()
    assert {name.split("/")[0] for name in python_files()} >= {*PACKAGES, "tests"}


BAD = [
    (sizes, "x = 1\n" * (FILE_LINES_MAX + 1)),
    (sizes, "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
    (sizes, "async def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
    (sizes, "class C:\n" + "    x = 1\n" * CLASS_LINES_MAX),
    (banned_calls, "import random"),
    (banned_calls, "from random import gauss"),
    (banned_calls, "def f():\n    import pickle"),
    (banned_calls, "eval('1')"),
    (banned_calls, "exec('1')"),
    (banned_calls, "__import__('os')"),
    (banned_calls, "import time\ntime.time()"),
    (banned_calls, "import time as t\nt.perf_counter_ns()"),
    (banned_calls, "from time import perf_counter"),
    (banned_calls, "import numpy as np\nnp.random.seed(1)"),
    (banned_calls, "import numpy\nnumpy.random.rand(3)"),
    (banned_calls, "from numpy import random\nrandom.normal()"),
    (banned_calls, "from numpy.random import normal"),
    (banned_calls, "import numpy.random as npr\nnpr.shuffle(x)"),
    (banned_calls, "import numpy as np\nnp.random.default_rng()"),
    (silenced, "x = 1  # noqa"),
    (silenced, "x = 1  # noqa because of reasons"),
    (silenced, "x = 1  # noqa: F401"),
    (silenced, "x = 1  # noqa: F401, E501"),
    (silenced, "x = 1  # type: ignore[attr-defined]"),
    (silenced, "x = 1  # type: ignore  # untyped upstream library"),
    (skipped_tests, "import pytest\n@pytest.mark.skip\ndef test(): pass"),
    (skipped_tests, "import pytest\n@pytest.mark.skipif(True)\ndef test(): pass"),
    (skipped_tests, "import pytest\n@pytest.mark.xfail(strict=True)\ndef test(): pass"),
    (skipped_tests, "import pytest\npytest.skip('')"),
    (skipped_tests, "import pytest\npytest.importorskip('torch')"),
    (unfinished, "x = 1  # TO" + "DO: later"),
    (machine_paths, "x = '/wo" + "rk/main'"),
    (machine_paths, "see /ro" + "ot/.cache"),
]

GOOD = [
    (sizes, "class C:\n" + "    x = 1\n" * (CLASS_LINES_MAX - 1)),
    (sizes, "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1)),
    (banned_calls, "import numpy as np\nrng = np.random.default_rng(1)\nrng.normal()"),
    (banned_calls, "def f(time, random, model):\n    model.eval()\n    return time.time + random.normal()"),
    (silenced, "x = 1  # noqa: F401 re-exported for users"),
    (silenced, "x = 1  # type: ignore[attr-defined]  # untyped upstream library"),
    (silenced, "x = 1  # every noqa needs a reason"),
    (skipped_tests, "import pytest\npytest.skip('needs a GPU')"),
    (skipped_tests, "import pytest\n@pytest.mark.skipif(True, reason='needs a GPU')\ndef test(): pass"),
    (unfinished, "x = 'TO" + "DOS'"),
    (machine_paths, "x = 'runs/work/main', '../opt/x', 'a/root/b'"),
]


@pytest.mark.parametrize(("checker", "text"), BAD)
def test_checkers_can_fail(checker: Checker, text: str) -> None:
    assert list(checker("physical/bad.py", text))


@pytest.mark.parametrize(("checker", "text"), GOOD)
def test_checkers_can_pass(checker: Checker, text: str) -> None:
    assert not list(checker("physical/good.py", text))


def test_host_clock_is_banned_only_in_the_physical_world() -> None:
    assert not list(banned_calls("sim/runs/run.py", "import time\ntime.perf_counter()"))
