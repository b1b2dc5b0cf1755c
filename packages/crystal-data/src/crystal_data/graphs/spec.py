"""What edges a model wants; owned by the model, read by the DataModule, kept in the artifact."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from crystal_data.errors import InvalidArgumentError

Ties: TypeAlias = Literal["shell", "cut"]
_MAX_CUTOFF, _MAX_NEIGHBORS = 100.0, 10_000


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """Which neighbors become edges.

    With ``max_neighbors`` alone the search radius grows until every atom has that many, so no
    atom is ever without neighbors. With ``cutoff`` alone every image within it counts. With both,
    the nearest ``max_neighbors`` among those within ``cutoff``.

    Args:
        cutoff: Largest edge length, Å.
        max_neighbors: Nearest images kept for each atom.
        ties: What to do with the shell of equal distances that ``max_neighbors`` cuts through.
            ``shell`` keeps it whole, which invariance needs. ``cut`` keeps exactly
            ``max_neighbors``, by a fixed order, as the published CGCNN does.
        tie_tolerance: Distances closer than this to the last one belong to its shell, Å.
        line_graph: Also join edges that meet in an atom, for models that see angles.
    """

    cutoff: float | None = None
    max_neighbors: int | None = 12
    ties: Ties = "shell"
    tie_tolerance: float = 1e-3
    line_graph: bool = False

    def __post_init__(self) -> None:
        if self.cutoff is None and self.max_neighbors is None:
            raise InvalidArgumentError("give a cutoff, max_neighbors, or both")
        # Also what an artifact from elsewhere asks for comes here: beyond these bounds a crystal
        # would take all memory.
        if self.cutoff is not None and not 0 < self.cutoff <= _MAX_CUTOFF:
            raise InvalidArgumentError(
                f"cutoff must be positive and at most {_MAX_CUTOFF:g} Å, not {self.cutoff} Å"
            )
        if self.max_neighbors is not None and not 1 <= self.max_neighbors <= _MAX_NEIGHBORS:
            raise InvalidArgumentError(
                f"max_neighbors must be at least 1 and at most {_MAX_NEIGHBORS}, not "
                f"{self.max_neighbors}"
            )
        if self.ties not in get_args(Ties):
            raise InvalidArgumentError(
                f"ties must be {' or '.join(get_args(Ties))}, not {self.ties!r}"
            )
        if not 0 <= self.tie_tolerance < 1:
            raise InvalidArgumentError(
                f"tie_tolerance must be at least 0 and below 1 Å, not {self.tie_tolerance}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for artifacts and for keys of cached edges."""
        return asdict(self)
