"""The bundled engine against torch, and what it must not depend on."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.cases.case import Case
from policies.llm.bundled.engine import BundledEngine
from policies.llm.bundled.environments import RandomEnvironment, solved_cases
from policies.llm.bundled.reading import Reading
from policies.llm.bundled.vocabulary import (
    ANSWER_AT,
    LENGTH_HEADER,
    LENGTH_ROW,
    LENGTH_STATE,
    SIZE,
    SIZE_AT,
    WORDS,
    encode_case,
    encode_price,
    encode_state,
    worth_of_draining,
)
from policies.llm.errors import ContextOverflowError, DeadlineExceededError
from policies.llm.models import resolve
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

torch = pytest.importorskip("torch", reason="reason: needs the extra marl")
pytest.importorskip("llama_cpp", reason="reason: needs the extra llm")

from policies.llm.bundled.training.dataset import solve  # noqa: E402 - needs the extras
from policies.llm.bundled.training.export import export  # noqa: E402 - after the check for the extras
from policies.llm.bundled.training.learn import costs_of_answers, loss_of, places_of_answers  # noqa: E402 - after the check for the extras
from policies.llm.bundled.training.network import AttentionPlan, Network, Shape  # noqa: E402 - after the check for the extras
from policies.llm.bundled.training.verify import logits_of_both, network_of  # noqa: E402 - after the check for the extras

SMALL = Shape(width=64, depth=2, num_head=4, num_kv_head=2, num_hidden=96)


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights, in single precision."""
    path = tmp_path_factory.mktemp("model") / "random.gguf"
    export(random_weights(), SMALL, path, "F32")
    return path


def random_weights() -> dict[str, Any]:
    network = Network(SMALL, seed=3)
    with torch.no_grad():
        for parameter in network.parameters():  # large, so that every path through the network counts
            if parameter.ndim == 2:
                parameter.mul_(2.0)
    return dict(network.state_dict())


@pytest.mark.parametrize("num_case", [0, 1, 5])
@pytest.mark.parametrize("seed", [1, 4])
def test_llama_cpp_computes_what_torch_does(random_model: Path, seed: int, num_case: int) -> None:
    here, there = logits_of_both(random_model, seed, num_case)
    for one, other in zip(here, there, strict=True):
        assert one.shape == other.shape
        assert float(np.std(other)) > 0.3
        # The cache of llama.cpp holds half-precision numbers: a hundredth of what the logits spread.
        np.testing.assert_allclose(one, other, rtol=0.0, atol=0.01 * float(np.std(other)))
    assert np.abs(there[1] - there[2]).max() > 0.3  # two prices


def test_the_export_keeps_every_weight(random_model: Path) -> None:
    found = network_of(random_model).state_dict()
    for name, tensor in random_weights().items():
        assert torch.equal(found[name], tensor), name


def test_the_export_is_reproducible(random_model: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.gguf"
    export(random_weights(), SMALL, again, "F32")
    assert again.read_bytes() == random_model.read_bytes()


@pytest.fixture(scope="module")
def engine_and_slots() -> Iterator[tuple[BundledEngine, list[Case], list[TwinSnapshot]]]:
    environment = RandomEnvironment(11)
    cases, queries = solved_cases(environment, 8, 3)
    engine = BundledEngine(resolve("bundled").path, environment.system, num_case=8)
    yield engine, list(cases), queries
    engine.close()


def same(one: Decision, other: Decision) -> bool:
    return bool(
        (one.offloading_ratio == other.offloading_ratio).all()
        and (one.compute_allocation_hz == other.compute_allocation_hz).all()
    )


@pytest.mark.full
def test_answers_repeat_whatever_was_asked_before(
    engine_and_slots: tuple[BundledEngine, list[Case], list[TwinSnapshot]],
) -> None:
    engine, cases, queries = engine_and_slots
    first = engine.decide(cases, queries[0], None)
    engine.decide(cases[:3], queries[1], None)
    engine.decide([], queries[2], None)
    again = engine.decide(cases, queries[0], None)
    assert same(first.decision, again.decision)
    assert first.prompt_digest == again.prompt_digest
    warm = engine.decide(cases, queries[0], None)
    assert same(first.decision, warm.decision)
    assert warm.num_reused_token > 0.8 * warm.num_prompt_token
    assert engine.decide(cases, queries[1], None).prompt_digest != first.prompt_digest
    assert engine.decide(cases[1:], queries[0], None).num_reused_token == 0


@pytest.mark.full
@pytest.mark.parametrize(("tolerance", "num_question"), [(np.inf, {1}), (0.04, {1, 2, 3}), (0.0, {3})])
def test_prices_are_tried_until_demand_meets_supply(tolerance: float, num_question: set[int]) -> None:
    environment = RandomEnvironment(11)
    cases, queries = solved_cases(environment, 8, 8)
    reading = Reading(num_correction=2, tolerance=tolerance)
    engine = BundledEngine(resolve("bundled").path, environment.system, num_case=8, reading=reading)
    count = environment.system.num_vehicle
    per_case, per_price = LENGTH_HEADER + count * LENGTH_ROW, LENGTH_HEADER - LENGTH_STATE + count * ANSWER_AT[0]
    asked = [engine.decide(list(cases), query, None).num_prompt_token for query in queries]
    engine.close()
    assert {(tokens - 8 * per_case - LENGTH_STATE) / per_price for tokens in asked} == num_question


def test_too_many_cases_cost_one_decision(
    engine_and_slots: tuple[BundledEngine, list[Case], list[TwinSnapshot]],
) -> None:
    engine, cases, queries = engine_and_slots
    before = engine.decide(cases, queries[0], None)
    with pytest.raises(ContextOverflowError):
        engine.decide(cases * 4, queries[0], None)
    assert same(engine.decide(cases, queries[0], None).decision, before.decision)


def test_a_deadline_costs_one_decision(
    engine_and_slots: tuple[BundledEngine, list[Case], list[TwinSnapshot]],
) -> None:
    engine, cases, queries = engine_and_slots
    before = engine.decide(cases, queries[0], None)
    for prompt in (cases, cases[2:]):
        with pytest.raises(DeadlineExceededError):
            engine.decide(prompt, queries[0], 1e-9)
    assert same(engine.decide(cases, queries[0], None).decision, before.decision)


def tokens_of(cases: list[Case], query: TwinSnapshot) -> NDArray[np.int64]:
    state, rows = encode_state(query)
    asked = np.concatenate([state, encode_price(9.0, worth_of_draining(query)), rows.reshape(-1)])
    parts = [part.reshape(-1) for case in cases for part in encode_case(case)]
    return np.concatenate([*parts, asked]).astype(np.int64)


def test_rows_of_a_case_do_not_see_each_other() -> None:
    """Another size in one row changes the logits of that row, and of no other row of its case."""
    cases, (query,) = solved_cases(RandomEnvironment(11), 2, 1)
    count = query.system.num_vehicle
    network = Network(SMALL, seed=5)
    plan, places = AttentionPlan(3, count, SMALL), places_of_answers(3, count)

    def logits(tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.no_grad():
            stream = network(torch.from_numpy(tokens)[None], plan, places).reshape(3, count, 3, -1)
            found: NDArray[np.float32] = network.answers(stream).numpy()
        return found

    tokens = tokens_of(list(cases), query)
    before = logits(tokens)
    for case in (0, 2):
        changed = tokens.copy()
        at = case * plan.per_case + LENGTH_HEADER + 1 * LENGTH_ROW + SIZE_AT[0]  # vehicle 1
        first = WORDS["d1"].first
        changed[at] = first + (changed[at] - first + 40) % SIZE.count
        after = logits(changed)
        differs = np.abs(after - before).max(axis=(2, 3)) > 1e-5
        assert differs[case].tolist() == [vehicle == 1 for vehicle in range(count)]
        # A state without its answers' tokens is in none of the earlier cases, and in all later ones.
        assert not differs[:case].any()
        assert differs[case + 1 :].all()


def test_the_order_of_vehicles_means_nothing() -> None:
    """Renamed and reordered rows give reordered logits, in the query and in the cases."""
    cases, (query,) = solved_cases(RandomEnvironment(11), 3, 1)
    count = query.system.num_vehicle
    network = Network(SMALL, seed=5)
    plan, places = AttentionPlan(4, count, SMALL), places_of_answers(4, count)
    tokens = torch.from_numpy(tokens_of(list(cases), query)).reshape(4, plan.per_case)
    rng = np.random.default_rng(0)
    orders = [rng.permutation(count) for _ in range(4)]
    mixed = torch.stack(
        [
            torch.cat(
                [
                    case[:LENGTH_HEADER],
                    case[LENGTH_HEADER:].reshape(count, LENGTH_ROW)[torch.from_numpy(order)].reshape(-1),
                ]
            )
            for case, order in zip(tokens, orders, strict=True)
        ]
    )
    with torch.no_grad():
        before, after = (
            network.answers(network(case.reshape(1, -1), plan, places).reshape(4, count, 3, -1)).numpy()
            for case in (tokens, mixed)
        )
    for row, order in enumerate(orders):
        np.testing.assert_allclose(after[row], before[row][order], atol=1e-4)


def test_the_loss_is_least_at_the_best_answers() -> None:
    solved = solve((5, 0), num_slot=2)
    cost = costs_of_answers(tuple(torch.from_numpy(values) for values in solved.terms))
    assert float(cost.amin(-1).abs().max()) == 0.0
    label = torch.log_softmax(-cost / 0.05, -1)
    rng = torch.Generator().manual_seed(0)
    for weight in (0.0, 3.0):
        best, expected = loss_of(label, cost, 0.05, weight)
        assert float(best) == pytest.approx(weight * float(expected), abs=1e-5)
        other, worse = loss_of(label + torch.randn(label.shape, generator=rng), cost, 0.05, weight)
        assert float(other) > float(best)
        assert float(worse) > 0.0


def test_shuffled_names_change_little(
    engine_and_slots: tuple[BundledEngine, list[Case], list[TwinSnapshot]],
) -> None:
    """A vehicle's place is only its name: with all vehicles turned round, each still gets about the same."""
    engine, cases, queries = engine_and_slots
    plain = engine.decide(cases, queries[0], None).decision
    turned = [
        replace(
            case,
            snapshot=reverse(case.snapshot),
            decision=Decision(case.decision.offloading_ratio[::-1], case.decision.compute_allocation_hz[::-1]),
        )
        for case in cases
    ]
    other = engine.decide(turned, reverse(queries[0]), None).decision
    agrees = plain.offloading_ratio == other.offloading_ratio[::-1]
    assert agrees.mean() > 0.9
    both = agrees & (plain.offloading_ratio > 0)
    ratio = plain.compute_allocation_hz[both] / other.compute_allocation_hz[::-1][both]
    assert np.abs(np.log(ratio)).mean() < 0.1


def reverse(snapshot: TwinSnapshot) -> TwinSnapshot:
    names = (
        "size_bytes",
        "x_m",
        "y_m",
        "speed_mps",
        "heading_rad",
        "serving_node",
        "channel_gain",
        "age_of_information_s",
        "estimation_bias_hz",
    )
    return replace(snapshot, **{name: getattr(snapshot, name)[::-1].copy() for name in names})
