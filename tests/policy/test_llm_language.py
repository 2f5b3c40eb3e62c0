"""The bundled model's language and labels: tokens are in range, numbers survive, and costs are those of P2."""

import dataclasses
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physical.errors import InputError
from policies.baselines import LocalOnly
from policies.feasible import least_allocation_hz
from policies.llm.bundled import check_size
from policies.llm.environments import GROUPS, TRAINING, RandomEnvironment, outside, solved_cases
from policies.llm.reading import Reading
from policies.llm.training.labels import Terms, terms_at
from policies.llm.vocabulary import (
    ANSWER_AT,
    ANSWER_FIRST,
    LENGTH_HEADER,
    LENGTH_ROW,
    NUM_ANSWER,
    NUM_CLASS,
    NUM_TEXT,
    NUM_TOKEN,
    SHARE,
    WORDS,
    Scale,
    decode_answer,
    encode_answer,
    encode_state,
    token_texts,
    with_answers,
)
from policies.optimal.tasks import evaluate, read_tasks
from sim import Scenario
from twin.decision import Decision

SEEDS = range(12)


def test_every_word_has_its_own_token() -> None:
    tokens = [token for words in WORDS.values() for token in range(words.first, words.first + words.count)]
    assert tokens == list(range(NUM_TEXT, NUM_TEXT + len(tokens)))
    texts = token_texts()
    assert len(set(texts)) == len(texts) == NUM_TOKEN - NUM_TEXT
    assert NUM_TOKEN % 32 == 0


@given(low=st.floats(1e-6, 1.0), span=st.floats(1.5, 1e6), count=st.integers(2, 300), part=st.floats(0.0, 1.0))
def test_a_number_comes_back_within_half_a_bin(low: float, span: float, count: int, part: float) -> None:
    scale = Scale(low, low * span, count)
    value = low * span**part
    back = float(scale.centre(scale.bin(np.array([value])))[0])
    assert abs(np.log(back / value)) <= 0.5 * scale.step * (1 + 1e-9)
    assert scale.bin(np.array([0.0, np.inf])).tolist() == [0, count - 1]


@pytest.mark.parametrize("seed", SEEDS)
def test_states_are_words_of_their_place(seed: int) -> None:
    environment = RandomEnvironment(seed)
    for snapshot in islice(environment, 3):
        header, rows = encode_state(snapshot)
        assert header.shape == (LENGTH_HEADER,)
        assert rows.shape == (environment.system.num_vehicle, LENGTH_ROW)
        names = ["n", "q1", "q2", "q3", "t1", "t2", "t3", "m"]
        for token, name in zip(header.tolist(), names, strict=True):
            assert 0 <= token - WORDS[name].first < WORDS[name].count
        for place, name in enumerate(["v", "r", "d1", "a1", "d2", "a2", "d3", "a3"]):
            offset = rows[:, place] - WORDS[name].first
            assert (offset >= 0).all()
            assert (offset < WORDS[name].count).all()
        assert len(set(rows[:, 0].tolist())) == len(rows)


@pytest.mark.parametrize("seed", SEEDS)
def test_decisions_survive_the_language(seed: int) -> None:
    environment = RandomEnvironment(seed)
    cases, _ = solved_cases(environment, 4, 0)
    server_hz = environment.system.server.frequency_hz
    for case in cases:
        answers = encode_answer(case.decision, server_hz)
        assert (
            with_answers(encode_state(case.snapshot)[1], answers)[:, list(ANSWER_AT)].tolist()
            == (np.array(ANSWER_FIRST) + answers).tolist()
        )
        back = decode_answer(np.asarray(answers, dtype=np.float64) - 1.0, answers > 0, server_hz)
        whole = case.decision.offloading_ratio == 1.0
        assert (back.offloading_ratio[whole] == 1.0).all()
        share, found = case.decision.compute_allocation_hz[whole], back.compute_allocation_hz[whole]
        inside = (share > SHARE.low * server_hz) & (share < SHARE.high * server_hz)
        assert (np.abs(np.log(found[inside] / share[inside])) <= 0.5 * SHARE.step + 1e-9).all()


@pytest.mark.parametrize(("num_vehicle", "num_class", "named"), [(61, 3, "61 vehicles"), (4, 2, "not 2")])
def test_what_the_language_has_no_words_for_is_refused(num_vehicle: int, num_class: int, named: str) -> None:
    system = dataclasses.replace(
        Scenario.load("dtecn", [f"vehicles.num_vehicle={num_vehicle}"]).system(), deadline_s=np.full(num_class, 0.1)
    )
    with pytest.raises(InputError, match=named):
        check_size(system)


def cost_of(terms: Terms, offloaded: NDArray[np.bool_], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what answers cost by the labels, [M]."""
    speed = share + terms.bias
    edge = terms.base + terms.reciprocal / np.where(speed > 0, speed, 1.0) + terms.slope * share
    found: NDArray[np.float64] = np.where(offloaded, edge + terms.miss * (speed < terms.enough), terms.idle)
    return found


@pytest.mark.parametrize("seed", range(40))
def test_labels_cost_what_p2_costs(seed: int) -> None:
    """P2 of any whole decision is the sum of its tasks' costs, less what the price adds and the server's energy."""
    environment = RandomEnvironment(seed)
    system, rng = environment.system, np.random.default_rng(seed)
    (snapshot,) = islice(environment, 1)
    tasks = read_tasks(snapshot)
    server_hz = system.server.frequency_hz
    price, energy_price = 0.7 / server_hz, 0.2 / server_hz
    terms = terms_at(tasks, server_hz, price, energy_price)
    shape = snapshot.size_bytes.shape

    def account(offloaded: NDArray[np.bool_], share: NDArray[np.float64]) -> tuple[float, float]:
        """Return P2 by `slot_step` and by the labels."""
        allocation_hz = np.where(offloaded, share * server_hz, 0.0)
        outcome = evaluate(snapshot, Decision(offloaded.astype(float).reshape(shape), allocation_hz.reshape(shape)))
        counted_hz = allocation_hz + (tasks.effective * tasks.bias_hz * offloaded)
        # What the labels pay for capacity and, where biases count, for energy is no part of P2.
        paid = price * counted_hz.sum() - energy_price * (counted_hz - allocation_hz).sum()
        labels = cost_of(terms, offloaded, share).sum() / tasks.num_task - paid
        return float(outcome.objective), float(labels + tasks.server.cost(allocation_hz.sum()) + tasks.constant)

    floor = float((least_allocation_hz(system, snapshot.estimation_bias_hz) / server_hz).max())
    for _ in range(5):
        offloaded = rng.random(tasks.num_task) < 0.5
        share = np.maximum(rng.uniform(0.01, 0.3, tasks.num_task), floor + 1e-6)
        by_step, by_labels = account(offloaded, share)
        assert by_labels == pytest.approx(by_step, rel=1e-9, abs=1e-9)


def test_everything_local_costs_what_local_only_costs() -> None:
    environment = RandomEnvironment(3)
    (snapshot,) = islice(environment, 1)
    tasks = read_tasks(snapshot)
    policy = LocalOnly()
    policy.reset(environment.system, 0)
    objective = float(evaluate(snapshot, policy.decide(snapshot)).objective)
    idle = terms_at(tasks, environment.system.server.frequency_hz, 0.0, 0.0).idle
    assert float(np.mean(idle)) + tasks.constant == pytest.approx(objective)


@settings(max_examples=60)
@given(st.data())
def test_reading_follows_the_probabilities(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    quantile = data.draw(st.floats(0.05, 0.95))
    logits = rng.normal(0.0, data.draw(st.floats(0.1, 8.0)), (7, NUM_ANSWER))
    offloaded, place = Reading(quantile).read(logits)
    weight: NDArray[Any] = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert (offloaded == (weight[:, 1:].sum(axis=1) > 0.5 * weight.sum(axis=1))).all()
    assert ((place >= 0) & (place <= SHARE.count - 1)).all()
    for row, where in zip(weight[:, 1:] / weight[:, 1:].sum(axis=1, keepdims=True), place, strict=True):
        # Bins as intervals of width 1: at most the quantile lies below the place, at least that up to its bin's end.
        lower, upper = int(np.floor(where + 0.5)), int(np.ceil(where + 0.5))
        assert row[:lower].sum() <= quantile + 1e-9
        assert row[: upper + 1].sum() >= quantile - 1e-9


@pytest.mark.parametrize("group", GROUPS)
def test_outside_is_outside(group: str) -> None:
    for seed in range(6):
        ranges = outside(group, np.random.default_rng(seed))  # type: ignore[arg-type]  # a parametrised literal
        changed = [name for name in vars(ranges) if getattr(ranges, name) != getattr(TRAINING, name)]
        assert "table_one" in changed
        assert len(changed) > 1
        assert RandomEnvironment(seed, ranges).system.num_class == NUM_CLASS
    system = RandomEnvironment(0, outside("vehicles", np.random.default_rng(0))).system
    assert system.num_vehicle > TRAINING.num_vehicle[1]


@settings(max_examples=60)
@given(st.data())
def test_settling_fills_the_server_as_the_cases_do(data: st.DataObject) -> None:
    """Only tasks change place of which the model is not sure, and only towards what the cases use."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    logits = rng.normal(0.0, 1.0, (5, NUM_CLASS, NUM_ANSWER))
    logits[..., 0] += rng.normal(4.0, 2.0, (5, NUM_CLASS))
    used = [data.draw(st.floats(0.0, 1.2)) for _ in range(data.draw(st.integers(0, 4)))]
    reading = Reading()
    before, place = reading.read(logits)
    after, same = reading.settle(logits, used)
    assert (place == same).all()
    weight: NDArray[Any] = np.exp(logits - logits.max(axis=-1, keepdims=True))
    sure = 1.0 - weight[..., 0] / weight.sum(axis=-1)
    share = SHARE.centre(place)
    if not used:
        assert (before == after).all()
        return
    left, joined = before & ~after, after & ~before
    assert not (left.any() and joined.any())
    assert (sure[left] < reading.most).all()
    assert (sure[joined] >= reading.least).all()
    if left.any():
        assert share[before].sum() > reading.slack * max(used)
        assert sure[left].max() <= sure[after].min()  # the least sure went first
        assert share[after].sum() + share[left][sure[left].argmax()] > reading.slack * max(used)
    if joined.any():
        assert share[after].sum() <= min(used) + 1e-12
