"""Verifies a model's file: its digest, torch against llama.cpp, and an earlier decision."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from physical.errors import InputError
from physical.printable import one_line
from policies.llm.bundled.engine import BundledEngine
from policies.llm.bundled.environments import RandomEnvironment, solved_cases
from policies.llm.bundled.manifest import ModelManifest, check_manifest
from policies.llm.bundled.reading import Reading, probabilities, quantiles
from policies.llm.bundled.training.learn import places_of_answers, places_of_prices
from policies.llm.bundled.training.network import AttentionPlan, Network, Shape
from policies.llm.bundled.training.train import golden_decision
from policies.llm.bundled.vocabulary import NUM_CLASS, encode_case, encode_price, encode_state, worth_of_draining
from policies.llm.errors import ModelError
from policies.llm.session import Logits

PROBABILITY_TOLERANCE = 0.02
"""Allowed difference of probabilities, mean over the tasks; llama.cpp rounds the factors of quantised weights.

It is a mean, because the probabilities of a single undecided task can move by a tenth, and more for a sharper model.
The price moves by some words. It is only shown, because it is just the start of a search.
"""
SHARE_TOLERANCE = 0.03
"""Allowed relative difference of shares of the golden decision."""
_PRICES = (4.0, 9.0)
"""Above the best worth of draining a queue."""


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Parameters
    ----------
    name : what was checked
    passed : whether it is correct
    detail : the numbers
    """

    name: str
    passed: bool
    detail: str


def verify(model: Path) -> list[Check]:
    """Check a model that was trained here.

    Raises
    ------
    InputError : there is no manifest, or it is that of another file
    """
    manifest = check_manifest(model)
    checks = [Check("digest", True, manifest.sha256)]
    try:
        here, there = logits_of_both(model, manifest.golden.seed, manifest.golden.num_case)
    except ModelError as error:
        return [*checks, Check("answers", False, str(error))]
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        accepted = "a model of twin models train"
        raise InputError(
            f"is no network of ours: {one_line(str(error))}", where=str(model), accepted=accepted
        ) from None
    moved = max(
        float(np.abs(probabilities(one) - probabilities(other)).sum(axis=-1).mean()) / 2.0
        for one, other in zip(here[1:], there[1:], strict=True)
    )
    apart = abs(float(quantiles(probabilities(here[0]), 0.5) - quantiles(probabilities(there[0]), 0.5)))
    detail = f"{moved:.2g} of the probability of answers lies elsewhere, the price is {apart:.2g} words away"
    checks.append(Check("torch parity", moved <= PROBABILITY_TOLERANCE, detail))
    try:
        return [*checks, _golden(model, manifest)]
    except ModelError as error:
        return [*checks, Check("golden decision", False, str(error))]


def _golden(model: Path, manifest: ModelManifest) -> Check:
    golden = manifest.golden
    decision, server_hz = golden_decision(model, manifest.how_to_read(), golden.seed, golden.num_case)
    offloaded = decision.offloading_ratio > 0
    expected = np.array(golden.offloaded)
    if offloaded.shape != expected.shape or (offloaded != expected).any():
        return Check("golden decision", False, "other tasks are offloaded")
    share = decision.compute_allocation_hz / server_hz
    gap = float(np.abs(share / np.where(expected, golden.share, 1.0) - 1.0)[expected].max(initial=0.0))
    return Check("golden decision", gap <= SHARE_TOLERANCE, f"shares differ by up to {gap:.2%}")


def logits_of_both(model: Path, seed: int, num_case: int) -> tuple[list[Logits], list[Logits]]:
    """Return the logits of a query from llama.cpp and from torch with the same weights.

    These are the logits of its price, [PRICE.count], and of its answers at some prices, [N, K, NUM_ANSWER] each.

    model : GGUF file
    seed : of the random environment
    num_case : cases before the query
    """
    environment = RandomEnvironment(seed)
    system = environment.system
    num_task = system.num_vehicle * system.num_class
    cases, (query,) = solved_cases(environment, num_case, 1)
    before = [part.reshape(-1) for case in cases for part in encode_case(case)]
    # As many quantiles as prices, because there are sequences for that many at a time.
    reading = Reading(prices=(0.5,) * len(_PRICES))
    with closing(BundledEngine(model, system, num_case=num_case, reading=reading)) as engine:
        price, answers = engine.ask(list(cases), query, worth_of_draining(query).max() + np.array(_PRICES))
    network = network_of(model)
    shape = (num_case + 1, system.num_vehicle)
    places = torch.cat([places_of_prices(*shape)[-1:], places_of_answers(*shape)[-num_task:]])
    state, rows = encode_state(query)
    worth = worth_of_draining(query)
    found: list[Logits] = []
    for shown in _PRICES:
        words = encode_price(worth.max() + shown, worth)
        tokens = torch.from_numpy(np.concatenate([*before, state, words, rows.reshape(-1)]).astype(np.int64))[None]
        with torch.no_grad():
            stream = network(tokens, AttentionPlan(*shape, network.shape), places)[0]
            found = found or [network.prices(stream[0]).numpy()]
            found.append(network.answers(stream[1:].unflatten(0, (system.num_vehicle, NUM_CLASS))).numpy())
    return [price, *answers], found


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
