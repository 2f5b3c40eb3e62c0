"""Rules about how modules hang together: nothing dead, nothing unused, no cycle, no import of a higher floor.

A checker takes all sources at once, `{name: text}`, and returns its problems; beside each stands a test that feeds it
bad ones.
"""

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.tidy.repository import (
    PACKAGES,
    dotted,
    imported,
    module_name,
    nodes,
    parse,
    python_files,
    read,
    repository_files,
)

TARGET = re.compile(r"([a-z_]\w*(?:\.\w+)*):[A-Za-z_]\w*")

FLOORS = (
    ("sim.scenario", "sim.record"),
    ("sim.inputs",),
    ("sim.engine",),
    ("sim.runs",),
    ("sim.studies",),
    ("sim.learn", "sim.batch", "sim.env"),
    ("sim.bench",),
    ("sim.show",),
    ("sim.cli",),
)
"""Rooms of `sim` from the ground up. A room imports from its own floor and from lower ones."""

CALLED_BY_DECORATOR = {"command", "callback", "model_validator"}
"""Functions with such a decorator are called by typer or pydantic."""

CALLED_BY_LIBRARIES = {
    "TwinCommand.collect_usage_pieces": "click, for help",
    "TwinCommand.format_options": "click, for help",
    "LazyCommands.invoke": "click, to run a command",
    "LazyCommands.make_context": "click, to read arguments",
    "LazyCommands.resolve_command": "click, to find a command",
    "TwinGroup.format_options": "click, for help",
    "VehicleEnvironment.render": "PettingZoo",
    "_PhiloxKey.generate_state": "NumPy, to seed a generator",
    "_Loader.get_code": "importlib, to import a module",
}
"""Methods that replace one of a library's class, and who calls them."""


@cache
def sources() -> dict[str, str]:
    return {name: read(name) for name in python_files()}


def uses(name: str, text: str) -> set[str]:
    """Name every module that a file may load: by import, by "module:attribute" text, or through `import_module`."""
    found = set()
    for _, module, attribute, _ in imported(name, text):
        found |= {module, f"{module}.{attribute}"}
    for node in nodes(text):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := TARGET.fullmatch(node.value)):
            found.add(match[1])
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("import_module"):
            found |= {str(value.value) for value in node.args if isinstance(value, ast.Constant)}
    return found - {module_name(name)}


def dead_modules(sources: dict[str, str], entry_points: Iterable[str]) -> list[str]:
    """List the modules of the packages that nothing loads; `__init__` and `__main__` load with their package."""
    alive = {target.partition(":")[0] for target in entry_points}
    for name, text in sources.items():
        alive |= uses(name, text)
    special = ("__init__.py", "__main__.py")
    modules = [name for name in sources if name.split("/")[0] in PACKAGES and not name.endswith(special)]
    return [f"{name}: nothing loads it" for name in modules if module_name(name) not in alive]


def dependencies(texts: dict[str, str]) -> dict[str, set[str]]:
    """Return the modules that each module imports anywhere, also in functions and for types only."""
    modules = {module_name(name): name for name in texts}
    needs: dict[str, set[str]] = {module: set() for module in modules}
    for module, name in modules.items():
        for _, base, attribute, _ in imported(name, texts[name]):
            full = f"{base}.{attribute}"
            needs[module] |= {full if full in modules else base} & modules.keys() - {module}
    return needs


def cycles(texts: dict[str, str]) -> Iterator[str]:
    """Find modules that import each other in a circle; one circle at a time is told."""
    try:
        TopologicalSorter(dependencies(texts)).prepare()
    except CycleError as error:
        yield " <- ".join(error.args[1])


def upwards(texts: dict[str, str]) -> Iterator[str]:
    """Find imports of a higher floor."""
    floor_of = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    for module, needs in dependencies(texts).items():
        below = floor_of.get(".".join(module.split(".")[:2]))
        for need in sorted(needs):
            above = floor_of.get(".".join(need.split(".")[:2]))
            if below is not None and above is not None and above > below:
                yield f"{module} imports {need}, which is on a higher floor"


def imports_of_tests(texts: dict[str, str]) -> Iterator[str]:
    """Find imports of test modules; what several tests use lives in tests/support."""
    tests = {module_name(name) for name in texts if re.search(r"^tests/(.*/)?test_\w+\.py$", name)}
    for name, text in texts.items():
        for line, base, attribute, _ in imported(name, text):
            if found := {base, f"{base}.{attribute}"} & tests:
                yield f"{name}:{line}: import of {found.pop()}: what several tests use lives in tests/support"


class _Uses(ast.NodeVisitor):
    """Counts the names that code loads, the attributes it takes, what it imports, and texts that name things.

    `__all__` counts as no use; what a class of a package is called there, its users import.
    """

    def __init__(self, tree: ast.AST) -> None:
        self.names, self.attributes, self.imported = Counter[str](), Counter[str](), Counter[str]()
        self.exported: set[str] = set()
        self.visit(tree)

    def visit_Assign(self, node: ast.Assign) -> None:
        if [dotted(target) for target in node.targets] == ["__all__"]:
            self.exported = {str(part.value) for part in ast.walk(node.value) if isinstance(part, ast.Constant)}
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.names[node.id] += isinstance(node.ctx, ast.Load)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.attributes[node.attr] += 1
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.imported.update(alias.name for alias in node.names)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and re.fullmatch(r"[A-Za-z_][\w.:]*", node.value):
            self.attributes.update(re.findall(r"\w+", node.value))


_NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(text: str) -> Iterator[tuple[ast.AST, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield all functions and classes with the node that holds them; special methods are Python's."""
    for parent in nodes(text):
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, _NAMED) and not re.fullmatch(r"__\w+__", node.name):
                yield parent, node


def unused(texts: dict[str, str], documented: Iterable[str] = ()) -> Iterator[str]:
    """Find functions, methods and classes of the packages that no code but tests names.

    documented : names in the code of pages; what stands there is offered to users
    """
    found = {name: _Uses(parse(text)) for name, text in texts.items() if not name.startswith("tests/")}
    attributes = sum((uses.attributes for uses in found.values()), Counter(documented))
    imports = Counter(
        imported for uses in found.values() for imported in uses.imported.elements() if imported not in uses.exported
    )
    for name in [name for name in found if name.split("/")[0] in PACKAGES]:
        for parent, node in definitions(texts[name]):
            elsewhere = attributes[node.name] - found[name].attributes[node.name]
            if elsewhere or (not isinstance(parent, ast.ClassDef) and imports[node.name]):
                continue  # most are; what follows takes time
            own = _Uses(node)
            count = attributes[node.name] - own.attributes[node.name]
            if isinstance(parent, ast.ClassDef):
                parts = [part for part in parent.body if not isinstance(part, ast.FunctionDef)]
                count += sum(_Uses(part).names[node.name] for part in parts)
            else:
                count += found[name].names[node.name] - own.names[node.name]
            called = {dotted(getattr(item, "func", item)).rpartition(".")[2] for item in node.decorator_list}
            where = f"{parent.name}.{node.name}" if isinstance(parent, ast.ClassDef) else node.name
            if not count and not called & CALLED_BY_DECORATOR and where not in CALLED_BY_LIBRARIES:
                yield f"{name}: {where}"


def words_of_pages() -> set[str]:
    """Return all words that stand in the code of pages: in fences, between backticks, and as references."""
    code = re.compile(r"```.*?```|`[^`\n]+`|^:::.*$", re.DOTALL | re.MULTILINE)
    pages = [name for name in repository_files() if name.endswith(".md") and name != "CHANGELOG.md"]
    return {word for name in pages for part in code.findall(read(name)) for word in re.findall(r"\w+", part)}


def namesakes(texts: dict[str, str]) -> Iterator[str]:
    """Name the classes of the product that share a name, with or without an underscore: a name is one thing."""
    places: dict[str, list[str]] = {}
    for name, text in texts.items():
        if name.split("/")[0] in PACKAGES:
            for node in ast.walk(parse(text)):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name.lstrip("_"), []).append(name)
    yield from (f"class {name}: {', '.join(files)}" for name, files in places.items() if len(files) > 1)


def test_no_dead_module() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    groups = [project.get("scripts", {}), *project.get("entry-points", {}).values()]
    entry_points = [target for group in groups for target in group.values()]
    problems = dead_modules({name: read(name) for name in python_files()}, entry_points)
    assert not problems, "\n".join(problems)


def test_no_import_cycle() -> None:
    texts = {name: text for name, text in sources().items() if name.split("/")[0] in PACKAGES}
    assert not list(cycles(texts))


@pytest.mark.parametrize("checker", [upwards, imports_of_tests, namesakes])
def test_modules_together(checker: Callable[[dict[str, str]], Iterable[str]]) -> None:
    problems = list(checker(sources()))
    assert not problems, "\n".join(problems)


def test_two_classes_of_one_name_are_found() -> None:
    texts = {"sim/a.py": "class Plan: ...", "policies/b.py": "class _Plan: ...", "tests/c.py": "class Plan: ..."}
    assert list(namesakes(texts)) == ["class Plan: sim/a.py, policies/b.py"]


def test_the_simulator_is_made_of_rooms() -> None:
    """Whoever lists `sim/` sees folders, which say what is in them."""
    loose = {
        name.removeprefix("sim/") for name in repository_files() if name.startswith("sim/") and name.count("/") == 1
    }
    assert loose == {"__init__.py", "py.typed"}
    for facade in ("sim/batch", "sim/env"):
        assert [name for name in repository_files() if name.startswith(f"{facade}/")] == [f"{facade}/__init__.py"]


def test_nothing_is_unused() -> None:
    assert list(unused(sources(), words_of_pages())) == []


@pytest.mark.parametrize(
    ("user", "dead"),
    [
        ("", True),
        ("import physical.b", False),
        ("from physical import b", False),
        ("from .b import f", False),
        ("from . import b", False),
        ("TABLE = {'b': 'physical.b:make'}", False),
        ("import importlib\nimportlib.import_module('physical.b')", False),
        ("TEXT = 'see physical.b: it is good'", True),
        ("import physical.bb", True),
    ],
)
def test_dead_module_is_found(user: str, dead: bool) -> None:
    sources = {"physical/__init__.py": "", "physical/a.py": user, "physical/b.py": "import physical.b"}
    assert dead_modules(sources, ["physical.a:main"]) == (["physical/b.py: nothing loads it"] if dead else [])


@pytest.mark.parametrize(
    ("texts", "is_bad"),
    [
        ({"sim/a.py": "from sim import b", "sim/b.py": "import sim.c", "sim/c.py": "def f():\n    import sim.a"}, True),
        ({"sim/a.py": "if TYPE_CHECKING:\n    from sim.b import B", "sim/b.py": "import sim.a"}, True),
        ({"sim/a.py": "from sim.b import B", "sim/b.py": "import sim.c", "sim/c.py": ""}, False),
    ],
)
def test_a_cycle_is_found(texts: dict[str, str], is_bad: bool) -> None:
    assert bool(list(cycles(texts))) == is_bad


def test_an_import_of_a_higher_floor_is_found() -> None:
    texts = {"sim/runs/a.py": "from sim.show import b", "sim/show/b.py": "import sim.runs.a"}
    assert list(upwards(texts)) == ["sim.runs.a imports sim.show.b, which is on a higher floor"]


@pytest.mark.parametrize(
    ("text", "is_bad"),
    [
        ("from tests.unit.test_a import make", True),
        ("from tests.unit import test_a", True),
        ("def f():\n    import tests.unit.test_a", True),
        ("from tests.unit.making import make", False),
    ],
)
def test_an_import_of_a_test_is_found(text: str, is_bad: bool) -> None:
    texts = {"tests/unit/test_a.py": "", "tests/unit/making.py": "", "tests/unit/test_b.py": text}
    assert bool(list(imports_of_tests(texts))) == is_bad


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", ["f", "C", "C.g"]),
        ("from physical.a import C, f\n__all__ = ['C', 'f']", ["f", "C", "C.g"]),
        ("f = g = C = 1\nf + g + C", ["f", "C", "C.g"]),
        ("from physical.a import C, f\nf(C().g)", []),
        ("TABLE = ['physical.a:f', 'physical.a:C']\ngetattr(x, 'g')", []),
        ("import physical.a\nphysical.a.f(physical.a.C)", ["C.g"]),
    ],
)
def test_what_is_unused_is_found(user: str, expected: list[str]) -> None:
    made = "def f():\n    f()\nclass C:\n    def __len__(self): ...\n    def g(self):\n        self.g()"
    texts = {"physical/a.py": made, "physical/b.py": user, "tests/unit/test_a.py": "f(C().g())"}
    assert list(unused(texts)) == [f"physical/a.py: {name}" for name in expected]
    assert not list(unused(texts, documented=["f", "C", "g"]))
