"""What a model of symmetry is asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, nan

from crystal_data.elements import ATOMIC_NUMBERS
from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GenerationRequest
from crystal_gen.wishes import wished
from crystal_gen.wyckoff.assignment import element_order
from crystal_gen.wyckoff.batch import WyckoffBatch
from crystal_gen.wyckoff.network import MAX_Z
from crystal_gen.wyckoff.proposals import check_formula
from crystal_gen.wyckoff.relabelings import standard_places


@dataclass(frozen=True)
class SymmetryQuestion:
    """A composition and what else is known.

    Args:
        elements: Atomic numbers, in the order of choice.
        counts: Atoms of the reduced formula.
        z_values: Reduced formula units of the primitive cell that are considered.
        space_group: Of canonical answers; None leaves it open.
        wishes: Values of the model's properties, in its order; NaN for none.
    """

    elements: tuple[int, ...]
    counts: tuple[int, ...]
    z_values: tuple[int, ...]
    space_group: int | None = None
    wishes: tuple[float, ...] = ()

    @classmethod
    def from_request(
        cls,
        request: GenerationRequest,
        properties: Sequence[str],
        z_values: Sequence[int] | None = None,
    ) -> "SymmetryQuestion":
        """What a request asks.

        Args:
            request: With a formula.
            properties: Of the model.
            z_values: Formula units, as the request writes them, that are considered where it leaves
                them open; None for any that the model can count.

        Raises:
            InvalidArgumentError: If there is no formula, or z is larger than the model can count.
        """
        check_formula(request)
        cell = {ATOMIC_NUMBERS[symbol]: count for symbol, count in request.composition.items()}
        elements = tuple(sorted(cell, key=element_order))
        units = gcd(*cell.values())
        asked = (request.z,) if request.z else tuple(z_values or range(1, MAX_Z // units + 1))
        if not asked or not all(1 <= z * units <= MAX_Z for z in asked):
            raise InvalidArgumentError(
                f"request {request.id}: the model counts from 1 to {MAX_Z} units of the reduced "
                f"formula in the primitive cell, and z is {_listed(asked)}",
                "give another z",
            )
        group = request.space_group
        return cls(
            elements=elements,
            counts=tuple(cell[element] // units for element in elements),
            z_values=tuple(z * units for z in asked),
            space_group=None if group is None else standard_places(group)[0],
            wishes=tuple(wished(request, name) for name in properties),
        )

    @classmethod
    def from_batch(
        cls, batch: WyckoffBatch, row: int, properties: Sequence[str]
    ) -> "SymmetryQuestion":
        """What a crystal of a batch answers: its composition, its z, and the batch's properties."""
        elements = tuple(number for number in batch.elements[row].tolist() if number)
        return cls(
            elements=elements,
            counts=tuple(batch.counts[row, : len(elements)].tolist()),
            z_values=(int(batch.z[row]),),
            wishes=tuple(
                float(batch.targets[name][row]) if name in batch.targets else nan
                for name in properties
            ),
        )


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values)) or "none of these"
