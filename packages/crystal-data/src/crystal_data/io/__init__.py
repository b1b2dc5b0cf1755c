"""Reading and writing crystals."""

from importlib import import_module

# ASE and pymatgen are slow to import and are loaded by the functions that need them.
_EXPORTS = {
    "CrystalInput": "crystal_data.io.read",
    "ReadResult": "crystal_data.io.read",
    "WrittenCrystals": "crystal_data.io.write",
    "check_distances": "crystal_data.io.distances",
    "from_ase": "crystal_data.io.ase",
    "from_pymatgen": "crystal_data.io.pymatgen",
    "from_pymatgen_dict": "crystal_data.io.pymatgen",
    "iter_records": "crystal_data.io.read",
    "parse_cif": "crystal_data.io.cif",
    "parse_json": "crystal_data.io.pymatgen",
    "parse_poscar": "crystal_data.io.poscar",
    "parse_record": "crystal_data.io.parse",
    "parse_records": "crystal_data.io.parse",
    "read_crystals": "crystal_data.io.read",
    "read_rejected": "crystal_data.io.rejected",
    "to_ase": "crystal_data.io.ase",
    "to_cif": "crystal_data.io.cif",
    "to_extxyz": "crystal_data.io.ase",
    "to_json": "crystal_data.io.pymatgen",
    "to_poscar": "crystal_data.io.poscar",
    "to_pymatgen": "crystal_data.io.pymatgen",
    "write_crystals": "crystal_data.io.write",
    "write_rejected": "crystal_data.io.rejected",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
