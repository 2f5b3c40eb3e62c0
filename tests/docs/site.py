"""The site, built once for all tests of a session, also where they run in several processes."""

from __future__ import annotations

import html.parser
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_WAIT_S = 600.0


def built(shared: Path) -> Path:
    """Return the folder of the site; the first process that asks for it builds it, the others wait.

    shared : a folder that all processes of this session have
    """
    site, log = shared / "site", shared / "site.log"
    done = shared / "site.done"
    try:
        (shared / "site.begun").mkdir()
    except FileExistsError:
        end = time.monotonic() + _WAIT_S
        while not done.exists():
            assert time.monotonic() < end, "another process does not finish the site"
            time.sleep(0.2)
    else:
        log.write_text(build("--site-dir", str(site)), "utf-8")
        done.touch()
    assert (site / "index.html").is_file(), log.read_text("utf-8")
    return site


def build(*words: str) -> str:
    """Run `mkdocs build` as `make docs` does; return what it says, without its steps."""
    command = [sys.executable, "-m", "mkdocs", "build", *words]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("INFO")]
    return "\n".join([*lines, f"exit code {done.returncode}"] if done.returncode or lines else [])


class Page(html.parser.HTMLParser):
    """What a page loads, and where links can lead on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found["id"]} if "id" in found else set()
        if tag != "a":
            self.loads += [found[name] for name in ("src", "href", "srcset", "data", "poster") if found.get(name)]
