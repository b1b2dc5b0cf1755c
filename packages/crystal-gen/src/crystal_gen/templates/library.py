"""Crystals to copy from: their orbits, by which each is made exactly."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from crystal_data.artifacts import Artifact, ArtifactError
from crystal_data.crystal import lattice_from_parameters
from crystal_data.errors import InvalidArgumentError
from crystal_data.store import CrystalStore, OrbitColumn
from crystal_data.symmetry import SymmetricCrystal, space_group_operations, wyckoff_positions

IntArray = NDArray[np.int64]

#: Arrays of a library, as `OrbitColumn` has them.
_ARRAYS = {
    "space_group_number": np.uint8,
    "lattice_parameters": np.float64,
    "num_orbits": np.int64,
    "atomic_numbers": np.uint8,
    "wyckoff": np.uint8,
    "frac_coords": np.float64,
}
_STEPS = 65_536  # of a coordinate in a compact file
_OF_ORBITS = ("atomic_numbers", "wyckoff", "frac_coords")


@dataclass(frozen=True, eq=False)
class TemplateLibrary:
    """Known crystals, to be copied with other elements.

    Made by :meth:`from_store` or :meth:`from_pretrained`. A crystal whose orbits could not be found
    has no space group and is kept atom by atom; it serves requests without symmetry alone.

    Args:
        identifiers: Of the crystals.
        space_group_number: 0 where it is not known; ``[num_templates]``.
        lattice_parameters: a, b, c (Å), α, β, γ (degrees) of the standard conventional cell, or of
            the cell as it was given; ``[num_templates, 6]``.
        num_orbits: Occupied orbits of each, or atoms; ``[num_templates]``.
        atomic_numbers: Of each orbit, those of all crystals end to end.
        wyckoff: Place of each orbit's letter among those of its group.
        frac_coords: A point of each orbit on the position's representative; ``[num_orbits, 3]``.
    """

    identifiers: Sequence[str]
    space_group_number: NDArray[np.uint8]
    lattice_parameters: NDArray[np.float64]
    num_orbits: IntArray
    atomic_numbers: NDArray[np.uint8]
    wyckoff: NDArray[np.uint8]
    frac_coords: NDArray[np.float64]

    @classmethod
    def from_store(
        cls,
        store: CrystalStore,
        rows: IntArray | None = None,
        *,
        symprec: float = 0.1,
        num_workers: int | None = None,
    ) -> Self:
        """The crystals of a store.

        Args:
            store: Of any data set. The orbits are computed once and kept there.
            rows: Which crystals; by default those of the split ``train``, or all where it has none.
            symprec: How far an atom may be from where an operation sends it, Å. Templates are
                copied as symmetry makes them, so small distortions are lost.
            num_workers: Processes that find orbits; see :meth:`CrystalStore.add_column`.

        Raises:
            InvalidArgumentError: If there are no rows.
        """
        if rows is None:
            rows = store.rows_of("train")
            rows = rows if len(rows) else np.arange(len(store))
        if not len(rows):
            raise InvalidArgumentError(
                "a library of templates needs at least one crystal", "choose other rows"
            )
        values = store.add_column(OrbitColumn(symprec), num_workers=num_workers)
        chunk = values.cut(rows)
        found, ends = chunk.arrays, np.cumsum(chunk.counts)
        parameters = np.array(found["lattice_parameters"])
        parts: list[tuple[NDArray[Any], ...]] = []
        for place, row in enumerate(rows.tolist()):
            orbits = slice(ends[place] - chunk.counts[place], ends[place])
            if found["space_group_number"][place]:
                numbers, wyckoff, points = (found[name][orbits] for name in _OF_ORBITS)
            else:
                crystal = store.crystal(row)
                parameters[place] = np.concatenate([crystal.lengths, crystal.angles])
                numbers, points = crystal.atomic_numbers, crystal.frac_coords
                wyckoff = np.zeros(len(numbers))
            parts.append((numbers, wyckoff, points))
        all_numbers, all_wyckoff, all_points = zip(*parts, strict=True)
        return cls(
            identifiers=tuple(store.strings("identifier").take(rows)),
            space_group_number=np.array(found["space_group_number"], dtype=np.uint8),
            lattice_parameters=parameters,
            num_orbits=np.array([len(each) for each in all_numbers], dtype=np.int64),
            atomic_numbers=np.concatenate(all_numbers).astype(np.uint8),
            wyckoff=np.concatenate(all_wyckoff).astype(np.uint8),
            frac_coords=np.concatenate(all_points).astype(np.float64),
        )

    @classmethod
    def join(cls, libraries: Sequence[Self]) -> Self:
        """All templates of several libraries, in order.

        One whose identifier and atoms an earlier one has is left out.

        Args:
            libraries: At least one.

        Raises:
            InvalidArgumentError: If there is none.
        """
        if not libraries:
            raise InvalidArgumentError("there are no libraries to join; give at least one")
        joined = cls(
            identifiers=tuple(name for each in libraries for name in each.identifiers),
            **{
                name: np.concatenate([getattr(each, name) for each in libraries])
                for name in _ARRAYS
            },
        )
        seen: set[tuple[str, bytes]] = set()
        kept = []
        for row, name in enumerate(joined.identifiers):
            key = (name, joined.atoms_of(row).tobytes())
            if not name or key not in seen:
                kept.append(row)
            seen.add(key)
        return joined if len(kept) == len(joined) else joined.take(np.array(kept))

    def take(self, rows: IntArray) -> Self:
        """The library of some of the templates.

        Args:
            rows: Which, in the new order.

        Raises:
            InvalidArgumentError: If there are no rows.
        """
        if not len(rows):
            raise InvalidArgumentError(
                "no template is left; a library needs at least one",
                "exclude less, or allow more atoms",
            )
        counts = self.num_orbits[rows]
        # Of each orbit that is taken: its template's first orbit, and its place among those.
        places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        orbits = np.repeat(self._ends[rows] - counts, counts) + places
        return type(self)(
            identifiers=tuple(self.identifiers[row] for row in rows.tolist()),
            **{
                name: getattr(self, name)[orbits if name in _OF_ORBITS else rows]
                for name in _ARRAYS
            },
        )

    def __len__(self) -> int:
        return len(self.num_orbits)

    def __repr__(self) -> str:
        unknown = int((self.space_group_number == 0).sum())
        return f"<TemplateLibrary of {len(self)} crystals, {unknown} without symmetry>"

    @cached_property
    def _ends(self) -> IntArray:
        return np.cumsum(self.num_orbits)

    def orbits_of(self, row: int) -> slice:
        """Where the orbits of one template are in the arrays of all."""
        return slice(int(self._ends[row] - self.num_orbits[row]), int(self._ends[row]))

    @cached_property
    def multiplicity(self) -> IntArray:
        """Atoms of each orbit in the primitive cell; ``[num_orbits]``."""
        known = self.space_group_number.repeat(self.num_orbits)
        counts = np.ones(len(known), dtype=np.int64)
        for number in np.unique(known[known > 0]).tolist():
            positions = wyckoff_positions(number)
            points = len(lattice_points(number))
            sizes = np.array([position.multiplicity // points for position in positions])
            inside = known == number
            counts[inside] = sizes[self.wyckoff[inside]]
        return counts

    @cached_property
    def num_atoms(self) -> IntArray:
        """Atoms of each template in the primitive cell; ``[num_templates]``."""
        counts: IntArray = np.add.reduceat(self.multiplicity, self._ends - self.num_orbits)
        return counts

    def atoms_of(self, row: int) -> IntArray:
        """Atomic numbers of the primitive cell of one template, ascending; ``[num_atoms]``."""
        orbits = self.orbits_of(row)
        numbers = self.atomic_numbers[orbits].astype(np.int64)
        return np.sort(numbers.repeat(self.multiplicity[orbits]))

    def crystal(self, row: int) -> SymmetricCrystal:
        """One template. Without a known space group it is all atoms in space group 1."""
        orbits = self.orbits_of(row)
        number = int(self.space_group_number[row]) or 1
        cell = self.lattice_parameters[row]
        positions = wyckoff_positions(number)
        return SymmetricCrystal(
            space_group_number=number,
            lattice=lattice_from_parameters(cell[:3], cell[3:]),
            atomic_numbers=self.atomic_numbers[orbits].astype(np.int64),
            wyckoff_letters=tuple(positions[place].letter for place in self.wyckoff[orbits]),
            frac_coords=self.frac_coords[orbits],
            identifier=self.identifiers[row],
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that decides about what is copied."""
        digest = hashlib.sha256("\n".join(self.identifiers).encode())
        for name in _ARRAYS:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return digest.hexdigest()

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, bytes] | None = None,
        is_compact: bool = False,
    ) -> Path:
        """Writes the library as an artifact, whose files carry checksums.

        Args:
            folder: Of its own.
            data: What the crystals are, for the card: names and plain values.
            files: Further files, such as ``left_out.csv``: contents by name.
            is_compact: Coordinates are rounded to 1/65536 and cells to four digits, which takes a
                third of the room. Where symmetry fixes a value it stays exact.

        Raises:
            ArtifactError: If the folder holds other files.
        """
        import torch

        text = "\n".join(self.identifiers).encode()
        arrays = {name: np.array(getattr(self, name)) for name in _ARRAYS}
        if is_compact:
            steps = np.rint(self.frac_coords % 1.0 * _STEPS) % _STEPS
            arrays["frac_coords"] = steps.astype(np.uint16)
            arrays["lattice_parameters"] = self.lattice_parameters.astype(np.float32)
            arrays["num_orbits"] = self.num_orbits.astype(np.uint16)
        weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
        weights["identifiers"] = torch.from_numpy(np.frombuffer(text, dtype=np.uint8).copy())
        return Artifact(
            package="crystal_gen",
            class_name=type(self).__name__,
            kind="template_library",
            arguments={},
            weights=weights,
            metadata={
                "data": {**(data or {}), "templates": len(self)},
                "versions": {name: version(name) for name in ("crystal-gen", "crystal-data")},
            },
            files=files or {},
        ).save(folder)

    @classmethod
    def from_pretrained(cls, path_or_hub_id: str | Path) -> Self:
        """Reads what :meth:`save_pretrained` has written.

        Raises:
            ArtifactError: If there is no such artifact, it holds something else, or is damaged.
        """
        artifact = Artifact.load(path_or_hub_id, kind="template_library")
        missing = {*_ARRAYS, "identifiers"} - set(artifact.weights)
        if missing:
            raise ArtifactError(
                f"{path_or_hub_id}: it has no {', '.join(sorted(missing))}",
                "save the library again with crystal-gen library",
            )
        text = artifact.weights["identifiers"].numpy().tobytes().decode()
        arrays: dict[str, Any] = {name: artifact.weights[name].numpy() for name in _ARRAYS}
        if arrays["frac_coords"].dtype == np.uint16:
            arrays["frac_coords"] = arrays["frac_coords"] / _STEPS
        arrays = {name: array.astype(_ARRAYS[name]) for name, array in arrays.items()}
        return cls(identifiers=tuple(text.split("\n")), **arrays)


def lattice_points(space_group_number: int) -> NDArray[np.float64]:
    """Lattice points of the conventional cell: one of P, two of I, A and C, three of R, four of F.

    Returns:
        Fractional coordinates ``[num_points, 3]``, the origin first.
    """
    rotations, translations = space_group_operations(space_group_number)
    return translations[(rotations == np.eye(3)).all(axis=(1, 2))]
