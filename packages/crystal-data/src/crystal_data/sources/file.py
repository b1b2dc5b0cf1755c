"""The user's own files, of whatever kind they are."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from typing_extensions import override

from crystal_data.errors import Rejection, SourceError
from crystal_data.field import TurnsAs
from crystal_data.io.record import Record
from crystal_data.sources.base import CrystalSource
from crystal_data.sources.folder import FolderSource
from crystal_data.sources.split_paths import SplitPaths
from crystal_data.sources.table import TableSource, is_table_file
from crystal_data.sources.table_cells import Kind


class FileSource(CrystalSource):
    """A folder of structures, a file of them, or a table: which it is, the files say.

    Tables are read by :class:`TableSource`, all else by :class:`FolderSource`; these have further
    options.

    Args:
        path: One folder or file for everything; or give one for each split.
        train: Folder or file of the training structures.
        val: Folder or file of the validation structures.
        test: Folder or file of the test structures.
        columns: What columns hold, where looking at their cells finds another kind.
        units: Unit of each property that has one.
        turns_as: ``vector``, ``tensor`` or ``symmetric_tensor`` for properties that turn with the
            crystal. A tensor is nine numbers, row after row.
        name: Short name; by default that of the folder or file.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        train: str | Path | None = None,
        val: str | Path | None = None,
        test: str | Path | None = None,
        columns: dict[str, Kind] | None = None,
        units: dict[str, str] | None = None,
        turns_as: dict[str, TurnsAs] | None = None,
        name: str | None = None,
    ) -> None:
        self._paths = SplitPaths.of(type(self).__name__, path, train=train, val=val, test=test)
        self._columns: dict[str, Kind] = dict(columns or {})
        self._units = dict(units or {})
        self._turns_as: dict[str, TurnsAs] = dict(turns_as or {})
        self._name = name or self._paths.stem

    @property
    @override
    def name(self) -> str:
        return self._name

    @property
    @override
    def units(self) -> dict[str, str]:
        return dict(self._units)

    @property
    @override
    def turns_as(self) -> dict[str, TurnsAs]:
        return dict(self._turns_as)

    @override
    def fingerprint(self) -> str:
        return self._source.fingerprint()

    @override
    def records(self) -> Iterator[Record | Rejection]:
        return self._source.records()

    @cached_property
    def _source(self) -> CrystalSource:
        """The source that reads the files.

        Raises:
            SourceError: If some are tables and others are not.
        """
        tables = {p: p.is_file() and is_table_file(p) for _, p in self._paths.existing()}
        if len(set(tables.values())) > 1:
            kinds = ", ".join(f"{path} {'is' if is_ else 'is not'}" for path, is_ in tables.items())
            raise SourceError(
                f"{self.name}: files of one data set are tables, all or none; {kinds}",
                "give each kind a source of its own, and join them by crystal_data.JoinedSource",
            )
        paths = dict(self._paths.paths)
        kind = TableSource if all(tables.values()) else FolderSource
        return kind(
            paths.get(""),
            train=paths.get("train"),
            val=paths.get("val"),
            test=paths.get("test"),
            columns=self._columns,
            units=self._units,
            turns_as=self._turns_as,
            name=self._name,
        )
