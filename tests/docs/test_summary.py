"""Every key of a run's summary is on the page that explains it, and the page has no others."""

import re
from pathlib import Path

from physical.system import System
from sim import Scenario, run
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "comparison.md"


class Raising:
    """Fails in each slot, and when it is closed."""

    def reset(self, system: System, seed: int) -> None:
        pass

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        raise ValueError("no")

    def close(self) -> None:
        raise ValueError("never")


def told() -> set[str]:
    """Return the keys in the table of the page."""
    section = PAGE.read_text("utf-8").partition("{ #summary }")[2]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


def test_the_page_has_all_keys_of_summaries_and_no_others() -> None:
    few = ["time.num_slot=1", "time.slot_duration_s=0.05"]
    runs = [
        run(Scenario.load("dtecn", few), policy="p2-exact", speed=1000.0),
        run(Scenario.load("dtecn", few), policy=Raising()),
        run(Scenario.load("llm6g", few), policy="local-only"),
    ]
    found = {key for one in runs for key in one.summary}
    assert found <= told()
    assert told() - found <= {"decisions_guarded"}  # of language models, which need an extra
    assert {"stable", "gap_model", "fallback_first", "not_closed", "realtime_slips", "layers_local_mean"} <= found
