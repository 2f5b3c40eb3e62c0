"""Reports in a browser: no error, no request, the map plays, charts follow each other, a phone is wide enough."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim import Scenario, run
from sim.report import write_report
from tests.conformance.browser import CHROMIUM, Browser
from tests.unit.test_report import EVIL

pytest.importorskip("plotly", reason="the page needs the extra report")
pytestmark = [
    pytest.mark.full,
    pytest.mark.skipif(not CHROMIUM, reason="there is no chromium on the PATH"),
]

PIXELS = "document.getElementById('road').toDataURL()"
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


def test_no_sideways_scroll(browser: Browser) -> None:
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_charts_are_there(browser: Browser) -> None:
    names = browser.evaluate("REPORT.charts.map((chart) => chart.key)")
    assert names[0] == "events"
    drawn = "document.querySelectorAll('#chart-%s .scatterlayer path').length"
    for name in names:
        assert browser.evaluate(drawn % name) > 0, name


def test_names_run_no_script(browser: Browser) -> None:
    assert browser.evaluate("document.querySelectorAll('img, a[href^=javascript]').length") == 0
    assert EVIL in browser.evaluate("document.querySelector('h1').textContent")
    assert EVIL in browser.evaluate("document.querySelector('#chart-backlog .legend').textContent")


def test_the_map_plays(browser: Browser) -> None:
    browser.evaluate("window.dispatchEvent(new CustomEvent('seek', { detail: 0 }))")
    still = browser.evaluate(PIXELS)
    assert browser.evaluate(TIME) == 0
    browser.evaluate("document.getElementById('play').click()")
    assert browser.evaluate("document.getElementById('play').textContent") == "Pause"
    browser.wait_for(f"{TIME} > 0.3")
    assert browser.evaluate(PIXELS) != still
    browser.evaluate("document.getElementById('play').click()")
    paused = browser.evaluate(TIME), browser.evaluate(PIXELS)
    browser.evaluate("new Promise((resolve) => setTimeout(resolve, 100))")
    assert (browser.evaluate(TIME), browser.evaluate(PIXELS)) == paused


def test_keys_and_scrubber(browser: Browser) -> None:
    browser.evaluate("document.getElementById('road').focus()")
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


@pytest.mark.parametrize("control", ["map-run", "colour", "belief", "links"])
def test_controls_change_the_picture(browser: Browser, control: str) -> None:
    browser.evaluate("window.dispatchEvent(new CustomEvent('seek', { detail: 6 }))")
    before = browser.evaluate(PIXELS)
    browser.evaluate(
        f"(() => {{ const c = document.getElementById('{control}'); if (c.type === 'checkbox') c.checked = !c.checked;"
        " else c.selectedIndex = 1; c.dispatchEvent(new Event('change')); })()"
    )
    after = browser.evaluate(PIXELS)
    assert after != before or control == "map-run"  # another policy leaves vehicles and nodes where they are


def test_a_vehicle_is_told_about(browser: Browser) -> None:
    browser.evaluate("document.getElementById('road').scrollIntoView()")
    browser.evaluate(
        "(() => { const c = document.getElementById('road'); const box = c.getBoundingClientRect();"
        " for (let x = 0; x < box.width; x += 5) for (let y = 0; y < box.height; y += 5)"
        " c.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + x, clientY: box.top + y })); })()"
    )
    assert browser.evaluate("document.getElementById('told').textContent").startswith("Vehicle ")


def test_charts_share_a_time_axis(browser: Browser) -> None:
    browser.evaluate("void Plotly.relayout('chart-backlog', { 'xaxis.range[0]': 2, 'xaxis.range[1]': 3 })")
    browser.wait_for("document.getElementById('chart-age').layout.xaxis.range[1] === 3")
    assert browser.evaluate("document.getElementById('chart-delay').layout.xaxis.range[1]") != 3
    browser.evaluate("void Plotly.relayout('chart-age', { 'xaxis.autorange': true })")
    browser.wait_for("document.getElementById('chart-backlog').layout.xaxis.range[1] === 8")


def test_marks_are_on_every_time_chart(browser: Browser) -> None:
    for name in ("backlog", "age", "latency"):
        assert browser.evaluate(f"document.querySelectorAll('#chart-{name} .shapelayer path').length") >= 1


def test_a_changed_colour_scheme_redraws(browser: Browser) -> None:
    before = browser.evaluate(PIXELS)
    dark = browser.evaluate("darkMode.matches")
    scheme = {"name": "prefers-color-scheme", "value": "light" if dark else "dark"}
    browser.call("Emulation.setEmulatedMedia", features=[scheme])
    browser.wait_for(f"{PIXELS} !== {json.dumps(before)}")


def test_charts_fit_a_turned_screen(browser: Browser) -> None:
    width, height = browser.evaluate("innerHeight"), browser.evaluate("innerWidth")
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
    for name in ("events", "backlog", "latency"):
        chart = f"document.getElementById('chart-{name}')"
        browser.wait_for(f"{chart}.layout.width === {chart}.clientWidth")
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
