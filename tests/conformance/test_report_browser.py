"""Reports in a browser: no error, no request, the maps play on one clock, charts follow each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim import Scenario, run
from sim.show.report import write_report
from tests.conformance.browser import CHROMIUM, Browser
from tests.support.reports import EVIL

pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on the PATH"),
]

PIXELS = "document.getElementById('road-0').toDataURL() + document.getElementById('road-1').toDataURL()"
TIME = "parseFloat(document.getElementById('time').textContent)"
DESKTOP, PHONE = (1200, 900), (390, 844)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    settings = [
        "time.num_slot=80",
        "network.backhaul.loss=0.2",
        f"title={json.dumps(EVIL)}",
        f"tasks.0.name={json.dumps(EVIL)}",
    ]
    scenario = Scenario.load("blackout", settings)
    runs = [folder / policy for policy in ("greedy-cost", "edge-equal")]
    for directory in runs:
        run(scenario, policy=directory.name, seed=1, out=directory)
    write_report(runs, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module", params=["desktop", "phone"])
def browser(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, report: Path
) -> Iterator[Browser]:
    is_phone = request.param == "phone"
    profile = tmp_path_factory.mktemp("profile")
    with Browser(profile, *(PHONE if is_phone else DESKTOP), dark=is_phone, touch=is_phone) as opened:
        opened.open(report)
        yield opened
        assert opened.console == []
        assert opened.requests == [report.resolve().as_uri()]  # the page itself, and nothing else


def test_charts_are_there(browser: Browser) -> None:
    names = browser.evaluate("REPORT.charts.map((chart) => chart.key)")
    assert names[0] == "events"
    drawn = "document.querySelectorAll('#chart-%s svg path.line, #chart-%s svg path.event').length"
    for name in names:
        assert browser.evaluate(drawn % (name, name)) > 0, name


def test_names_run_no_script(browser: Browser) -> None:
    assert browser.evaluate("document.querySelectorAll('img, a[href^=javascript]').length") == 0
    assert EVIL in browser.evaluate("document.querySelector('h1').textContent")
    assert EVIL in browser.evaluate("document.querySelector('#figure-delay-0 h3').textContent")


def test_the_map_plays(browser: Browser) -> None:
    browser.evaluate("window.dispatchEvent(new CustomEvent('seek', { detail: 0 }))")
    still = browser.evaluate(PIXELS)
    assert browser.evaluate(TIME) == 0
    browser.evaluate("document.getElementById('play').click()")
    assert browser.evaluate("document.getElementById('play-word').textContent") == "Pause"
    browser.wait_for(f"{TIME} > 0.3")
    assert browser.evaluate(PIXELS) != still
    browser.evaluate("document.getElementById('play').click()")
    paused = browser.evaluate(TIME), browser.evaluate(PIXELS)
    browser.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")
    assert (browser.evaluate(TIME), browser.evaluate(PIXELS)) == paused


def test_keys_and_scrubber(browser: Browser) -> None:
    browser.evaluate("document.getElementById('road-1').focus()")
    browser.key("Home")
    assert browser.evaluate(TIME) == 0
    browser.key("ArrowRight")
    browser.key("ArrowUp")
    assert browser.evaluate(TIME) == pytest.approx(1.1)
    browser.key("End")
    assert browser.evaluate(TIME) == 8
    browser.evaluate(
        "(() => { const s = document.getElementById('scrub'); s.value = 2.5; s.dispatchEvent(new Event('input')); })()"
    )
    assert browser.evaluate(TIME) == 2.5
    browser.key(" ", " ")
    browser.wait_for(f"{TIME} > 2.5")
    browser.key(" ", " ")


@pytest.mark.parametrize("control", ["colour", "belief", "links"])
def test_controls_change_both_pictures(browser: Browser, control: str) -> None:
    browser.evaluate("window.dispatchEvent(new CustomEvent('seek', { detail: 6 }))")
    each = [f"document.getElementById('road-{index}').toDataURL()" for index in (0, 1)]
    before = [browser.evaluate(one) for one in each]
    browser.evaluate(
        f"(() => {{ const c = document.getElementById('{control}'); if (c.type === 'checkbox') c.checked = !c.checked;"
        " else c.selectedIndex = 1 - c.selectedIndex; c.dispatchEvent(new Event('change')); })()"
    )
    for index, one in enumerate(each):
        assert browser.evaluate(one) != before[index]


def test_one_clock_drives_all_maps_and_charts(browser: Browser) -> None:
    live = "[...document.querySelectorAll('.live')].map((one) => one.textContent)"
    heads = "[...document.querySelectorAll('.playhead')].map((one) => one.getAttribute('d') ?? '')"
    browser.evaluate("window.dispatchEvent(new CustomEvent('seek', { detail: 1 }))")
    before = browser.evaluate(live), browser.evaluate(heads), browser.evaluate(PIXELS)
    browser.evaluate("window.dispatchEvent(new CustomEvent('seek', { detail: 6 }))")
    after = browser.evaluate(live), browser.evaluate(heads), browser.evaluate(PIXELS)
    assert len(after[0]) == 2
    assert all(one != other for one, other in zip(before[0], after[0], strict=True))
    times = browser.evaluate("REPORT.charts.filter((chart) => ['time', 'events'].includes(chart.kind)).length")
    assert sum(one != other for one, other in zip(before[1], after[1], strict=True)) == times
    assert after[2] != before[2]


def test_a_vehicle_is_told_about(browser: Browser) -> None:
    browser.evaluate("document.getElementById('road-1').scrollIntoView()")
    browser.evaluate(
        "(() => { const c = document.getElementById('road-1'); const box = c.getBoundingClientRect();"
        " for (let x = 0; x < box.width; x += 5) for (let y = 0; y < box.height; y += 5)"
        " c.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + x, clientY: box.top + y })); })()"
    )
    assert browser.evaluate("document.getElementById('told').textContent").startswith("edge-equal: Vehicle ")


RANGE = "(() => {{ const v = ChartView.all.find((one) => one.chart.key === '{}'); return [v.x.low, v.x.high]; }})()"


def middle(browser: Browser, chart: str, part: float) -> tuple[float, float]:
    """Return a point of a chart, a part of its width from its left."""
    browser.evaluate(f"document.getElementById('figure-{chart}').scrollIntoView({{ behavior: 'instant' }})")
    left, width, top = browser.evaluate(
        f"(() => {{ const b = document.getElementById('chart-{chart}').getBoundingClientRect();"
        " return [b.left, b.width, b.top]; })()"
    )
    return left + part * width, top + 60


def test_charts_share_a_time_axis(browser: Browser) -> None:
    whole, delays = browser.evaluate(RANGE.format("missed")), browser.evaluate(RANGE.format("delay-1"))
    assert whole == [0, 8]
    browser.drag(middle(browser, "penalty", 0.4), middle(browser, "penalty", 0.6))
    zoomed = browser.evaluate(RANGE.format("penalty"))
    assert 2 < zoomed[0] < 4 < zoomed[1] < 6
    assert browser.evaluate(RANGE.format("missed")) == zoomed
    assert browser.evaluate(RANGE.format("events")) == zoomed
    assert browser.evaluate(RANGE.format("delay-1")) == delays
    browser.evaluate("document.querySelector('#figure-missed .reset').click()")
    assert browser.evaluate(RANGE.format("penalty")) == whole


def test_a_click_shows_that_time(browser: Browser) -> None:
    point = middle(browser, "missed", 0.5)
    browser.drag(point, point)
    assert browser.evaluate(TIME) == pytest.approx(4, abs=0.8)  # the axis of values is at the left


def test_values_are_told(browser: Browser) -> None:
    x, y = middle(browser, "penalty", 0.5)
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    tip = browser.evaluate("document.querySelector('#figure-penalty .tip').textContent")
    place = browser.evaluate("placeOf(REPORT.charts.find((one) => one.key === 'penalty').curves[0].x, 4)")
    assert 35 < place < 45
    assert "greedy-cost" in tip
    assert "edge-equal" in tip


def test_a_name_hides_its_curve(browser: Browser) -> None:
    lines = "document.querySelectorAll('#chart-penalty path.line').length"
    button = "document.querySelector('#figure-penalty .legend button')"
    assert browser.evaluate(lines) == 2
    browser.evaluate(f"{button}.click()")
    assert (browser.evaluate(lines), browser.evaluate(f"{button}.ariaPressed")) == (1, "false")
    browser.evaluate(f"{button}.click()")
    assert browser.evaluate(lines) == 2


def test_marks_are_on_every_time_chart(browser: Browser) -> None:
    for name in ("backlog", "age", "latency"):
        assert browser.evaluate(f"document.querySelectorAll('#chart-{name} .mark').length") >= 1


def test_a_changed_colour_scheme_redraws(browser: Browser) -> None:
    before = browser.evaluate(PIXELS)
    dark = browser.evaluate("darkMode.matches")
    browser.show_as(dark=not dark)
    browser.wait_for(f"{PIXELS} !== {json.dumps(before)}")
    browser.show_as(dark=dark)


def test_charts_fit_a_turned_screen(browser: Browser) -> None:
    width, height = browser.evaluate("innerHeight"), browser.evaluate("innerWidth")
    browser.resize(width, height)
    for name in ("events", "backlog", "latency"):
        chart = f"document.getElementById('chart-{name}')"
        browser.wait_for(f"{chart}.firstChild.getAttribute('width') === String({chart}.clientWidth)")
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
