"""Policies by path: they decide as if imported, mistakes are one line, and a stranger's run never imports one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pytest

from physical.errors import InputError
from policies import make, register, registry
from policies.digests import DIGEST_SIZE
from policies.registry import resolved
from sim import Scenario, run
from sim.runs.replay import branch, counterfactual, verify
from sim.studies.compare import parse_policies
from tests.support.command import twin
from tests.support.process import as_before
from traces.reader import Trace

pytestmark = pytest.mark.full

POLICY = """
from dataclasses import dataclass

import numpy as np

from policies import Decision


@dataclass
class Offload:
    part: float = 0.5

    def reset(self, system, seed):
        self.system = system

    def decide(self, snapshot):
        shape = snapshot.size_bytes.shape
        share = self.system.server.frequency_hz / snapshot.size_bytes.size
        return Decision(np.full(shape, self.part), np.full(shape, share))


class NotOne:
    def reset(self, system, seed): ...


class Breaks(Offload):
    def __init__(self):
        raise KeyError("model")


class Refuses(Offload):
    def reset(self, system, seed):
        raise RuntimeError("no licence")
"""
SHORT = ["time.num_slot=5"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let the current folder hold a policy."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.py").write_text(POLICY, "utf-8")
    with as_before(lambda name, file: file.is_relative_to(tmp_path)):
        yield tmp_path


def ratios(directory: Path) -> set[float]:
    rows = Trace(directory).table("decisions").column("offloading_ratio").to_pylist()
    return {ratio for row in rows for ratio in row}


@pytest.mark.parametrize("place", ["./policy.py", "policy.py", "policy", "{folder}/policy.py"])
def test_a_class_by_path_decides_and_its_digest_is_in_the_manifest(folder: Path, place: str) -> None:
    text = f"{place.format(folder=folder)}:Offload,part=0.25"
    done = twin("run", "dtecn", "--slots", 5, "--policy", text, "--out", "r", "--json")
    assert done.json()["fallbacks"] == 0, done
    assert ratios(folder / "r") == {0.25}
    manifest = json.loads((folder / "r" / "manifest.json").read_text("utf-8"))
    digest = blake2b(POLICY.encode(), digest_size=DIGEST_SIZE).hexdigest()
    assert (manifest["policy"], manifest["policy_contents"]) == (text, {"module policy": digest})
    assert "policy:Offload" not in json.dumps(manifest["scenario"])


def test_built_in_policies_say_nothing_about_contents(folder: Path) -> None:
    run(Scenario.load("dtecn", SHORT), policy="edge-equal", out="r")
    assert "policy_contents" not in json.loads((folder / "r" / "manifest.json").read_text("utf-8"))


def test_the_trace_of_an_unnamed_directory_has_a_plain_name(folder: Path) -> None:
    done = twin("run", "dtecn", "--slots", 2, "--policy", f"{folder}/policy.py:Offload,part=0.25", "--json")
    assert done.json()["trace"] == "runs/dtecn-policy-Offload-part-0.25-seed0"


def test_an_edited_file_and_an_edited_helper_are_imported_anew(folder: Path) -> None:
    scenario = Scenario.load("dtecn", SHORT)
    helper = folder / "helper.py"
    helper.write_text("PART = 0.25\n", "utf-8")
    (folder / "policy.py").write_text(POLICY.replace("self.part)", "part())") + "from helper import PART\n" +
                                      "def part(): return PART\n", "utf-8")  # fmt: skip
    found = []
    for number, part in enumerate((0.25, 0.75, 0.25)):  # the same second and the same size
        helper.write_text(f"PART = {part}\n", "utf-8")
        run(scenario, policy="./policy.py:Offload", out=f"r{number}")
        found.append(ratios(folder / f"r{number}"))
    assert found == [{0.25}, {0.75}, {0.25}]
    policy = folder / "policy.py"
    policy.write_text(policy.read_text("utf-8").replace("return PART", "return 0.5 "), "utf-8")
    run(scenario, policy="./policy.py:Offload", out="r")
    assert ratios(folder / "r") == {0.5}


def test_a_module_of_a_package_imports_what_is_beside_it(folder: Path) -> None:
    package = folder / "mine_by_path"
    package.mkdir()
    (package / "__init__.py").write_text("", "utf-8")
    (package / "parts.py").write_text("PART = 0.75\n", "utf-8")
    rule = POLICY.replace("= 0.5", "= PART").replace("import numpy", "from .parts import PART\nimport numpy")
    (package / "rule.py").write_text(rule, "utf-8")
    for number, place in enumerate(("mine_by_path/rule.py", "mine_by_path.rule")):
        run(Scenario.load("dtecn", SHORT), policy=f"{place}:Offload", out=f"r{number}")
        assert ratios(folder / f"r{number}") == {0.75}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("./none.py:Offload", "--policy: ./none.py: there is no such file (accepted: policy.py)"),
        ("./policy.py:Ofload", "./policy.py: there is no Ofload in it; did you mean Offload? (accepted: Breaks, Of"),
        ("./policy.py", "--policy: './policy.py' names no class (accepted: ./policy.py:CLASS[,OPTION=VALUE,...])"),
        ("./policy.py:np", "./policy.py: np is not a class (accepted: Breaks, Offload, Refuses)"),
        ("./policy.py:NotOne", "./policy.py: NotOne is not a policy: it has no decide"),
        ("./policy.py:Offload,prat=1", "./policy.py:Offload: there is no option 'prat'; did you mean part?"),
        ("./policy.py:Offload,part=x", "./policy.py:Offload.part: 'x' is wrong (accepted: a number)"),
        ("./policy.py:Breaks", "./policy.py:Breaks: cannot be made: KeyError: 'model' at policy.py:28"),
        ("./policy.py:Refuses", "Refuses.reset: RuntimeError: no licence at policy.py:33"),
        ("./policy.py:Offload:part=0.8", "names no class; did you mean ./policy.py:Offload,part=0.8?"),
        ("policy:Offload:part=0.8", "names no class; did you mean policy:Offload,part=0.8?"),
        ("Offload", "(accepted: local-only,"),
        ("Offload", "; of a file of yours: ./policy.py:Offload)"),
        ("./needs.py:A", "./needs.py:A: option 'part' is missing (accepted: ./needs.py:A,part=...)"),
        ("./needs.py:f", "f: is a function, and its argument 's' is missing (accepted: a class with reset(sys"),
        ("./needs.py:g", "g: is a function; the int that it returns is not a policy: it needs reset(system, seed)"),
        ("polcy:Offload", "there is no policy and no module 'polcy'"),
        ("edge-equal:Offload", "edge-equal: 'Offload' is not an option"),
        ("./raises.py:X", "./raises.py: cannot be imported: ZeroDivisionError: division by zero (line 2)"),
        ("./exits.py:X", "./exits.py: cannot be imported: SystemExit: 3 (line 1)"),
        ("./wrong.py:X", "./wrong.py: cannot be imported: SyntaxError: invalid syntax (wrong.py, line 1)"),
        ("./runs.py:X", "./runs.py: runs a simulation while it is imported (accepted: that below: if __name__ =="),
        ("./folder.py:X", "./folder.py: is not a Python file"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_that_names_the_file(folder: Path, text: str, words: str) -> None:
    (folder / "raises.py").write_text("\n1 / 0\n", "utf-8")
    (folder / "needs.py").write_text(
        "class A:\n    def __init__(self, part): ...\n    def reset(self, system, seed): ...\n"
        "    def decide(self, snapshot): ...\n\n\ndef f(s): ...\n\n\ndef g(): return 1\n", "utf-8")  # fmt: skip
    (folder / "exits.py").write_text("import sys; sys.exit(3)\n", "utf-8")
    (folder / "wrong.py").write_text("def :", "utf-8")
    (folder / "runs.py").write_text("from sim import Scenario, run\n"
                                    "run(Scenario.load('dtecn'), policy='./runs.py:X')\n", "utf-8")  # fmt: skip
    (folder / "folder.py").mkdir()
    words = words.replace("(accepted: policy.py)", "(accepted: exits.py, folder.py, needs.py, policy.py, raises.py)")
    complaint = twin("run", "dtecn", "--slots", 2, "--policy", text, "--json").complaint()
    assert words in complaint


def test_what_an_import_prints_is_no_answer(folder: Path) -> None:
    (folder / "loud.py").write_text("print('hello')\n" + POLICY, "utf-8")
    done = twin("run", "dtecn", "--slots", 2, "--policy", "./loud.py:Offload", "--json")
    assert done.json()["slots"] == 2
    assert "hello" in done.err


@pytest.mark.parametrize("key", ["policy.name", "policy.fallback", "timeline"])
def test_a_scenario_file_names_no_path(folder: Path, key: str) -> None:
    (folder / "policy.py").write_text("import pathlib; pathlib.Path('imported').touch()\n" + POLICY, "utf-8")
    path = "./policy.py:Offload"
    value = f"policy={{{key.partition('.')[2]}={path!r}}}"
    if key == "timeline":
        value = f'timeline=[{{kind="policy", at_s=0.1, name={path!r}}}]'
    complaint = twin("run", "dtecn", "--slots", 5, "--set", value).complaint()
    assert key in complaint
    assert "'./policy.py:Offload' is a policy by path (accepted: the name of a policy" in complaint
    for text in (path, "nearest-case:teacher=./policy.py:Offload"):
        with pytest.raises(InputError, match="is a policy by path"):
            run(Scenario.load("dtecn", [*SHORT, f"policy.name={text!r}"]))
    assert not (folder / "imported").exists()


def test_a_stranger_s_run_never_imports_what_it_names(folder: Path) -> None:
    scenario = Scenario.load("dtecn", ["time.num_slot=20"])
    run(scenario, policy="./policy.py:Offload,part=0.25", out="r")
    branch("r", 0.5, "./policy.py:Offload,part=0.75", Path("b"))
    trap = "import pathlib\npathlib.Path('imported').touch()\n"
    (folder / "policy.py").write_text(trap + POLICY, "utf-8")
    assert "./policy.py:Offload,part=0.75" in (folder / "b" / "manifest.json").read_text("utf-8")
    for name in ("r", "b"):
        assert verify(name).difference is None
        counterfactual(name, "edge-equal")
        _, again = branch(name, 1.0, "edge-equal", Path(f"b-{name}"))
        assert again.status == "complete"
        assert verify(f"b-{name}").difference is None
        for command in (
            ["check", name],
            ["report", name],
            ["export", name, "--to", "csv", "--out", f"{name}.zip"],
            ["replay", name],
        ):
            assert twin(*command).code == 0, command
    assert not (folder / "imported").exists()
    twin("replay", "r", "--policy", "./policy.py:Offload", "--json").json()
    assert (folder / "imported").exists()


def test_replay_and_branch_take_a_policy_by_path(folder: Path) -> None:
    run(Scenario.load("dtecn", ["time.num_slot=20"]), policy="edge-equal", out="r")
    twin("replay", "r", "--policy", "./policy.py:Offload,part=0.25", "--out", "c", "--json").json()
    assert ratios(folder / "c") == {0.25}
    twin("branch", "r", "--at", 1, "--policy", "./policy.py:Offload,part=0.25", "--out", "b", "--json").json()
    assert ratios(folder / "b") == {0.25, 1.0}
    for name in ("b", "c"):
        manifest = json.loads((folder / name / "manifest.json").read_text("utf-8"))
        assert set(manifest["policy_contents"]) == {"module policy"}
        assert twin("replay", name).code == 0


def test_a_tampered_fallback_is_refused(folder: Path) -> None:
    run(Scenario.load("dtecn", SHORT), policy="edge-equal", out="r")
    manifest = folder / "r" / "manifest.json"
    told = json.loads(manifest.read_text("utf-8"))
    told["scenario"]["policy"]["fallback"] = "./policy.py:Offload"
    manifest.write_text(json.dumps(told), "utf-8")
    other = ["--policy", "random"]
    for command in (["replay", "r"], ["replay", "r", *other], ["branch", "r", "--at", 0, *other]):
        assert "is a policy by path" in twin(*command).complaint()


def test_two_files_of_one_name_do_not_stand_in_for_each_other(folder: Path) -> None:
    for name, part in (("a", 0.25), ("b", 0.75)):
        (folder / name).mkdir()
        (folder / name / "policy.py").write_text(POLICY.replace("0.5", str(part)), "utf-8")
        run(Scenario.load("dtecn", SHORT), policy=f"./{name}/policy.py:Offload", out=f"r-{name}")
        assert ratios(folder / f"r-{name}") == {part}


def test_two_versions_of_a_folder_have_each_its_own_helper(folder: Path) -> None:
    source = POLICY.replace("self.part)", "rule.part())") + "from helper import rule\n"
    for name, part in (("a", 0.25), ("b", 0.75)):
        (folder / name / "helper").mkdir(parents=True)
        (folder / name / "helper" / "__init__.py").write_text("", "utf-8")
        (folder / name / "helper" / "rule.py").write_text(f"def part(): return {part}\n", "utf-8")
        (folder / name / "policy.py").write_text(source, "utf-8")
    texts = {name: f"./{name}/policy.py:Offload" for name in ("a", "b")}
    made = {name: make(text, by_path=True) for name, text in texts.items()}
    for number, name in enumerate(("a", "b", "a")):
        run(Scenario.load("dtecn", SHORT), policy=texts[name], out=f"r{number}")
        run(Scenario.load("dtecn", SHORT), policy=made[name], out=f"m{number}")
    assert [ratios(folder / f"{kind}{number}") for kind in "rm" for number in range(3)] == [{0.25}, {0.75}, {0.25}] * 2


@pytest.mark.parametrize("late", [
    "def late():\n    import helper\n", "import importlib\nhelper = importlib.import_module('helper')\n",
])  # fmt: skip
def test_helpers_that_are_imported_late_are_not_mixed_up(folder: Path, late: str) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "helper.py").write_text(f"X = {name!r}\n", "utf-8")
        (folder / name / "policy.py").write_text(POLICY + "import helper\n" + late * (name == "a"), "utf-8")
    make("./a/policy.py:Offload", by_path=True)
    with pytest.raises(InputError, match=r"imports helper from .*/helper\.py, but helper is .*a/helper\.py"):
        make("./b/policy.py:Offload", by_path=True)
    sys.modules["further"] = sys.modules.pop("helper")  # nobody's any more
    make("./b/policy.py:Offload", by_path=True)


def test_a_module_of_the_program_does_not_make_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a").mkdir()
    (folder / "a" / "helper.py").write_text("", "utf-8")
    (folder / "helper.py").write_text("", "utf-8")
    (folder / "policy.py").write_text(POLICY + "import helper\n", "utf-8")
    monkeypatch.syspath_prepend(folder / "a")
    import helper  # type: ignore[import-not-found]  # written above

    assert helper is sys.modules["helper"]
    with pytest.raises(InputError, match=r"imports helper from .*/helper\.py, but helper is .*a/helper\.py"):
        make("./policy.py:Offload", by_path=True)


def test_texts_are_resolved_and_lists_of_them_are_split(folder: Path) -> None:
    assert resolved("./policy.py:Offload,part=0.8") == f"{folder}/policy.py:Offload,part=0.8"
    assert resolved("policy:Offload") == f"{folder}/policy.py:Offload"
    assert resolved("p2-exact:margin=0.1") == "p2-exact:margin=0.1"
    texts = ("random", "./policy.py:Offload,part=0.8", "policy:Offload", "p2-exact:margin=0.1,max_node=9", "apg")
    assert parse_policies(",".join(texts)) == texts


def test_the_same_target_may_be_registered_twice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = folder / "policy.py"
    script.write_text(POLICY + "from policies import register\nregister('mine', Offload)\n", "utf-8")
    first, second = (make(f"{place}:Offload", by_path=True) for place in (script, "policy"))
    register("mine", "policy:Offload")
    register("mine", type(first))
    assert make("mine") == second
    for other in (f"{registry.__name__}:make", "policy:Breaks"):
        with pytest.raises(InputError, match="there is a policy 'mine' already"):
            register("mine", other)


def test_a_script_registers_its_class_and_runs_it_by_name(folder: Path) -> None:
    script = folder / "policy.py"
    script.write_text(POLICY + "from policies import register\nfrom sim import Scenario, run\n"
                      "register('mine', 'policy:Offload')\n"
                      "if __name__ == '__main__':\n"
                      "    result = run(Scenario.load('dtecn', ['time.num_slot=2']), policy='mine:part=0.25')\n"
                      "    print(result.summary['fallbacks'])\n", "utf-8")  # fmt: skip
    variables = {**os.environ, "PYTHONPATH": str(Path(registry.__file__).parents[1])}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=variables, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_scenario_that_names_a_path_is_not_imported_by_a_comparison(folder: Path) -> None:
    (folder / "policy.py").write_text("import pathlib; pathlib.Path('imported').touch()\n" + POLICY, "utf-8")
    for setting in ("policy={fallback='./policy.py:Offload'}",
                    "timeline=[{kind='policy', at_s=0.1, name='./policy.py:Offload'}]"):  # fmt: skip
        command = ["compare", "dtecn", "--policies", "random", "--seeds", "0", "--slots", 5, "--set", setting]
        assert "'./policy.py:Offload' is a policy by path" in twin(*command, "--out", "c").complaint()
    assert not (folder / "imported").exists()


def test_a_comparison_takes_a_policy_by_path(folder: Path) -> None:
    policies = "random,./policy.py:Offload,part=0.25,policy:Offload"
    command = ["compare", "dtecn", "--policies", policies, "--seeds", "0", "--slots", 5, "--out", "c", "--json"]
    assert twin(*command).json()["policies"] == ["random", "./policy.py:Offload,part=0.25", "policy:Offload"]
    wrong = ["compare", "dtecn", "--policies", "random,./policy.py:Ofload", "--seeds", "0", "--out", "d"]
    assert "--policies: ./policy.py: there is no Ofload in it; did you mean Offload?" in twin(*wrong).complaint()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("class X(BaseException): ...\nraise X('two\\nlines')\n", "cannot be imported: X: two"),
        ("import sys\nsys.exit(3)\n", "cannot be imported: SystemExit: 3"),
        (
            "import sys\nclass P:\n    def __init__(self): sys.exit(5)\n    def reset(self, system, seed): ...\n"
            "    def decide(self, snapshot): ...\n",
            "cannot be made: SystemExit: 5",
        ),
    ],
)
def test_code_that_leaves_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "leaves.py").write_text(text, "utf-8")
    assert words in twin("run", "dtecn", "--slots", "1", "--policy", f"{tmp_path / 'leaves.py'}:P").complaint()


def test_links_in_a_circle_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.py").symlink_to(tmp_path / "two.py")
    (tmp_path / "two.py").symlink_to(tmp_path / "one.py")
    complaint = twin("run", "dtecn", "--slots", "1", "--policy", f"{tmp_path / 'one.py'}:P").complaint()
    assert "one.py" in complaint
