"""Policies by name: options, suggestions, missing extras, broken packages."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from physical.errors import InputError
from physical.system import System
from policies import Policy, make, names, register, registry
from policies.baselines import EdgeEqual, Random
from sim import Scenario, compare
from tests.support.process import as_before, install
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


class Base:
    def reset(self, system: System, seed: int) -> None:
        pass

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        raise NotImplementedError


@dataclass
class Tuned(Base):
    """A policy with options of several types."""

    ratio: float = 0.5
    num_case: int = 16
    greedy: bool = False
    model: str = "small"
    rule: Literal["first", "best"] = "first"
    path: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1:
            raise ValueError(f"ratio {self.ratio} is not in [0, 1]")


class Plain(Base):
    def __init__(self, ratio: float, *, name: Any = None) -> None:
        self.ratio = ratio
        self.name = name


def build(scale: int = 1) -> Tuned:
    return Tuned(ratio=1 / scale)


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    with as_before():
        yield


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def complaint(text: str) -> str:
    with pytest.raises(InputError) as caught:
        make(text)
    return str(caught.value)


@pytest.mark.parametrize("name", [spec.name for spec in registry._BUILT_IN if not spec.extra])
def test_built_in_policies_are_made(name: str) -> None:
    assert isinstance(make(name), Policy)


def test_options_get_their_types() -> None:
    register("tuned", Tuned)
    assert make("tuned") == Tuned()
    made = make("tuned:ratio=0.25, num-case=3,greedy=true,model=llama 3,rule=best,path=a/b.gguf")
    assert made == Tuned(0.25, 3, True, "llama 3", "best", Path("a/b.gguf"))
    assert make("tuned:model=a=b") == Tuned(model="a=b")
    assert make(" tuned ") == make("tuned:") == Tuned()


def test_options_of_plain_classes_and_functions() -> None:
    register("plain", Plain)
    made = make("plain:ratio=0.5,name=x")
    assert isinstance(made, Plain)
    assert (made.ratio, made.name) == (0.5, "x")
    register("built", build)
    assert make("built:scale=4") == Tuned(0.25)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "tuned:ratoi=1",
            "--policy: tuned: there is no option 'ratoi'; did you mean ratio? (accepted: ratio, num_case,",
        ),
        ("tuned:ratio=x", "--policy: tuned.ratio: 'x' is wrong (accepted: a number)"),
        ("tuned:num_case=1.5", "--policy: tuned.num_case: '1.5' is wrong (accepted: an integer)"),
        ("tuned:greedy=perhaps", "tuned.greedy: 'perhaps' is wrong (accepted: true or false)"),
        ("tuned:rule=worst", "tuned.rule: 'worst' is wrong (accepted: 'first' or 'best')"),
        ("tuned:ratio=2", "--policy: tuned: ratio 2.0 is not in [0, 1]"),
        ("tuned:ratio", "--policy: tuned: 'ratio' is not an option (accepted: option=value)"),
        ("tuned:=3", "'=3' is not an option"),
        ("tuned:ratio=1,ratio=0", "option 'ratio' is given twice"),
        ("plain", "--policy: plain: option 'ratio' is missing (accepted: plain:ratio=...)"),
        ("random:seed=1", "--policy: random: there is no option 'seed' (accepted: no options)"),
        ("edge-eqaul", "--policy: there is no policy 'edge-eqaul'; did you mean edge-equal? (accepted: local-only, "),
        ("greedy", "did you mean greedy-cost or greedy-latency?"),
        ("", "there is no policy ''"),
    ],
)
def test_wrong_name_or_option(text: str, words: str) -> None:
    register("tuned", Tuned)
    register("plain", Plain)
    assert words in complaint(text)


def test_missing_extra_gives_the_command() -> None:
    register("learned", "no_such_library.actor:Actor", extra="marl")
    expected = (
        "--policy: learned: needs the extra marl (No module named 'no_such_library') "
        '(accepted: after pip install "vectwin[marl]")'
    )
    assert complaint("learned") == expected


def test_installed_follows_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(spec.installed for spec in registry._BUILT_IN if not spec.extra)
    monkeypatch.setitem(sys.modules, "torch", None)  # as if there were none
    monkeypatch.setitem(sys.modules, "llama_cpp", json)
    assert not registry.PolicySpec("x", Tuned, "", "marl").installed
    assert registry.PolicySpec("x", Tuned, "", "llm").installed


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (
            "no_such_module:X",
            "no_such_module cannot be imported: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("policies.baselines:Nothing", "policies.baselines has no Nothing"),
        ("policies.baselines", "policies.baselines has no attribute, the target names none"),
        ("policies.feasible:FLOOR", "policies.feasible:FLOOR is not a class"),
        ("builtins:dict", "is not a policy: it needs reset(system, seed) and decide(snapshot)"),
        ("physical.registry:KindSpec", "option 'name' is missing"),
        ("", "cannot be imported: ValueError"),
        (":", "cannot be imported: ValueError"),
        ("..x:Y", "cannot be imported"),
    ],
)
def test_broken_package_shows_when_it_is_used(site: Path, target: str, words: str) -> None:
    install(site, broken=target, fine="policies.baselines:Random [some, extras]")
    assert names()[-2:] == ["broken", "fine"]
    assert isinstance(make("fine"), Random)
    assert words in complaint("broken")


def test_package_that_raises_on_import(site: Path) -> None:
    (site / "raises_on_import.py").write_text("raise RuntimeError('no licence\\nfound')", "utf-8")
    (site / "wrong_syntax.py").write_text("def :", "utf-8")
    install(site, first="raises_on_import:X", second="wrong_syntax:X")
    assert "first: raises_on_import cannot be imported: RuntimeError: no licence" in complaint("first")
    assert "second: wrong_syntax cannot be imported: SyntaxError" in complaint("second")
    sys.modules.pop("raises_on_import", None)


def test_packages_are_looked_for_once(site: Path) -> None:
    install(site, mine="policies.baselines:Random")
    assert isinstance(make("mine"), Random)
    for file in site.glob("*.dist-info/entry_points.txt"):
        file.unlink()
    assert isinstance(make("mine"), Random)
    assert names()[-1] == "mine"


def test_built_in_names_are_not_taken_over(site: Path) -> None:
    install(site, **{"edge-equal": "policies.baselines:Random"})
    assert isinstance(make("edge-equal"), EdgeEqual)


@pytest.mark.parametrize("name", ["edge-equal", "twice"])
def test_names_are_unique(name: str) -> None:
    register("twice", Plain)
    with pytest.raises(InputError, match="already"):
        register(name, Tuned)


@pytest.mark.parametrize("name", ["", "Upper", "a:b", "a,b", "a b", "ä"])
def test_bad_names(name: str) -> None:
    with pytest.raises(InputError, match="is not a policy name"):
        register(name, Tuned)


def test_error_of_a_policy_passes_unchanged() -> None:
    class Choosy(Base):
        def __init__(self, model: str = "") -> None:
            raise InputError("there is no model", where="models", key=model, accepted="small")

    register("choosy", Choosy)
    assert complaint("choosy:model=x") == "models: x: there is no model (accepted: small)"


def test_place_of_the_error_can_be_given() -> None:
    with pytest.raises(InputError, match=r"^a\.toml: policy\.fallback: there is no policy"):
        make("nobody", where="a.toml: policy.fallback")


@pytest.mark.full
def test_what_makes_no_policy_is_refused_in_one_line() -> None:
    scenario = Scenario.load("dtecn", ["time.num_slot=2"])
    with pytest.raises(InputError, match=r"an object of type object is not a policy: it needs reset\(system, seed\)"):
        compare(scenario, [object()], [0])  # type: ignore[list-item]  # the fault

    class Needs(Base):
        def __init__(self, part: float) -> None:
            self.part = part

    with pytest.raises(InputError, match=r"option 'part' is missing \(accepted: an object: Needs\(part=...\)\)"):
        compare(scenario, [Needs], [0])
