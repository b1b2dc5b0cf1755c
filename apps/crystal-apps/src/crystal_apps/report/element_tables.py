"""The element vectors that a run has learnt."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystal_apps.report.runs import Run, RunError

if TYPE_CHECKING:
    from crystal_embed import ElementTable

ELEMENTS_CSV = "elements.csv"
# Models that are trained for their element vectors; those of others are a by-product.
_EMBEDDERS = ("CrystalTransformer",)


def element_table(run: Run) -> tuple[list[str], NDArray[np.float64]] | None:
    """Elements that training has shown, and their vectors, ``[num_elements, width]``.

    They are read from the run's ``elements.csv`` or, where there is none, from its artifact.

    Returns:
        None if the run has learnt none, as most have not.

    Raises:
        RunError: If what is there is no table of elements.
    """
    has_file = (run.folder / ELEMENTS_CSV).is_file()
    if not has_file and run.artifact.get("model") not in _EMBEDDERS:
        return None
    # Only now, because the models behind it take seconds to import.
    from crystal_embed import load_table

    source = run.folder / ELEMENTS_CSV if has_file else run.folder / "artifact"
    try:
        table = load_table(source)
    except (ValueError, OSError) as error:
        raise RunError(str(error)) from error
    return _trained(table)


def _trained(table: "ElementTable") -> tuple[list[str], NDArray[np.float64]]:
    unseen = set(table.metadata.get("random_elements", ()))
    keep = np.array([symbol not in unseen for symbol in table.symbols])
    symbols = [symbol for symbol, kept in zip(table.symbols, keep, strict=True) if kept]
    return symbols, table.vectors[keep].astype(np.float64)
