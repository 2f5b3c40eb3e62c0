"""Every page of the documentation is followed: files written, Python and commands run, in an empty folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sim import Scenario, run
from tests.docs.commands import CommandError, check, check_spoken, split
from tests.docs.following import follow, run_python
from tests.docs.pages import PageError, read
from tests.support.data import data_file

ROOT = Path(__file__).resolve().parents[2]
SLOW = frozenset(
    {
        "README.md",
        *(f"docs/tutorials/{name}.md" for name in ("first-run", "policy", "scenario", "learner")),
        *(f"docs/how-to/{name}.md" for name in ("replay", "show", "language-model", "training", "publish")),
        *(f"docs/how-to/clusters{name}.md" for name in ("", "-executors", "-slurm")),
    }
)
"""Pages that take more than two seconds: in `make test`, not in `make check`."""
_LIBRARIES = {
    "marl": ("torch", "safetensors"),
    "llm": ("llama_cpp", "gguf"),
    "report": ("matplotlib",),
    "env": ("gymnasium", "pettingzoo"),
    "dask": ("distributed",),
    "dev": ("pandas",),
}


def pages() -> list[str]:
    found = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")]
    return ["README.md", *sorted(found)]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.full) if name in SLOW else name for name in pages()]
)
def test_page(name: str) -> None:
    page = read((ROOT / name).read_text("utf-8"))
    for extra in page.needs:
        if not all(importlib.util.find_spec(library) for library in _LIBRARIES[extra]):
            pytest.skip(f"needs the extra {extra}")
    follow(page)


def test_slow_pages_exist() -> None:
    assert set(pages()) >= SLOW


def test_the_scenario_of_a_few_cars_takes_a_real_town(tmp_path: Path) -> None:
    """More than 900 vehicles at once on both nodes, with nothing but another file, and stations where the town is."""
    page = read((ROOT / "docs/how-to/real-traffic.md").read_text("utf-8"))
    (town,) = [block for block in page.blocks if block.title == "town.toml"]
    path = tmp_path / "town.toml"
    path.write_text(town.text.replace("town.parquet", str(data_file("bologna_joined_1s.fcd.parquet"))), "utf-8")
    places = ["base_station.position_m=[1080,960]", "rsus.0.position_m=[500,450]"]
    result = run(Scenario.load(path, ["time.num_slot=4", *places]), policy="greedy-cost", seed=1)
    assert result.table("vehicles").num_rows > 4 * 900
    assert {"base-station", "rsu-east"} <= set(result.table("vehicles")["serving_node"].to_pylist())


def fenced(info: str, *lines: str, mark: str = "") -> str:
    return "\n".join([f"<!-- {mark} -->"] * bool(mark) + [f"```{info}", *lines, "```", ""])


GOOD = {
    "a file and a script of its own": fenced('python title="one.py"', "number = 1")
    + fenced("python", "from one import number", "assert number == 1"),
    "a command": fenced("console", "$ twin run dtecn --slots 2 --out runs/a  # short", "$ ls runs/a"),
    "a file that is shown": fenced('csv title="a.csv"', "t,x") + fenced("console", "$ cat a.csv", "t,x", mark="output"),
    "more of a file": fenced('toml title="a.toml"', "a = 1")
    + fenced('toml title="a.toml"', "b = 1", mark="append")
    + fenced("console", "$ cat a.toml", "a = 1", "b = 1", mark="output"),
    "output of Python": fenced("python", "print(1.25)") + fenced("text", "1...", mark="output"),
    "a command that fails": fenced("console", "$ twin run nowhere", mark="exit: 2"),
    "a script that fails": fenced("python", "raise SystemExit(3)", mark="exit: 3"),
    "a command that is not run": fenced(
        "console",
        "$ twin compare dtecn-congested --policies p2-exact:margin=0.05,random --seeds 0..9 \\",
        "    --set 'radio.noise_w=\"-92 dBm\"' && make run",
        mark="no-run: takes four minutes",
    ),
    "a command with a length": fenced(
        "console",
        "$ twin sweep llm6g --policies rlor --seeds 0 --slots 1 --set time.slot_duration_s=3600 \\",
        "    --grid cost.time_weight=0.1,0.9",
        mark="no-run: takes four minutes",
    ),
    "two marks": fenced("console", "$ twin run nowhere", "twin: SCENARIO: ...", mark="exit: 2 -->\n<!-- output"),
    "an installation": fenced("console", '$ pip install "vectwin[marl,llm]"', mark="no-run: changes the machine"),
    "a shell": fenced("bash", "tar czf run.tar.gz run", "twin check run", mark="no-run: for a shell only"),
    "a block in a list": "1. Do\n\n    ```python\n    assert True\n    ```\n",
    "TOML that belongs elsewhere": fenced("toml", "[a]", "b = 1"),
    "prose": "`twin keys radio`, `twin import csv --map x_m=east`, `twin run … --json` and `twin --help`\n",
}
GOOD["a file that is shown"] = fenced('csv title="a.csv"', "t,x") + fenced(
    "console", "$ cat a.csv", "t,x", mark="output"
)

BAD = {
    "an unknown language": fenced("rust", "fn main() {}"),
    "no language": fenced("", "x = 1"),
    "a fence without an end": "```python\nx = 1\n",
    "no reason": fenced("console", "$ twin run dtecn", mark="no-run"),
    "no reason after the colon": fenced("console", "$ twin run dtecn", mark="no-run: "),
    "half a reason": fenced("console", "$ twin run dtecn", mark="no-run: slow"),
    "a mark far away": "<!-- no-run: takes minutes -->\n\n" + fenced("console", "$ twin run dtecn"),
    "a mark at the end": "<!-- no-run: takes minutes -->",
    "Python that does not compile": fenced("python", "x = ", mark="no-run: takes four minutes"),
    "Python that fails": fenced("python", "raise ValueError"),
    "Python that should fail": fenced("python", "x = 1", mark="exit: 1"),
    "a file outside": fenced('toml title="../a.toml"', "a = 1"),
    "a hidden file": fenced('toml title=".a.toml"', "a = 1"),
    "more of nothing": fenced('toml title="a.toml"', "a = 1", mark="append"),
    "more of no file": fenced("toml", "a = 1", mark="append"),
    "no TOML": fenced("toml", "a = "),
    "an unknown command": fenced("console", "$ rm -r runs"),
    "an unknown command that is not run": fenced("console", "$ curl x", mark="no-run: takes four minutes"),
    "a pipe": fenced("console", "$ twin keys | cat"),
    "a place for output": fenced("console", "$ twin keys > keys.txt"),
    "output before a command": fenced("console", "1", "$ ls"),
    "another exit code": fenced("console", "$ twin run nowhere"),
    "no exit code": fenced("console", "$ ls", mark="exit: 2"),
    "other output": fenced("console", "$ ls", "a", mark="output"),
    "other output of Python": fenced("python", "print(1)") + fenced("text", "2", mark="output"),
    "output of nothing": fenced("text", "2", mark="output"),
    "a shell that runs": fenced("bash", "ls"),
    "a wrong command in a shell": fenced("bash", "twin rum dtecn", mark="no-run: for a shell only"),
    "an installation that runs": fenced("console", "$ pip install vectwin"),
    "another package": fenced("console", "$ pip install vectwinn", mark="no-run: changes the machine"),
    "another extra": fenced("console", '$ pip install "vectwin[all,gpu]"', mark="no-run: changes the machine"),
    "a file that is not there": fenced("console", "$ cat a.csv"),
    "prose": "`twin rum`\n",
    "an extra": "<!-- needs: gpu -->\n",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_page_can_pass(name: str) -> None:
    follow(read(GOOD[name]))


@pytest.mark.parametrize("name", BAD)
def test_a_page_can_fail(name: str) -> None:
    with pytest.raises(PageError, match=r"line [0-9]+: "):
        follow(read(BAD[name]))


WRONG = [
    "twin rum dtecn",
    "twin",
    "twin run dtecm",
    "twin run dtecn --sloths 3",
    "twin run dtecn --slots 0",
    "twin run dtecn --policy p2-exakt",
    "twin run dtecn --policy p2-exact:marging=0.1",
    "twin run dtecn --set vehicles.num_vehicles=4",
    "twin run dtecn --set vehicles.num_vehicle=0",
    "twin run mine.toml --set vehicles.num_vehicles=4",
    "twin compare dtecn --policies p2-exact",
    "twin compare dtecn --policies p2-exact,randon --seeds 0..4",
    "twin compare dtecn --policies random --seeds 4..",
    "twin compare dtecn --policies random --seeds 0 --warmup some",
    "twin compare dtecn --policies random --seeds 0 --precision 5%%",
    "twin sweep dtecn --policies random --seeds 0 --grid radio.noise=1,2",
    "twin sweep dtecn --policies random --seeds 0 --grid radio.noise_w=a,b",
    "twin export runs/mine --to excel --out a.xls",
    "twin train ppo dtecn --out a",
    "twin figures llm7g --out a",
    "twin bench kernels",
    "twin keys radios",
    "twin import gpx a.gpx --out a.parquet",
    "twin branch runs/mine --policy random",
    "make runn",
    "pip uninstall vectwin",
]


@pytest.mark.parametrize("text", WRONG)
def test_a_command_that_is_not_run_can_fail(text: str) -> None:
    (words,) = split(text)
    with pytest.raises(CommandError, match=words[0]):
        check(words, Path.cwd())


@pytest.mark.parametrize("text", ["twin rum", "twin run --sloths 4", "twin cases bild", "twin import gpx"])
def test_a_command_in_prose_can_fail(text: str) -> None:
    with pytest.raises(CommandError):
        check_spoken(text)


def test_a_page_leaves_nothing_behind() -> None:
    """Neither its modules nor its policies are there for the next one."""
    script = fenced(
        'python title="one.py"', "import two", "from vectwin import register", "register('mine', 'two:Two')"
    )
    page = fenced('python title="two.py"', "class Two: ...") + script
    follow(read(page))
    follow(read(page.replace("register('mine', 'two:Two')", "register('mine', 'three:Three')")))
    assert run_python("two.py").code == 0


def test_repository_is_seen() -> None:
    assert "README.md" in pages()
    assert "docs/tutorials/first-run.md" in pages()
