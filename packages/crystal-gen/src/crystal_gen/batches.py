"""Crystals as batches of orbits, and the crystals of a batch."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from crystal_data.crystal import lattice_from_parameters
from crystal_data.errors import InvalidArgumentError
from crystal_data.loading import OrbitBatch, orbit_batch
from crystal_data.store import WYCKOFF_LETTERS, ColumnChunk
from crystal_data.symmetry import SymmetricCrystal, all_lattice_parameters


def batch_of(
    crystals: Sequence[SymmetricCrystal],
    seeds: Sequence[int],
    targets: Mapping[str, Sequence[float]],
) -> OrbitBatch:
    """A batch of crystals.

    Args:
        crystals: Of which some values may be placeholders, where a model is to make them.
        seeds: Of each crystal's random draws, 0 to below 2⁶³.
        targets: Values of each crystal by name, NaN where there is none.
    """
    letters = "".join(letter for crystal in crystals for letter in crystal.wyckoff_letters)
    values = ColumnChunk(
        {
            "space_group_number": np.array([each.space_group_number for each in crystals]),
            "lattice_parameters": np.array(
                [
                    all_lattice_parameters(each.space_group_number, each.lattice_parameters)
                    for each in crystals
                ]
            ),
            "atomic_numbers": np.concatenate([each.atomic_numbers for each in crystals]),
            "wyckoff": np.array([WYCKOFF_LETTERS.index(letter) for letter in letters]),
            "frac_coords": np.concatenate([each.frac_coords for each in crystals]),
        },
        np.array([each.num_orbits for each in crystals]),
    )
    return orbit_batch(
        values,
        sample_id=torch.tensor(seeds, dtype=torch.int64),
        identifier=[each.identifier for each in crystals],
        targets={
            name: torch.tensor(known, dtype=torch.get_default_dtype())
            for name, known in targets.items()
        },
    )


def crystals_of(batch: OrbitBatch) -> list[SymmetricCrystal | None]:
    """The crystals of a batch, exact in symmetry; None where a cell is not finite or is flat."""
    number, counts = batch.space_group_number.tolist(), batch.mask.sum(1).tolist()
    parameters = batch.lattice_parameters.double().cpu().numpy()
    points = batch.frac_coords.double().cpu().numpy()
    elements, places = batch.atomic_numbers.cpu().numpy(), batch.wyckoff.tolist()
    made: list[SymmetricCrystal | None] = []
    for row, count in enumerate(counts):
        cell = parameters[row]
        if not (np.isfinite(cell).all() and np.isfinite(points[row]).all()):
            made.append(None)
            continue
        try:
            lattice = lattice_from_parameters(cell[:3], cell[3:])
        except InvalidArgumentError:
            made.append(None)
            continue
        made.append(
            SymmetricCrystal(
                space_group_number=number[row],
                lattice=lattice,
                atomic_numbers=elements[row, :count],
                wyckoff_letters=tuple(WYCKOFF_LETTERS[place] for place in places[row][:count]),
                frac_coords=points[row, :count],
                identifier=batch.identifier[row],
            )
        )
    return made
