"""Figures 1 and 2 of 'llm6g': completion time and energy over the weight of time, for the paper's three methods."""

from __future__ import annotations

from sim.show.figures.plan import (
    LESS,
    Axis,
    Claim,
    FigurePlan,
    FigureWorld,
    Method,
    Metric,
    Panel,
    PaperPlan,
    Series,
    Trend,
    Versus,
)

COMPLETION = Metric("completion_s_mean", "completion time", "s")
COMPUTING = Metric("completion_compute_s_mean", "computing time", "s")
ENERGY = Metric("energy_vehicle_j_mean", "energy per vehicle", "J")
OBJECTIVE = Metric("objective_mean", "objective P1")

OPTIMUM, PROPOSED, RLOR, RRLO = "layers-exact", "ao-sqp-fp", "rlor", "rrlo"
POINTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
QUICK_POINTS = (0.1, 0.2, 0.9)
NUM_SLOT, NUM_SLOT_QUICK = 5, 1
EARLY = (0.1, 0.2)

_WORLD = "square"
_NOTES = (
    "A slot is a drop of 20 vehicles on the square with a prompt each; it lasts an hour, so that every job ends in it.",
    "The paper does not define the completion time. Fig. 1 (a) has local work, upload and RSU, waiting included; (b) "
    "leaves the upload out, as eqs. 5, 9 and 10 do.",
    "Energy is the mean per vehicle of local work, RSU and transmission.",
    "Mode paper is without normalisation: seconds are added to joules, as printed.",
    "layers-exact certifies the objective P1 (eq. 10), with a gap in parts of it. It is no bound on time or energy "
    "alone: another point of the trade-off may have less of one for more of the other.",
)


def plan(*, quick: bool = False) -> PaperPlan:
    """Return the plan of Figs. 1 and 2; `quick` takes few points and drops."""
    methods = (
        Method(OPTIMUM, "layers-exact: optimum of P1", None),
        Method(PROPOSED, "proposed (ao-sqp-fp)", 0),
        Method(RLOR, "RLOR", 1),
        Method(RRLO, "RRLO", 2),
    )
    slots = NUM_SLOT_QUICK if quick else NUM_SLOT
    settings = (f"time.num_slot={slots}", "time.slot_duration_s=3600")
    series = tuple(Series(method.policy, _WORLD) for method in methods)
    above = tuple(one for one in series if one.method != OPTIMUM)
    taken = "20 vehicles, 5 RSUs, ωₜ from 0.1 to 0.9."
    return PaperPlan(
        name="llm6g",
        paper="Resource Allocation in Large Language Model Integrated 6G Vehicular Networks (Liu and Zhao), Figs. 1-2",
        axis=Axis("cost.time_weight", "weight of time ωₜ", "ωₜ"),
        modes={"corrected": ("model.mode=corrected",), "paper": ("model.mode=paper",)},
        worlds=(FigureWorld(_WORLD, "", "llm6g", settings, QUICK_POINTS if quick else POINTS),),
        methods=methods,
        objective=OBJECTIVE,
        figures=(
            FigurePlan(
                "fig1",
                "Fig. 1: completion time",
                "Completion time over the weight of time ωₜ, for three methods.",
                taken,
                (
                    Panel("(a) local work, upload and RSU", COMPLETION, series),
                    Panel("(b) without the upload", COMPUTING, series),
                ),
            ),
            FigurePlan(
                "fig2",
                "Fig. 2: energy",
                "Energy over the weight of time ωₜ, for three methods.",
                f"{taken} (b) is ours: what the methods minimise.",
                (
                    Panel("(a) energy of vehicles, RSUs and radio", ENERGY, series),
                    Panel(
                        "(b) objective P1 against layers-exact",
                        Metric(OBJECTIVE.key, "excess objective", "%"),
                        above,
                        OPTIMUM,
                    ),
                ),
            ),
        ),
        claims=(*_claims_of_time(), *_claims_of_energy()),
        notes=_NOTES,
        quick=quick,
    )


def _series(name: str) -> Series:
    return Series(name, _WORLD)


def _claims_of_time() -> tuple[Claim, ...]:
    trends = tuple(Trend(COMPLETION, _series(name), rises=False) for name in (PROPOSED, RLOR, RRLO))
    return (
        Claim(
            "fig1",
            "As the weighting factor ωₜ increases, there is a noticeable decrease in the completion time across all "
            "three methods",
            "falls from each ωₜ to the next",
            trends,
        ),
        Claim(
            "fig1",
            "The proposed method outperforms RLOR [...] in the completion time",
            "less completion time at every ωₜ",
            (Versus(COMPLETION, _series(PROPOSED), _series(RLOR), *LESS),),
        ),
        Claim(
            "fig1",
            "The proposed method outperforms [...] RROL in the completion time",
            "less completion time at every ωₜ",
            (Versus(COMPLETION, _series(PROPOSED), _series(RRLO), *LESS),),
        ),
        Claim(
            "fig1",
            "(the three statements above, for the time that eqs. 5, 9 and 10 count)",
            "the same without the upload",
            (
                *(Trend(COMPUTING, _series(name), rises=False) for name in (PROPOSED, RLOR, RRLO)),
                *(Versus(COMPUTING, _series(PROPOSED), _series(name), *LESS) for name in (RLOR, RRLO)),
            ),
        ),
    )


def _claims_of_energy() -> tuple[Claim, ...]:
    return (
        Claim(
            "fig2",
            "increased energy consumption observed across all three methods",
            "rises from each ωₜ to the next",
            tuple(Trend(ENERGY, _series(name), rises=True) for name in (PROPOSED, RLOR, RRLO)),
        ),
        Claim(
            "fig2",
            "when ωₜ is from 0.1 to 0.2, the energy consumption of RLOR is almost the same with or even less than the "
            "proposed method",
            "at most 10 % more",
            (Versus(ENERGY, _series(RLOR), _series(PROPOSED), float("-inf"), 0.1, EARLY),),
        ),
        Claim(
            "fig2",
            "the proposed method reduces the completion time by approximately 40% than RLOR",
            "30 to 50 % less at ωₜ = 0.1 and 0.2",
            (Versus(COMPLETION, _series(PROPOSED), _series(RLOR), -0.5, -0.3, EARLY),),
        ),
        *(
            Claim(
                "fig2",
                f"superior performance in terms of energy consumption when compared to the {spelt}",
                "less energy at every ωₜ",
                (Versus(ENERGY, _series(PROPOSED), _series(name), *LESS),),
            )
            for name, spelt in ((RLOR, "RLOR [...]"), (RRLO, "[...] RROL"))
        ),
        Claim(
            "fig2",
            "the algorithm we have proposed is highly effective",
            "our reading: its objective within 1 % of the certified optimum",
            (Versus(OBJECTIVE, _series(PROPOSED), _series(OPTIMUM), float("-inf"), 0.01),),
        ),
    )
