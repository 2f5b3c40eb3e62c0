"""What a test changes in its own process, and takes back: arguments, paths, registered policies, loaded modules."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from policies.foreign import beside
from policies.registry import POLICIES
from sim.scenario.kinds import GROUPS


@contextmanager
def as_before(is_ours: Callable[[str, Path], bool] = lambda name, file: False) -> Iterator[None]:
    """Take back what policies of somebody else leave behind: their names, their folders, their modules.

    is_ours : tells by name and file which of the modules that were loaded meanwhile are forgotten
    """
    registries, folders = [group.registry for group in GROUPS.values()], beside._folders
    modules, path, known = set(sys.modules), list(sys.path), list(folders)
    kept = [dict(registry._by_hand) for registry in registries]
    folders.clear()
    for registry in registries:
        registry.forget_packages()
    try:
        yield
    finally:
        sys.path[:], folders[:] = path, known
        for registry, by_hand in zip(registries, kept, strict=True):
            registry._by_hand.clear()
            registry._by_hand.update(by_hand)
            registry.forget_packages()
        for name in set(sys.modules) - modules:
            if is_ours(name, Path(getattr(sys.modules[name], "__file__", None) or "/")):
                del sys.modules[name]


@contextmanager
def called_as(*words: str) -> Iterator[None]:
    """Let the process have been started with these words."""
    before = sys.argv
    sys.argv = list(words)
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def with_value(target: str, value: object) -> Iterator[None]:
    """Let a name of the product have another value, such as a limit so small that a test meets it.

    target : "module:name" or "module:Class.method"
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        module, _, place = target.partition(":")
        *outer, name = place.split(".")
        owner = functools.reduce(getattr, outer, importlib.import_module(module))
        monkeypatch.setattr(owner, name, value)
        yield


@contextmanager
def at_work(target: str, act: Callable[[], object]) -> Iterator[None]:
    """Let something happen while a command is at work: when it calls `target`.

    A signal in the middle of a command falls where it likes. Here it falls into this call, each time.

    target : "module:function" or "module:Class.method"; it gives back what `act` does
    """
    with with_value(target, lambda *_, **__: act()):
        yield


def press_ctrl_c() -> None:
    """Do what Ctrl-C does to Python."""
    raise KeyboardInterrupt


def install(site_packages: Path, **targets: str) -> None:
    """Install a package that offers policies, by its entry points; `site_packages` has to be on `sys.path`.

    targets : ``module:attr`` by the name of a policy
    """
    info = site_packages / "offered-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n", "utf-8")
    lines = [f"{name} = {target}" for name, target in targets.items()]
    (info / "entry_points.txt").write_text("\n".join(["[vectwin.policies]", *lines, ""]), "utf-8")
    POLICIES.forget_packages()


@contextmanager
def renames(look: Callable[[Path, Path], object]) -> Iterator[None]:
    """Look at each file just before it is renamed: at its name, and at the new one."""
    is_on = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if is_on and event == "os.rename":
            look(Path(os.fsdecode(cast(str, arguments[0]))), Path(os.fsdecode(cast(str, arguments[1]))))

    sys.addaudithook(hook)  # for as long as the process lives
    try:
        yield
    finally:
        is_on = False
