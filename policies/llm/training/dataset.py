"""Slots of random environments, solved: what the bundled model learns from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from physical.errors import InputError
from policies.llm.environments import TRAINING, RandomEnvironment, Ranges
from policies.llm.training.labels import Terms, terms
from policies.llm.vocabulary import encode_answer, encode_state, with_answers
from policies.optimal.p2_exact import P2Exact

Ints = NDArray[np.int64]
Words = NDArray[np.int16]

NUM_SLOT = 12
"""Slots of an environment; each time it is used some of them are, in another order."""


@dataclass(frozen=True)
class Solved:
    """Environments of N vehicles with S slots each.

    Parameters
    ----------
    header : [E, S, LENGTH_HEADER]
    rows : [E, S, N, LENGTH_ROW], with the optimum's answers
    terms : what the answers cost, fields [E, S, N, K] in single precision
    """

    header: Words
    rows: Words
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
    headers, rows, costs = [], [], []
    for snapshot in islice(environment, num_slot):
        header, state = encode_state(snapshot)
        headers.append(header)
        rows.append(with_answers(state, encode_answer(policy.decide(snapshot), system.server.frequency_hz)))
        costs.append([np.broadcast_to(values, shape[0] * shape[1]).reshape(shape) for values in terms(snapshot)])
    stacked = np.array(costs, dtype=np.float32).swapaxes(0, 1)[:, np.newaxis]
    return Solved(np.array(headers, np.int16)[np.newaxis], np.array(rows, np.int16)[np.newaxis], Terms(*stacked))


def generate(num_environment: int, seed: int, done: Callable[[int], None] = lambda _: None) -> dict[int, Solved]:
    """Draw and solve environments; environment i depends on `seed` and i alone.

    done : is told how many there are so far
    """
    found: dict[int, list[Solved]] = {}
    for index in range(num_environment):
        solved = solve((seed, index))
        found.setdefault(solved.rows.shape[2], []).append(solved)
        done(index + 1)
    return {count: _joined(parts) for count, parts in sorted(found.items())}


def _joined(parts: list[Solved]) -> Solved:
    return Solved(
        np.concatenate([part.header for part in parts]),
        np.concatenate([part.rows for part in parts]),
        Terms(*(np.concatenate(values) for values in zip(*(part.terms for part in parts), strict=True))),
    )


def save(solved: dict[int, Solved], path: Path) -> None:
    """Write environments to an uncompressed .npz file."""
    arrays: dict[str, NDArray[Any]] = {}
    for count, part in solved.items():
        arrays |= {f"header-{count}": part.header, f"rows-{count}": part.rows}
        arrays |= {f"{name}-{count}": values for name, values in part.terms._asdict().items()}
    np.savez(path, allow_pickle=False, **arrays)


def load(path: Path) -> dict[int, Solved]:
    """Read environments of `save`; nothing is unpickled.

    Raises
    ------
    InputError : not such a file
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            counts = sorted(int(name.removeprefix("rows-")) for name in file.files if name.startswith("rows-"))
            return {
                count: Solved(
                    file[f"header-{count}"],
                    file[f"rows-{count}"],
                    Terms(*(file[f"{name}-{count}"] for name in Terms._fields)),
                )
                for count in counts
            }
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path), accepted="a file of solved slots") from None


def environments_by_size(solved: dict[int, Solved]) -> Iterator[tuple[int, int]]:
    """Return all environments as number of vehicles and index."""
    for count, part in solved.items():
        for index in range(len(part)):
            yield count, index
