"""The house may be rebuilt, its runs stay: digests that were kept, and of now."""

import pytest

from tests.frozen.runs import built_in, digest_of, digest_of_drawn, kept, timeless


@pytest.mark.slow
def test_runs_are_what_they_were() -> None:
    before = kept()
    now = {
        "built-in": {f"{scenario} {policy}": digest_of(scenario, policy) for scenario, policy in built_in()},
        "drawn": {str(seed): digest_of_drawn(seed) for seed in timeless()},
    }
    assert len(before["built-in"]) >= 100
    assert len(before["drawn"]) >= 200
    differ = [
        f"{group}: {run}" for group, runs in before.items() for run, digest in runs.items() if now[group][run] != digest
    ]
    num_run = {group: len(runs) for group, runs in before.items()}
    print(f"compared {num_run['built-in']} runs of built-in scenarios and {num_run['drawn']} drawn ones")
    assert not differ, f"{len(differ)} of {num_run} differ: {differ}"
