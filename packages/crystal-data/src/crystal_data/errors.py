"""What can be wrong with an input, as values that survive pickling and reach ``rejected.csv``."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

# What becomes of structures that cannot be used: an exception, or a row of rejected.csv.
OnInvalid = Literal["error", "skip"]


class Reason(StrEnum):
    """Why a structure cannot be used; the vocabulary of ``rejected.csv``."""

    UNREADABLE = "unreadable"  # not text, truncated, or not the format that it claims to be
    EMPTY = "empty"
    NO_CELL = "no_cell"
    NO_ATOMS = "no_atoms"
    NOT_PERIODIC = "not_periodic"  # a molecule, a chain or a slab
    BAD_CELL = "bad_cell"  # zero volume, impossible lengths or angles
    BAD_COORDINATES = "bad_coordinates"  # NaN, infinite, unknown
    OVERLAPPING_ATOMS = "overlapping_atoms"
    UNKNOWN_ELEMENT = "unknown_element"
    UNSUPPORTED_ELEMENT = "unsupported_element"  # an element that the model has nothing for
    DISORDERED = "disordered"
    BAD_VALUE = "bad_value"  # a property that should be a number is not
    NO_REPRESENTATION = "no_representation"  # no tokens or orbits, which the model asks for
    DUPLICATE_IDENTIFIER = "duplicate_identifier"
    MISSING_FILE = "missing_file"


class InvalidCrystalError(ValueError):
    """A structure that cannot be used.

    Args:
        identifier: The data set's own id of the structure.
        reason: One word of a closed vocabulary, for tables and counts.
        detail: What came and what was expected, for people.
    """

    def __init__(self, identifier: str, reason: Reason, detail: str) -> None:
        super().__init__(identifier, reason, detail)
        self.identifier = identifier
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.identifier or 'structure'}: {self.detail} [{self.reason}]"


class SourceError(ValueError):
    """A file or folder that cannot be read at all; the message names it and the remedy."""


_MAX_DETAIL = 200  # characters


@dataclass(frozen=True, slots=True)
class Rejection:
    """One row of ``rejected.csv``: a structure that was left out, and why.

    The detail is one line of at most 200 characters; what is longer is cut.
    """

    identifier: str
    file: str
    stage: str  # read, check, build, graph, predict
    reason: Reason
    detail: str

    def __post_init__(self) -> None:
        # Only the start of a text is looked at: an error may quote a whole file.
        detail = " ".join(self.detail[: 10 * _MAX_DETAIL].split())
        if len(detail) > _MAX_DETAIL:
            detail = f"{detail[: _MAX_DETAIL - 1]}…"
        object.__setattr__(self, "detail", detail)
