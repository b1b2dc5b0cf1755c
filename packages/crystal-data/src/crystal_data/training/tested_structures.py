"""What the structures of a test are, so that a report can say where the errors lie."""

import numpy as np
from numpy.typing import NDArray

from crystal_data.elements import SYMBOLS
from crystal_data.io.cif import to_cif
from crystal_data.run_folder import RunFolder, StructureOfTest
from crystal_data.store.store import CrystalStore

NUM_WORST = 10  # structures that are kept whole, of each target


def write_tested_structures(run: RunFolder, store: CrystalStore, rows: NDArray[np.int64]) -> None:
    """Writes elements and sizes of all rows of a test, and the structures with the largest errors.

    Args:
        run: Whose predictions of the test are written already.
        store: What was tested.
        rows: Rows of the store, in the order of the predictions.
    """
    worst: set[int] = set()
    for table in run.predictions("test").values():
        if table.target is not None:
            errors = np.nan_to_num(np.abs(table.prediction - table.target), nan=-1.0)
            places = np.argsort(-errors, kind="stable")[:NUM_WORST]
            worst |= set(places[errors[places] >= 0].tolist())
    numbers, offsets = (np.asarray(store.column(name)) for name in ("atomic_numbers", "offsets"))
    names = store.strings("identifier").take(rows)
    run.write_tested_structures(
        StructureOfTest(
            name,
            tuple(SYMBOLS[z] for z in np.unique(numbers[offsets[row] : offsets[row + 1]])),
            int(offsets[row + 1] - offsets[row]),
            to_cif(store.crystal(row)) if place in worst else "",
        )
        for place, (row, name) in enumerate(zip(rows.tolist(), names, strict=True))
    )
