"""The shrinker finds the smallest scenario of an artificial violation, in the time that it has."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

from sim.scenario.scenario import Scenario
from tests.support.process import at_work
from tests.swarm import campaign
from tests.swarm.__main__ import main
from tests.swarm.checks import Violation
from tests.swarm.draw import Case, case_of
from tests.swarm.play import play
from tests.swarm.shrink import shrink
from tests.swarm.toml import to_toml


def test_only_what_matters_is_left() -> None:
    """Wrong is whatever is lossy with three vehicles or more, and a burst."""
    data = next(
        case.data
        for case in map(case_of, itertools.count())
        if case.data["network"].get("lan", {}).get("loss")
        and case.data["vehicles"].get("num_vehicle", 0) > 4
        and "bursts" in case.data
    )

    def fails(smaller: dict[str, Any]) -> bool:
        lossy = smaller.get("network", {}).get("lan", {}).get("loss", 0) > 0
        return bool(lossy and smaller.get("vehicles", {}).get("num_vehicle", 0) >= 3 and "bursts" in smaller)

    loss = data["network"]["lan"]["loss"]
    assert shrink(data, fails) == {
        "vehicles": {"num_vehicle": 3},
        "bursts": {},
        "network": {"lan": {"loss": float(f"{loss:.0e}")}},
    }


def test_numbers_lists_and_digits_become_simple() -> None:
    data = {"a": [1, 2, 3], "b": 0.123456, "c": [{"d": 1}, {"d": 7}], "e": 1000}

    def fails(smaller: dict[str, Any]) -> bool:
        return (
            smaller.get("b", 0) > 0.11
            and any(item.get("d", 0) > 4 for item in smaller.get("c", []))
            and smaller.get("e", 0) > 70
        )

    assert shrink(data, fails) == {"b": 0.12, "c": [{"d": 5}], "e": 71}


def test_it_ends_in_time() -> None:
    data = case_of(1).data
    assert shrink(data, lambda smaller: True, limit_s=0.0) == data


def test_a_violation_is_told_so_that_it_can_be_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An artificial check that fails for every highway: the file that is kept fails it, too, and is small."""

    def checked(case: Case) -> tuple[list[Violation], str]:
        scenario = Scenario.load(case.write(tmp_path / "checked"))
        return ([Violation("highway", "it is one")] if scenario.mobility.kind == "highway" else []), ""

    def check(case: Case, limit_s: float = 0.0, only: str = "") -> tuple[list[Violation], str]:
        try:
            return checked(case)
        except ValueError:
            return [], ""

    for module in (campaign, sys.modules[main.__module__]):
        monkeypatch.setattr(module, "check_case", check)
    seed = next(seed for seed in itertools.count() if case_of(seed).data["mobility"]["kind"] == "highway")
    found = campaign.Campaign([seed], quiet=True, failing={seed: [Violation("highway", "it is one")]}, num_done=1)
    found.report(tmp_path / "kept", 1, 20.0)
    printed = capsys.readouterr().out
    path = tmp_path / "kept" / f"{seed}-highway" / "scenario.toml"
    assert f"--scenario {path}" in printed
    assert path.read_text("utf-8") in printed
    assert f"seed {seed}, " in printed.splitlines()[-1]
    assert len(path.read_text("utf-8")) < 0.6 * len(to_toml(case_of(seed).data))
    assert main(["--scenario", str(path), "--policy", "random", "--seed", "3"]) == 1
    assert "highway: it is one" in capsys.readouterr().out


def test_what_does_not_end_is_ended(tmp_path: Path) -> None:
    def endless() -> None:
        while True:
            pass

    with at_work("tests.swarm.play:run", endless):
        found, digest = play(Case(case_of(3).data, files=case_of(3).files), tmp_path, 0.2)
    assert [violation.check for violation in found] == ["endless"]
    assert not digest


def test_another_digest_in_another_process_is_told() -> None:
    with at_work("tests.swarm.campaign:other_digests", lambda: {4: "other"}):
        (verdict,) = campaign.check_seeds([4])
        assert [violation.check for violation in verdict.violations] == ["hash seed"]
        with at_work("tests.swarm.campaign:digest_of", lambda: "different"):
            (verdict,) = campaign.check_seeds([4])
        assert [violation.check for violation in verdict.violations] == ["parts"]
