"""A model at work in llama.cpp: tokens with positions and sequences go in, logits come out.

This module and `policies.llm.llama` take care of what nobody else should have to know: quantised models crash on some
processors (extra buffer types stay off), threads (one), flash attention (it is slower on a CPU), logs (kept for the
error that they explain), deadlines (the abort callback), and the checks without which llama.cpp ends the process.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from physical.arrays import Mask
from physical.errors import InputError
from policies.llm.errors import ContextOverflowError, DeadlineExceededError, ModelError
from policies.llm.llama import LlamaModel, forget_log, reason

__all__ = ["ContextOverflowError", "DeadlineExceededError", "LlamaSession", "Logits", "ModelError"]

Logits = NDArray[np.float32]
AnyInts = NDArray[np.integer[Any]]


class LlamaSession:
    """A model with one context, whose cache several sequences share.

    Calls with equal shapes give equal results, bit for bit. A session must not be used from several threads.

    Parameters
    ----------
    path : GGUF file
    num_context : tokens that the cache holds for all sequences together
    num_sequence : number of sequences, which are 0 .. num_sequence - 1
    num_batch : largest number of tokens in one call
    num_thread : threads
    num_gpu_layer : layers on the GPU; -1: all

    Raises
    ------
    InputError : there is no such file, llama.cpp cannot read the model, or this build cannot use the GPU
    """

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
        self._context: Any = None
        self.model = LlamaModel(path, num_gpu_layer)
        try:
            self.num_batch, self._num_thread = num_batch, num_thread
            self.open(num_context, num_sequence)
        except BaseException:
            self.close()
            raise

    def open(self, num_context: int, num_sequence: int) -> None:
        """Replace the context by an empty one of another size; the model stays loaded.

        Raises
        ------
        InputError : there is no memory for it; the session has no context until a later call succeeds
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
        # The callback does not refer to `self`. A session would then be a cycle, which stays in memory for a while.
        self._ends_s = ends_s = [float("inf")]
        self._abort = llama_cpp.ggml_abort_callback(lambda _: time.monotonic() > ends_s[0])
        params.abort_callback = self._abort
        self._context = llama_cpp.llama_init_from_model(self.model.pointer, params)
        if not self._context:
            raise InputError(f"no context for it: {reason()}", where=str(self.model.path), accepted="a smaller context")
        self._memory: Any = llama_cpp.llama_get_memory(self._context)
        self.num_context: int = llama_cpp.llama_n_ctx(self._context)
        self.num_sequence: int = num_sequence
        self._everyone = np.arange(num_sequence, dtype=np.int32)

    @property
    def has_context(self) -> bool:
        """Whether there is a context; none after an `open` that failed."""
        return bool(self._context)

    def decode(
        self,
        tokens: AnyInts,
        positions: AnyInts,
        sequences: AnyInts,
        outputs: Mask,
        counts: AnyInts | int = 1,
    ) -> Logits:
        """Append tokens to their sequences and return the wanted logits.

        A token sees the tokens of its sequence up to its position, also those of this call. A token that belongs to
        several sequences sees those of the first one.

        Parameters
        ----------
        tokens, positions : [n]; positions of a sequence continue at its end, without gaps
        sequences : [n], the first sequence of each token
        outputs : [n], whether logits are wanted
        counts : [n] or one for all, number of sequences of each token: `sequences` and the next ones

        Returns
        -------
        [number of outputs, num_token], a copy

        Raises
        ------
        DeadlineExceededError : see `until`; the tokens of this call must be removed from the cache
        ContextOverflowError : there is no room, or there are too many tokens in one call
        ModelError : any other error
        """
        if not self._context:
            raise ModelError("the session has no context")
        count = len(tokens)
        if not 0 < count <= self.num_batch:
            raise ContextOverflowError(f"{count} tokens in one call (accepted: 1 to {self.num_batch})")
        if int(tokens.min()) < 0 or int(tokens.max()) >= self.model.num_token:
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
        batch: Any = llama_cpp.llama_batch()
        batch.n_tokens = count
        for name, array in (("token", token), ("pos", position), ("n_seq_id", num_own), ("logits", wanted)):
            setattr(batch, name, array.ctypes.data_as(type(getattr(batch, name))))
        batch.seq_id = ctypes.cast(address.ctypes.data, type(batch.seq_id))
        forget_log()
        code = llama_cpp.llama_decode(self._context, batch)
        if code == 1:
            raise ContextOverflowError(f"{count} tokens do not fit into the context of {self.num_context}")
        if code == 2:
            raise DeadlineExceededError("the deadline came before the answer")
        if code:
            raise ModelError(f"llama.cpp says {code}: {reason()}")
        num_output = int(np.count_nonzero(wanted))
        if not num_output:
            return np.empty((0, self.model.num_token), dtype=np.float32)
        values: Any = llama_cpp.llama_get_logits(self._context)
        logits = np.ctypeslib.as_array(values, shape=(num_output, self.model.num_token)).copy()
        if not np.isfinite(logits).all():
            raise ModelError("the model's numbers are not finite; its file may be damaged")
        return cast("Logits", logits)

    def until(self, seconds: float | None) -> None:
        """Set the deadline of calls of `decode`, in seconds from now; None: there is no deadline."""
        self._ends_s[0] = float("inf") if seconds is None else time.monotonic() + seconds

    def share(self, source: int, targets: Sequence[int], begin: int, end: int) -> None:
        """Add the tokens of a sequence at positions [begin, end) to other sequences."""
        for target in targets:
            if target != source:
                llama_cpp.llama_memory_seq_cp(self._memory, source, target, begin, end)

    def remove(self, sequence: int, begin: int = 0, end: int = -1) -> None:
        """Remove positions [begin, end) from a sequence, or from all if it is -1; end -1 means to the end."""
        llama_cpp.llama_memory_seq_rm(self._memory, sequence, begin, end)

    def clear(self) -> None:
        """Empty the cache."""
        llama_cpp.llama_memory_clear(self._memory, True)

    def close(self) -> None:
        """Free everything; the session cannot be used any more."""
        if self._context:
            llama_cpp.llama_free(self._context)
            self._context = None
        self.model.close()

    def __del__(self) -> None:
        """Free what was not closed."""
        if hasattr(self, "model"):  # not if the model could not be loaded
            self.close()
