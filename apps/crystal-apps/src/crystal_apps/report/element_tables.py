"""The element vectors that a run has learnt."""

from typing import TYPE_CHECKING

from crystal_apps.report.runs import Run
from crystal_data.run_folder import RunFolder

if TYPE_CHECKING:
    from crystal_embed import ElementTable

# Models that are trained for their element vectors; those of others are a by-product.
_EMBEDDERS = ("CrystalTransformer",)
_FEWEST = 3


def element_table(run: Run) -> "ElementTable | None":
    """The vectors that a run has learnt for the elements that training has shown.

    They are read from the run's ``elements.csv`` or, where there is none, from its artifact.

    Returns:
        None if the run has learnt none, as most have not, or too few to tell groups.

    Raises:
        CrystalError: If what is there is no table of elements.
    """
    files = RunFolder(run.folder)
    has_file = files.elements_file.is_file()
    if not has_file and run.artifact.get("class_name") not in _EMBEDDERS:
        return None
    # Only now, because the models behind it take seconds to import.
    from crystal_embed import load_table

    table = load_table(files.elements_file if has_file else files.artifact).trained()
    return table if len(table) >= _FEWEST else None
