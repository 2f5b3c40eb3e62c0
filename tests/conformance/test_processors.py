"""The digest of a run does not depend on the vector unit of the processor."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

_RUN = """
from sim import Scenario, run
settings = ["time.num_slot=60", "twin.estimator=predict", "network.access.jitter_s=0.004", "network.access.loss=0.2",
            "twin.bias.channel_gain_db=1.5", "network.backhaul.latency_s={kind='lognormal', median_s=0.01, sigma=0.5}"]
print(run(Scenario.load("dtecn", settings), policy="greedy-cost", seed=3).summary["digest"])
"""


def _dispatched_features() -> list[str]:
    """Return the vector extensions that NumPy uses here beyond its baseline."""
    extensions = np.show_config(mode="dicts")["SIMD Extensions"]
    return list(extensions.get("found", []))


def _digest(disabled: str) -> str:
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", _RUN], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.full
def test_digest_without_vector_extensions() -> None:
    """NumPy's exponentials and logarithms differ in the last digit without AVX-512; the trace must not."""
    features = _dispatched_features()
    if not features:
        pytest.skip("reason: NumPy uses no vector extension here, so there is nothing to switch off")
    assert _digest("") == _digest(" ".join(features))
