"""What a scenario resolves to: files are read once, and nothing is looked up again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from physical.errors import InputError
from sim import Scenario
from sim.inputs.blocks import Inputs
from sim.inputs.streams import Streams

MOBILITY = "entity_id,t_s,x_m,y_m,speed_mps\n" + "".join(
    f"{name},{time_s},{place + 10 * time_s},0,10\n" for name, place in (("a", 0), ("b", 30)) for time_s in range(4)
)
FILES = {
    "cars.csv": MOBILITY,
    "rates.csv": "t_s,uplink_rate_bps\n0,1e6\n1,2e6\n",
    "asked.csv": "t_s,num_input_token,num_output_token\n0,10,1\n0.5,20,1\n2.5,30,1\n",
}


def of_files(folder: Path) -> Scenario:
    """Write the files, and return a scenario that takes its vehicles, rates and prompts from them."""
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    data = Scenario.load("llm6g").model_dump(mode="json", exclude_none=True)
    data["model"] |= {"allocation": "compute", "edge_energy": "power"}
    del data["cost"], data["vehicles"]["num_vehicle"], data["rsus"]
    data["time"] = {"slot_duration_s": 0.5}
    data["mobility"] = {"kind": "trace", "file": str(folder / "cars.csv")}
    data["radio"]["rate_file"] = str(folder / "rates.csv")
    data["tasks"] = data["tasks"][:1]
    del data["tasks"][0]["num_token"]
    data["tasks"][0]["requests"] = {"file": str(folder / "asked.csv")}
    return Scenario.from_dict(data)


def test_nothing_is_read_after_resolve(tmp_path: Path) -> None:
    scenario = of_files(tmp_path)
    resolved = scenario.resolve()
    for name in FILES:
        (tmp_path / name).unlink()
    block = Inputs(resolved, Streams(1)).block(0, scenario.time.num_slot)
    assert block.x_m[0].tolist() == [0.0, 30.0]
    assert block.size_bytes.any()
    assert set(np.rint(block.uplink_rate_bps[:-1] / 1e6).ravel().tolist()) <= {1.0, 2.0}
    assert resolved.crowd.num_vehicle == resolved.system.num_vehicle == 2
    assert resolved.slot_ns == 500_000_000


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_told_by_resolve(tmp_path: Path, name: str) -> None:
    scenario = of_files(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match="there is no such file") as caught:
        scenario.resolve()
    assert caught.value.where == str(tmp_path / name)


def test_a_scenario_without_files_resolves_to_what_it_says() -> None:
    scenario = Scenario.load("dtecn-congested")
    resolved = scenario.resolve()
    assert resolved.tables is scenario
    assert resolved.nodes == scenario.nodes
    assert resolved.files.mobility is None
    assert resolved.files.link is None
    assert not resolved.files.requests
    assert resolved.crowd == (scenario.num_vehicle, scenario.num_vehicle, scenario.num_vehicle)
    assert not resolved.timeline.happenings
