"""The bundled model's language and labels: tokens are in range, numbers survive, and costs are those of P2."""

import dataclasses
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from physical.errors import InputError
from policies.baselines import LocalOnly
from policies.feasible import least_allocation_hz
from policies.llm.bundled.engine import check_size
from policies.llm.bundled.environments import GROUPS, TRAINING, RandomEnvironment, outside, solved_cases
from policies.llm.bundled.reading import probabilities, quantiles
from policies.llm.bundled.training.labels import Terms, best_shares, elsewhere, terms, terms_at
from policies.llm.bundled.vocabulary import (
    ANSWER_AT,
    ANSWER_FIRST,
    LENGTH_ROW,
    LENGTH_STATE,
    NUM_CLASS,
    NUM_TEXT,
    NUM_TOKEN,
    PRICE,
    PRICE_FIRST,
    SHARE,
    WORDS,
    Scale,
    encode_answer,
    encode_price,
    encode_state,
    token_texts,
    with_answers,
    worth_of_draining,
)
from policies.optimal.tasks import read_tasks
from policies.scoring import slot_outcome
from sim import Scenario
from twin.decision import Decision
from twin.snapshot import TwinSnapshot

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
        assert header.shape == (LENGTH_STATE,)
        assert rows.shape == (environment.system.num_vehicle, LENGTH_ROW)
        names = ["n", "s1", "s2", "s3", "t1", "t2", "t3", "m"]
        for token, name in zip(header.tolist(), names, strict=True):
            assert 0 <= token - WORDS[name].first < WORDS[name].count
        for place, name in enumerate(["v", "r", "d1", "d2", "d3", "a1", "a2", "a3"]):
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
        whole = case.decision.offloading_ratio == 1.0
        assert (answers[whole] > 0).all()
        share, found = case.decision.compute_allocation_hz[whole], server_hz * SHARE.centre(answers[whole] - 1)
        inside = (share > SHARE.low * server_hz) & (share < SHARE.high * server_hz)
        assert (np.abs(np.log(found[inside] / share[inside])) <= 0.5 * SHARE.step + 1e-9).all()


@pytest.mark.parametrize(("num_vehicle", "num_class", "named"), [(61, 3, "61 vehicles"), (4, 2, "not 2")])
def test_what_the_language_has_no_words_for_is_refused(num_vehicle: int, num_class: int, named: str) -> None:
    system = dataclasses.replace(
        Scenario.load("dtecn", [f"vehicles.num_vehicle={num_vehicle}"]).system(), deadline_s=np.full(num_class, 0.1)
    )
    with pytest.raises(InputError, match=named):
        check_size(system)


def cost_of(found: Terms, offloaded: NDArray[np.bool_], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what answers cost by the labels, [M]."""
    speed = share + found.bias
    edge = found.base + found.reciprocal / np.where(speed > 0, speed, 1.0) + found.slope * speed
    total: NDArray[np.float64] = np.where(offloaded, edge + found.miss * (speed < found.enough), found.idle)
    return total


@pytest.mark.parametrize("seed", range(40))
def test_labels_cost_what_p2_costs(seed: int) -> None:
    """P2 of any whole decision is the sum of its tasks' costs, less what the price adds and the server's energy."""
    environment = RandomEnvironment(seed)
    system, rng = environment.system, np.random.default_rng(seed)
    (snapshot,) = islice(environment, 1)
    tasks = read_tasks(snapshot)
    server_hz = system.server.frequency_hz
    price = 0.7 / server_hz
    costs = terms_at(tasks, server_hz, system.slot_duration_s, price)
    shape = snapshot.size_bytes.shape

    def account(offloaded: NDArray[np.bool_], share: NDArray[np.float64]) -> tuple[float, float]:
        """Return P2 by `slot_step` and by the labels."""
        allocation_hz = np.where(offloaded, share * server_hz, 0.0)
        outcome = slot_outcome(snapshot, Decision(offloaded.astype(float).reshape(shape), allocation_hz.reshape(shape)))
        total_hz = (allocation_hz + tasks.bias_hz * offloaded).sum()
        # What the labels pay for capacity is no part of P2; the server's energy is.
        labels = cost_of(costs, offloaded, share).sum() / tasks.num_task - price * total_hz
        server = system.server
        power_w = server.num_core * server.kappa * (total_hz / server.num_core) ** 3
        edge_cost = system.objective.energy_weight * power_w * system.slot_duration_s
        return float(outcome.objective), float(labels + edge_cost + tasks.constant)

    floor = float((least_allocation_hz(system, snapshot.estimation_bias_hz) / server_hz).max())
    for _ in range(5):
        offloaded = rng.random(tasks.num_task) < 0.5
        speed = rng.uniform(0.01, 0.3, tasks.num_task)
        speed *= 0.7 / speed.sum()  # or the server would slow them down
        share = np.maximum(speed - tasks.bias_hz / server_hz, floor + 1e-6)
        by_step, by_labels = account(offloaded, share)
        assert by_labels == pytest.approx(by_step, rel=1e-9, abs=1e-9)


def test_everything_local_costs_what_local_only_costs() -> None:
    environment = RandomEnvironment(3)
    (snapshot,) = islice(environment, 1)
    tasks = read_tasks(snapshot)
    policy = LocalOnly()
    policy.reset(environment.system, 0)
    objective = float(slot_outcome(snapshot, policy.decide(snapshot)).objective)
    system = environment.system
    idle = terms_at(tasks, system.server.frequency_hz, system.slot_duration_s, 0.0).idle
    assert float(np.mean(idle)) + tasks.constant == pytest.approx(objective)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_best_shares_cost_least(seed: int) -> None:
    """No share of a fine grid is cheaper, nor to stay on the vehicle."""
    (snapshot,) = islice(RandomEnvironment(seed), 1)
    found, price = terms(snapshot)
    for change in (0.0, 0.5 * price, -0.2 * price):
        changed = elsewhere(found, np.array(change), np.array(0.0))
        best = best_shares(changed)
        cost = cost_of(changed, best > 0, best * (1.0 + 1e-12))
        for share in np.geomspace(1e-4, 1.5, 500):
            positive = share + changed.bias > 0
            other = cost_of(changed, best >= 0, np.full_like(best, share))
            better = other[positive] < cost[positive] - 1e-9
            assert not (better & (changed.slope[positive] > 0)).any()
        assert (cost <= changed.idle + 1e-12).all()


@pytest.mark.parametrize("seed", range(30))
def test_labels_elsewhere_are_those_of_another_slot(seed: int) -> None:
    """With other backlogs and at another price, costs are what they are in a slot that really has them."""
    environment = RandomEnvironment(seed)
    system, rng = environment.system, np.random.default_rng(seed)
    (snapshot,) = islice(environment, 1)
    other = dataclasses.replace(snapshot, backlog_bytes=rng.exponential(1.0, NUM_CLASS) * system.backlog_unit_bytes)
    server_hz, slot_s, count = system.server.frequency_hz, system.slot_duration_s, snapshot.size_bytes.size

    def costs(state: TwinSnapshot, price: float) -> Terms:
        return terms_at(read_tasks(state), server_hz, slot_s, price / (count * server_hz))

    gained = worth_of_draining(other) - worth_of_draining(snapshot)
    moved = elsewhere(costs(snapshot, 5.0), np.array(3.0), np.tile(gained, system.num_vehicle))
    for here, there in zip(moved, costs(other, 8.0), strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_cases_know_the_price_of_the_labels(seed: int) -> None:
    """What `p2-exact` says of a slot is the price of its labels, to less than a word: the bound is flat there.

    It is never below what draining a queue is worth.
    """
    environment = RandomEnvironment(seed)
    cases, _ = solved_cases(environment, 3, 0)
    num_task = environment.system.num_vehicle * environment.system.num_class
    for case in cases:
        _, price = terms(case.snapshot)
        worth = worth_of_draining(case.snapshot)
        assert case.capacity_price * num_task == pytest.approx(price, rel=0.5 * PRICE.step)
        assert case.capacity_price * num_task >= worth.max() * (1.0 - 1e-9)
        words = encode_price(case.capacity_price * num_task, worth) - np.array(PRICE_FIRST) - 1
        above = case.capacity_price * num_task - np.array([worth.max(), *worth])
        exact = np.log(np.maximum(above, PRICE.low) / PRICE.low) / PRICE.step
        assert (np.abs(words - exact) <= 0.5 + 1e-9).all()
        assert (encode_price(np.nan, worth) == np.array(PRICE_FIRST)).all()


@settings(max_examples=60)
@given(st.data())
def test_quantiles_follow_the_probabilities(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    quantile = data.draw(st.floats(0.05, 0.95))
    weight = probabilities(rng.normal(0.0, data.draw(st.floats(0.1, 8.0)), (7, SHARE.count)))
    place = quantiles(weight, quantile)
    assert ((place >= 0) & (place <= SHARE.count - 1)).all()
    for row, where in zip(weight, place, strict=True):
        # Bins as intervals of width 1: at most the quantile lies below the place, at least that up to its bin's end.
        lower, upper = int(np.floor(where + 0.5)), int(np.ceil(where + 0.5))
        assert row[:lower].sum() <= quantile + 1e-9
        assert row[: upper + 1].sum() >= quantile - 1e-9
    several = quantiles(weight[0], [quantile, 0.5 * quantile])
    assert several[0] == pytest.approx(place[0])
    assert several[1] <= several[0]


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
