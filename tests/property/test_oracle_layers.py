"""The engines agree on the system 'llm6g', too: task rows to the last bit, joules and reports to 1e-9."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings

from physical.system import System
from sim.runs.run import RunResult
from tests.oracle.engine import OracleResult
from tests.property.families import Case, coverage
from tests.property.layer_families import check_capacity_in_force, layer_case_of, layer_cases, layer_coverage
from tests.support.engines import compare

JOINT = ("local_frequency_hz", "transmit_power_w", "bandwidth_hz")


def compare_jobs(case: Case, result: RunResult, oracle: OracleResult) -> None:
    """Compare the table `jobs` and what its energies add up to."""
    table: pa.Table = result.table("jobs")
    expected = oracle.job_rows(case.scenario)
    for name in ("slot", "vehicle", "task_class", "num_token", "layers_local", "local_frequency_hz"):
        assert table[name].to_pylist() == expected[name], name
    system = case.scenario.system()
    # An unfinished local part is charged up to the ns in which the run ends, and stages are kept in fractions of one.
    ns_j = 1e-9 * float((system.kappa_vehicle * system.cpu_hz**3).max())
    # Without joint allocation the radio is free; by another rule than "job", servers are billed for their power.
    billed = {"local": True, "transmit": system.joint, "edge": system.model.edge_energy_rule == "job"}
    for kind, is_billed in billed.items():
        if not is_billed:
            assert table[f"energy_{kind}_j"].null_count == table.num_rows, kind
            continue
        joules = expected[f"energy_{kind}_j"]
        if None in joules:  # the whole server is billed
            assert table[f"energy_{kind}_j"].to_pylist() == joules
            continue
        found, tolerance_j = table[f"energy_{kind}_j"].to_numpy(), ns_j if kind == "local" else 0.0
        np.testing.assert_allclose(found, joules, rtol=1e-9, atol=tolerance_j, err_msg=kind)
        total_j = result.summary[f"energy_{kind}_j"]
        # The books count in units of about 1e-11 J, far below any energy but the literal eq. 4's.
        assert total_j == pytest.approx(sum(joules), rel=1e-9, abs=1e-9 + tolerance_j * len(joules))


def metered_by_job(system: System) -> bool:
    """Tell whether there is a table of jobs."""
    return system.joint or system.has_transformer or system.model.edge_energy_rule == "job"


def compare_radio(result: RunResult, oracle: OracleResult) -> None:
    """Compare what decisions say of the rest of a vehicle's resources."""
    table = result.table("decisions")
    for name in JOINT:
        decided = [getattr(item, name) for item in oracle.decisions]
        assert table[name].to_pylist() == [[] if values is None else values.tolist() for values in decided], name


def check(case: Case) -> Counter[str]:
    """Compare the engines in a case; return which kinds of trouble occurred."""
    oracle, result = case.run_oracle(), case.run()
    compare(case, result, oracle)
    if metered_by_job(case.scenario.system()):
        compare_jobs(case, result, oracle)
    compare_radio(result, oracle)
    reported = np.array(case.observed.backlog_bytes).reshape(np.shape(oracle.backlog_bytes))
    np.testing.assert_allclose(reported, oracle.backlog_bytes, rtol=1e-9, atol=1e-6)
    check_capacity_in_force(case)
    return Counter({**coverage(case, oracle), **layer_coverage(case, oracle)})


@settings(max_examples=10)
@given(layer_cases())
def test_engines_agree(case: Case) -> None:
    check(case)


@pytest.mark.full
def test_engines_agree_in_every_family() -> None:
    """100 cases, and in these every kind of trouble that the engines could disagree about."""
    seen: Counter[str] = Counter()
    for seed in range(100):
        seen.update(check(layer_case_of(seed)))
    assert min(seen.values()) >= 2, seen
