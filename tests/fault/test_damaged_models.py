"""Damaged models cost a sentence at the start or single decisions, whichever byte it is that is wrong."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from physical.errors import InputError
from policies.llm import models
from policies.llm.bundled.manifest import check_manifest
from policies.llm.header import read_name
from tests.support.command import twin

BUNDLED = models.resolve("bundled").path
WHOLE = BUNDLED.read_bytes()
# The same model under a name that is not ours: a text model like any other.
FOREIGN = WHOLE.replace(b"vectwin in-context", b"another in-context"[:18])
HEAD = 24
LLM = "llm:model={},start=1,cases=0,engine=text"


def _text(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def head(*, magic: bytes = b"GGUF", version: int = 3, tensors: int = 0, entries: int = 0, rest: bytes = b"") -> bytes:
    return struct.pack("<4sIQQ", magic, version, tensors, entries) + rest


def entry(kind: int, value: bytes) -> bytes:
    return _text(b"some.key") + struct.pack("<I", kind) + value


DAMAGED = {
    "nothing": (b"", "is not a GGUF file"),
    "magic only": (b"GGUF", "damaged: it ends after 4 bytes"),
    "other magic": (head(magic=b"GGML"), "is not a GGUF file"),
    "version": (head(version=1), "damaged: version 1"),
    "big-endian": (head(version=3 << 24), "damaged: version"),
    "billions of entries": (head(entries=2**62), f"damaged: {2**62} entries in {HEAD} bytes"),
    "billions of tensors": (head(tensors=2**40), f"damaged: {2**40} tensors in {HEAD} bytes"),
    "a long key": (head(entries=1, rest=struct.pack("<Q", 2**63) + bytes(9)), "damaged: a key of"),
    "a long text": (head(entries=1, rest=entry(8, struct.pack("<Q", 2**40))), "damaged: it ends after"),
    "a long list": (head(entries=1, rest=entry(9, struct.pack("<IQ", 4, 2**40))), "values of some.key in"),
    "a list of long texts": (
        head(entries=1, rest=entry(9, struct.pack("<IQQ", 8, 1, 2**40))),
        "damaged: it ends after",
    ),
    "a list of lists": (head(entries=1, rest=entry(9, struct.pack("<IQQ", 9, 1, 0))), "some.key is of kind 9"),
    "an unknown kind": (head(entries=1, rest=entry(77, bytes(8))), "some.key is of kind 77"),
    "many dimensions": (head(tensors=1, rest=_text(b"t") + struct.pack("<I", 9) + bytes(99)), "9 dimensions"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_head_is_told_before_anything_is_loaded(kind: str, tmp_path: Path) -> None:
    content, words = DAMAGED[kind]
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        models.resolve(str(path))
    assert caught.value.where == str(path)
    assert words in str(caught.value)


def test_a_whole_head_gives_the_models_name(tmp_path: Path) -> None:
    assert read_name(BUNDLED) == models.TRAINED_HERE
    path = tmp_path / "model.gguf"
    path.write_bytes(head())
    assert read_name(path) == ""


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_head_cut_anywhere_is_damaged(part: float, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(WHOLE[: int(part * WHOLE.index(b"output_norm"))])
    with pytest.raises(InputError, match="its head is damaged"):
        read_name(path)


def test_a_model_of_ours_names_the_file_that_must_lie_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(WHOLE)
    line = twin("run", "dtecn", "--policy", LLM.format(path), "--slots", 2).complaint()
    assert "mine.gguf: has no mine.json beside it" in line


def _edited(change: Callable[[dict[str, Any]], Any]) -> str:
    manifest: dict[str, Any] = json.loads(BUNDLED.with_suffix(".json").read_text("utf-8"))
    change(manifest)
    return json.dumps(manifest)


SIDECARS: dict[str, tuple[str, str]] = {
    "empty": ("", "is not a manifest"),
    "list": ("[]", "is not a manifest"),
    "deep": ("[" * 100_000, "is not a manifest"),
    "no prices": (_edited(lambda m: m["reading"].pop("prices")), ""),
    "empty prices": (_edited(lambda m: m["reading"].update(prices=[])), "reading: is wrong"),
    "nested prices": (_edited(lambda m: m["reading"].update(prices=[[]])), "reading: is wrong"),
    "a price beyond": (_edited(lambda m: m["reading"].update(prices=[1.5])), "reading: is wrong"),
    "many prices": (_edited(lambda m: m["reading"].update(prices=[0.5] * 1000)), "reading: is wrong"),
    "corrections": (_edited(lambda m: m["reading"].update(num_correction=10**9)), "reading: is wrong"),
    "unknown": (_edited(lambda m: m["reading"].update(other=1)), "reading: is wrong: other is not known"),
    "no number": (_edited(lambda m: m["reading"].update(tolerance=float("nan"))), "reading: is wrong"),
    "slack": (_edited(lambda m: m["reading"].update(slack=float("inf"))), "reading: is wrong"),
    "uneven golden": (_edited(lambda m: m["golden"].update(share=[[1.0]])), "is not a manifest"),
    "golden seed": (_edited(lambda m: m["golden"].update(seed=-1)), "is not a manifest"),
    "digest": (_edited(lambda m: m.update(sha256="0" * 64)), "is damaged, or not the model of model.json"),
}


@pytest.mark.parametrize("kind", SIDECARS)
def test_a_damaged_sidecar_is_named(kind: str, tmp_path: Path) -> None:
    text, words = SIDECARS[kind]
    path = tmp_path / "model.gguf"
    path.write_bytes(WHOLE)
    path.with_suffix(".json").write_text(text, "utf-8")
    if not words:
        check_manifest(path)
        return
    with pytest.raises(InputError) as caught:
        check_manifest(path)
    assert words in str(caught.value)
    assert caught.value.where.startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.gguf", "model.json"])
def test_what_is_no_regular_file_is_not_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(WHOLE)
    path.with_suffix(".json").write_text("{}", "utf-8")
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(InputError):
        check_manifest(models.resolve(str(path)).path)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("llama_cpp", reason="needs the extra llm")
    path = tmp_path_factory.mktemp("models") / "foreign.gguf"
    path.write_bytes(FOREIGN)
    return path


def run_with(path: Path, out: Path, *more: str) -> Any:
    arguments = ("--set", "vehicles.num_vehicle=2", "--slots", 3, "--out", out, "--json")
    return twin("run", "dtecn", "--policy", LLM.format(path), *arguments, *more)


def test_any_llama_works_without_a_file_beside_it(foreign: Path, tmp_path: Path) -> None:
    """Spaces take three tokens each in this one: more tokens than the text has bytes."""
    done = run_with(foreign, tmp_path / "run")
    assert done.code == 0, done.err
    assert done.json()["status"] == "complete"


FLIPS = {
    "architecture": (b"llama.block_count", b"llama.block_counT"),
    "vocabulary": (b"tokenizer.ggml.model", b"tokenizer.ggml.modeL"),
    "tensor": (b"blk.1.attn_q.weight", b"blk.9.attn_q.weight"),
    "merges": (b"tokenizer.ggml.token_type", b"tokenizer.ggml.token_typE"),
}


@pytest.mark.parametrize("kind", FLIPS)
def test_a_flipped_byte_costs_a_sentence_or_decisions(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="needs the extra llm")
    before, after = FLIPS[kind]
    assert before in FOREIGN
    path = tmp_path / "model.gguf"
    path.write_bytes(FOREIGN.replace(before, after))
    done = run_with(path, tmp_path / "run")
    if done.code == 0:
        assert done.json()["status"] == "complete"
    else:
        assert str(path) in done.complaint()


def test_words_that_cannot_be_tokenised_are_told_at_the_start(tmp_path: Path) -> None:
    """Without its single bytes, a vocabulary does not spell every text: llama.cpp then ends its process."""
    pytest.importorskip("llama_cpp", reason="needs the extra llm")
    path = tmp_path / "model.gguf"
    path.write_bytes(FOREIGN.replace(b"<0x", b"<0y"))
    done = run_with(path, tmp_path / "run")
    assert str(path) in done.complaint()
    assert not (tmp_path / "run").exists()


def test_verify_tells_of_damaged_tensors(tmp_path: Path) -> None:
    pytest.importorskip("llama_cpp", reason="needs the extra llm")
    pytest.importorskip("torch", reason="needs the extra marl")
    data = bytearray(WHOLE)
    data[-4096:] = np.full(2048, np.nan, dtype=np.float16).tobytes()
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    text = _edited(lambda m: m.update(sha256=hashlib.sha256(data).hexdigest()))
    path.with_suffix(".json").write_text(text, "utf-8")
    done = twin("models", "verify", path)
    assert done.code in {1, 2}, done
    assert "internal" not in done.err
