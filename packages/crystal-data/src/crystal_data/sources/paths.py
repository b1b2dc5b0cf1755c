"""Whatever lies at some paths: what is read to be predicted, not to be learnt."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from typing_extensions import override

from crystal_data.crystal import Crystal
from crystal_data.errors import Rejection
from crystal_data.io.record import Record
from crystal_data.io.records import files_of_pattern, records_of_pattern
from crystal_data.sources.base import CrystalSource, combine_fingerprint, reject_duplicates
from crystal_data.sources.hashing import hash_files
from crystal_data.sources.table import TableSource, is_table_file
from crystal_data.sources.table_rows import column_names


class PathsSource(CrystalSource):
    """Structures of files, folders, patterns and tables, in their order.

    Files are those of :func:`~crystal_data.io.read.read_crystals`; tables (CSV, Parquet, JSON
    Lines, JARVIS lists) are read as :class:`TableSource` does. Other columns are passed over
    unless they are asked for.

    Args:
        paths: Files, folders, patterns such as ``runs/*.cif``, tables.
        properties: Columns to keep; those that a structure lacks are missing.
    """

    reading_version: ClassVar[int] = 2

    def __init__(self, paths: Sequence[str | Path], properties: Sequence[str] = ()) -> None:
        self._paths = [str(path) for path in paths]
        self._properties = tuple(properties)

    @property
    @override
    def name(self) -> str:
        return Path(self._paths[0]).stem if len(self._paths) == 1 else "inputs"

    @property
    def ignored(self) -> list[str]:
        """What folders hold beside structures, folders included."""
        found: list[str] = []
        for path in self._paths:
            if not is_table_file(Path(path)):
                files_of_pattern(path, found)
        return found

    @override
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for path in self._paths:
            files = [Path(path)] if is_table_file(Path(path)) else files_of_pattern(path, [])
            irregular = [str(file) for file in files if not file.is_file()]
            content = hash_files([file for file in files if file.is_file()])
            digest.update(f"{path}\0{irregular}\0{content}\n".encode())
        return combine_fingerprint(self, digest.hexdigest(), {"properties": self._properties})

    @override
    def records(self) -> Iterator[Record | Rejection]:
        return reject_duplicates(map(self._stripped, self._all()))

    def _all(self) -> Iterator[Record | Rejection]:
        for path in self._paths:
            if Path(path).is_file() and is_table_file(Path(path)):
                skipped = set(column_names(Path(path))) - set(self._properties)
                yield from TableSource(path, columns=dict.fromkeys(skipped, "skip")).records()
            else:
                yield from records_of_pattern(path, [])

    def _stripped(self, item: Record | Rejection) -> Record | Rejection:
        if isinstance(item, Rejection):
            return item
        structure = item.structure
        if isinstance(structure, Crystal):
            structure = structure.replace(properties={})
        kept = {name: v for name, v in item.properties.items() if name in self._properties}
        return replace(item, structure=structure, properties=kept, split="")
