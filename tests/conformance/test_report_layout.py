"""Pages of all kinds in a browser: on a phone, a tablet and a laptop, in the light, in the dark and on paper."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sim import Scenario, run, sweep
from sim.show.report import write_report
from tests.conformance.browser import CHROMIUM, Browser
from tests.support.reports import stored

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on the PATH"),
]

KINDS = ("one", "two", "three", "compared", "swept")
LAPTOP, TABLET, PHONE = (1400, 900), (800, 1000), (390, 844)
WHITE = "rgb(255, 255, 255)"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    runs = []
    for scenario, policy in (("blackout", "greedy-cost"), ("rush-hour", "edge-equal"), ("corridor", "random")):
        runs.append(folder / policy)
        run(Scenario.load(scenario, ["time.num_slot=60"]), policy=policy, seed=1, out=runs[-1])
    levels = {"greedy-cost": -0.5, "edge-equal": 40.0, "random": -0.45, "local-only": 0.3, "greedy-latency": -0.2}
    stored(folder / "compared", levels, 6, 100)

    def at(settings: Sequence[str]) -> Scenario:
        return Scenario.load("dtecn-congested", ["time.num_slot=20", *settings])

    sweep(at, ("edge-equal", "random"), {"vehicles.num_vehicle": ("3", "6")}, range(2), folder / "swept")
    chosen = {"one": runs[:1], "two": runs[:2], "three": runs}
    found = {}
    for kind in KINDS:
        found[kind] = folder / f"{kind}.html"
        write_report(chosen.get(kind, [folder / kind]), found[kind], maps=4)
    return found


@pytest.fixture(scope="module", params=[False, True], ids=["light", "dark"])
def browser(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile"), *LAPTOP, dark=request.param) as opened:
        yield opened


def overflowing(browser: Browser) -> list[str]:
    """Return who is wider than the page, or holds more than its own width, other than what scrolls by itself."""
    found: list[str] = json.loads(
        browser.evaluate(
            "JSON.stringify([...document.querySelectorAll('body, body *')].filter((one) => {"
            " if (one.closest('.scroll') && !one.matches('.scroll')) return false;"
            " if (one.closest('svg, select, .hidden') && !one.matches('svg')) return false;"
            " const box = one.getBoundingClientRect();"
            " return box.width > 0 && box.right > innerWidth + 1; }).map((one) => one.outerHTML.slice(0, 80)))"
        )
    )
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_overflows_and_nobody_complains(browser: Browser, pages: dict[str, Path], kind: str) -> None:
    browser.console.clear()
    browser.requests.clear()
    browser.resize(*PHONE)
    browser.open(pages[kind])
    for size in (PHONE, TABLET, LAPTOP):
        browser.resize(*size)
        last = "ChartView.all.at(-1).element"
        browser.wait_for(f"{last}.firstChild.getAttribute('width') === String({last}.clientWidth)")
        for _ in ("folded", "opened"):
            assert browser.evaluate("document.documentElement.scrollWidth") <= size[0]
            assert overflowing(browser) == []
            browser.evaluate("for (const one of document.querySelectorAll('details')) one.open = !one.open")
    assert browser.console == []
    assert browser.requests == [pages[kind].resolve().as_uri()]


@pytest.mark.parametrize("kind", ["one", "two", "three", "compared"])
def test_numbers_and_maps_are_on_the_first_screen_of_a_laptop(
    browser: Browser, pages: dict[str, Path], kind: str
) -> None:
    browser.resize(*LAPTOP)
    browser.open(pages[kind])
    bottoms = browser.evaluate(
        "[...document.querySelectorAll('canvas, .strip, #play')].map((one) => one.getBoundingClientRect().bottom)"
    )
    assert len(bottoms) == {"one": 1, "two": 2, "three": 3, "compared": 4}[kind] + 2
    assert 0 < min(bottoms) <= max(bottoms) <= LAPTOP[1]
    heights = browser.evaluate("[...document.querySelectorAll('canvas')].map((one) => one.clientHeight)")
    assert min(heights) >= 200
    first = "#ranking" if kind == "compared" else "#tiles"
    lead = browser.evaluate(f"document.querySelector('{first}').getBoundingClientRect().bottom")
    assert lead < min(bottoms)
    tiles = browser.evaluate("document.querySelectorAll('.tile').length")
    assert tiles == (4 if kind == "compared" else 5)  # there the ranking is the fifth: the penalty


@pytest.mark.parametrize("kind", ["one", "compared"])
def test_paper_is_white_and_nothing_is_folded(browser: Browser, pages: dict[str, Path], kind: str) -> None:
    browser.resize(*LAPTOP)
    browser.open(pages[kind])
    folded = "[...document.querySelectorAll('details')].filter((one) => !one.open).length"
    before = browser.evaluate(folded)
    assert before > 0
    browser.evaluate(
        f"void window.addEventListener('beforeprint', () => {{ window.printed = [{folded},"
        " styleColour('panel'), document.querySelector('#chart-penalty svg').getAttribute('viewBox')]; })"
    )
    assert browser.pdf().startswith(b"%PDF")
    assert browser.evaluate("printed") == [0, "#ffffff", "0 0 345 190"]
    assert browser.evaluate(folded) == before
    dark = browser.evaluate("darkMode.matches")
    browser.show_as(dark=dark, media="print")
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == WHITE
    assert browser.evaluate("getComputedStyle(document.getElementById('controls')).display") == "none"
    browser.show_as(dark=dark)


def test_colours_can_be_read(browser: Browser, pages: dict[str, Path]) -> None:
    """Texts have a contrast of 4.5, curves and marks of 3, as WCAG 2.1 (1.4.3, 1.4.11) asks for."""
    browser.open(pages["one"])
    texts = ["text", "faint", "good", "bad", "accent"]
    names = [*texts, *(f"c{index}" for index in range(8)), "grey"]
    luminance = (
        "(name) => { const hex = styleColour(name).replace(/^#(.)(.)(.)$/, '#$1$1$2$2$3$3');"
        " const part = (at) => { const one = parseInt(hex.slice(at, at + 2), 16) / 255;"
        " return one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4; };"
        " return 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5); }"
    )
    values = browser.evaluate(f"{json.dumps([*names, 'panel', 'back'])}.map({luminance})")
    *found, panel, back = values
    for name, value in zip(names, found, strict=True):
        for ground in (panel, back):
            contrast = (max(value, ground) + 0.05) / (min(value, ground) + 0.05)
            assert contrast >= (4.5 if name in texts else 3.0), (name, contrast)
