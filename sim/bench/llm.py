"""`twin bench llm`: time of a decision, cold and warm, against a plain completion of as many tokens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from policies.cases.case import CaseSet
from policies.llm.bundled.engine import BundledEngine
from policies.llm.bundled.environments import TRAINING, RandomEnvironment, solved_cases
from policies.llm.bundled.manifest import check_manifest
from policies.llm.bundled.plain import completion_times
from policies.llm.engine import Answer, Engine
from policies.llm.models import resolve
from policies.llm.text.completion import Method
from policies.llm.text.engine import TextEngine
from sim.bench.report import Report
from twin.snapshot import TwinSnapshot

_NUM_CASE = 8
_NUM_QUERY = 200
_NUM_PLAIN = 5
_COUNTS = (4, 10, 20)
_TEXT_CASES, _TEXT_COUNT, _TEXT_QUERIES = 2, 4, 2
_SEED = 5


def measure() -> Report:
    """Measure the bundled model for several numbers of vehicles, and SmolLM2 in both ways for the smallest number."""
    entries = [_bundled(count) for count in _COUNTS]
    entries += [_text(method) for method in ("batch", "text")]
    rows = tuple(
        (
            entry["model"],
            entry["num_vehicle"],
            entry["num_case"],
            f"{entry['cold_s'] * 1e3:.1f}",
            f"{entry['warm_s_p50'] * 1e3:.1f}",
            f"{entry['warm_s_p99'] * 1e3:.1f}",
            f"{entry['cold_s'] / entry['warm_s_p50']:.1f}",
            f"{entry['tokens_per_s']:.0f}",
            *("" if entry[key] is None else f"{entry[key]:.1f}" for key in ("speed_up", "speed_up_reusing")),
        )
        for entry in entries
    )
    columns = (
        "model",
        "N",
        "cases",
        "cold ms",
        "warm ms, median",
        "99 %",
        "reuse of the prefix",
        "tokens/s",
        "x plain completion",
        "x with its reuse",
    )
    notes = (
        "cold: nothing read before; warm: the cases are in the cache, the state is another one; one thread",
        "tokens/s: of the whole prompt and the answer, per second of a warm decision",
        "plain completion: llama_cpp.Llama reads the same prompt and writes as many answers, one after another; from",
        "an empty cache, or (its reuse) with the cases in it already, as it finds them when prompts begin alike",
    )
    return Report("Language models: time of a decision", columns, rows, notes, {"models": entries})


def _slots(num_vehicle: int, num_case: int, num_query: int) -> tuple[CaseSet, list[TwinSnapshot]]:
    ranges = replace(TRAINING, num_vehicle=(num_vehicle, num_vehicle), table_one=0.0)
    return solved_cases(RandomEnvironment(_SEED, ranges), num_case, num_query)


def _bundled(num_vehicle: int) -> dict[str, Any]:
    cases, queries = _slots(num_vehicle, _NUM_CASE, _NUM_QUERY)
    path = resolve("bundled").path
    reading = check_manifest(path).how_to_read()
    make = partial(BundledEngine, path, queries[0].system, num_case=_NUM_CASE, reading=reading)
    entry = _times("bundled", make, cases, queries)
    plain = completion_times(path, cases, queries[:_NUM_PLAIN])
    return entry | {
        "plain_s": plain.cold_s,
        "plain_reusing_s": plain.warm_s,
        "speed_up": plain.cold_s / entry["warm_s_p50"],
        "speed_up_reusing": plain.warm_s / entry["warm_s_p50"],
    }


def _text(method: Method) -> dict[str, Any]:
    cases, queries = _slots(_TEXT_COUNT, _TEXT_CASES, _TEXT_QUERIES)
    path = resolve("smollm2").path
    make = partial(TextEngine, path, queries[0].system, num_case=_TEXT_CASES, method=method)
    return _times(f"smollm2, {method}", make, cases, queries) | {"speed_up": None, "speed_up_reusing": None}


def _times(name: str, make: Callable[[], Engine], cases: CaseSet, queries: list[TwinSnapshot]) -> dict[str, Any]:
    """Return the times of the first decision and of later decisions with the same cases."""
    engine, shown = make(), list(cases)
    first, cold_s = _timed(engine, shown, queries[0])
    answers = [_timed(engine, shown, query) for query in queries]
    engine.close()
    warm_s = np.array([seconds for _, seconds in answers])
    num_token = first.num_prompt_token + first.num_answer_token
    return {
        "model": name,
        "num_vehicle": queries[0].system.num_vehicle,
        "num_case": len(shown),
        "num_token": num_token,
        "cold_s": cold_s,
        "warm_s_p50": float(np.median(warm_s)),
        "warm_s_p99": float(np.percentile(warm_s, 99)),
        "tokens_per_s": num_token / float(np.median(warm_s)),
    }


def _timed(engine: Engine, cases: list[Any], query: TwinSnapshot) -> tuple[Answer, float]:
    begin_s = time.perf_counter()
    answer = engine.decide(cases, query, None)
    return answer, time.perf_counter() - begin_s
