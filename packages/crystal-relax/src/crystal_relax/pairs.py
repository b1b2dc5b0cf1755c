"""Starts and ends of relaxations, from a store of a ``RelaxationSource``."""

from collections.abc import Iterable
from dataclasses import dataclass

from crystal_data.crystal import Crystal
from crystal_data.errors import SourceError
from crystal_data.store import CrystalStore
from crystal_data.trajectories import DISPLACEMENT, STRAIN, Change, changed


@dataclass(frozen=True, eq=False)
class RelaxationPairs:
    """Relaxations as pairs.

    Args:
        starts: Before; without properties.
        ends: After, with the starts' axes.
        origins: What made each start; empty where it is not known.
    """

    starts: list[Crystal]
    ends: list[Crystal]
    origins: list[str]


def pairs_of(store: CrystalStore, rows: Iterable[int]) -> RelaxationPairs:
    """The relaxations of some rows.

    Raises:
        SourceError: If the store has no relaxations.
    """
    missing = [one.name for one in (STRAIN, DISPLACEMENT) if one.name not in store.properties]
    if missing:
        raise SourceError(
            f"{store.metadata['source']} has no column {missing[0]}: it holds crystals, not "
            "relaxations",
            "give files of trajectories; `crystal-data trajectories` makes such",
        )
    starts, ends, origins = [], [], []
    for row in rows:
        crystal = store.crystal(int(row))
        start = crystal.replace(properties={})
        known = crystal.properties
        change = Change(known[STRAIN.name].reshape(3, 3), known[DISPLACEMENT.name])
        starts.append(start)
        ends.append(changed(start, change))
        origins.append(str(known.get("origin", "")))
    return RelaxationPairs(starts, ends, origins)
