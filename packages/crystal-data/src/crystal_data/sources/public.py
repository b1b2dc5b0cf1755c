"""Public data sets in the forms in which they are published."""

import json
import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from crystal_data.crystal import Crystal
from crystal_data.errors import (
    InvalidCrystalError,
    MissingFileError,
    Reason,
    Rejection,
    SourceError,
)
from crystal_data.homes import data_home
from crystal_data.io.record import SPLIT_NAMES, Record, Split, StructureFormat
from crystal_data.io.site_lists import crystal_from_jarvis
from crystal_data.sources.base import CrystalSource, combine_fingerprint, reject_duplicates
from crystal_data.sources.download import RemoteFile, fetch, find_file
from crystal_data.sources.hashing import hash_files
from crystal_data.sources.json_list import iter_json_list
from crystal_data.sources.packed import open_text
from crystal_data.sources.registry import JARVIS_SPLIT, MEGNET_SPLIT, DatasetInfo, describe
from crystal_data.sources.table import TableSource
from crystal_data.sources.table_cells import BadCellError, convert

logger = logging.getLogger(__name__)


def _present(file: RemoteFile, root: str | Path | None) -> Path:
    home = data_home(root)
    path = find_file(file, home)
    if path is None:
        raise MissingFileError(
            f"{home / file.path} is missing",
            "call prepare() to download it, or set CRYSTAL_DATA_HOME to the folder that has it",
        )
    return path


class _PublicTable(TableSource):
    """Three CSV files, one for each split, in the columns of CDVAE and DiffCSP."""

    dataset: ClassVar[str]
    _columns_may_lack = True

    def __init__(self, root: str | Path | None = None) -> None:
        info = describe(self.dataset)
        self._root = root
        super().__init__(
            # Where the files are is asked when they are read, not when a source is configured.
            train=info.files[0].path,
            identifier=info.identifier,
            structure="cif",
            columns={name: column.kind for name, column in info.columns.items()},
            units=info.units,
            name=self.dataset,
        )

    def files(self) -> list[tuple[Split, Path]]:
        """The files of train, val and test in the data home."""
        files = describe(self.dataset).files
        return [(s, _present(f, self._root)) for s, f in zip(SPLIT_NAMES, files, strict=True)]

    def prepare(self) -> None:
        """Download the files that are not in the data home."""
        for file in describe(self.dataset).files:
            fetch(file, data_home(self._root))


class MP20(_PublicTable):
    """MP-20: Materials Project crystals with at most 20 atoms, CDVAE's split.

    Args:
        root: The data home; by default ``CRYSTAL_DATA_HOME``.

    Source:
        Xie et al., arXiv:2110.06197; Jain et al., doi:10.1063/1.4812323.
    """

    dataset = "mp_20"


class Perov5(_PublicTable):
    """Perov-5: ABX3 perovskites, CDVAE's split; many formulas stand in several splits.

    Args:
        root: The data home; by default ``CRYSTAL_DATA_HOME``.

    Source:
        Xie et al., arXiv:2110.06197; Castelli et al., doi:10.1039/c2ee22341d.
    """

    dataset = "perov_5"


class Carbon24(_PublicTable):
    """Carbon-24: carbon with 6 to 24 atoms in the cell, CDVAE's split.

    Args:
        root: The data home; by default ``CRYSTAL_DATA_HOME``.

    Source:
        Xie et al., arXiv:2110.06197; Pickard, doi:10.24435/materialscloud:2020.0026/v1.
    """

    dataset = "carbon_24"


class MPTS52(_PublicTable):
    """MPTS-52: Materials Project crystals with at most 52 atoms, split by year.

    Args:
        root: The data home; by default ``CRYSTAL_DATA_HOME``.

    Source:
        Baird et al., doi:10.21105/joss.05618; files of Jiao et al., arXiv:2309.04475.
    """

    dataset = "mpts_52"


class JarvisSupercon(_PublicTable):
    """Structures of the JARVIS superconductor benchmark with JARVIS-DFT properties.

    ``phonon_dos`` is a vector of 66 numbers. Many values are missing.

    Args:
        root: The data home; by default ``CRYSTAL_DATA_HOME``.

    Source:
        Choudhary and Garrity, doi:10.1038/s41524-022-00933-1.
    """

    dataset = "jarvis_supercon"


class _LeaderboardSource(CrystalSource):
    """One JSON list of structures, and the fixed ids of the JARVIS leaderboard."""

    dataset: ClassVar[str]
    split_file: ClassVar[RemoteFile]
    known_duplicates: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, root: str | Path | None = None) -> None:
        self._root = root

    @property
    def name(self) -> str:
        """Name in the registry."""
        return self.dataset

    @property
    def info(self) -> DatasetInfo:
        """Entry in the registry."""
        return describe(self.dataset)

    @property
    def units(self) -> dict[str, str]:
        """Units from the registry."""
        return self.info.units

    def prepare(self) -> None:
        """Download the files that are not in the data home."""
        for file in self.info.files:
            fetch(file, data_home(self._root))

    def fingerprint(self) -> str:
        """Hash of the structures' file and of the split."""
        paths = [_present(file, self._root) for file in self.info.files]
        return combine_fingerprint(self, hash_files(paths), {})

    def records(self) -> Iterator[Record | Rejection]:
        """Structures in the order of the file."""
        return reject_duplicates(self._entries())

    @abstractmethod
    def _structure(
        self, identifier: str, entry: Mapping[str, Any]
    ) -> tuple[str | Crystal, StructureFormat]: ...

    def _entries(self) -> Iterator[Record | Rejection]:
        path = _present(self.info.files[0], self._root)
        splits = self._splits()
        waiting = set(splits)
        for number, entry in enumerate(iter_json_list(path), start=1):
            if not isinstance(entry, dict) or self.info.identifier not in entry:
                raise SourceError(
                    f"{path}: entry {number} has no {self.info.identifier}",
                    "delete the file, or fetch it again",
                )
            identifier = str(entry[self.info.identifier])
            if identifier in self.known_duplicates and identifier not in waiting:
                logger.warning("%s: %s stands twice; the first is kept", self.name, identifier)
                continue
            waiting.discard(identifier)
            yield self._record(entry, identifier, splits.get(identifier, ""), f"{path}:{number}")
        if waiting:
            logger.warning(
                "%s: %d of the split's %d ids have no structure in %s, such as %s",
                self.name,
                len(waiting),
                len(splits),
                path,
                min(waiting),
            )

    def _record(
        self, entry: Mapping[str, Any], identifier: str, split: Split, place: str
    ) -> Record | Rejection:
        kinds = {name: column.kind for name, column in self.info.columns.items()}
        try:
            structure, form = self._structure(identifier, entry)
            return Record(identifier, structure, form, convert(entry, kinds, {}), split, file=place)
        except InvalidCrystalError as error:
            return Rejection(identifier, place, "read", error.reason, error.detail)
        except BadCellError as error:
            return Rejection(identifier, place, "read", Reason.BAD_VALUE, str(error))

    def _splits(self) -> dict[str, Split]:
        """Split of each id; one that stands in two is taken as the later of train, val, test."""
        path = _present(self.split_file, self._root)
        with open_text(path) as file:
            try:
                listed = json.load(file)
            except (json.JSONDecodeError, RecursionError) as error:
                raise SourceError(
                    f"{path} is damaged: {error}", "delete it, or fetch it again"
                ) from error
        if not all(
            isinstance(listed, dict) and isinstance(listed.get(s), dict) for s in SPLIT_NAMES
        ):
            raise SourceError(f"{path}: expected identifiers under {', '.join(SPLIT_NAMES)}")
        splits: dict[str, Split] = {}
        for split in SPLIT_NAMES:
            doubled = sorted(splits.keys() & listed[split].keys())
            if doubled:
                logger.warning(
                    "%s: the published split has %s in %s and in an earlier part; "
                    "taken as %s alone, so that nothing of it is trained on",
                    self.name,
                    ", ".join(doubled),
                    split,
                    split,
                )
            splits |= dict.fromkeys(listed[split], split)
        return splits


class MP2018(_LeaderboardSource):
    """MP-crystals-2018.6.1, the Materials Project snapshot of MEGNet.

    Args:
        root: The data home; by default ``CRYSTAL_DATA_HOME``.

    Source:
        Chen et al., doi:10.1021/acs.chemmater.9b01294; split: doi:10.1038/s41524-024-01259-w.
    """

    dataset = "mp_2018"
    split_file = MEGNET_SPLIT

    def _structure(
        self, identifier: str, entry: Mapping[str, Any]
    ) -> tuple[str | Crystal, StructureFormat]:
        if not entry.get("structure"):
            raise InvalidCrystalError(identifier, Reason.EMPTY, "the entry has no structure")
        return str(entry["structure"]), "cif"


class JarvisDFT3D(_LeaderboardSource):
    """JARVIS-DFT 3D of 2021-08-18.

    Properties are those that the registry lists; values that the file gives as ``"na"`` are
    missing. Two ids stand twice in the published split, in train and in test: they are test.

    Args:
        root: The data home; by default ``CRYSTAL_DATA_HOME``.

    Source:
        Choudhary et al., doi:10.1038/s41524-020-00440-1; split: doi:10.1038/s41524-024-01259-w.
    """

    dataset = "jarvis_dft_3d"
    split_file = JARVIS_SPLIT
    # Both stand twice in the leaderboard's lists, hence in the file that these were made from.
    known_duplicates = frozenset({"JVASP-113961", "JVASP-116461"})

    def _structure(
        self, identifier: str, entry: Mapping[str, Any]
    ) -> tuple[str | Crystal, StructureFormat]:
        return crystal_from_jarvis(identifier, entry.get("atoms") or {}), "crystal"
