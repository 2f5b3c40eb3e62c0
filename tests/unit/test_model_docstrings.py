"""Every public formula says where it comes from, and in which unit or shape its values are."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import physical.closed_form
import physical.model
from physical.closed_form.slot import SlotOutcome

_SHAPE = re.compile(r"\[(\.\.\.|[A-Z2])(, [A-Z2])*\]")
_UNIT = re.compile(r"\b(s|Hz|W|J|m|m/s|bit/s|bytes|cycles|dB|dBm|rad|no unit|without unit|any unit)\b")


def _public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    for package in (physical.model, physical.closed_form):
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for name, function in inspect.getmembers(module, inspect.isfunction):
                if function.__module__ == module.__name__ and not name.startswith("_"):
                    yield f"{info.name}.{name}", function


FUNCTIONS = dict(_public_functions())


def test_the_model_is_found() -> None:
    assert {"slot.slot_step", "channel.path_loss_db", "objective.p2"} <= set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_names_source_and_units(name: str) -> None:
    function = FUNCTIONS[name]
    text = inspect.getdoc(function) or ""
    assert "**Source**" in text, f"{name}: no Source"
    assert "Returns\n-------" in text, f"{name}: no Returns"
    parameters, _, rest = text.partition("Parameters\n----------\n")[2].partition("\n\nReturns\n-------\n")
    assert _SHAPE.search(parameters + rest) or _UNIT.search(parameters + rest), f"{name}: neither unit nor shape"
    documented = dict(re.findall(r"^(\w+) : (.*)$", parameters, flags=re.MULTILINE))
    # `values` of arrays.namespace is variadic; everything else is documented under its own name.
    assert set(documented) == set(inspect.signature(function).parameters), f"{name}: parameters differ"


def test_every_field_of_the_slot_outcome_is_documented() -> None:
    documented = re.findall(r"^(\w+) : \[\.\.\.", inspect.getdoc(SlotOutcome) or "", flags=re.MULTILINE)
    assert documented == list(SlotOutcome._fields)
