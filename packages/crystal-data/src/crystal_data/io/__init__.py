"""Reading and writing crystals."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_data.io.ase import from_ase as from_ase
    from crystal_data.io.ase import to_ase as to_ase
    from crystal_data.io.ase import to_extxyz as to_extxyz
    from crystal_data.io.checked_lines import LineFile as LineFile
    from crystal_data.io.checked_lines import checked_line as checked_line
    from crystal_data.io.checked_lines import read_checked_lines as read_checked_lines
    from crystal_data.io.cif import parse_cif as parse_cif
    from crystal_data.io.cif import to_cif as to_cif
    from crystal_data.io.csv_cells import read_cell as read_cell
    from crystal_data.io.csv_cells import read_csv as read_csv
    from crystal_data.io.distances import check_distances as check_distances
    from crystal_data.io.distances import nearest_distances as nearest_distances
    from crystal_data.io.files import atomic_path as atomic_path
    from crystal_data.io.files import csv_text as csv_text
    from crystal_data.io.files import write_text as write_text
    from crystal_data.io.options import ReadOptions as ReadOptions
    from crystal_data.io.own_files import DamagedFileError as DamagedFileError
    from crystal_data.io.own_files import read_json as read_json
    from crystal_data.io.own_files import read_number as read_number
    from crystal_data.io.own_files import read_rows as read_rows
    from crystal_data.io.own_files import read_yaml as read_yaml
    from crystal_data.io.parse import parse_record as parse_record
    from crystal_data.io.parse import parse_records as parse_records
    from crystal_data.io.poscar import parse_poscar as parse_poscar
    from crystal_data.io.poscar import to_poscar as to_poscar
    from crystal_data.io.pymatgen import from_pymatgen as from_pymatgen
    from crystal_data.io.pymatgen import from_pymatgen_dict as from_pymatgen_dict
    from crystal_data.io.pymatgen import parse_json as parse_json
    from crystal_data.io.pymatgen import to_json as to_json
    from crystal_data.io.pymatgen import to_pymatgen as to_pymatgen
    from crystal_data.io.read import CrystalInput as CrystalInput
    from crystal_data.io.read import ReadResult as ReadResult
    from crystal_data.io.read import read_crystals as read_crystals
    from crystal_data.io.record import Record as Record
    from crystal_data.io.records import iter_records as iter_records
    from crystal_data.io.rejected import REJECTED as REJECTED
    from crystal_data.io.rejected import read_rejected as read_rejected
    from crystal_data.io.rejected import write_rejected as write_rejected
    from crystal_data.io.rejected import write_rejected_if_any as write_rejected_if_any
    from crystal_data.io.write import WrittenCrystals as WrittenCrystals
    from crystal_data.io.write import write_crystals as write_crystals

# ASE and pymatgen are slow to import and are loaded by the functions that need them.
_EXPORTS = {
    "LineFile": "crystal_data.io.checked_lines",
    "checked_line": "crystal_data.io.checked_lines",
    "read_checked_lines": "crystal_data.io.checked_lines",
    "CrystalInput": "crystal_data.io.read",
    "DamagedFileError": "crystal_data.io.own_files",
    "REJECTED": "crystal_data.io.rejected",
    "ReadOptions": "crystal_data.io.options",
    "ReadResult": "crystal_data.io.read",
    "Record": "crystal_data.io.record",
    "WrittenCrystals": "crystal_data.io.write",
    "atomic_path": "crystal_data.io.files",
    "check_distances": "crystal_data.io.distances",
    "nearest_distances": "crystal_data.io.distances",
    "csv_text": "crystal_data.io.files",
    "from_ase": "crystal_data.io.ase",
    "from_pymatgen": "crystal_data.io.pymatgen",
    "from_pymatgen_dict": "crystal_data.io.pymatgen",
    "iter_records": "crystal_data.io.records",
    "parse_cif": "crystal_data.io.cif",
    "parse_json": "crystal_data.io.pymatgen",
    "parse_poscar": "crystal_data.io.poscar",
    "parse_record": "crystal_data.io.parse",
    "parse_records": "crystal_data.io.parse",
    "read_cell": "crystal_data.io.csv_cells",
    "read_crystals": "crystal_data.io.read",
    "read_csv": "crystal_data.io.csv_cells",
    "read_json": "crystal_data.io.own_files",
    "read_number": "crystal_data.io.own_files",
    "read_rejected": "crystal_data.io.rejected",
    "read_rows": "crystal_data.io.own_files",
    "read_yaml": "crystal_data.io.own_files",
    "to_ase": "crystal_data.io.ase",
    "to_cif": "crystal_data.io.cif",
    "to_extxyz": "crystal_data.io.ase",
    "to_json": "crystal_data.io.pymatgen",
    "to_poscar": "crystal_data.io.poscar",
    "to_pymatgen": "crystal_data.io.pymatgen",
    "write_crystals": "crystal_data.io.write",
    "write_rejected": "crystal_data.io.rejected",
    "write_rejected_if_any": "crystal_data.io.rejected",
    "write_text": "crystal_data.io.files",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
