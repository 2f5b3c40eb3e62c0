"""The log of llama.cpp is kept while one of our sessions is open, and goes where it went before afterwards."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tests.support.process import at_work

llama_cpp = pytest.importorskip("llama_cpp", reason="needs the extra llm")

from policies.llm.bundled.reading import Reading  # noqa: E402 - the same
from policies.llm.bundled.training.train import golden_decision  # noqa: E402 - the same
from policies.llm.errors import ModelError  # noqa: E402 - the same
from policies.llm.models import resolve  # noqa: E402 - the same
from policies.llm.session import LlamaSession  # noqa: E402 - the same


@pytest.fixture(autouse=True)
def without_what_others_left() -> None:
    """Close the sessions that earlier tests of this process made and never closed."""
    gc.collect()
    for one in gc.get_objects():
        if type(one) is LlamaSession:
            one.close()


def _said(capfd: pytest.CaptureFixture[str]) -> str:
    """Return what llama.cpp prints about a file that is not there."""
    capfd.readouterr()
    assert not llama_cpp.llama_model_load_from_file(b"no-such-file.gguf", llama_cpp.llama_model_default_params())
    captured = capfd.readouterr()
    return captured.out + captured.err


def test_others_hear_the_log_again(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no-such-file" in _said(capfd)
    path = resolve("bundled").path
    first, second = (LlamaSession(path, num_context=64) for _ in range(2))
    assert _said(capfd) == ""
    first.close()
    first.close()
    assert _said(capfd) == ""
    second.close()
    assert "no-such-file" in _said(capfd)
    broken = tmp_path / "broken.gguf"
    # An architecture that llama.cpp does not know: it is the one to refuse it, not the check of the head before.
    broken.write_bytes(path.read_bytes().replace(b"llama", b"lllll"))
    with pytest.raises(ValueError, match="cannot be loaded"):
        LlamaSession(broken, num_context=64)
    assert "no-such-file" in _said(capfd)


def test_a_model_that_fails_lets_the_log_go(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever stops an engine, at its start or at its first answer: no session stays open behind its back."""

    def fails() -> None:
        raise ModelError("for a test")

    kept: list[BaseException] = []  # with their tracebacks, and so all that these hold
    with at_work("policies.llm.session:LlamaSession.open", fails), pytest.raises(ModelError) as raised:
        LlamaSession(resolve("bundled").path, num_context=64)
    kept.append(raised.value)
    with at_work("policies.llm.bundled.engine:BundledEngine.decide", fails), pytest.raises(ModelError) as raised:
        golden_decision(resolve("bundled").path, Reading(), 1, 1)
    kept.append(raised.value)
    assert "no-such-file" in _said(capfd)
