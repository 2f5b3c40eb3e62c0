"""Bursty tasks: a Markov chain of events, and one of bursts for every vehicle that depends on it."""

from __future__ import annotations

from physical.model.arrays import Array, namespace


def next_state(active: Array, begin: Array, end: Array, uniform: Array) -> Array:
    """Take one step of two-state chains: ``on -> off`` with probability `end`, ``off -> on`` with probability `begin`.

    Parameters
    ----------
    active : [...], bool, no unit
    begin : [...] or a number, no unit, probability per slot
    end : [...] or a number, no unit, probability per slot
    uniform : [...], no unit, uniform numbers in [0, 1)

    Returns
    -------
    [...], bool

    **Source** none: a Gilbert-Elliott chain; the paper draws task sizes independently.

    >>> import numpy as np
    >>> next_state(np.array([True, True, False]), 0.2, 0.5, np.array([0.4, 0.6, 0.1])).tolist()
    [False, True, True]
    """
    return namespace(uniform).where(active, uniform >= end, uniform < begin)


def burst_ratio(event_begin: float, event_end: float, begin: float, begin_in_event: float, end: float) -> float:
    """Return the long-run part of slots that a vehicle spends in bursts, from the balance of the joint chain.

    A slot's event state steps first, and the vehicle's next state follows the new one.

    Parameters
    ----------
    event_begin : no unit, probability per slot
    event_end : no unit, probability per slot
    begin : no unit, probability per slot that a burst begins without an event
    begin_in_event : no unit, the same during an event
    end : no unit, probability per slot that a burst ends

    Returns
    -------
    ratio, no unit

    **Source** none: stationary distribution of a chain with states (event, burst). With p_e the probability of event
    state e and b_e that of e and a burst: ``b_e = sum_f P(f -> e) [b_f (1 - end) + (p_f - b_f) begin_e]``.

    >>> round(burst_ratio(0.0, 1.0, 0.1, 0.5, 0.3), 12)
    0.25
    >>> burst_ratio(1.0, 1.0, 1.0, 1.0, 1.0)
    0.5
    """
    if event_begin + event_end == 0:
        return begin / (begin + end)  # the chain of events starts without one and stays there
    event = event_begin / (event_begin + event_end)
    step = ((1 - event_begin, event_begin), (event_end, 1 - event_end))
    presence = (1 - event, event)
    begins = (begin, begin_in_event)
    # Two linear equations A b = c in the unknowns b_0, b_1.
    matrix = [[(e == f) - step[f][e] * (1 - end - begins[e]) for f in (0, 1)] for e in (0, 1)]
    constant = [begins[e] * sum(step[f][e] * presence[f] for f in (0, 1)) for e in (0, 1)]
    determinant = matrix[0][0] * matrix[1][1] - matrix[0][1] * matrix[1][0]
    if determinant == 0:
        return 0.5  # everything is certain and turns in every slot: events, and bursts with them
    first = (constant[0] * matrix[1][1] - matrix[0][1] * constant[1]) / determinant
    second = (matrix[0][0] * constant[1] - constant[0] * matrix[1][0]) / determinant
    return first + second
