"""What holds of each generated structure by itself: validity, uniqueness, novelty."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from crystal_data.crystal import Crystal
from crystal_data.generation.alike import find_alike
from crystal_data.generation.read import GeneratedStructure
from crystal_data.metrics.match_rates import Comparison
from crystal_data.metrics.validity import is_composition_valid, is_structure_valid


def sample_table(
    samples: Sequence[Sequence[GeneratedStructure]],
    comparison: Comparison,
    training: Sequence[Crystal] | None,
) -> dict[str, list[Any]]:
    """Column → a value for each sample.

    What could not be built is not valid, and is neither unique nor novel nor the contrary (None).

    Args:
        samples: Of each reference.
        comparison: Of these samples.
        training: Crystals that a sample must differ from to be novel; None says nothing of that.
    """
    flat = list(chain.from_iterable(samples))
    matches = list(chain.from_iterable(comparison.matches))
    crystals = [sample.crystal for sample in flat]
    states = comparison.oxidation_states
    struct = [each is not None and is_structure_valid(each) for each in crystals]
    comp = [
        each is not None and is_composition_valid(each.composition, states) for each in crystals
    ]
    table: dict[str, list[Any]] = {
        "request": [sample.request for sample in flat],
        "sample": [sample.sample for sample in flat],
        "rank": [sample.rank for sample in flat],
        "file": [sample.file for sample in flat],
        "formula": ["" if each is None else each.formula for each in crystals],
        "flags": [";".join(sample.flags) for sample in flat],
        "outcome": [match.outcome.value for match in matches],
        "rms": [match.rms for match in matches],
        "struct_valid": struct,
        f"comp_valid/{states}": comp,
        f"valid/{states}": [own and other for own, other in zip(struct, comp, strict=True)],
        "unique": _differ(crystals, None, comparison),
    }
    if training is not None:
        table["novel"] = _differ(crystals, training, comparison)
    return table


def shares_of(table: dict[str, list[Any]]) -> dict[str, list[bool | None]]:
    """The columns of which the share of structures is a result."""
    kinds = ("struct_valid", "comp_valid/", "valid/", "unique", "novel")
    return {name: values for name, values in table.items() if name.startswith(kinds)}


def _differ(
    crystals: Sequence[Crystal | None], among: Sequence[Crystal] | None, comparison: Comparison
) -> list[bool | None]:
    rows = [row for row, crystal in enumerate(crystals) if crystal is not None]
    built = [crystal for crystal in crystals if crystal is not None]
    differ: list[bool | None] = [None] * len(crystals)
    alike = find_alike(built, among, comparison.settings)
    for row, same in zip(rows, alike.tolist(), strict=True):
        differ[row] = not same
    return differ
