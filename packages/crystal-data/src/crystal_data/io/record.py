"""What a source yields for each structure, before anything is parsed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from crystal_data.crystal import Crystal
from crystal_data.field import Field

StructureFormat = Literal["cif", "poscar", "json", "crystal"]
SplitName = Literal["train", "val", "test"]
Split = SplitName | Literal[""]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "val", "test")
PropertyValue = float | str | NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One structure as it stands in a source, with what the source says about it.

    Args:
        identifier: The data set's own id, such as ``"mp-149"``.
        structure: Text in ``format``, or a ``Crystal`` that needs no parsing.
        format: How ``structure`` is to be read; ``"json"`` is pymatgen's ``Structure.as_dict``.
        properties: Name to number, vector of a fixed length, or string; a missing label is NaN.
        split: The source's own split, ``""`` where it has none.
        parent: The material that this structure was made from, for guards against leakage.
        file: Where it stands, for messages and ``rejected.csv``.
        fields: What the format says of some of the properties, such as that forces are vectors.
    """

    identifier: str
    structure: str | Crystal
    format: StructureFormat = "cif"
    properties: Mapping[str, PropertyValue] = field(default_factory=dict)
    split: Split = ""
    parent: str = ""
    file: str = ""
    fields: Mapping[str, Field] = field(default_factory=dict)
