"""`llm`: a quantised language model decides in context (paper 'dtecn', section IV-B)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from physical.errors import InputError
from physical.system import System
from physical.ticks import HORIZON_S
from policies.cases.memory import CaseMemory
from policies.cases.selection import Selection
from policies.llm.bundled.manifest import check_manifest
from policies.llm.engine import Engine
from policies.llm.errors import ModelError
from policies.llm.guard import Guard
from policies.llm.models import ModelFile, check_sha256, resolve, sha256
from policies.optimal.tasks import check_p2
from policies.scoring import fit
from twin.decision import Decision, Diagnostics, Prompt
from twin.snapshot import TwinSnapshot

_CAPACITY = 64


@dataclass
class Llm:
    """Shows cases and the state to a language model, and does what it says.

    A model that fails, or says something that is no decision, costs the slot its decision: the fallback decides. The
    first `start` slots are the teacher's, unless there is a case set: they are the first cases.

    Parameters
    ----------
    model : language model: "bundled", "smollm2", or the path of a GGUF file
    cases : cases in the prompt
    select : which ones: nearest, diverse, best, recent or random. With "nearest" the model has to read other cases in
        every slot; with the others a prompt begins with the same ones for `refresh` slots, which it reads once
    case_file : case set to begin with, see ``twin cases build``
    teacher : policy that decides the first slots
    start : number of cases to begin with
    grow : decided slots become cases once their outcome is known
    refresh : slots for which a prompt's cases stay the same, unless they are the nearest ones
    engine : how a text model answers: "text" writes token after token under a grammar, "batch" all rows at once
    guard : a simple decision takes the place of the model's if it promises more than 0.02 better
    n_gpu_layers : layers on the GPU; -1: all
    threads : threads of llama.cpp
    deadline_ms : ms of wall time that an answer may take; 0: no limit
    sha256 : digest that the model's file must have
    """

    model: str = "bundled"
    cases: int = 8
    select: Selection = "random"
    case_file: str = ""
    teacher: str = "p2-exact"
    start: int = 16
    grow: bool = True
    refresh: int = 64
    engine: Literal["text", "batch"] = "batch"
    guard: bool = True
    n_gpu_layers: int = 0
    threads: int = 1
    deadline_ms: float = 0.0
    sha256: str = ""

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("cases", "deadline_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is negative")
        if not self.deadline_ms / 1e3 <= HORIZON_S:
            raise ValueError(f"deadline_ms {self.deadline_ms:g} is out of range; at most {int(HORIZON_S)}000")
        if self.threads < 1:
            raise ValueError(f"threads {self.threads} is not positive")
        self._file: ModelFile = resolve(self.model)
        if self.sha256:
            check_sha256(self._file.path, self.sha256)
        self.memory = CaseMemory(
            file=self.case_file,
            teacher=self.teacher,
            start=self.start,
            capacity=max(self.start, _CAPACITY),
            grow=self.grow,
            select=self.select,
            refresh=self.refresh,
            owner="llm",
        )
        self._guard = Guard()
        self._engine: Engine | None = None

    def reset(self, system: System, seed: int) -> None:
        """Load the model, and begin with the cases of the file, or with none.

        Raises
        ------
        InputError : a system that has no problem P2, or that the model cannot decide; a file that cannot be read
        """
        check_p2(system, "llm")
        self.close()
        self._engine = self._load(system)
        self.memory.reset(system, seed)
        self._guard.reset(system, seed)
        self._diagnostics = Diagnostics()
        self._read_ahead()

    def _read_ahead(self) -> None:
        """Let the model read the cases of its next prompt once they are known: its first answer takes no longer then.

        With a case set that is before the run, otherwise in the teacher's last slot. What fails here fails again with
        the answer, and is told there.
        """
        if self._engine is not None and (chosen := self.memory.coming(self.cases)):
            with contextlib.suppress(ModelError):
                self._engine.read(chosen)

    def _load(self, system: System) -> Engine:
        if self._file.kind == "bundled":
            from policies.llm.bundled.engine import BundledEngine

            manifest = check_manifest(self._file.path)
            return BundledEngine(
                self._file.path,
                system,
                num_case=self.cases,
                num_thread=self.threads,
                num_gpu_layer=self.n_gpu_layers,
                reading=manifest.how_to_read(),
            )
        from policies.llm.text.engine import TextEngine

        return TextEngine(
            self._file.path,
            system,
            num_case=self.cases,
            method=self.engine,
            num_thread=self.threads,
            num_gpu_layer=self.n_gpu_layers,
        )

    def describe(self) -> dict[str, Any]:
        """Return what a trace's manifest says about the model."""
        return {"model": self._file.name, "sha256": sha256(self._file.path), "kind": self._file.kind}

    def decide(self, snapshot: TwinSnapshot) -> Decision:
        """Let the teacher decide, or the model.

        Raises
        ------
        ModelError : no answer, or none that can be read
        """
        self._diagnostics = Diagnostics()
        taught = self.memory.teach(snapshot)
        if taught is not None:
            self._read_ahead()
            return taught
        if self._engine is None:
            raise InputError("decides nothing before it is reset", where="llm")
        chosen = self.memory.choose(snapshot, self.cases) if self.cases else ()
        answer = self._engine.decide(chosen, snapshot, self.deadline_ms / 1e3 or None)
        decision, guarded = fit(snapshot, answer.decision), False
        if self.guard:
            similar = self.memory.nearest(snapshot, 1)
            decision, guarded = self._guard.check(snapshot, decision, similar)
        price = answer.capacity_price if not guarded else math.nan
        self.memory.decided(snapshot, decision, price)
        prompt = Prompt(
            digest=answer.prompt_digest,
            num_case=len(chosen),
            num_token=answer.num_prompt_token,
            num_reused_token=answer.num_reused_token,
            num_answer_token=answer.num_answer_token,
            guarded=guarded,
            prefill_s=answer.prefill_s,
            decode_s=answer.decode_s,
        )
        num_token = answer.num_prompt_token + answer.num_answer_token
        self._diagnostics = Diagnostics(
            objective=decision.objective, num_token=num_token, capacity_price=price, prompt=prompt
        )
        return decision

    def close(self) -> None:
        """Free the model, or end the process that runs it."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def learn(self, outcomes: Sequence[tuple[int, float]]) -> None:
        """Complete the cases of some slots, or make cases of them."""
        self.memory.learn(outcomes)

    def diagnostics(self) -> Diagnostics:
        """Return the predicted objective, tokens and times of the last decision; nothing where the teacher decided."""
        return self._diagnostics
