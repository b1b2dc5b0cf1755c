"""Errors meant for the user, and what can be wrong with a structure; all of it can be pickled."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

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
    NOT_RELAXED = "not_relaxed"  # a relaxation without an end: not converged, failed, cut short
    EXCLUDED = "excluded"  # kept apart from what it is evaluated on
    NO_REPRESENTATION = "no_representation"  # no tokens or orbits, which the model asks for
    DUPLICATE_IDENTIFIER = "duplicate_identifier"
    MISSING_FILE = "missing_file"


class CrystalError(Exception):
    """An error meant for the user: commands print it in one line, without a traceback.

    All others are faults of the program. They keep their traceback.

    Subclasses may have constructors of their own and second base classes, such as ``ValueError``.

    Args:
        message: Whose fault it is, what came, and what was expected.
        remedy: What the user can do; empty where the message leaves no choice.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        # Of a second base class no constructor is called: that of OSError takes two texts for a
        # number and its meaning.
        Exception.__init__(self, message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors travel between processes. The arguments of a subclass may be others.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[CrystalError], args: tuple[Any, ...], state: dict[str, Any]) -> Any:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InvalidArgumentError(CrystalError, ValueError):
    """An argument, an option or a value in a config that cannot be used."""


class MissingFileError(CrystalError, FileNotFoundError):
    """A file or folder that is not there."""


class WorkerError(CrystalError, RuntimeError):
    """A worker process that could not start, or that has died."""


class InvalidCrystalError(CrystalError, ValueError):
    """A structure that cannot be used.

    Args:
        identifier: The data set's own id of the structure.
        reason: One word of a closed vocabulary, for tables and counts.
        detail: What came and what was expected, for people.
    """

    def __init__(self, identifier: str, reason: Reason, detail: str) -> None:
        super().__init__(f"{identifier or 'structure'}: {detail} [{reason}]")
        self.identifier = identifier
        self.reason = reason
        self.detail = detail


class SourceError(CrystalError, ValueError):
    """A file or folder that cannot be read at all; the message names it."""


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
