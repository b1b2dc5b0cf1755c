"""One vector per element."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from crystal_data import ATOMIC_NUMBERS, SYMBOLS
from crystal_data.errors import InvalidArgumentError


@dataclass(frozen=True, eq=False)
class ElementTable:
    """Vectors that stand for elements in front of a model. Immutable.

    Args:
        name: What it was loaded from or trained as.
        atomic_numbers: Z of each row, each once; shape ``[num_elements]``. Rows are sorted by it.
        vectors: float32 ``[num_elements, width]``.
        metadata: Where the vectors come from; plain JSON.
        coordinates: Of a model that read Cartesian positions in Å beside the elements: the vectors
            of a step of 1 Å along x, y and z, and that of the origin; float32 ``[4, width]``. Files
            of tables do not have them, artifacts do.

    Raises:
        InvalidArgumentError: If the shapes disagree, an element does not exist or is there twice,
            or a number is not finite.
    """

    name: str
    atomic_numbers: NDArray[np.int64]
    vectors: NDArray[np.float32]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    coordinates: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        numbers = np.array(self.atomic_numbers, dtype=np.int64)
        vectors = np.array(self.vectors, dtype=np.float32)
        if numbers.ndim != 1 or vectors.ndim != 2 or len(numbers) != len(vectors):
            raise self._invalid(
                f"vectors {vectors.shape} do not fit atomic_numbers {numbers.shape}; expected "
                "[num_elements, width] and [num_elements]"
            )
        if vectors.size == 0:
            raise self._invalid(f"there are no numbers in it: {vectors.shape}")
        order = np.argsort(numbers, kind="stable")
        numbers, vectors = numbers[order], vectors[order]
        if numbers[0] < 1 or numbers[-1] >= len(SYMBOLS):
            raise self._invalid("an atomic number is outside 1 to 118")
        repeated = numbers[1:][np.diff(numbers) == 0]
        if len(repeated):
            raise self._invalid(f"{SYMBOLS[repeated[0]]} is there twice")
        if not np.isfinite(vectors).all():
            symbol = SYMBOLS[numbers[~np.isfinite(vectors).all(axis=1)][0]]
            raise self._invalid(f"{symbol} has a value that is not finite")
        if self.coordinates is not None:
            coordinates = np.array(self.coordinates, dtype=np.float32)
            expected = (4, vectors.shape[1])
            if coordinates.shape != expected or not np.isfinite(coordinates).all():
                raise self._invalid(
                    f"coordinates {coordinates.shape}; expected {expected}, finite numbers"
                )
            coordinates.setflags(write=False)
            object.__setattr__(self, "coordinates", coordinates)
        for array in (numbers, vectors):
            array.setflags(write=False)
        object.__setattr__(self, "atomic_numbers", numbers)
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A MappingProxyType does not pickle.
        metadata = dict(self.metadata)
        fields = (self.name, self.atomic_numbers, self.vectors, metadata, self.coordinates)
        return type(self), fields

    @property
    def width(self) -> int:
        """Length of each vector."""
        return self.vectors.shape[1]

    @property
    def symbols(self) -> list[str]:
        """Element of each row."""
        return [SYMBOLS[z] for z in self.atomic_numbers]

    def vector(self, element: str | int) -> NDArray[np.float32]:
        """The vector of one element, by symbol or atomic number; shape ``[width]``.

        Raises:
            KeyError: If the table has no row for it.
        """
        number = ATOMIC_NUMBERS.get(element, 0) if isinstance(element, str) else element
        rows = np.flatnonzero(self.atomic_numbers == number)
        if not len(rows):
            raise KeyError(f"element table '{self.name}' has no row for {element!r}")
        return self.vectors[rows[0]]

    def trained(self) -> "ElementTable":
        """The table without the rows that training has never shown, ``random_elements``.

        Raises:
            InvalidArgumentError: If no row is left.
        """
        random = set(self.metadata.get("random_elements", ()))
        keep = np.array([symbol not in random for symbol in self.symbols])
        if keep.all():
            return self
        if not keep.any():
            raise self._invalid("training has shown none of its elements; all rows are random")
        metadata = {key: value for key, value in self.metadata.items() if key != "random_elements"}
        return ElementTable(self.name, self.atomic_numbers[keep], self.vectors[keep], metadata)

    def save_pretrained(
        self, folder: str | Path, *, metadata: Mapping[str, Any] | None = None
    ) -> Path:
        """Writes the table as an artifact, which keeps all that it has.

        Args:
            folder: Made, or replaced if it is an artifact already.
            metadata: Of the artifact: versions, data; plain JSON.

        Returns:
            The folder.

        Raises:
            ArtifactError: If the folder holds other files, or metadata is not plain JSON.
        """
        # torch takes seconds to import.
        import torch

        from crystal_data.artifacts import Artifact

        arrays = {"atomic_numbers": self.atomic_numbers, "vectors": self.vectors}
        if self.coordinates is not None:
            arrays["coordinates"] = self.coordinates
        return Artifact(
            kind="element_table",
            package="crystal_embed",
            class_name=type(self).__name__,
            arguments={"name": self.name, "metadata": dict(self.metadata)},
            weights={name: torch.tensor(array) for name, array in arrays.items()},
            metadata=metadata or {},
        ).save(folder)

    @classmethod
    def from_pretrained(cls, path_or_hub_id: str | Path) -> "ElementTable":
        """Loads what ``save_pretrained`` wrote, from a folder or from the hub.

        Raises:
            ArtifactError: If the artifact cannot be read, or holds no element table.
        """
        from crystal_data.artifacts import Artifact, ArtifactError

        artifact = Artifact.load(path_or_hub_id, kind="element_table")
        arguments = artifact.arguments
        try:
            arrays = {name: tensor.numpy() for name, tensor in artifact.weights.items()}
            numbers, vectors = arrays["atomic_numbers"], arrays["vectors"]
            if numbers.dtype.kind not in "iu" or vectors.dtype.kind != "f":
                raise InvalidArgumentError(
                    f"atomic_numbers is {numbers.dtype} and vectors {vectors.dtype}; expected "
                    "integers and floats"
                )
            name, metadata = str(arguments["name"]), arguments["metadata"]
            if not all(symbol in ATOMIC_NUMBERS for symbol in metadata.get("random_elements", ())):
                raise InvalidArgumentError("random_elements is a list of symbols")
            return cls(name, numbers, vectors, metadata, arrays.get("coordinates"))
        # Arguments and tensors come from a file.
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else error
            raise ArtifactError(f"{path_or_hub_id}: no element table: {reason}") from error

    def __len__(self) -> int:
        return len(self.atomic_numbers)

    def __repr__(self) -> str:
        return f"<ElementTable {self.name}, {len(self)} elements, {self.width} wide>"

    def _invalid(self, detail: str) -> InvalidArgumentError:
        return InvalidArgumentError(f"element table '{self.name}': {detail}")


@runtime_checkable
class HasElementTable(Protocol):
    """A model that has a vector for each element."""

    def element_table(self) -> ElementTable:
        """The vectors that enter the first layer."""
