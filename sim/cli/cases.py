"""`twin cases`: examples for policies that decide by them."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from physical.digits import counted
from sim.cli import output, studies
from sim.cli.app import Json, Settings, group, load, note, print_json
from sim.cli.help import examples

if TYPE_CHECKING:
    from policies.cases.file import CaseFile

case_sets = group(
    "cases",
    "Build case sets from runs, and look at them: what nearest-case and other policies decide by.",
    "twin cases build --help",
    "twin cases show --help",
)


@case_sets.command(
    name="build",
    epilog=examples(
        "twin cases build dtecn --out cases.parquet",
        "twin cases build dtecn-congested --policy p2-exact:margin=0.05 --seed 3 --count 100 --every 2 --out c.parquet",
        "twin cases build dtecn --policy llm --out cases.parquet --executor dask --scheduler tcp://10.0.0.1:8786",
        "twin run dtecn --policy nearest-case:file=cases.parquet --seed 1",
    ),
)
def _build(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="Built-in name or TOML file.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.parquet", help="Where the case set goes.")],
    policy: Annotated[
        str, typer.Option("--policy", metavar="NAME[:OPTION=VALUE,...]", help="Who decides; see twin policies.")
    ] = "p2-exact",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all random numbers.")] = 0,
    count: Annotated[int, typer.Option("--count", min=1, help="How many cases.")] = 64,
    every: Annotated[int, typer.Option("--every", min=1, help="Slots from one case to the next.")] = 5,
    settings: Settings = None,
    executor: studies.Executor = None,
    scheduler: studies.Scheduler = None,
    as_json: Json = False,
) -> None:
    """Run a policy, and keep some of its decisions with what they brought."""
    from policies.cases.file import open_cases
    from sim.learn import build_cases
    from sim.show import terminal

    chosen = load(scenario, settings)
    num_slot = min(build_cases.num_slot_for(count, every), chosen.time.num_slot)
    with terminal.progress(num_slot, shown=not as_json and sys.stderr.isatty()) as progress:
        build_cases.build(
            chosen,
            policy,
            seed,
            count,
            every,
            out,
            name=scenario,
            executor=executor,
            scheduler=scheduler,
            progress=progress,
            tell=note,
        )
    output.results_in(out)
    summary = _summary(open_cases(out))
    if as_json:
        print_json(summary)
    else:
        terminal.say(_line(summary))


@case_sets.command(
    name="show", epilog=examples("twin cases show cases.parquet", "twin cases show cases.parquet --json")
)
def _show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Case set.", show_default=False)], as_json: Json = False
) -> None:
    """Show what a case set holds.

    The objective is what the decision was expected to bring, beside it is what the slot realised; then come the
    offloaded tasks, the part of all servers that is set aside for them, and the price of a whole server that the
    policy told, if it did.
    """
    from policies.cases.file import open_cases
    from sim.show import terminal

    found = open_cases(file)
    summary, rows = _summary(found), _rows(found)
    if as_json:
        print_json({**summary, "cases": rows})
    else:
        terminal.cases(rows, _line(summary))


def _summary(found: CaseFile) -> dict[str, Any]:
    realised = found.rows.column("realised").to_pylist()
    return {
        "file": str(found.path),
        "num_case": found.rows.num_rows,
        "num_realised": sum(math.isfinite(value) for value in realised),
        "num_vehicle": found.system["num_vehicle"],
        "num_class": found.system["num_class"],
        "digest": found.digest,
    }


def _line(summary: dict[str, Any]) -> str:
    vehicles = counted(summary["num_vehicle"], "vehicle")
    of = f"{vehicles}, {counted(summary['num_class'], 'task class', 'task classes')}"
    known = f"{summary['num_realised']} with a realised objective"
    return f"{summary['file']}: {counted(summary['num_case'], 'case')} of {of}, {known}"


_NUMBERS = ("objective", "realised", "capacity_price")


def _rows(found: CaseFile) -> list[dict[str, Any]]:
    """Return the row of the listing for each case; an unknown number is None."""
    plain = found.rows.select(["origin", "slot", *_NUMBERS]).to_pylist()
    used = found.used_share()
    offloaded = [int((ratio > 0).sum()) for ratio in found.arrays("offloading_ratio")]
    return [
        {
            **row,
            **{name: row[name] if math.isfinite(row[name]) else None for name in _NUMBERS},
            "num_offloaded": num,
            "used_share": share,
        }
        for row, num, share in zip(plain, offloaded, used, strict=True)
    ]
