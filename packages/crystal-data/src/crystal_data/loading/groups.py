"""Rows that belong together, such as those of one source, and equal shares for all groups."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.store.store import CrystalStore


@dataclass(frozen=True, slots=True, eq=False)
class RowGroups:
    """The groups that a column of text divides a store into.

    Args:
        names: The values of the column, in alphabetical order; ``""`` for rows without one.
        of_row: Position in ``names`` of each row of the store; int64 ``[num_crystals]``.
    """

    names: tuple[str, ...]
    of_row: NDArray[np.int64]

    @classmethod
    def of(cls, store: CrystalStore, column: str) -> Self:
        """Groups by a property that holds text.

        Raises:
            MissingColumnError: If there is no such column; the message names those alike.
            InvalidArgumentError: If it does not hold text.
        """
        names, of_row = np.unique(
            np.array(store.strings(column)[:], dtype=str), return_inverse=True
        )
        return cls(tuple(names.tolist()), of_row.astype(np.int64))


def equal_shares(
    groups: NDArray[np.int64], num_draws: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Draws equally many members of each group, group after group.

    Each group goes through its members in turn, in a new random order every time round, and an
    epoch begins where the one before has ended. So all members of a group come equally often,
    whatever its size, and an epoch can be drawn without those before it.

    Args:
        groups: Group of each member; int64 ``[num_members]``.
        num_draws: How many are drawn; what does not divide evenly goes to the first groups.
        seed: Of the random orders.
        epoch: From 0.

    Returns:
        Positions in ``groups``; int64 ``[num_draws]``.
    """
    labels = np.unique(groups)
    each, extra = divmod(num_draws, len(labels))
    drawn = [
        _in_turn(np.flatnonzero(groups == label), each + (place < extra), (seed, int(label)), epoch)
        for place, label in enumerate(labels)
    ]
    return np.concatenate(drawn)


def _in_turn(
    members: NDArray[np.int64], count: int, seed: tuple[int, int], epoch: int
) -> NDArray[np.int64]:
    first_round, start = divmod(epoch * count, len(members))
    num_rounds = -(-(start + count) // len(members))
    rounds = [
        np.random.default_rng([*seed, first_round + number, 1]).permutation(members)
        for number in range(num_rounds)
    ]
    return np.concatenate([members[:0], *rounds])[start : start + count]
