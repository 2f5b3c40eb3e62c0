"""Does a model's file say what it should? Its digest, torch against llama.cpp, and a decision of before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from numpy.typing import NDArray

from policies.llm.bundled import BundledEngine
from policies.llm.environments import RandomEnvironment, solved_cases
from policies.llm.manifest import ModelManifest, check_manifest
from policies.llm.reading import Reading
from policies.llm.session import Logits
from policies.llm.training.learn import places_of_answers
from policies.llm.training.network import Network, Plan, Shape
from policies.llm.training.train import golden_decision
from policies.llm.vocabulary import NUM_CLASS, encode_answer, encode_state, with_answers

PROBABILITY_TOLERANCE = 0.02
"""How far probabilities of answers may differ: llama.cpp rounds what it multiplies with quantised weights."""
SHARE_TOLERANCE = 0.03
"""How far shares of the golden decision may differ, relatively."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Parameters
    ----------
    name : what
    passed : whether it is as it should be
    detail : the numbers
    """

    name: str
    passed: bool
    detail: str


def verify(model: Path) -> list[Check]:
    """Check a model that was trained here.

    Raises
    ------
    InputError : no manifest, or not that of the file
    """
    manifest = check_manifest(model)
    checks = [Check("digest", True, manifest.sha256)]
    here, there = logits_of_both(model, manifest.golden.seed, manifest.golden.num_case)
    difference = float(np.abs(_probabilities(here) - _probabilities(there)).max())
    checks.append(
        Check("torch parity", difference <= PROBABILITY_TOLERANCE, f"probabilities differ by up to {difference:.2g}")
    )
    checks.append(_golden(model, manifest))
    return checks


def _golden(model: Path, manifest: ModelManifest) -> Check:
    golden = manifest.golden
    decision, server_hz = golden_decision(model, Reading(**manifest.reading), golden.seed, golden.num_case)
    offloaded = decision.offloading_ratio > 0
    expected = np.array(golden.offloaded)
    if offloaded.shape != expected.shape or (offloaded != expected).any():
        return Check("golden decision", False, "other tasks are offloaded")
    share = decision.compute_allocation_hz / server_hz
    gap = float(np.abs(share / np.where(expected, golden.share, 1.0) - 1.0)[expected].max(initial=0.0))
    return Check("golden decision", gap <= SHARE_TOLERANCE, f"shares differ by up to {gap:.2%}")


def logits_of_both(model: Path, seed: int, num_case: int) -> tuple[Logits, Logits]:
    """Return the logits of a query's answers from llama.cpp and from torch with the same weights, [N, K, NUM_ANSWER].

    model : GGUF file
    seed : of the random environment
    num_case : cases before the query
    """
    environment = RandomEnvironment(seed)
    system = environment.system
    cases, (query,) = solved_cases(environment, num_case, 1)
    parts: list[NDArray[Any]] = []
    for case in cases:
        header, rows = encode_state(case.snapshot)
        parts += [header, with_answers(rows, encode_answer(case.decision, system.server.frequency_hz)).reshape(-1)]
    engine = BundledEngine(model, system, num_case=num_case)
    answers, logits = engine.ask(list(cases), query)
    engine.close()
    header, rows = encode_state(query)
    parts += [header, with_answers(rows, answers).reshape(-1)]
    network = network_of(model)
    tokens = torch.from_numpy(np.concatenate(parts).astype(np.int64))[None]
    shape = (num_case + 1, system.num_vehicle)
    with torch.no_grad():
        stream = network(tokens, Plan(*shape, network.shape), places_of_answers(*shape))
        found = network.answers(stream.unflatten(1, (*shape, NUM_CLASS)))
    return logits, found[0, -1].numpy()


def network_of(model: Path) -> Network:
    """Return the network of a GGUF file, with the quantised weights as they are."""
    reader = gguf.GGUFReader(model)

    def number(key: str) -> Any:
        return reader.fields[key].contents()

    shape = Shape(
        width=number("llama.embedding_length"),
        depth=number("llama.block_count"),
        num_head=number("llama.attention.head_count"),
        num_kv_head=number("llama.attention.head_count_kv"),
        num_hidden=number("llama.feed_forward_length"),
        rope_base=number("llama.rope.freq_base"),
    )
    weights = {
        tensor.name: torch.from_numpy(np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type)))
        for tensor in reader.tensors
    }
    network = Network(shape)
    network.load_state_dict(weights)
    return network.eval()


def _probabilities(logits: Logits) -> NDArray[np.float64]:
    weight = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    found: NDArray[np.float64] = weight / weight.sum(axis=-1, keepdims=True)
    return found
