"""The engine for models that read and write text: the paper's prompt, a worker process, an action matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from physical.errors import InputError
from physical.system import System
from policies.llm.engine import Answer
from policies.llm.errors import ContextOverflowError, ModelError
from policies.llm.header import ACCEPTED
from policies.llm.text import matrix, prompt
from policies.llm.text.completion import Method, Question
from policies.llm.text.worker import Worker
from twin.decision import Decision
from twin.snapshot import TwinSnapshot


class TextEngine:
    """Decides with any GGUF text model.

    Parameters
    ----------
    path : GGUF file
    system : system whose slots will be decided
    num_case : largest number of cases of a prompt
    method : "text": the whole matrix under a grammar, as in the paper; "batch": all rows at once, each behind the
        state of its vehicle
    num_thread : threads
    num_gpu_layer : layers on the GPU; -1: all

    Raises
    ------
    InputError : llama.cpp cannot use the model, or its context is too small for the cases
    """

    def __init__(
        self,
        path: Path,
        system: System,
        *,
        num_case: int,
        method: Method = "text",
        num_thread: int = 1,
        num_gpu_layer: int = 0,
    ) -> None:
        self._by_row = method == "batch"
        self._worker = Worker(path, method, num_thread=num_thread, num_gpu_layer=num_gpu_layer)
        try:
            case = _typical_case(system)
            self._worker.reserve(self._question([case] * num_case, case.snapshot))
        except ContextOverflowError as error:
            self.close()
            problem = f"{num_case} cases are too many for {path.name}: {error}"
            accepted = "fewer cases, or a model with a longer context"
            raise InputError(problem, where="--policy", key="cases", accepted=accepted) from None
        except ModelError as error:
            self.close()
            raise InputError(f"cannot be used: {error}", where=str(path), accepted=ACCEPTED) from None
        except BaseException:
            self.close()
            raise

    @property
    def num_restart(self) -> int:
        """Number of times that the model's process had to be started again."""
        return self._worker.num_restart

    def decide(
        self, cases: Sequence[prompt.Example], snapshot: TwinSnapshot, deadline_s: float | None = None
    ) -> Answer:
        """Return the model's answer to a state, given cases in the order of the prompt.

        deadline_s : s, time for the answer; None: no limit

        Raises
        ------
        ModelError : there is no answer, or it cannot be read
        DeadlineExceededError : the answer takes longer than the deadline
        InputError : the model cannot be used in this way
        """
        num_vehicle, num_class = snapshot.size_bytes.shape
        completion = self._worker.complete(self._question(cases, snapshot), deadline_s)
        values = matrix.parse(completion.text, num_vehicle, 2 * num_class)
        return Answer(
            decision=matrix.to_decision(values, matrix.server_hz(snapshot)),
            prompt_digest=completion.prompt_digest,
            num_prompt_token=completion.num_prompt_token,
            num_reused_token=completion.num_reused_token,
            num_answer_token=completion.num_answer_token,
            prefill_s=completion.prefill_s,
            decode_s=completion.decode_s,
        )

    def read(self, cases: Sequence[prompt.Example]) -> None:
        """Read the cases of the next prompt, followed by an old state; the next prompts begin in the same way.

        Raises
        ------
        ModelError : the cases cannot be read
        """
        self._worker.read(self._question(cases, cases[-1].snapshot))

    def close(self) -> None:
        """End the model's process."""
        self._worker.close()

    def _question(self, cases: Sequence[prompt.Example], snapshot: TwinSnapshot) -> Question:
        """Return the question to the model about a state."""
        num_vehicle, num_class = snapshot.size_bytes.shape
        return Question(
            prefix=prompt.prefix(cases, num_vehicle, num_class, by_row=self._by_row),
            query=prompt.query(snapshot, by_row=self._by_row),
            num_vehicle=num_vehicle,
            num_column=2 * num_class,
            rows=prompt.row_beginnings(snapshot) if self._by_row else (),
        )


@dataclass(frozen=True)
class _Typical:
    snapshot: TwinSnapshot
    decision: Decision


def _typical_case(system: System) -> _Typical:
    """Return a case whose text is about as long as those of a run."""
    shape = (system.num_vehicle, system.num_class)
    zero = np.zeros(shape[0])
    snapshot = TwinSnapshot(
        slot=0,
        time_ns=0,
        system=system,
        size_bytes=np.broadcast_to(system.size_bytes_mean, shape),
        x_m=zero,
        y_m=zero,
        speed_mps=zero,
        heading_rad=zero,
        serving_node=np.zeros(shape[0], dtype=np.int64),
        channel_gain=zero,
        age_of_information_s=zero,
        backlog_bytes=np.zeros(shape[1]),
        estimation_bias_hz=np.zeros(shape),
    )
    return _Typical(snapshot, Decision(np.zeros(shape), np.zeros(shape)))
