"""What every source of crystals promises."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

from crystal_data.errors import Reason, Rejection
from crystal_data.field import TurnsAs
from crystal_data.io.record import Record


class CrystalSource(ABC):
    """A public data set, or the user's own files.

    Constructors only keep their arguments, so that a configuration can be built anywhere. Files
    are fetched in :meth:`prepare` and read in :meth:`records`.
    """

    # Raised when a change of the reading code gives other records from the same files, so that
    # stores built before are built anew.
    reading_version: ClassVar[int] = 1

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name for folders, messages and tables."""

    @property
    def units(self) -> dict[str, str]:
        """Unit of each property that has one; ``"1"`` for a number without dimension."""
        return {}

    @property
    def turns_as(self) -> dict[str, TurnsAs]:
        """How each property turns with the crystal that does not stay as it is.

        Only what the files do not say by themselves, as extended XYZ does of forces.
        """
        return {}

    def prepare(self) -> None:  # noqa: B027 - files at hand need no fetching
        """Fetch what is missing; does nothing when all files are there."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of the content and of every option that changes the records."""

    @abstractmethod
    def records(self) -> Iterator[Record | Rejection]:
        """Every structure, or the reason why it cannot be used, in a fixed order."""


def combine_fingerprint(source: CrystalSource, content: str, options: Mapping[str, Any]) -> str:
    """Hash of a source's kind, reading version, options and content, as 64 hexadecimal digits."""
    described = {
        "class": f"{type(source).__module__}.{type(source).__qualname__}",
        "reading_version": source.reading_version,
        "options": dict(options),
        "content": content,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()


def reject_duplicates(items: Iterable[Record | Rejection]) -> Iterator[Record | Rejection]:
    """Let the first structure of each identifier pass and reject the others."""
    first_file: dict[str, str] = {}
    for item in items:
        if isinstance(item, Record):
            if item.identifier in first_file:
                yield Rejection(
                    item.identifier,
                    item.file,
                    "read",
                    Reason.DUPLICATE_IDENTIFIER,
                    f"{item.identifier} stands in {first_file[item.identifier]} already; "
                    "give each structure an identifier of its own",
                )
                continue
            first_file[item.identifier] = item.file
        yield item
