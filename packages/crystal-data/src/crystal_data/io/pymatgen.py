"""Pymatgen's ``Structure`` and its JSON form to crystals and back."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crystal_data.crystal import Crystal, lattice_from_parameters
from crystal_data.errors import InvalidCrystalError, Reason
from crystal_data.io.ase import check_periodic
from crystal_data.io.ase_json import crystal_from_ase_json, is_ase_json
from crystal_data.io.distances import check_distances
from crystal_data.io.options import DEFAULT, ReadOptions
from crystal_data.io.site_lists import crystal_from_jarvis, is_jarvis
from crystal_data.io.sites import crystal_from_symbols

if TYPE_CHECKING:
    from pymatgen.core.structure import Structure

_PARAMETERS = ("a", "b", "c", "alpha", "beta", "gamma")


def from_pymatgen(
    structure: "Structure",
    identifier: str = "",
    options: ReadOptions = DEFAULT,
) -> Crystal:
    """A crystal of a pymatgen ``Structure``; coordinates keep their images.

    Args:
        structure: Charges, spins and site properties are left behind; its ``properties`` stay.
        identifier: The crystal's; by default the property ``identifier``.
        options: How to read.

    Raises:
        InvalidCrystalError: With the reason, if the structure does not make a crystal.
    """
    check_periodic(structure.lattice.pbc, identifier)
    sites = list(structure)
    species = [[(str(s.symbol), float(x)) for s, x in site.species.items()] for site in sites]
    return _from_parts(
        identifier,
        structure.lattice.matrix,
        [site.frac_coords for site in sites],
        species,
        [str(site.label) for site in sites],
        structure.properties,
        options=options,
    )


def to_pymatgen(crystal: Crystal) -> "Structure":
    """A pymatgen ``Structure`` with the crystal's properties; the identifier is one of them."""
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    return Structure(
        Lattice(crystal.lattice),
        crystal.species,
        crystal.frac_coords,
        properties=_properties(crystal),
    )


def from_pymatgen_dict(
    values: Mapping[str, Any],
    identifier: str = "",
    options: ReadOptions = DEFAULT,
) -> Crystal:
    """A crystal of ``Structure.as_dict()``, read without pymatgen.

    Args:
        values: With ``lattice`` and ``sites``.
        identifier: The crystal's; by default the property ``identifier``.
        options: How to read.

    Raises:
        InvalidCrystalError: With the reason, if the dict does not make a crystal.
    """
    if not isinstance(values, Mapping):
        detail = f"a {type(values).__name__} is no pymatgen structure, a dict was expected"
        raise InvalidCrystalError(identifier, Reason.UNREADABLE, detail)
    for key, reason in (("lattice", Reason.NO_CELL), ("sites", Reason.NO_ATOMS)):
        if not values.get(key):
            raise InvalidCrystalError(identifier, reason, f"the structure has no {key!r}")
    try:
        cell = values["lattice"]
        lattice = np.array(cell.get("matrix") or _matrix(cell), dtype=np.float64).reshape(3, 3)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        detail = f"'lattice' is no cell: {error}"
        raise InvalidCrystalError(identifier, Reason.BAD_CELL, detail) from error
    pbc = cell.get("pbc")
    if isinstance(pbc, list) and len(pbc) == 3 and not all(pbc):
        check_periodic(pbc, identifier)
    try:
        sites = values["sites"]
        coords = np.array([site["abc"] for site in sites], dtype=np.float64).reshape(-1, 3)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        detail = f"a site has no three numbers under 'abc': {error}"
        raise InvalidCrystalError(identifier, Reason.BAD_COORDINATES, detail) from error
    try:
        species = [[(str(s["element"]), float(s["occu"])) for s in x["species"]] for x in sites]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        detail = f"a site has no element and occupancy under 'species': {error}"
        raise InvalidCrystalError(identifier, Reason.UNKNOWN_ELEMENT, detail) from error
    named = zip(sites, species, strict=True)
    labels = [str(x.get("label") or "".join(symbol for symbol, _ in shares)) for x, shares in named]
    properties = values.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    return _from_parts(
        identifier,
        lattice,
        coords,
        species,
        labels,
        properties,
        options=options,
    )


def _matrix(cell: Mapping[str, Any]) -> Any:
    parameters = [float(cell[name]) for name in _PARAMETERS]
    return lattice_from_parameters(parameters[:3], parameters[3:])


def _from_parts(
    identifier: str,
    lattice: Any,
    frac_coords: Any,
    species: list[list[tuple[str, float]]],
    labels: list[str],
    properties: Mapping[str, Any] | None,
    options: ReadOptions,
) -> Crystal:
    kept = dict(properties or {})
    name = identifier or str(kept.get("identifier", ""))
    kept.pop("identifier", None)
    rows = [row for row, shares in enumerate(species) for _ in shares]
    flat = [share for shares in species for share in shares]
    full = all(len(shares) == 1 and shares[0][1] == 1.0 for shares in species)
    crystal = crystal_from_symbols(
        name,
        lattice,
        np.asarray(frac_coords, dtype=np.float64).reshape(-1, 3)[rows],
        [symbol for symbol, _ in flat],
        occupancies=None if full else [amount for _, amount in flat],
        properties=kept,
        options=replace(options, min_distance=0.0),
    )
    # Disorder that was resolved may have left out sites, so that places are not those of the file.
    names = [f"site {i} ({x})" for i, x in enumerate(labels, start=1)] if full else None
    check_distances(crystal, options.min_distance, names)
    return crystal


def parse_json(
    text: str,
    identifier: str = "",
    options: ReadOptions = DEFAULT,
) -> Crystal:
    """A crystal of the JSON text of ``Structure.as_dict()``; see ``from_pymatgen_dict``.

    Also of an ``Atoms`` of ASE or of JARVIS, which have no disorder.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = Reason.UNREADABLE if text.strip() else Reason.EMPTY
        raise InvalidCrystalError(identifier, reason, f"not JSON: {error}") from error
    if is_ase_json(values) or is_jarvis(values):
        read = crystal_from_ase_json if is_ase_json(values) else crystal_from_jarvis
        crystal = read(identifier, values)
        check_distances(crystal, options.min_distance)
        return crystal
    return from_pymatgen_dict(values, identifier, options)


def to_pymatgen_dict(crystal: Crystal) -> dict[str, Any]:
    """What ``Structure.from_dict`` reads, plain JSON values, with all digits."""
    cell = dict(zip(_PARAMETERS, (*crystal.lengths, *crystal.angles), strict=True))
    sites = [
        {
            "species": [{"element": symbol, "occu": 1}],
            "abc": abc,
            "properties": {},
            "label": symbol,
            "xyz": xyz,
        }
        for symbol, abc, xyz in zip(
            crystal.species, crystal.frac_coords.tolist(), crystal.cart_coords.tolist(), strict=True
        )
    ]
    return {
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {
            "matrix": crystal.lattice.tolist(),
            "pbc": [True, True, True],
            **{name: float(value) for name, value in cell.items()},
            "volume": crystal.volume,
        },
        "properties": _properties(crystal),
        "sites": sites,
    }


def to_json(crystal: Crystal) -> str:
    """The crystal as one line of pymatgen JSON."""
    return json.dumps(to_pymatgen_dict(crystal))


def _properties(crystal: Crystal) -> dict[str, Any]:
    values = {
        key: value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
        for key, value in crystal.properties.items()
    }
    return {"identifier": crystal.identifier, **values} if crystal.identifier else values
