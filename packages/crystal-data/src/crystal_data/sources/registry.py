"""The public data sets: where they come from, whose they are, and what their columns mean."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from crystal_data.errors import InvalidArgumentError
from crystal_data.io.record import SPLIT_NAMES
from crystal_data.sources.download import RemoteFile
from crystal_data.sources.table_cells import Kind

_CDVAE = "https://raw.githubusercontent.com/txie-93/cdvae/main/data"
_DIFFCSP = "https://raw.githubusercontent.com/jiaor17/DiffCSP/main/data"
_LEADERBOARD = (
    "https://raw.githubusercontent.com/usnistgov/jarvis_leaderboard/"
    "57afc55f94c8a6f4562f73a3173968cd4b2f83b1/jarvis_leaderboard/benchmarks/AI/"
    "SinglePropertyPrediction"
)
_MATERIALS_PROJECT = "10.1063/1.4812323"
_JARVIS = "10.1038/s41524-020-00440-1"


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """One property of a data set.

    Args:
        unit: Such as ``"eV/atom"``; ``"1"`` for a number without dimension, empty for text.
        kind: What a cell holds.
        meaning: For people.
    """

    unit: str
    kind: Kind = "number"
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """What is known about a public data set before any of it is fetched.

    Args:
        name: Folder below the data home.
        description: For people.
        license: None where no statement of terms was found.
        citations: DOIs, or ``arXiv:`` numbers.
        files: What is fetched.
        columns: Properties by name.
        identifier: Column of the data set's own ids.
        rows: Structures in train, val and test of the whole public set.
    """

    name: str
    description: str
    license: str | None
    citations: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    columns: Mapping[str, ColumnInfo] = field(default_factory=dict)
    identifier: str = "material_id"
    rows: tuple[int, int, int] | None = None

    @property
    def units(self) -> dict[str, str]:
        """Unit of each property that has one."""
        return {name: column.unit for name, column in self.columns.items() if column.unit}


def _csv_files(name: str, base: str | None) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(f"{name}/{split}.csv", (f"{base}/{name}/{split}.csv",) if base else ())
        for split in SPLIT_NAMES
    )


_EV_PER_ATOM = ColumnInfo("eV/atom")
_TEXT = ColumnInfo("", "text")

MEGNET_SPLIT = RemoteFile(
    "splits/megnet_e_form.json.zip",
    (f"{_LEADERBOARD}/megnet_e_form.json.zip",),
    size=801_781,
    sha256="da8612889b31ac223465011c07d19ad1649802c4fa17aeaa515b3c53b6c60ddf",
)
JARVIS_SPLIT = RemoteFile(
    "splits/dft_3d_formation_energy_peratom.json.zip",
    (f"{_LEADERBOARD}/dft_3d_formation_energy_peratom.json.zip",),
    size=408_864,
    sha256="ffaef5d3512a29c93f005c8b9f014b467dfa561b1c23632524ff91bbfa6f759f",
)

_ALL = (
    DatasetInfo(
        name="mp_20",
        description="Materials Project crystals with at most 20 atoms in the primitive cell",
        license="CC BY 4.0 (Materials Project); files published with CDVAE (MIT)",
        citations=("arXiv:2110.06197", _MATERIALS_PROJECT),
        files=_csv_files("mp_20", _CDVAE),
        columns={
            "formation_energy_per_atom": _EV_PER_ATOM,
            "band_gap": ColumnInfo("eV", meaning="PBE"),
            "e_above_hull": ColumnInfo("eV/atom", meaning="energy above the convex hull"),
            "spacegroup.number": ColumnInfo("1"),
            "pretty_formula": _TEXT,
            "elements": _TEXT,
        },
        rows=(27_136, 9_047, 9_046),
    ),
    DatasetInfo(
        name="perov_5",
        description="ABX3 perovskites of five atoms; many rows of different splits share a formula",
        license=None,
        citations=("arXiv:2110.06197", "10.1039/c2ee22341d", "10.1039/c1ee02717d"),
        files=_csv_files("perov_5", _CDVAE),
        columns={
            "heat_all": ColumnInfo("eV/atom", meaning="heat of formation, as published"),
            "heat_ref": ColumnInfo(
                "eV/atom", meaning="heat of formation against references, as published"
            ),
            "dir_gap": ColumnInfo("eV", meaning="direct band gap"),
            "ind_gap": ColumnInfo("eV", meaning="indirect band gap"),
            "formula": _TEXT,
        },
        rows=(11_356, 3_787, 3_785),
    ),
    DatasetInfo(
        name="carbon_24",
        description="Carbon of 6 to 24 atoms in the cell, from random searching at 10 GPa",
        license=None,
        citations=("arXiv:2110.06197", "10.24435/materialscloud:2020.0026/v1"),
        files=_csv_files("carbon_24", _CDVAE),
        columns={"energy_per_atom": _EV_PER_ATOM, "formula": _TEXT},
        rows=(6_091, 2_032, 2_030),
    ),
    DatasetInfo(
        name="mpts_52",
        description="Materials Project crystals of at most 52 atoms, split by year of discovery",
        license="CC BY 4.0 (Materials Project); files published with DiffCSP (MIT)",
        citations=("arXiv:2309.04475", "10.21105/joss.05618", _MATERIALS_PROJECT),
        files=_csv_files("mpts_52", _DIFFCSP),
        columns={
            "formation_energy_per_atom": _EV_PER_ATOM,
            "energy_above_hull": _EV_PER_ATOM,
            "year": ColumnInfo("1", meaning="earliest publication"),
            "theoretical": ColumnInfo("1", meaning="1 if the crystal has not been made"),
        },
        rows=(27_380, 5_000, 8_096),
    ),
    DatasetInfo(
        name="mp_2018",
        description="MP-crystals-2018.6.1 of MEGNet, with the fixed ids of the JARVIS leaderboard",
        license="CC BY 4.0 (Materials Project)",
        citations=("10.1021/acs.chemmater.9b01294", "10.1038/s41524-024-01259-w"),
        files=(
            RemoteFile(
                "mp_2018/mp.2018.6.1.json.zip",
                ("https://figshare.com/ndownloader/files/15087992",),
            ),
            MEGNET_SPLIT,
        ),
        columns={
            "formation_energy_per_atom": _EV_PER_ATOM,
            "band_gap": ColumnInfo("eV", meaning="PBE"),
        },
        rows=(60_000, 5_000, 4_239),
    ),
    DatasetInfo(
        name="jarvis_dft_3d",
        description=(
            "JARVIS-DFT 3D of 2021-08-18, with the fixed ids of the JARVIS leaderboard; "
            "two ids that stand in its train and in its test are test alone"
        ),
        license=None,
        citations=(_JARVIS, "10.6084/m9.figshare.6815699", "10.1038/s41524-024-01259-w"),
        files=(
            RemoteFile(
                "jarvis_dft_3d/jdft_3d-8-18-2021.json.zip",
                ("https://ndownloader.figshare.com/files/29204826",),
            ),
            JARVIS_SPLIT,
        ),
        columns={
            "formation_energy_peratom": _EV_PER_ATOM,
            "optb88vdw_total_energy": ColumnInfo("eV/atom", meaning="OptB88vdW total energy"),
            "optb88vdw_bandgap": ColumnInfo("eV", meaning="OptB88vdW"),
            "mbj_bandgap": ColumnInfo("eV", meaning="TB-mBJ"),
            "ehull": ColumnInfo("eV/atom", meaning="energy above the convex hull"),
            "bulk_modulus_kv": ColumnInfo("GPa", meaning="Voigt"),
            "shear_modulus_gv": ColumnInfo("GPa", meaning="Voigt"),
            "magmom_oszicar": ColumnInfo("μB", meaning="magnetic moment of the cell"),
            "slme": ColumnInfo("%", meaning="spectroscopic limited maximum efficiency"),
            "spillage": ColumnInfo("1", meaning="spin-orbit spillage"),
            "epsx": ColumnInfo("1", meaning="OptB88vdW dielectric constant along x"),
            "epsy": ColumnInfo("1", meaning="OptB88vdW dielectric constant along y"),
            "epsz": ColumnInfo("1", meaning="OptB88vdW dielectric constant along z"),
            "formula": _TEXT,
            "dimensionality": _TEXT,
        },
        identifier="jid",
        rows=(44_567, 5_572, 5_572),
    ),
    DatasetInfo(
        name="jarvis_supercon",
        description="Structures of the JARVIS superconductor benchmark with JARVIS-DFT properties",
        license=None,
        citations=("10.1038/s41524-022-00933-1", _JARVIS),
        files=_csv_files("jarvis_supercon", None),
        columns={
            "Tc_supercon": ColumnInfo("K", meaning="critical temperature"),
            "formation_energy_peratom": _EV_PER_ATOM,
            "optb88vdw_bandgap": ColumnInfo("eV", meaning="OptB88vdW"),
            "bulk_modulus_kv": ColumnInfo("GPa", meaning="Voigt"),
            "shear_modulus_gv": ColumnInfo("GPa", meaning="Voigt"),
            "ehull": ColumnInfo("eV/atom", meaning="energy above the convex hull"),
            "phonon_dos": ColumnInfo("1", "vector", "66 bins, largest value 1"),
            "formula": _TEXT,
        },
        rows=(846, 105, 105),
    ),
)
_BY_NAME = {info.name: info for info in _ALL}


def available() -> tuple[str, ...]:
    """Names of the public data sets."""
    return tuple(_BY_NAME)


def describe(name: str) -> DatasetInfo:
    """What is known about a public data set.

    Raises:
        InvalidArgumentError: If there is none of this name, with the nearest one.
    """
    if name not in _BY_NAME:
        near = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise InvalidArgumentError(f"no data set {name!r}{hint} Known: {', '.join(_BY_NAME)}")
    return _BY_NAME[name]
