"""One start of one parent: what it is, and what comes of it as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError, Reason
from crystal_data.trajectories.potentials import potential
from crystal_data.trajectories.relaxing import Frame, RelaxationError, RelaxationSettings
from crystal_data.trajectories.relaxing_together import relax_many
from crystal_data.trajectories.schema import ID, STEP
from crystal_data.trajectories.starts import StartKind, make_start, random_of


@dataclass(frozen=True)
class TrajectoryOptions:
    """What is made of each parent.

    Args:
        potential: Name of the potential: ``emt``, ``chgnet``, ``sevenn``.
        starts: How starts are made; of several kinds each parent gets one after the other.
        per_parent: Starts of each parent.
        max_atoms: Larger parents are left out.
        apart: Chemical systems, such as ``Cl-Na``, of which nothing is made: those of the crystals
            that a model will be evaluated on.
        val: Share of the runs whose chemical systems are a validation set.
        test: Share of the runs whose chemical systems are a test set.
        num_frames: Kept of each run, the first and the last among them, the others evenly spaced.
        settings: When a relaxation ends.
        seed: Of all that is drawn.

    Raises:
        InvalidArgumentError: If a number is out of its range.
    """

    potential: str = "emt"
    starts: tuple[StartKind, ...] = ("strain", "substitution")
    per_parent: int = 1
    max_atoms: int = 52
    apart: frozenset[str] = frozenset()
    val: float = 0.0
    test: float = 0.0
    num_frames: int = 10
    settings: RelaxationSettings = field(default_factory=RelaxationSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.per_parent, self.max_atoms) < 1 or self.num_frames < 2 or not self.starts:
            raise InvalidArgumentError(
                f"per_parent {self.per_parent} and max_atoms {self.max_atoms} have to be at least "
                f"1, num_frames {self.num_frames} at least 2, and starts need a kind"
            )
        if min(self.val, self.test) < 0 or self.val + self.test >= 1:
            raise InvalidArgumentError(
                f"val={self.val} and test={self.test} are shares of all runs: each at least 0, "
                "together less than 1"
            )


@dataclass(frozen=True, eq=False)
class Task:
    """One start of one parent."""

    parent: Crystal
    number: int
    options: TrajectoryOptions

    @property
    def name(self) -> str:
        """Of the run that comes of it."""
        return f"{self.parent.identifier}-{self.number}-{self.options.potential}"

    @property
    def kind(self) -> StartKind:
        """How its start is made."""
        # Not always the first kind where each parent has one start.
        place = random_of(self.options.seed, "kind", self.parent.identifier).integers(1 << 30)
        return self.options.starts[(int(place) + self.number) % len(self.options.starts)]


def lines_of(tasks: Sequence[Task]) -> list[dict[str, Any]]:
    """What comes of each: rows of its frames, or a reason; runs in worker processes.

    Args:
        tasks: With the same options.
    """
    options = tasks[0].options
    lines: dict[str, dict[str, Any]] = {}
    starts: dict[Task, Crystal] = {}
    for task in tasks:
        start = _start(task)
        if isinstance(start, Crystal):
            starts[task] = start
        else:
            lines[task.name] = start
    runs = relax_many(list(starts.values()), options.potential, options.settings)
    for task, run in zip(starts, runs, strict=True):
        lines[task.name] = _line(task, run)
    return [lines[task.name] for task in tasks]


def _start(task: Task) -> Crystal | dict[str, Any]:
    """The crystal to relax, or the line that says why there is none."""
    options = task.options
    kind = potential(options.potential)
    rng = random_of(options.seed, "start", task.parent.identifier, task.number)
    start = make_start(task.parent, task.kind, rng, kind.elements)
    if start is None:
        detail = (
            f"there are no other elements that {kind.name} knows to exchange its own for"
            if task.kind == "substitution"
            else f"{kind.name} does not know all of its elements; the start 'substitution' puts "
            "others in their place"
        )
        return _failed(task, Reason.UNSUPPORTED_ELEMENT, detail)
    if start.chemical_system in options.apart:
        return _failed(task, Reason.EXCLUDED, f"crystals of {start.chemical_system} are kept apart")
    unknown = kind.unsupported(start.species)
    if unknown:
        detail = f"{kind.name} does not know {', '.join(unknown)}"
        return _failed(task, Reason.UNSUPPORTED_ELEMENT, detail)
    return start


def _line(task: Task, run: Sequence[Frame] | RelaxationError) -> dict[str, Any]:
    if isinstance(run, RelaxationError):
        return _failed(task, Reason.NOT_RELAXED, str(run))
    if len(run) < 2:
        detail = "the start has no force to follow: nothing is relaxed"
        return _failed(task, Reason.NOT_RELAXED, detail)
    functional = potential(task.options.potential).functional
    kept = _spread(run, task.options.num_frames)
    return {"name": task.name, "rows": [_row(task, functional, frame) for frame in kept]}


def _failed(task: Task, reason: Reason, detail: str) -> dict[str, Any]:
    about = {"name": task.name, "parent": task.parent.identifier, "origin": task.kind}
    return {**about, "reason": reason.value, "detail": detail}


def _spread(frames: Sequence[Frame], count: int) -> list[Frame]:
    """At most so many frames, first and last among them, the others evenly spaced."""
    last, gaps = len(frames) - 1, count - 1
    if last <= gaps:
        return list(frames)
    return [frames[round(place * last / gaps)] for place in range(count)]


def _row(task: Task, functional: str, frame: Frame) -> dict[str, Any]:
    crystal = frame.crystal
    return {
        ID: f"{task.name}-{frame.step}",
        "immutable_id": task.name,
        STEP: frame.step,
        "relaxation_number": 0,
        "elements": sorted(crystal.composition),
        "species_at_sites": crystal.species,
        "nsites": crystal.num_atoms,
        "nelements": len(crystal.composition),
        "chemical_formula_reduced": crystal.formula,
        "lattice_vectors": crystal.lattice.tolist(),
        "cartesian_site_positions": crystal.cart_coords.tolist(),
        "energy": frame.energy,
        "forces": frame.forces.tolist(),
        "stress_tensor": frame.stress.tolist(),
        "functional": functional,
        "origin": task.kind,
        "parent": task.parent.identifier,
    }
