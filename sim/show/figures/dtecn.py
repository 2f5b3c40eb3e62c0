"""Figures 3 to 6 of 'dtecn': energy, delay, QoS and use of the server over the number of vehicles, for two biases."""

from __future__ import annotations

import dataclasses

from sim.show.figures.plan import (
    LESS,
    MORE,
    PENALTY,
    SIMILAR,
    Axis,
    Claim,
    FigurePlan,
    FigureWorld,
    Level,
    Method,
    Metric,
    Panel,
    PaperPlan,
    Series,
    Statement,
    Trend,
    Versus,
)

ENERGY = Metric("energy_j_mean", "energy per slot", "mJ", 1e3)
DELAY = Metric("delay_s_mean", "delay of a task", "ms", 1e3)
QOS = Metric("qos_mean", "QoS")
EDGE_ENERGY = Metric("energy_edge_j_mean", "edge energy per slot", "mJ", 1e3)
RESOURCES = Metric("resource_ratio_mean", "resource ratio")
MISSES = Metric("deadline_miss_ratio", "deadlines missed")
OBJECTIVE = Metric("objective_mean", "objective P2")

OPTIMUM, MARL, SARL, APG, EQUAL = "p2-exact", "maddpg", "ddpg", "apg", "edge-equal"
POINTS = (4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)  # the numbers for which an actor per vehicle is shipped
QUICK_POINTS = (4.0, 10.0)
NUM_SLOT, NUM_SLOT_CONGESTED, NUM_SLOT_QUICK = 50, 200, 20  # see "Spread between seeds" in claims.md

_AXIS = Axis("vehicles.num_vehicle", "number of vehicles N", "N", dodge=0.09)
_SIGNS = ("+", "-")
_EXCESS = Metric("energy_j_mean", "excess energy", "%")


def plan(*, quick: bool = False, in_context: str = "llm") -> PaperPlan:
    """Return the plan of Figs. 3 to 6.

    Parameters
    ----------
    quick : few points and short runs
    in_context : the policy in the role of the paper's LLM
    """
    llm = Method(in_context, "LLM (in context)" if in_context == "llm" else f"{in_context} (for the LLM)", 0)
    methods = (
        Method(OPTIMUM, "p2-exact: optimum of P2", None),
        llm,
        Method(MARL, "MARL (maddpg)", 1),
        Method(SARL, "SARL (ddpg)", 2),
        Method(APG, "apg (ours)", 3),
        Method(EQUAL, "edge-equal", 4),
    )
    names = tuple(method.policy for method in methods)
    return PaperPlan(
        name="dtecn",
        paper="Large Language Model-Based Task Offloading and Resource Allocation for Digital Twin Edge Computing "
        "Networks (Wu et al.), Figs. 3-6",
        axis=_AXIS,
        modes={"corrected": ("model.mode=corrected",), "paper": ("model.mode=paper",)},
        worlds=_worlds(quick),
        methods=methods,
        objective=OBJECTIVE,
        figures=(_figure_3(names, in_context), *_figures_4_and_5(names), _figure_6(names), _congested(names)),
        claims=(*_claims_of_energy(in_context), *_claims_of_delay(in_context), *_claims_of_server(in_context)),
        notes=_NOTES,
        quick=quick,
    )


_ALIKE = (
    "local work costs 0.78 J a task and offloading everything is optimal, no task waits for one of another slot, and "
    "whoever uses the whole server draws its power at f_E"
)
_NOTES = (
    "The paper does not say which numbers of vehicles its figures span; we took N = 4 to 10. Δf = 0.5 and -0.5 are "
    "Fig. 6's, taken as GHz. A positive Δf means that the server runs faster than allocated (eq. 8).",
    "The twin knows Δf, as the paper's problem P2 does. In mode corrected the true speeds, allocation plus Δf, sum to "
    "at most f_E, and energy is that of the true speeds: a known Δf is made good by the allocation, and both signs are "
    "the same problem, as far as no task wants less speed than a positive Δf alone gives it. In mode paper "
    "allocations are what is bounded (24c) and billed (15), as printed: a positive Δf is speed that nobody pays for, a "
    "negative one is paid for and not there.",
    "Learned policies (maddpg, ddpg, apg) and the LLM use their shipped weights, which were trained in mode corrected; "
    "in mode paper they are applied as they are.",
    "p2-exact certifies the objective of the slot (P2, eq. 24), with a gap in parts of max(1, |objective|). It is no "
    "bound on a single metric: another policy may have less delay for more energy.",
    "P2 also counts the drift of the queues: where a deep fade leaves work in one, p2-exact serves it first, at the "
    "expense of that slot's delay and QoS. With seeds 0..19 one run (seed 19) makes the wide bands of Figs. 4 (c) and "
    "5 (c).",
    "The LLM here is the bundled small model, not Llama 3.1-8b.",
    f"Table I leaves good policies no choice: {_ALIKE}. Where a claim is of a difference and none is measured there, "
    "it is *not testable there*. The last figure shows dtecn-congested, where policies do differ (N = 10, the size "
    "that maddpg is shipped for).",
)


def _worlds(quick: bool) -> tuple[FigureWorld, ...]:
    points = QUICK_POINTS if quick else POINTS
    slots = NUM_SLOT_QUICK if quick else NUM_SLOT
    congested_slots = NUM_SLOT_QUICK if quick else NUM_SLOT_CONGESTED
    table = [
        FigureWorld(
            sign,
            f"Δf = {_text(sign)} GHz",
            "dtecn",
            (f"time.num_slot={slots}", f"twin.bias.cpu_frequency_hz={sign}0.5 GHz"),
            points,
            "Table I",
            _ALIKE,
        )
        for sign in _SIGNS
    ]
    congested = [
        FigureWorld(
            f"congested{sign}",
            f"congested, Δf = {_text(sign)} GHz",
            "dtecn-congested",
            (f"time.num_slot={congested_slots}", f"twin.bias.cpu_frequency_hz={sign}0.5 GHz"),
            (10.0,),
            "dtecn-congested",
        )
        for sign in _SIGNS
    ]
    return (*table, *congested)


def _text(sign: str) -> str:
    return f"{sign}0.5".replace("-", "−")


def _all(names: tuple[str, ...], world: str) -> tuple[Series, ...]:
    return tuple(Series(name, world) for name in names)


def _figure_3(names: tuple[str, ...], llm: str) -> FigurePlan:
    return FigurePlan(
        "fig3",
        "Fig. 3: energy of the system",
        "Energy over the number of vehicles: (a) all methods, (b) LLM and MARL, (c) the LLM for different biases.",
        "(a) at Δf = +0.5 GHz; (b) at the same Δf, as the paired difference from the optimum, because the curves "
        "coincide; (c) at both.",
        (
            Panel("(a) Δf = +0.5 GHz", ENERGY, _all(names, "+")),
            Panel(
                "(b) LLM and MARL against p2-exact, Δf = +0.5 GHz",
                _EXCESS,
                (Series(llm, "+"), Series(MARL, "+")),
                OPTIMUM,
            ),
            Panel(
                "(c) different biases", ENERGY, tuple(Series(name, sign) for name in (OPTIMUM, llm) for sign in "+-")
            ),
        ),
    )


def _figures_4_and_5(names: tuple[str, ...]) -> tuple[FigurePlan, ...]:
    found = []
    for name, metric, what, above in (
        ("fig4", DELAY, "delay of the tasks", "excess delay"),
        ("fig5", QOS, "QoS", "excess QoS"),
    ):
        difference = Metric(metric.key, above, "%")
        rest = tuple(series for series in _all(names, "+") if series.method != OPTIMUM)
        panels = (
            Panel("(a) Δf = +0.5 GHz", metric, _all(names, "+")),
            Panel("(b) Δf = −0.5 GHz", metric, _all(names, "-")),
            Panel("(c) against p2-exact, paired, Δf = +0.5 GHz", difference, rest, OPTIMUM),
        )
        shown = f"The {what} over the number of vehicles, for LLM, MARL and SARL and different biases."
        title = f"Fig. {name[-1]}: {what}"
        found.append(FigurePlan(name, title, shown, "(a) and (b) at Fig. 6's two biases; (c) is ours.", panels))
    return tuple(found)


def _figure_6(names: tuple[str, ...]) -> FigurePlan:
    panels = tuple(
        Panel(f"({letter}) Δf = {_text(sign)} GHz", metric, _all(names, sign))
        for letter, metric, sign in (
            ("a", EDGE_ENERGY, "+"),
            ("b", EDGE_ENERGY, "-"),
            ("c", RESOURCES, "+"),
            ("d", RESOURCES, "-"),
        )
    )
    return FigurePlan(
        "fig6",
        "Fig. 6: edge energy and resource ratio",
        "Edge energy and resource ratio of LLM, MARL and SARL, for two biases; the text does not name the x axis.",
        "Over the number of vehicles. Resource ratio: sum of all allocations over f_E, before the bias is added. In "
        "mode corrected it exceeds 1 where the bias takes some of it away again, and is below 1 where it adds to it.",
        panels,
        num_column=2,
    )


def _congested(names: tuple[str, ...]) -> FigurePlan:
    worlds = ("congested+", "congested-")
    series = tuple(Series(name, world) for world in worlds for name in names)
    metrics = (
        PENALTY,
        dataclasses.replace(ENERGY, unit="J", scale=1.0),
        DELAY,
        QOS,
        dataclasses.replace(EDGE_ENERGY, unit="J", scale=1.0),
        RESOURCES,
        MISSES,
    )
    return FigurePlan(
        "congested",
        "Figs. 3-6 on dtecn-congested, N = 10",
        "Not in the paper.",
        "The penalty, and the same metrics, in a scenario with a scarce server, mixed deadlines and bursts; realised, "
        "waiting included.",
        tuple(
            Panel(f"({letter}) {metric.label}", metric, series, by_method=True)
            for letter, metric in zip("abcdefg", metrics, strict=True)
        ),
        num_column=2,
    )


def _claims_of_energy(llm: str) -> tuple[Claim, ...]:
    learned = (llm, MARL, SARL)
    bias = tuple(_by_sign(ENERGY, llm, place, alike=True) for place in _PLACES)
    invested = tuple(_by_sign(RESOURCES, llm, place) for place in _PLACES)
    return (
        Claim(
            "fig3",
            "for all the discussed methods, the system energy consumption increases with the number of vehicles",
            "energy of each method rises from each N to the next, for both biases",
            tuple(Trend(ENERGY, Series(name, sign), rises=True) for name in learned for sign in _SIGNS),
        ),
        Claim(
            "fig3", "SARL has the highest energy consumption", "more than LLM and MARL", _over(ENERGY, SARL, llm, MARL)
        ),
        Claim(
            "fig3",
            "LLM is able to achieve similar results as MARL",
            "energies within 5 %",
            tuple(Versus(ENERGY, Series(llm, world), Series(MARL, world), *SIMILAR) for world in _EVERYWHERE),
        ),
        Claim(
            "fig3",
            "the energy consumption achieved by MARL is higher than that obtained through LLM",
            "MARL more than LLM",
            _over(ENERGY, MARL, llm),
        ),
        Claim(
            "fig3",
            "the energy consumption achieved by LLM is lower when the bias is positive than when it is negative",
            "the same seed, both biases",
            bias,
        ),
        Claim(
            "fig3",
            "when the bias is positive, [...] less resources will be subsequently invested, but on the contrary, more "
            "resources will be invested",
            "a lower resource ratio at the positive bias, the same seed",
            invested,
        ),
    )


_PLACES = ("", "congested")
_EVERYWHERE = tuple(f"{place}{sign}" for place in _PLACES for sign in _SIGNS)


def _by_sign(metric: Metric, name: str, place: str, *, alike: bool = False) -> Versus:
    """State that a method has less at the positive bias.

    alike : in mode corrected it cannot have less, because allocations compensate a known bias
    """
    modes = ("corrected",) if alike else ()
    return Versus(metric, Series(name, f"{place}+"), Series(name, f"{place}-"), *LESS, alike_in=modes)


def _over(metric: Metric, name: str, *others: str, less: bool = False) -> tuple[Statement, ...]:
    """State that a method has more (or less) than others, everywhere."""
    low, high = LESS if less else MORE
    return tuple(
        Versus(metric, Series(name, world), Series(other, world), low, high)
        for other in others
        for world in _EVERYWHERE
    )


def _claims_of_delay(llm: str) -> tuple[Claim, ...]:
    learned = (llm, MARL, SARL)
    return (
        Claim(
            "fig4",
            "the task processing delay increases with the number of vehicles",
            "delay of each method rises from each N to the next, for both biases",
            tuple(Trend(DELAY, Series(name, sign), rises=True) for name in learned for sign in _SIGNS),
        ),
        Claim(
            "fig4",
            "SARL [...] makes decisions based on local information and thus fails to obtain the optimal scheduling "
            "plan",
            "delay of SARL above that of LLM and MARL",
            _over(DELAY, SARL, llm, MARL),
        ),
        Claim("fig4", "LLM achieves better results than MARL", "less delay", _over(DELAY, llm, MARL, less=True)),
        Claim(
            "fig4",
            "the delay when the bias is positive is lower than when it is negative",
            "the same seed, both biases, each method",
            tuple(_by_sign(DELAY, name, place, alike=True) for name in learned for place in _PLACES),
        ),
        Claim(
            "fig5",
            "QoS decreases as the number of vehicles increases",
            "QoS of each method falls from each N to the next, for both biases",
            tuple(Trend(QOS, Series(name, sign), rises=False) for name in learned for sign in _SIGNS),
        ),
        Claim(
            "fig5",
            "the negative value of QoS for SARL [...] in case of higher number of vehicles",
            "QoS of SARL below 0 at N = 10",
            tuple(Level(QOS, Series(SARL, world), float("-inf"), 0.0, (10.0,)) for world in _EVERYWHERE),
        ),
        Claim("fig5", "the performance achieved by LLM is better than MARL", "more QoS", _over(QOS, llm, MARL)),
    )


def _claims_of_server(llm: str) -> tuple[Claim, ...]:
    return (
        Claim(
            "fig6",
            "SARL achieves the lowest edge energy consumption",
            "less edge energy than LLM and MARL",
            _over(EDGE_ENERGY, SARL, llm, MARL, less=True),
        ),
        Claim(
            "fig6",
            "LLM is higher than MARL in terms of edge consumption [...], regardless of whether the deviation is "
            "positive or negative",
            "more edge energy",
            _over(EDGE_ENERGY, llm, MARL),
        ),
        Claim(
            "fig6",
            "LLM is higher than MARL in terms of [...] resource share",
            "a higher resource ratio",
            _over(RESOURCES, llm, MARL),
        ),
    )
