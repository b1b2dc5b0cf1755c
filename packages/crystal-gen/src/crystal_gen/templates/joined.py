"""One library of several data sets, without the crystals that it will be measured on."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crystal_data.errors import InvalidArgumentError
from crystal_data.io import csv_text, read_csv
from crystal_data.sources import CrystalSource
from crystal_data.store import CrystalStore, open_store
from crystal_gen.templates.library import TemplateLibrary

if TYPE_CHECKING:
    from crystal_data.splits import EvaluationSet

_COLUMNS = ("templates", "id", "matched_id", "evaluation_set", "how")


@dataclass(frozen=True, eq=False)
class JoinedLibrary:
    """A library, and what was kept out of it.

    Args:
        library: Of all data sets.
        excluded: Text of ``left_out.csv``: the data set of each crystal that was left out, its
            identifier, that of the crystal that it is, the evaluation set of that, and how it was
            found. Empty if there was nothing to compare with.
    """

    library: TemplateLibrary
    excluded: str

    @property
    def num_excluded(self) -> int:
        """How many crystals were left out."""
        return sum(1 for _ in read_csv(io.StringIO(self.excluded, newline="")))


def join_sources(
    sources: Sequence[CrystalSource | TemplateLibrary],
    *,
    exclude_from: "Sequence[EvaluationSet]" = (),
    max_atoms: int | None = None,
    symprec: float = 0.1,
    num_workers: int | None = None,
) -> JoinedLibrary:
    """The training rows of several data sets, or all rows of one that has none, as templates.

    Args:
        sources: Data sets, of which structures that cannot be used are left out, and libraries.
        exclude_from: A crystal that stands in one of these, by identifier, by parent, or by reduced
            formula and structure, is no template.
        max_atoms: Of the primitive cell of a template; None takes all.
        symprec: See :meth:`TemplateLibrary.from_store`.
        num_workers: Processes that find orbits.

    Raises:
        InvalidArgumentError: If something is to be kept out of a library, which does not know the
            parents of its crystals any more, or no template is left.
    """
    libraries: list[TemplateLibrary] = []
    tables: list[Sequence[str]] = []
    for source in sources:
        if isinstance(source, TemplateLibrary):
            if exclude_from:
                raise InvalidArgumentError(
                    "crystals cannot be kept out of a library any more",
                    "join the data sets that it was made of",
                )
            libraries.append(source)
            continue
        store = _opened(source)
        rows = store.rows_of("train")
        rows = rows if len(rows) else np.arange(len(store))
        if exclude_from:
            rows, left_out = _apart(store, rows, exclude_from)
            tables += left_out
        if len(rows):
            libraries.append(
                TemplateLibrary.from_store(store, rows, symprec=symprec, num_workers=num_workers)
            )
    library = TemplateLibrary.join(libraries)
    if max_atoms is not None:
        library = library.take(np.flatnonzero(library.num_atoms <= max_atoms))
    return JoinedLibrary(library, csv_text(_COLUMNS, tables) if exclude_from else "")


def _apart(
    store: CrystalStore, rows: NDArray[np.int64], exclude_from: "Sequence[EvaluationSet]"
) -> tuple[NDArray[np.int64], list[Sequence[str]]]:
    """The rows that stand in no evaluation set, and lines of the table of the others."""
    # It brings the matcher, which copying does without.
    from crystal_data.splits import exclude

    none = np.arange(0)
    kept = exclude(store, {"train": rows, "val": none, "test": none}, exclude_from, _opened)
    name = str(store.metadata["source"])
    lines = read_csv(io.StringIO(kept.table, newline=""))
    return kept.rows, [(name, *line.values()) for line in lines]


def _opened(source: CrystalSource) -> CrystalStore:
    return open_store(source, on_invalid="skip")
