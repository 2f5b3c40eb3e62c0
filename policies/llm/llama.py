"""A GGUF file as llama.cpp has it in memory: the model, its tokens, and what llama.cpp says in its log."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from physical.errors import InputError
from policies.llm.errors import ModelError
from policies.llm.header import read_name

Ints = NDArray[np.int32]

_LOG_LINES = 20
_TOKENS_PER_BYTE = 64
"""No tokenizer makes as many tokens per byte of text."""
_log: list[str] = []


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]  # llama_cpp has no types
def _keep_log(_level: int, text: bytes, _data: object) -> None:
    """Keep the last lines of llama.cpp's log; nothing is printed."""
    _log.append(text.decode("utf-8", "replace"))
    del _log[:-_LOG_LINES]


class LlamaModel:
    """A model that is loaded; it can read and write tokens as text.

    llama.cpp's log is kept as long as any model is loaded.

    Parameters
    ----------
    path : GGUF file
    num_gpu_layer : layers on the GPU; -1: all

    Raises
    ------
    InputError : there is no such file, llama.cpp cannot read the model, or this build cannot use the GPU
    """

    _num_listening: ClassVar[int] = 0

    def __init__(self, path: Path, num_gpu_layer: int = 0) -> None:
        self.pointer: Any = None
        self.path = path
        self._listens = False
        read_name(path)  # a file that cannot be a model is refused before llama.cpp sees it
        check_gpu(num_gpu_layer)
        self._listen()
        try:
            self._load(path, num_gpu_layer)
            self.vocab: Any = llama_cpp.llama_model_get_vocab(self.pointer)
            self.num_token: int = llama_cpp.llama_vocab_n_tokens(self.vocab)
            self.num_context_trained: int = llama_cpp.llama_model_n_ctx_train(self.pointer)
        except BaseException:
            self.close()
            raise

    def _listen(self) -> None:
        """Keep the log from now on; while no model is loaded, it goes where llama_cpp lets it go."""
        if not LlamaModel._num_listening:
            llama_cpp.llama_log_set(_keep_log, ctypes.c_void_p(0))
        LlamaModel._num_listening += 1
        self._listens = True

    def _load(self, path: Path, num_gpu_layer: int) -> None:
        llama_cpp.llama_backend_init()
        of_model = llama_cpp.llama_model_default_params()
        of_model.n_gpu_layers = num_gpu_layer
        of_model.use_extra_bufts = False  # with them, quantised models can crash the process
        forget_log()
        self.pointer = llama_cpp.llama_model_load_from_file(str(path).encode(), of_model)
        if not self.pointer:
            raise InputError(f"cannot be loaded: {reason()}", where=str(path), accepted="a GGUF model of llama.cpp")

    def tokenize(self, text: str, *, special: bool = True, begin: bool = False) -> Ints:
        """Return the tokens of a text; `begin` puts the model's first token before it."""
        data = text.encode()
        room = len(data) + 16
        while True:
            buffer = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self.vocab, data, len(data), buffer, room, begin, special)
            if count >= 0:
                return np.array(buffer[:count], dtype=np.int32)
            # Spaces may take three tokens each. In such a case, llama.cpp returns minus the needed number.
            if not room < -count <= _TOKENS_PER_BYTE * room:
                raise ModelError("a text that the model cannot tokenise; its file may be damaged")
            room = -count

    def text(self, tokens: Ints | Sequence[int]) -> str:
        """Return the text of tokens."""
        pieces = []
        for token in tokens:
            buffer = ctypes.create_string_buffer(256)
            size = llama_cpp.llama_token_to_piece(self.vocab, int(token), buffer, 256, 0, True)
            pieces.append(buffer.raw[: max(size, 0)])
        return b"".join(pieces).decode("utf-8", "replace")

    def close(self) -> None:
        """Free the model, which cannot be used any more."""
        if self.pointer:
            llama_cpp.llama_model_free(self.pointer)
            self.pointer = None
        if self._listens:
            self._listens = False
            LlamaModel._num_listening -= 1
            if not LlamaModel._num_listening:
                llama_cpp.llama_log_set(llama_cpp._logger.llama_log_callback, ctypes.c_void_p(0))


def check_gpu(num_gpu_layer: int) -> None:
    """Refuse layers on a GPU that this build of llama.cpp cannot use; llama.cpp itself would ignore them.

    Raises
    ------
    InputError : names the command that builds one that can
    """
    if num_gpu_layer and not llama_cpp.llama_supports_gpu_offload():
        accepted = '0, or a GPU build: CMAKE_ARGS="-DGGML_CUDA=on" pip install --no-cache-dir llama-cpp-python'
        raise InputError(
            "this build of llama.cpp has no GPU support", where="--policy", key="n_gpu_layers", accepted=accepted
        )


def forget_log() -> None:
    """Forget what llama.cpp has said, so that `reason` tells about the next call."""
    _log.clear()


def reason() -> str:
    """Return the last message of llama.cpp, in one line."""
    told = " ".join(" ".join("".join(_log).split()).rsplit("error", 1)[-1].split()).strip(" :")
    return told[-200:] or "no reason given"
