"""Crystals, data sets, graphs, batches, symmetry and metrics for machine learning."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.builtin.source import BuiltinSource as BuiltinSource
    from crystal_data.crystal import Crystal as Crystal
    from crystal_data.crystal import Trajectory as Trajectory
    from crystal_data.elements import ATOMIC_NUMBERS as ATOMIC_NUMBERS
    from crystal_data.elements import ELECTRONEGATIVITY as ELECTRONEGATIVITY
    from crystal_data.elements import SYMBOLS as SYMBOLS
    from crystal_data.errors import CrystalError as CrystalError
    from crystal_data.errors import InvalidCrystalError as InvalidCrystalError
    from crystal_data.errors import Reason as Reason
    from crystal_data.errors import Rejection as Rejection
    from crystal_data.field import Field as Field
    from crystal_data.graphs.batch import CrystalBatch as CrystalBatch
    from crystal_data.graphs.neighbors import neighbor_list as neighbor_list
    from crystal_data.graphs.spec import GraphSpec as GraphSpec
    from crystal_data.io.ase import from_ase as from_ase
    from crystal_data.io.ase import to_ase as to_ase
    from crystal_data.io.cif import parse_cif as parse_cif
    from crystal_data.io.cif import to_cif as to_cif
    from crystal_data.io.options import ReadOptions as ReadOptions
    from crystal_data.io.pymatgen import from_pymatgen as from_pymatgen
    from crystal_data.io.pymatgen import to_pymatgen as to_pymatgen
    from crystal_data.io.read import ReadResult as ReadResult
    from crystal_data.io.read import read_crystals as read_crystals
    from crystal_data.io.record import Record as Record
    from crystal_data.io.write import write_crystals as write_crystals
    from crystal_data.loading.datamodule import CrystalDataModule as CrystalDataModule
    from crystal_data.sources.base import CrystalSource as CrystalSource
    from crystal_data.sources.file import FileSource as FileSource
    from crystal_data.sources.folder import FolderSource as FolderSource
    from crystal_data.sources.joined import JoinedSource as JoinedSource
    from crystal_data.sources.public import MP20 as MP20
    from crystal_data.sources.public import MP2018 as MP2018
    from crystal_data.sources.public import MPTS52 as MPTS52
    from crystal_data.sources.public import Carbon24 as Carbon24
    from crystal_data.sources.public import JarvisDFT3D as JarvisDFT3D
    from crystal_data.sources.public import JarvisSupercon as JarvisSupercon
    from crystal_data.sources.public import Perov5 as Perov5
    from crystal_data.sources.table import TableSource as TableSource
    from crystal_data.sources.threshold import ThresholdSource as ThresholdSource
    from crystal_data.splits.exclusion import EvaluationSet as EvaluationSet
    from crystal_data.splits.folds import KFoldSplit as KFoldSplit
    from crystal_data.splits.split import ColumnSplit as ColumnSplit
    from crystal_data.splits.split import IdSplit as IdSplit
    from crystal_data.splits.split import RatioSplit as RatioSplit
    from crystal_data.splits.split import TrainWithin as TrainWithin
    from crystal_data.store.build import open_store as open_store
    from crystal_data.store.store import CrystalStore as CrystalStore
    from crystal_data.symmetry.space_group import find_symmetry as find_symmetry
    from crystal_data.symmetry.symmetric import SymmetricCrystal as SymmetricCrystal

# Heavy parts load on first use, so that `crystal-data --help` stays quick.
_EXPORTS = {
    "ELECTRONEGATIVITY": "crystal_data.elements",
    "ATOMIC_NUMBERS": "crystal_data.elements",
    "SYMBOLS": "crystal_data.elements",
    "BuiltinSource": "crystal_data.builtin.source",
    "Carbon24": "crystal_data.sources.public",
    "ColumnSplit": "crystal_data.splits.split",
    "Crystal": "crystal_data.crystal",
    "CrystalBatch": "crystal_data.graphs.batch",
    "CrystalDataModule": "crystal_data.loading.datamodule",
    "CrystalError": "crystal_data.errors",
    "CrystalSource": "crystal_data.sources.base",
    "CrystalStore": "crystal_data.store.store",
    "EvaluationSet": "crystal_data.splits.exclusion",
    "Field": "crystal_data.field",
    "FileSource": "crystal_data.sources.file",
    "FolderSource": "crystal_data.sources.folder",
    "GraphSpec": "crystal_data.graphs.spec",
    "IdSplit": "crystal_data.splits.split",
    "InvalidCrystalError": "crystal_data.errors",
    "JarvisDFT3D": "crystal_data.sources.public",
    "JoinedSource": "crystal_data.sources.joined",
    "JarvisSupercon": "crystal_data.sources.public",
    "KFoldSplit": "crystal_data.splits.folds",
    "MP20": "crystal_data.sources.public",
    "MP2018": "crystal_data.sources.public",
    "MPTS52": "crystal_data.sources.public",
    "Perov5": "crystal_data.sources.public",
    "RatioSplit": "crystal_data.splits.split",
    "ReadOptions": "crystal_data.io.options",
    "ReadResult": "crystal_data.io.read",
    "Reason": "crystal_data.errors",
    "Record": "crystal_data.io.record",
    "Rejection": "crystal_data.errors",
    "SymmetricCrystal": "crystal_data.symmetry.symmetric",
    "TableSource": "crystal_data.sources.table",
    "ThresholdSource": "crystal_data.sources.threshold",
    "TrainWithin": "crystal_data.splits.split",
    "Trajectory": "crystal_data.crystal",
    "find_symmetry": "crystal_data.symmetry.space_group",
    "from_ase": "crystal_data.io.ase",
    "from_pymatgen": "crystal_data.io.pymatgen",
    "neighbor_list": "crystal_data.graphs.neighbors",
    "open_store": "crystal_data.store.build",
    "parse_cif": "crystal_data.io.cif",
    "read_crystals": "crystal_data.io.read",
    "to_ase": "crystal_data.io.ase",
    "to_cif": "crystal_data.io.cif",
    "to_pymatgen": "crystal_data.io.pymatgen",
    "write_crystals": "crystal_data.io.write",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
