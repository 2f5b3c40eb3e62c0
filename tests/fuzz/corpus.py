"""What mutants are made of: small inputs that the product itself made once, and commands that read them."""

from __future__ import annotations

import gzip
import itertools
import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz import seeds
from tests.fuzz.forked import call

Words = tuple[str, ...]

BUILT_IN = ("blackout", "corridor", "dtecn", "dtecn-congested", "llm6g", "rush-hour")
_TRACES = ("mobility", "requests", "link")
_PART = "part-00000.parquet"


@dataclass(frozen=True)
class Seed:
    """Inputs in a folder of their own, and commands that read them.

    kind : for the mix of mutants
    name : of the folder in the corpus
    commands : their words
    files : what is mutated; the others are only there
    """

    kind: str
    name: str
    commands: tuple[Words, ...]
    files: tuple[str, ...]


@dataclass(frozen=True)
class Corpus:
    """All seeds.

    values : what their scenarios say: key -> value, by the seed's name
    """

    folder: Path
    seeds: tuple[Seed, ...]
    values: dict[str, dict[str, Any]]

    def of(self, kind: str) -> list[Seed]:
        return [seed for seed in self.seeds if seed.kind == kind]


def _words(text: str, *more: str) -> Words:
    return (*text.split(), *more)


def _maps(names: Sequence[str]) -> Words:
    return tuple(word for name in names for word in ("--map", name))


_RUN = _words("run scenario.toml --slots 2 --out out --json")
_STUDY = "scenario.toml --policies local-only,random --seeds 0..1 --slots 2 --workers 1 --out out"
_SWEEP = _words(
    "sweep scenario.toml --policies random --seeds 0..1 --grid radio.bandwidth_hz=1e6,2e6",
    *_words("--slots 2 --workers 1 --out out"),
)
SCENARIO = (
    _RUN,
    _RUN,
    _words("run scenario.toml --slots 2 --out out --policy random --seed 7 --quiet"),
    _words("run scenario.toml --slots 2 --out out --policy greedy-cost --json"),
    _words("check scenario.toml"),
    _words("policies scenario.toml --json"),
    _words(f"compare {_STUDY} --json"),
    _SWEEP,
    _words("cases build scenario.toml --policy random --count 2 --every 1 --out cases.parquet --json"),
)
SETTINGS = (*SCENARIO[:4], *SCENARIO[:4], *SCENARIO[5:7])
FOLDER = (
    _words("check run"),
    _words("replay run --json"),
    _words("replay run --policy random --out out"),
    _words("branch run --at 0.1 --policy edge-equal --json"),
    _words("report run --out page.html"),
    _words("export run --to csv --out tables"),
    _words("export run --to perfetto --out events.json.gz --json"),
)
STUDY = (
    _words(f"compare {_STUDY} --json"),
    _words("report out --out page.html --maps 1"),
    _words("report out --maps 0 --json"),
)
SWEEP = (
    _SWEEP,
    _words("report out --out page.html"),
)
CASES = (
    _words("cases show cases.parquet"),
    _words("cases show cases.parquet --json"),
    _words("check cases.parquet"),
    _words("run scenario.toml --slots 2 --out out --policy nearest-case:file=cases.parquet"),
    _words("run scenario.toml --slots 2 --out out --policy mean-case:file=cases.parquet --json"),
)
WEIGHTS = (_words("run scenario.toml --slots 2 --out out --policy ddpg:weights=w.safetensors --json"),)
MODEL = (
    _words("run scenario.toml --slots 2 --out out --policy llm:model=m.gguf,start=1,cases=1 --json"),
    _words("models verify m.gguf --json"),
    _words("run scenario.toml --slots 2 --out out --policy llm:model=m.gguf,case_file=cases.parquet --json"),
)
LANGUAGE = (_words("run scenario.toml --slots 2 --out out --policy llm:model=m.gguf,start=1,cases=1 --json"),)
CANONICAL = (
    *(_words(f"check {name}.parquet") for name in _TRACES),
    _RUN,
    _words("policies scenario.toml"),
    _words("import csv mobility.parquet --out new.parquet"),
)
ARGUMENTS = (
    *SCENARIO,
    *FOLDER,
    *CASES,
    _words("report study --out page.html --maps 1"),
    _words("report study run --out page.html"),
    _words(f"compare {_STUDY} --baseline random --precision 5% --seeds-max 3 --warmup 1"),
    _words("scenarios --json"),
    _words("keys"),
    _words("keys radio --json"),
    _words("kinds"),
    _words("kinds mobility highway --json"),
    _words("models list"),
    _words("policies"),
    _words("train ddpg scenario.toml --steps 1 --out w.safetensors"),
    _words("import csv gps.csv --out gps.parquet --geo --origin 44.49,11.34", *_maps(seeds.GPS_MAP)),
    _words("import link link.csv --out new.parquet --map t_ns=Timestamp --map uplink_rate_bps=UL_bitrate:kbit/s"),
    _words("export run --to perfetto --out events.json --from 0.1 --until 0.2"),
    _words("export run --to csv --out tables.zip --tables slots,tasks"),
)


IMPORTS: dict[str, tuple[str, Words]] = {
    "town.fcd.xml": (seeds.FCD_XML, _words("import fcd town.fcd.xml --out new.parquet")),
    "town.csv": (seeds.FCD_CSV, _words("import fcd town.csv --out new.parquet --json")),
    "gps.csv": (seeds.GPS_CSV, _words("import csv gps.csv --out new.parquet", *_maps(seeds.GPS_MAP))),
    "requests.csv": (seeds.REQUESTS_CSV, _words("import requests requests.csv --out new.parquet")),
    "link.csv": (seeds.LINK_CSV, _words("import link link.csv --out new.parquet --json", *_maps(seeds.LINK_MAP))),
}


class Builder:
    """Makes the corpus with the commands of the product, in children of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seeds: list[Seed] = []

    def add(self, kind: str, name: str, commands: Sequence[Words], *files: str) -> Path:
        """Add a seed, and return its folder, which may be filled later."""
        self.seeds.append(Seed(kind, name, tuple(commands), files))
        made = self.folder / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    def twin(self, folder: Path, *words: str) -> None:
        """Run a command; it must succeed."""
        from sim.cli import main

        self.do(folder, lambda: main(words))

    @staticmethod
    def do(folder: Path, function: Callable[[], Any]) -> None:
        """Do something in a child whose clock counts how often it is read: the same bytes every time."""

        def timeless() -> Any:
            count = itertools.count()
            time.perf_counter = lambda: next(count) / 1_000
            return function()

        done = call(timeless, folder, time_s=120.0)
        if done.code != 0:
            raise RuntimeError(f"the corpus cannot be built in {folder}: {done}")


def build(folder: Path) -> Corpus:
    """Build all seeds below a folder, which is created; for the models there is room only, see `add_models`."""
    builder = Builder(folder)
    folder.mkdir(parents=True)
    _imports(builder)
    _scenarios(builder)
    for name in ("everything", "rush-hour", "llm6g"):
        _run(builder, name)
    _studies(builder)
    _cases(builder)
    _models(builder)
    _arguments(builder)
    return Corpus(folder, tuple(builder.seeds), _values(builder))


def add_models(corpus: Corpus) -> None:
    """Make the weights and models, which needs the extras marl and llm."""
    from importlib.resources import files

    model, weights = corpus.folder / "model", corpus.folder / "weights"
    bundled = Path(str(files("policies.marl") / "weights"))
    for ending in ("safetensors", "json"):
        shutil.copyfile(bundled / f"ddpg-dtecn.{ending}", weights / f"w.{ending}")
    Builder.do(model, lambda: _tiny_model(model, files("policies.llm") / "weights" / "bundled.json"))
    shutil.copyfile(model / "m.gguf", corpus.folder / "language" / "m.gguf")


def _imports(builder: Builder) -> None:
    for name, (text, command) in IMPORTS.items():
        made = builder.add("import", f"import-{name}", [command], name)
        (made / name).write_text(text, "utf-8")
        packed = builder.add(
            "import", f"import-{name}.gz", [tuple(w + ".gz" if w == name else w for w in command)], f"{name}.gz"
        )
        (packed / f"{name}.gz").write_bytes(gzip.compress(text.encode(), 1, mtime=0))
    made = builder.add("canonical", "canonical", CANONICAL, *(f"{name}.parquet" for name in _TRACES))
    (made / "scenario.toml").write_text(seeds.EVERYTHING, "utf-8")
    for name, source in zip(_TRACES, ("town.fcd.xml", "requests.csv", "link.csv"), strict=True):
        text, command = IMPORTS[source]
        (made / source).write_text(text, "utf-8")
        builder.twin(made, *(f"{name}.parquet" if word == "new.parquet" else word for word in command))
        (made / source).unlink()


def _traces(builder: Builder, folder: Path) -> None:
    for name in _TRACES:
        shutil.copyfile(builder.folder / "canonical" / f"{name}.parquet", folder / f"{name}.parquet")


def short(text: str) -> str:
    """Let a built-in scenario have two vehicles and two slots, and its events happen in them."""
    text = re.sub(r"(?m)^num_slot = \d+", "num_slot = 2", text)
    text = re.sub(r"(?m)^num_vehicle = \d+", "num_vehicle = 2", text)
    text = re.sub(r"(?m)^vehicle = \d+", "vehicle = 1", text)
    return re.sub(r'(?m)^at_s = "([\d.]+) s"', r'at_s = "\1 ms"', text)


def scenario_text(name: str) -> str:
    if name == "everything":
        return seeds.EVERYTHING
    from importlib.resources import files

    return short((files("sim.scenario") / "builtin" / f"{name}.toml").read_text("utf-8"))


def _scenarios(builder: Builder) -> None:
    for name in ("everything", *BUILT_IN):
        made = builder.add("scenario", f"scenario-{name}", SCENARIO, "scenario.toml")
        (made / "scenario.toml").write_text(scenario_text(name), "utf-8")
        if name == "everything":
            _traces(builder, made)


def _run(builder: Builder, name: str) -> None:
    made = builder.folder / f"run-{name}"
    shutil.copytree(builder.folder / f"scenario-{name}", made)
    builder.twin(made, *_words("run scenario.toml --slots 2 --out run --json --seed 1"))
    parts = sorted(path.relative_to(made).as_posix() for path in (made / "run").rglob("*.parquet"))
    # Half of the mutations are of the manifest.
    builder.add("run", made.name, FOLDER, *["run/manifest.json"] * len(parts), *parts)


def _studies(builder: Builder) -> None:
    for kind, commands in (("study", STUDY), ("sweep", SWEEP)):
        made = builder.folder / kind
        shutil.copytree(builder.folder / "scenario-dtecn", made)
        builder.twin(made, *commands[0])
        files = sorted(path.relative_to(made).as_posix() for path in (made / "out").rglob("*") if path.is_file())
        builder.add(kind, kind, commands, *files)


def _cases(builder: Builder) -> None:
    made = builder.add("cases", "cases", CASES, "cases.parquet")
    shutil.copyfile(builder.folder / "scenario-dtecn" / "scenario.toml", made / "scenario.toml")
    build = "cases build scenario.toml --count 2 --every 1 --policy p2-exact --out cases.parquet --json"
    builder.twin(made, *build.split())


def _models(builder: Builder) -> None:
    for kind, commands, *names in (
        ("weights", WEIGHTS, "w.safetensors", "w.json"),
        ("model", MODEL, "m.gguf", "m.json"),
        ("language", LANGUAGE, "m.gguf"),
    ):
        made = builder.add(kind, kind, commands, *names)
        for name in ("scenario.toml", "cases.parquet"):
            shutil.copyfile(builder.folder / "cases" / name, made / name)


def _tiny_model(folder: Path, manifest: Any) -> None:
    """Write a model of random weights that is as the bundled one but small, with a sidecar that fits."""
    import hashlib

    from policies.llm.bundled.training.export import export
    from policies.llm.bundled.training.network import Network, Shape

    shape = Shape(width=32, depth=1, num_head=2, num_kv_head=1, num_hidden=32)
    export(dict(Network(shape, seed=3).state_dict()), shape, folder / "m.gguf", "F32")
    told = json.loads(manifest.read_text("utf-8"))
    told["sha256"] = hashlib.sha256((folder / "m.gguf").read_bytes()).hexdigest()
    told["shape"] |= {"width": 32, "depth": 1, "num_head": 2, "num_kv_head": 1, "num_hidden": 32}
    told["quantisation"] = "F32"
    (folder / "m.json").write_text(json.dumps(told, indent=2), "utf-8")


def _arguments(builder: Builder) -> None:
    """Put everything into one folder: what the words of any command name is there."""
    made = builder.folder / "arguments"
    shutil.copytree(builder.folder / "run-rush-hour", made)
    shutil.copytree(builder.folder / "study" / "out", made / "study")
    for source in ("cases/cases.parquet", "import-gps.csv/gps.csv", "import-link.csv/link.csv"):
        shutil.copyfile(builder.folder / source, made / Path(source).name)
    builder.add("arguments", made.name, ARGUMENTS)
    for name in ("everything", *BUILT_IN):
        builder.seeds.append(Seed("settings", f"scenario-{name}", SETTINGS, ()))


def _values(builder: Builder) -> dict[str, dict[str, Any]]:
    """List what all scenarios say."""
    names = [f"scenario-{name}" for name in ("everything", *BUILT_IN)]

    def write() -> None:
        from sim.scenario.scenario import Scenario

        found: dict[str, dict[str, Any]] = {name: {} for name in names}
        for name in names:
            scenario = Scenario.load(str(builder.folder / name / "scenario.toml"))
            _flatten(scenario.model_dump(mode="json"), "", found[name])
        Path("values.json").write_text(json.dumps(found), "utf-8")

    place = builder.folder / names[0]
    builder.do(place, write)
    values: dict[str, dict[str, Any]] = json.loads((place / "values.json").read_text("utf-8"))
    (place / "values.json").unlink()
    return values


def _flatten(tree: Any, at: str, found: dict[str, Any]) -> None:
    if at:
        found[at] = tree
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            _flatten(value, f"{at}.{key}" if at else str(key), found)
