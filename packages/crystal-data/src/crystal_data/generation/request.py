"""What is asked of a generator: one value, checked against symmetry when it is made."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from difflib import get_close_matches
from functools import cached_property, partial
from math import gcd, isfinite
from types import MappingProxyType
from typing import Any, Self

from crystal_data.crystal import Crystal
from crystal_data.generation.assignment import centring
from crystal_data.generation.checks import (
    atoms_on,
    check_group,
    check_size,
    primitive_z,
    z_on_sites,
)
from crystal_data.generation.words import (
    RequestError,
    check_element,
    check_space_group,
    formula_of,
    parse_composition,
    parse_elements,
    parse_space_group,
)
from crystal_data.generation.wyckoff_sites import WyckoffSite, parse_sites, sites_text
from crystal_data.symmetry.wyckoff import space_group_symbol

_NO_GROUP = "Wyckoff positions are given without a space group; give both"
_Z = "z_conventional"  # an argument that is no field


@dataclass(frozen=True)
class Quantity:
    """A number with its unit.

    Args:
        value: Finite.
        unit: Such as ``"eV"``; empty for the unit that the generator was trained in.
    """

    value: float
    unit: str = ""

    def __post_init__(self) -> None:
        if not isfinite(self.value):
            raise RequestError(f"{self.value} is no value of a property; give a finite number")

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}".strip()


@dataclass(frozen=True, eq=False, kw_only=True)
class GenerationRequest:
    """A wish for crystals. A formula, elements, Wyckoff positions or a start are needed.

    A request that exists is possible: its atoms can be put on Wyckoff positions of its group.

    Args:
        id: Names the request in tables and files; by default what is asked, such as
            ``LiMn2O4-z2-Fd-3m``.
        formula: Atoms of one formula unit, as written: ``Li2Mn4O8`` is two of ``LiMn2O4``.
        elements: Symbols from which the generator makes the composition itself.
        z: Formula units of the **primitive** cell; None leaves it to the generator.
        space_group: 1 to 230; None leaves it to the generator.
        wyckoff: Occupied orbits in the standard setting. With elements on them, formula and z
            follow, where they are not given.
        properties: Wanted values by name.
        start: A structure to begin from.
        num_samples: Structures that are wanted, numbered from 0.
        seed: Of all samples; see :func:`sample_seed`.
        z_conventional: Formula units of the conventional cell, in place of ``z``.

    Raises:
        RequestError: Saying what cannot be met, and the nearest request that could.
    """

    id: str = ""
    formula: str = ""
    elements: tuple[str, ...] = ()
    z: int | None = None
    space_group: int | None = None
    wyckoff: tuple[WyckoffSite, ...] = ()
    properties: Mapping[str, Quantity] = field(default_factory=dict)
    start: Crystal | None = None
    num_samples: int = 1
    seed: int = 0
    z_conventional: InitVar[int | None] = None

    def __post_init__(self, z_conventional: int | None) -> None:
        for name in ("elements", "space_group", "wyckoff"):
            value = getattr(self, name)
            if isinstance(value, str):
                raise RequestError(
                    f"{name} is the text '{value}'; GenerationRequest.from_dict reads texts"
                )
        if self.start is not None and not isinstance(self.start, Crystal):
            raise RequestError(f"start is a {type(self.start).__name__}; give a Crystal")
        self._set("elements", tuple(self.elements))
        self._set("wyckoff", tuple(self.wyckoff))
        self._set("properties", MappingProxyType(dict(self.properties)))
        if not self.id.isprintable() or self.id != self.id.strip():
            raise RequestError(f"the id {self.id!r} has characters that are not seen; remove them")
        try:
            self._check_words()
            self._check_numbers(z_conventional)
            self._check_symmetry(z_conventional)
        except RequestError as error:
            raise RequestError(f"request {self.id}: {error}" if self.id else str(error)) from None
        self._set("id", self.id or self._default_id())

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_words(self) -> None:
        for symbol in self.elements:
            check_element(symbol, "elements")
        if not (self.formula or self.elements or self.wyckoff or self.start):
            raise RequestError(
                "nothing is asked for; give a formula, elements, Wyckoff positions or a structure "
                "to start from"
            )
        if self.formula and self.elements:
            raise RequestError("formula and elements are both given; give one of the two")

    def _check_numbers(self, z_conventional: int | None) -> None:
        for name, value, least in (
            ("z", self.z, 1),
            ("z_conventional", z_conventional, 1),
            ("num_samples", self.num_samples, 1),
            ("seed", self.seed, 0),
        ):
            if value is not None and (not isinstance(value, int) or value < least):
                raise RequestError(f"{name} is {value}; expected a whole number from {least}")
        if self.z is not None and z_conventional is not None:
            raise RequestError("z and z_conventional are both given; give one of the two")
        if z_conventional is not None and self.space_group is None:
            raise RequestError("z_conventional is given without a space group; give both, or z")
        if (self.z or z_conventional) and not (self.formula or self.wyckoff):
            raise RequestError("z is given without a formula; give both, or none")

    def _check_symmetry(self, z_conventional: int | None) -> None:
        group, sites = self.space_group, self.wyckoff
        if group is not None:
            check_space_group(group)
            if z_conventional is not None:
                self._set("z", primitive_z(group, z_conventional))
            atoms = atoms_on(group, sites)
            if sites and sites[0].element and not self.formula:
                factor = gcd(*atoms.values())
                self._set("formula", formula_of({s: n // factor for s, n in atoms.items()}))
        elif sites:
            raise RequestError(_NO_GROUP)
        if not self.composition:
            return
        if self.z:
            check_size(self.formula, self.composition, self.z)
        if group is not None and sites:
            self._set("z", z_on_sites(group, sites, self.formula, self.composition, self.z))
        elif group is not None and self.z:
            check_group(group, self.composition, self.z)

    def _default_id(self) -> str:
        parts = [self.formula or "-".join(self.elements)]
        if not parts[0] and self.start is not None:
            parts = [self.start.identifier or self.start.formula]
        parts += [f"z{self.z}"] if self.z else []
        parts += [space_group_symbol(self.space_group)] if self.space_group else []
        parts += ["".join(site.letter for site in self.wyckoff)]
        parts += [f"{name}={wanted.value:g}" for name, wanted in self.properties.items()]
        return "-".join(filter(None, parts))

    @cached_property
    def composition(self) -> dict[str, int]:
        """Atoms of one formula unit by symbol; empty where no formula is asked."""
        return parse_composition(self.formula) if self.formula else {}

    @property
    def centring(self) -> int:
        """Primitive cells in the conventional cell: 1, 2, 3 or 4; 1 without a space group."""
        return centring(self.space_group) if self.space_group else 1

    @property
    def cell(self) -> dict[str, int]:
        """Atoms of the primitive cell by symbol; empty where formula or z are open."""
        z = self.z
        return {symbol: n * z for symbol, n in self.composition.items()} if z else {}

    @property
    def conventional_cell(self) -> dict[str, int]:
        """Atoms of the conventional cell; without a space group those of the primitive one."""
        return {symbol: n * self.centring for symbol, n in self.cell.items()}

    def as_dict(self) -> dict[str, Any]:
        """Plain values, without those that are not asked; :meth:`from_dict` reads them."""
        values: dict[str, Any] = {"id": self.id}
        if self.formula:
            values["formula"] = self.formula
        if self.elements:
            values["elements"] = "-".join(self.elements)
        if self.z:
            values["z"] = self.z
        if self.space_group:
            values["space_group"] = self.space_group
            if self.wyckoff:
                values["wyckoff"] = sites_text(self.wyckoff, self.space_group)
        if self.properties:
            values["properties"] = {
                name: {"value": wanted.value, "unit": wanted.unit}
                for name, wanted in self.properties.items()
            }
        if self.start is not None:
            values["start"] = {
                "identifier": self.start.identifier,
                "lattice": self.start.lattice.tolist(),
                "frac_coords": self.start.frac_coords.tolist(),
                "atomic_numbers": self.start.atomic_numbers.tolist(),
            }
        return {**values, "num_samples": self.num_samples, "seed": self.seed}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """A request from plain values.

        Args:
            values: As of :meth:`as_dict`. ``elements`` is text such as ``"Li-Mn-O"``,
                ``space_group`` also a symbol such as ``"Fd-3m"``, ``wyckoff`` text such as
                ``"Li:8a Mn:16d O:32e"`` or ``"8a 16d 32e"``, ``start`` also a ``Crystal``, each of
                ``properties`` also a number without a unit.

        Raises:
            RequestError: If it has a name that no request has, or cannot be met.
        """
        given = dict(values)
        name = " ".join(str(given.get("id", "")).split())
        try:
            _check_names(given, list(cls.__dataclass_fields__))
            if given.get("space_group") is not None:
                given["space_group"] = parse_space_group(given["space_group"])
            if "elements" in given:
                given["elements"] = parse_elements(given["elements"])
            if "wyckoff" in given:
                if given.get("space_group") is None:
                    raise RequestError(_NO_GROUP)
                given["wyckoff"] = parse_sites(given["wyckoff"], given["space_group"])
            if isinstance(given.get("start"), Mapping):
                given["start"] = Crystal(**given["start"])
            wanted = given.pop("properties", {})
            given["properties"] = {key: _quantity(key, value) for key, value in wanted.items()}
        except RequestError as error:
            raise RequestError(f"request {name}: {error}" if name else str(error)) from None
        return cls(**given)

    @cached_property
    def key(self) -> str:
        """Hash of all that decides about a sample: everything but the number of samples."""
        content = {name: value for name, value in self.as_dict().items() if name != "num_samples"}
        text = json.dumps(content, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        # A MappingProxyType does not pickle, so the request travels as its arguments.
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != _Z}
        return partial(type(self), **{**values, "properties": dict(self.properties)}), ()

    def __repr__(self) -> str:
        return f"<GenerationRequest {self.id}, {self.num_samples} samples>"


def _quantity(name: str, given: Any) -> Quantity:
    value = given if isinstance(given, Mapping) else {"value": given}
    try:
        return Quantity(float(value["value"]), str(value.get("unit", "")))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, RequestError):
            raise
        raise RequestError(
            f"property {name} is {given!r}; give a number, or value and unit"
        ) from None


def _check_names(given: Mapping[str, Any], names: list[str]) -> None:
    for name in given:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"it has {', '.join(names)}"
            raise RequestError(f"a request has no '{name}'; {hint}")
