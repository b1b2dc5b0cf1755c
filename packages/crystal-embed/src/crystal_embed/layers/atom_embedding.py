"""Any element table as the first layer of a model."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from crystal_data import SYMBOLS
from crystal_data.errors import InvalidArgumentError
from crystal_embed.tables.table import ElementTable

MissingElements = Literal["error", "random"]


class AtomEmbedding(nn.Module):
    """Looks up the vector of each atom's element.

    The vectors are part of the module's state, so a saved model needs no table file.

    Args:
        table: First values of the vectors.
        trainable: Whether training changes them.
        missing_elements: What to do with elements that the table has no row for: ``error`` when
            one comes; ``random`` gives each a fixed random row with the spread of the table's,
            and lists them in ``random_elements``.
    """

    _rows: Tensor

    def __init__(
        self,
        table: ElementTable,
        *,
        trainable: bool = False,
        missing_elements: MissingElements = "error",
    ) -> None:
        super().__init__()
        if missing_elements == "random":
            table = _with_random_rows(table)
        self.random_elements: tuple[str, ...] = tuple(table.metadata.get("random_elements", ()))
        rows = np.full(len(SYMBOLS), -1)
        rows[table.atomic_numbers] = np.arange(len(table))
        self.name = table.name
        self.atomic_numbers = table.atomic_numbers
        self.vectors = nn.Parameter(torch.tensor(table.vectors), requires_grad=trainable)
        self.register_buffer("_rows", torch.tensor(rows), persistent=False)

    @property
    def width(self) -> int:
        """Length of each vector."""
        return self.vectors.shape[1]

    @override
    def forward(self, atomic_numbers: Tensor) -> Tensor:
        """Vectors of atoms.

        Args:
            atomic_numbers: int64 ``[num_atoms]``.

        Returns:
            Shape ``[num_atoms, width]``.

        Raises:
            InvalidArgumentError: If an element has no row.
        """
        rows = self._rows[atomic_numbers]
        if (rows < 0).any():
            missing = sorted({SYMBOLS[z] or "X" for z in atomic_numbers[rows < 0].tolist()})
            raise InvalidArgumentError(
                f"element table '{self.name}' has no row for {', '.join(missing)}",
                "take a table "
                "that has, or set missing_elements: random to give each a random vector",
            )
        return nn.functional.embedding(rows, self.vectors)

    def table(self) -> ElementTable:
        """The vectors as they are now."""
        return ElementTable(
            self.name,
            self.atomic_numbers,
            self.vectors.detach().cpu().float().numpy(),
            {"random_elements": list(self.random_elements)} if self.random_elements else {},
        )


def as_free_vectors(table: ElementTable, width: int) -> ElementTable:
    """What a table is for a model that trains one vector for each element.

    A linear layer behind a table that is trained as well would change all elements with each step,
    those too that no crystal of the batch has; that made errors on MP-20 larger by 8 %. So the
    vectors themselves get the model's width, by a random projection, which keeps distances on the
    whole, and are free from there on. They are centred and scaled to a mean square length of 1,
    that of one-hot rows, so that tables differ in meaning and not in scale. Coordinates, which are
    added to them, are scaled and projected alike.

    Args:
        table: Any table.
        width: Of the vectors that are wanted.
    """
    rows = torch.tensor(table.vectors)
    rows = rows - rows.mean(dim=0)
    length = rows.square().sum(dim=1).mean().sqrt().clamp(min=torch.finfo(rows.dtype).tiny)
    project = nn.Linear(table.width, width)
    with torch.no_grad():
        vectors = project(rows / length).numpy()
        coordinates = None
        if table.coordinates is not None:
            steps = torch.tensor(table.coordinates) / length
            coordinates = (steps @ project.weight.T).numpy()
    return ElementTable(table.name, table.atomic_numbers, vectors, table.metadata, coordinates)


def _with_random_rows(table: ElementTable) -> ElementTable:
    present = set(table.atomic_numbers.tolist())
    missing = np.array([z for z in range(1, len(SYMBOLS)) if z not in present], dtype=np.int64)
    known = table.metadata.get("random_elements", ())
    mean, spread = table.vectors.mean(axis=0), table.vectors.std(axis=0)
    # The element's number is the seed, so that its row does not depend on what else is missing.
    noise = [np.random.default_rng(int(z)).standard_normal(table.width) for z in missing]
    rows = mean + spread * np.array(noise).reshape(-1, table.width)
    return ElementTable(
        table.name,
        np.concatenate([table.atomic_numbers, missing]),
        np.concatenate([table.vectors, rows.astype(np.float32)]),
        {**table.metadata, "random_elements": [*known, *(SYMBOLS[z] for z in missing)]},
    )
