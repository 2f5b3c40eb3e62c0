"""The data of the training: slots of random environments with their optimal decisions."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from physical.errors import InputError
from policies.llm.bundled.environments import TRAINING, RandomEnvironment, Ranges
from policies.llm.bundled.training.labels import Terms, terms
from policies.llm.bundled.vocabulary import encode_answer, encode_state, with_answers, worth_of_draining
from policies.optimal.p2_exact import P2Exact

Words = NDArray[np.int16]

NUM_SLOT = 12
"""Number of slots of an environment; each use takes some of them, in another order."""
_CHUNK = 100
_ARRAYS = ("header", "rows", "price", "worth")


@dataclass(frozen=True)
class Solved:
    """Environments of N vehicles with S slots each.

    Parameters
    ----------
    header : [E, S, LENGTH_STATE]
    rows : [E, S, N, LENGTH_ROW], with the optimum's answers
    price : [E, S], of the whole server in parts of the QoS that one task can earn, single precision
    worth : [E, S, K], of draining the queues, in the same unit and precision
    terms : costs of the answers at this price, fields [E, S, N, K] in single precision
    """

    header: Words
    rows: Words
    price: NDArray[np.float32]
    worth: NDArray[np.float32]
    terms: Terms

    def __len__(self) -> int:
        """Return the number of environments."""
        return len(self.header)


def solve(seed: tuple[int, ...], num_slot: int = NUM_SLOT, ranges: Ranges = TRAINING) -> Solved:
    """Draw one environment and solve its slots."""
    environment = RandomEnvironment(seed, ranges)
    system = environment.system
    policy = P2Exact()
    policy.reset(system, 0)
    shape = (system.num_vehicle, system.num_class)
    headers, rows, prices, worths, costs = [], [], [], [], []
    for snapshot in islice(environment, num_slot):
        header, state = encode_state(snapshot)
        headers.append(header)
        rows.append(with_answers(state, encode_answer(policy.decide(snapshot), system.server.frequency_hz)))
        found, price = terms(snapshot)
        prices.append(price)
        worths.append(worth_of_draining(snapshot))
        costs.append([np.broadcast_to(values, shape[0] * shape[1]).reshape(shape) for values in found])
    stacked = np.array(costs, dtype=np.float32).swapaxes(0, 1)[:, np.newaxis]
    return Solved(
        np.array(headers, np.int16)[np.newaxis],
        np.array(rows, np.int16)[np.newaxis],
        np.array(prices, np.float32)[np.newaxis],
        np.array(worths, np.float32)[np.newaxis],
        Terms(*stacked),
    )


def generate(
    num_environment: int, seed: int, done: Callable[[int], None] = lambda _: None, workers: int = 1
) -> dict[int, Solved]:
    """Draw and solve environments; environment i depends only on `seed` and i.

    done : called with the number of finished environments
    workers : number of processes; the result does not depend on it
    """
    chunks = [(seed, begin, min(begin + _CHUNK, num_environment)) for begin in range(0, num_environment, _CHUNK)]
    found: dict[int, list[Solved]] = {}
    with ProcessPoolExecutor(workers, get_context("spawn")) if workers > 1 else nullcontext() as pool:
        solved = map(_solve_some, chunks) if pool is None else pool.map(_solve_some, chunks)
        for (_, _, end), parts in zip(chunks, solved, strict=True):
            for part in parts:
                found.setdefault(part.rows.shape[2], []).append(part)
            done(end)
    return {count: _joined(parts) for count, parts in sorted(found.items())}


def _solve_some(chunk: tuple[int, int, int]) -> list[Solved]:
    """Draw and solve the environments [begin, end) of a seed."""
    seed, begin, end = chunk
    return [solve((seed, index)) for index in range(begin, end)]


def _joined(parts: list[Solved]) -> Solved:
    return Solved(
        np.concatenate([part.header for part in parts]),
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.price for part in parts]),
        np.concatenate([part.worth for part in parts]),
        Terms(*(np.concatenate(values) for values in zip(*(part.terms for part in parts), strict=True))),
    )


def save(solved: dict[int, Solved], file: IO[bytes]) -> None:
    """Write environments as an uncompressed .npz file."""
    arrays: dict[str, NDArray[Any]] = {}
    for count, part in solved.items():
        arrays |= {f"{name}-{count}": getattr(part, name) for name in _ARRAYS}
        arrays |= {f"{name}-{count}": values for name, values in part.terms._asdict().items()}
    np.savez(file, allow_pickle=False, **arrays)


def load(path: Path) -> dict[int, Solved]:
    """Read environments that `save` wrote; nothing is unpickled.

    Raises
    ------
    InputError : it is not such a file
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            counts = sorted(int(name.removeprefix("rows-")) for name in file.files if name.startswith("rows-"))
            return {
                count: Solved(
                    **{name: file[f"{name}-{count}"] for name in _ARRAYS},
                    terms=Terms(*(file[f"{name}-{count}"] for name in Terms._fields)),
                )
                for count in counts
            }
    except (OSError, ValueError, LookupError, TypeError, RuntimeError, EOFError, BadZipFile, zlib.error) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), accepted="a file of solved slots") from None
