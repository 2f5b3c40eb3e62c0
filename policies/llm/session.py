"""llama.cpp's low-level interface as one small class: tokens with positions and sequences in, logits out.

What this module takes care of, so that nobody else has to: the crash of quantised models on some processors (extra
buffer types stay off), threads (one), flash attention (slower on a CPU), logs (kept for the error that they explain),
deadlines (the abort callback), and the checks without which llama.cpp ends the process.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from physical.arrays import Mask
from physical.errors import InputError
from policies.llm.errors import ContextOverflowError, DeadlineExceededError, ModelError
from policies.llm.header import read_name

__all__ = ["ContextOverflowError", "DeadlineExceededError", "Ints", "LlamaSession", "Logits", "ModelError"]

Logits = NDArray[np.float32]
Ints = NDArray[np.int32]
AnyInts = NDArray[np.integer[Any]]

_LOG_LINES = 20
_TOKENS_PER_BYTE = 64
"""No tokenizer makes as many of a text."""
_log: list[str] = []


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]  # llama_cpp has no types
def _keep_log(_level: int, text: bytes, _data: object) -> None:
    """Keep the last lines of llama.cpp's log; nothing is printed."""
    _log.append(text.decode("utf-8", "replace"))
    del _log[:-_LOG_LINES]


class LlamaSession:
    """A model and one context with a cache that sequences share.

    Every call is repeatable bit for bit as long as the shapes of calls are. Not to be used from several threads.

    Parameters
    ----------
    path : GGUF file
    num_context : tokens that the cache holds, all sequences together
    num_sequence : sequences 0 .. num_sequence - 1
    num_batch : most tokens of one call
    num_thread : threads
    num_gpu_layer : layers on the GPU; -1: all

    Raises
    ------
    InputError : no such file, not a model that llama.cpp can read, a GPU that this build cannot use
    """

    _num_listening: ClassVar[int] = 0

    def __init__(
        self,
        path: Path,
        *,
        num_context: int,
        num_sequence: int = 1,
        num_batch: int = 2048,
        num_thread: int = 1,
        num_gpu_layer: int = 0,
    ) -> None:
        self._model = self._context = None
        self._path = path
        self._listens = False
        read_name(path)  # a file that cannot be a model is refused before llama.cpp sees it
        check_gpu(num_gpu_layer)
        self._listen()
        try:
            self._load(path, num_gpu_layer)
            self.num_batch, self._num_thread = num_batch, num_thread
            self._vocab: Any = llama_cpp.llama_model_get_vocab(self._model)
            self.num_token: int = llama_cpp.llama_vocab_n_tokens(self._vocab)
            self.num_context_trained: int = llama_cpp.llama_model_n_ctx_train(self._model)
            self.open(num_context, num_sequence)
        except BaseException:
            self.close()
            raise

    def _listen(self) -> None:
        """Keep the log from now on; without any session it goes where llama_cpp lets it go."""
        if not LlamaSession._num_listening:
            llama_cpp.llama_log_set(_keep_log, ctypes.c_void_p(0))
        LlamaSession._num_listening += 1
        self._listens = True

    def _load(self, path: Path, num_gpu_layer: int) -> None:
        llama_cpp.llama_backend_init()
        of_model = llama_cpp.llama_model_default_params()
        of_model.n_gpu_layers = num_gpu_layer
        of_model.use_extra_bufts = False  # with them, quantised models can crash the process
        _log.clear()
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), of_model)
        if not self._model:
            raise InputError(f"cannot be loaded: {_reason()}", where=str(path), accepted="a GGUF model of llama.cpp")

    def open(self, num_context: int, num_sequence: int) -> None:
        """Replace the context by an empty one of another size; the model stays loaded.

        Raises
        ------
        InputError : no memory for it; the session then has no context until this succeeds
        """
        if self._context:
            llama_cpp.llama_free(self._context)
            self._context = None
        num_batch, num_thread = self.num_batch, self._num_thread
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = num_context, num_batch, num_batch
        params.n_seq_max, params.kv_unified = num_sequence, True
        params.n_threads = params.n_threads_batch = num_thread
        params.flash_attn_type = llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.type_k = params.type_v = llama_cpp.GGML_TYPE_F16
        params.no_perf = True
        # Not through `self`: sessions would then be cycles, which stay in memory until the collector finds them.
        self._ends_s = ends_s = [float("inf")]
        self._abort = llama_cpp.ggml_abort_callback(lambda _: time.monotonic() > ends_s[0])
        params.abort_callback = self._abort
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        if not self._context:
            raise InputError(f"no context for it: {_reason()}", where=str(self._path), accepted="a smaller context")
        self._memory: Any = llama_cpp.llama_get_memory(self._context)
        self.num_context: int = llama_cpp.llama_n_ctx(self._context)
        self.num_sequence: int = num_sequence
        self._everyone = np.arange(num_sequence, dtype=np.int32)

    @property
    def has_context(self) -> bool:
        """Whether there is a context; none after an `open` that failed."""
        return bool(self._context)

    @property
    def model(self) -> Any:
        """The llama_model pointer, for what this class does not offer."""
        return self._model

    @property
    def vocab(self) -> Any:
        """The llama_vocab pointer."""
        return self._vocab

    def decode(
        self,
        tokens: AnyInts,
        positions: AnyInts,
        sequences: AnyInts,
        outputs: Mask,
        counts: AnyInts | int = 1,
    ) -> Logits:
        """Append tokens to their sequences and return the logits where they are wanted.

        A token sees the tokens of its own sequence up to its own position, those of this call included; one that
        belongs to several sees those of its first one.

        Parameters
        ----------
        tokens, positions : [n]; positions of a sequence go on where it ends, without gaps
        sequences : [n], the first sequence of each
        outputs : [n], where logits are wanted
        counts : [n] or one for all, to how many sequences each belongs, `sequences` and the next ones

        Returns
        -------
        [number of outputs, num_token], a copy

        Raises
        ------
        DeadlineExceededError : see `until`; what this call has put into the cache must be removed
        ContextOverflowError : no room, or too many tokens in one call
        ModelError : anything else
        """
        if not self._context:
            raise ModelError("the session has no context")
        count = len(tokens)
        if not 0 < count <= self.num_batch:
            raise ContextOverflowError(f"{count} tokens in one call (accepted: 1 to {self.num_batch})")
        if int(tokens.min()) < 0 or int(tokens.max()) >= self.num_token:
            raise ModelError("a token that the model does not have")
        # int64 addresses into arrays that live until the call has returned.
        token = np.ascontiguousarray(tokens, dtype=np.int32)
        position = np.ascontiguousarray(positions, dtype=np.int32)
        num_own = np.ascontiguousarray(np.broadcast_to(np.asarray(counts, dtype=np.int32), (count,)))
        first = np.asarray(sequences, dtype=np.int64)
        if int(first.min()) < 0 or int((first + num_own).max()) > self.num_sequence or int(num_own.min()) < 1:
            raise ModelError("a sequence that the session does not have")
        address = (self._everyone.ctypes.data + 4 * first).astype(np.uint64)
        wanted = np.ascontiguousarray(outputs, dtype=np.int8)
        batch = llama_cpp.llama_batch()
        batch.n_tokens = count
        for name, array in (("token", token), ("pos", position), ("n_seq_id", num_own), ("logits", wanted)):
            setattr(batch, name, array.ctypes.data_as(type(getattr(batch, name))))
        batch.seq_id = ctypes.cast(address.ctypes.data, type(batch.seq_id))
        _log.clear()
        code = llama_cpp.llama_decode(self._context, batch)
        if code == 1:
            raise ContextOverflowError(f"{count} tokens do not fit into the context of {self.num_context}")
        if code == 2:
            raise DeadlineExceededError("the deadline came before the answer")
        if code:
            raise ModelError(f"llama.cpp says {code}: {_reason()}")
        num_output = int(np.count_nonzero(wanted))
        if not num_output:
            return np.empty((0, self.num_token), dtype=np.float32)
        values = llama_cpp.llama_get_logits(self._context)
        logits = np.ctypeslib.as_array(values, shape=(num_output, self.num_token)).copy()
        if not np.isfinite(logits).all():
            raise ModelError("the model's numbers are not finite; its file may be damaged")
        return cast("Logits", logits)

    def until(self, seconds: float | None) -> None:
        """Let calls of `decode` fail that have not ended in so many seconds from now; None: never."""
        self._ends_s[0] = float("inf") if seconds is None else time.monotonic() + seconds

    def share(self, source: int, targets: Sequence[int], begin: int, end: int) -> None:
        """Let the tokens of a sequence at positions [begin, end) belong to others, too."""
        for target in targets:
            if target != source:
                llama_cpp.llama_memory_seq_cp(self._memory, source, target, begin, end)

    def remove(self, sequence: int, begin: int = 0, end: int = -1) -> None:
        """Take positions [begin, end) out of a sequence, of all of them if it is -1; end -1: to the end."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, begin, end)

    def clear(self) -> None:
        """Empty the cache."""
        llama_cpp.llama_memory_clear(self._memory, True)

    def tokenize(self, text: str, *, special: bool = True, begin: bool = False) -> Ints:
        """Return the tokens of a text; `begin` puts the model's first token before it."""
        data = text.encode()
        room = len(data) + 16
        while True:
            buffer = (llama_cpp.llama_token * room)()
            count = llama_cpp.llama_tokenize(self._vocab, data, len(data), buffer, room, begin, special)
            if count >= 0:
                return np.array(buffer[:count], dtype=np.int32)
            # Spaces alone may take three tokens each; then it says how many there are.
            if not room < -count <= _TOKENS_PER_BYTE * room:
                raise ModelError("a text that the model cannot tokenise; its file may be damaged")
            room = -count

    def text(self, tokens: Ints | Sequence[int]) -> str:
        """Return the text of tokens."""
        pieces = []
        for token in tokens:
            buffer = ctypes.create_string_buffer(256)
            size = llama_cpp.llama_token_to_piece(self._vocab, int(token), buffer, 256, 0, True)
            pieces.append(buffer.raw[: max(size, 0)])
        return b"".join(pieces).decode("utf-8", "replace")

    def close(self) -> None:
        """Free everything; the session cannot be used any more."""
        if self._context:
            llama_cpp.llama_free(self._context)
            self._context = None
        if self._model:
            llama_cpp.llama_model_free(self._model)
            self._model = None
        if self._listens:
            self._listens = False
            LlamaSession._num_listening -= 1
            if not LlamaSession._num_listening:
                llama_cpp.llama_log_set(llama_cpp._logger.llama_log_callback, ctypes.c_void_p(0))

    def __del__(self) -> None:
        """Free what was not closed."""
        if getattr(self, "_model", None) or getattr(self, "_context", None):
            self.close()


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


def _reason() -> str:
    """Return what llama.cpp said last, in one line."""
    told = " ".join(" ".join("".join(_log).split()).rsplit("error", 1)[-1].split()).strip(" :")
    return told[-200:] or "no reason given"
