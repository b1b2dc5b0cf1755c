"""A trained model that repairs, as a generator of structures: repairs and variants of crystals."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crystal_data import ATOMIC_NUMBERS, SYMBOLS, Crystal, CrystalBatch
from crystal_data.errors import InvalidArgumentError
from crystal_data.generation import GeneratedSample, RequestError, Task
from crystal_data.graphs import GraphSpec
from crystal_data.inference import Predictor
from crystal_data.transforms import PerturbAtoms, SampleRandom
from crystal_gan.models.repair import Repair, RepairModel
from crystal_gan.training.fakes import repaired_geometry

_TOO_CLOSE = 0.5  # Å, as in the validity of generated structures


@dataclass(frozen=True)
class Change:
    """What is done to a crystal before it is repaired.

    Args:
        hide: Elements of which all atoms are hidden.
        hide_random: Hide one element of each crystal, chosen at random.
        noise: Standard deviation of a displacement of all atoms, in shortest distances.
        allow_same: Whether a hidden element may be filled in as it was.
        move: Whether atoms are put where the model says they belong.
    """

    hide: tuple[str, ...] = ()
    hide_random: bool = False
    noise: float = 0.0
    allow_same: bool = True
    move: bool = True

    def __post_init__(self) -> None:
        unknown = [symbol for symbol in self.hide if symbol not in ATOMIC_NUMBERS]
        if unknown:
            raise InvalidArgumentError(
                f"{', '.join(unknown)} is no element", "give symbols such as Y"
            )
        if self.noise < 0:
            raise InvalidArgumentError(f"noise must be at least 0, not {self.noise}")


@dataclass(frozen=True)
class Ranking:
    """By what samples are ranked.

    Args:
        predictor: Predicts the property.
        target: Its name.
        raised: Whether more is better.
    """

    predictor: Predictor
    target: str
    raised: bool = True

    def __post_init__(self) -> None:
        if self.target not in self.predictor.fields:
            raise InvalidArgumentError(
                f"the model predicts no {self.target}",
                f"it predicts {', '.join(self.predictor.fields)}",
            )


@dataclass(frozen=True)
class RepairGenerator:
    """Repairs, or variants, of the structures that requests start from.

    Atoms of a hidden element become one element together, so that orbits stay whole. Sample 0 is
    the likeliest; others are drawn by their probabilities. The score is the mean logarithm of these
    over hidden atoms, or the ranking's property. The source of a sample says what was exchanged and
    how far atoms are from the start, in the mean.

    Args:
        model: Trained to repair.
        change: What is done before.
        ranking: None ranks by the model's own probabilities.
    """

    model: RepairModel
    change: Change = field(default_factory=Change)
    ranking: Ranking | None = None

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Versions, hashes of weights, and options."""
        rank: dict[str, Any] | None = None
        if self.ranking is not None:
            rank = {
                "target": self.ranking.target,
                "raised": self.ranking.raised,
                "weights": _fingerprint(self.ranking.predictor.model),
            }
        return {
            "name": type(self).__name__,
            "version": version("crystal-gan"),
            "weights": _fingerprint(self.model),
            "change": asdict(self.change) | {"hide": list(self.change.hide)},
            "ranking": rank,
        }

    def generate(self, tasks: Sequence[Task]) -> list[GeneratedSample]:
        """One sample for each task.

        Raises:
            RequestError: If a request has no structure to start from.
        """
        starts = [_start(task) for task in tasks]
        rngs = [np.random.default_rng(task.seed) for task in tasks]
        hidden = [self._hidden(start, rng) for start, rng in zip(starts, rngs, strict=True)]
        batch = self._corrupted(starts, hidden, tasks)
        repair = self._repair(batch)
        after = repaired_geometry(batch, repair) if self.change.move else batch
        frac_coords = after.frac_coords.double().numpy()
        is_strained = self.change.move and repair.strain is not None
        lattices = after.lattice.double().numpy() if is_strained else [s.lattice for s in starts]
        ends = np.cumsum([start.num_atoms for start in starts])[:-1]
        log_probabilities = repair.logits.log_softmax(1).double().numpy()
        made = []
        for task, start, mask, rng, lattice, frac, logs in zip(
            tasks,
            starts,
            hidden,
            rngs,
            lattices,
            np.split(frac_coords, ends),
            np.split(log_probabilities, ends),
            strict=True,
        ):
            numbers, score = self._filled(start.atomic_numbers, mask, logs, rng, task.sample)
            crystal = start.replace(
                lattice=lattice, frac_coords=frac, atomic_numbers=numbers, properties={}
            )
            made.append((_described(crystal, start), score))
        return self._ranked(made)

    def _hidden(self, start: Crystal, rng: np.random.Generator) -> NDArray[np.bool_]:
        wanted = [ATOMIC_NUMBERS[symbol] for symbol in self.change.hide]
        if self.change.hide_random:
            wanted.append(int(rng.choice(np.unique(start.atomic_numbers))))
        return np.isin(start.atomic_numbers, wanted)

    def _corrupted(
        self, starts: Sequence[Crystal], hidden: Sequence[NDArray[np.bool_]], tasks: Sequence[Task]
    ) -> CrystalBatch:
        batch = CrystalBatch.from_crystals(starts)
        if self.change.noise > 0:
            rng = SampleRandom(0, 0, [task.seed for task in tasks])
            batch = PerturbAtoms(self.change.noise)(batch, rng)
        mask = torch.from_numpy(np.concatenate(hidden))
        batch = replace(batch, atomic_numbers=batch.atomic_numbers.masked_fill(mask, 0))
        return batch.with_edges(self.model.graph_spec).float32()

    @torch.inference_mode()
    def _repair(self, batch: CrystalBatch) -> Repair:
        repair: Repair = self.model.eval()(batch)
        return repair

    def _filled(
        self,
        numbers: NDArray[np.int64],
        hidden: NDArray[np.bool_],
        log_probabilities: NDArray[np.float64],
        rng: np.random.Generator,
        sample: int,
    ) -> tuple[NDArray[np.int64], float]:
        """Elements in place of hidden ones, and the mean logarithm of their probabilities."""
        filled, total = numbers.copy(), 0.0
        for element in np.unique(numbers[hidden]):
            members = hidden & (numbers == element)
            logs = log_probabilities[members].mean(0)
            logs[[number - 1 for number in self._impossible]] = -np.inf
            if not self.change.allow_same:
                logs[element - 1] = -np.inf
            # Gumbel's noise makes the largest a draw by the probabilities.
            noise = rng.gumbel(size=logs.shape) if sample else 0.0
            choice = int((logs + noise).argmax())
            filled[members] = choice + 1
            total += float(logs[choice]) * int(members.sum())
        return filled, total / max(int(hidden.sum()), 1)

    @property
    def _impossible(self) -> list[int]:
        """Atomic numbers that the ranking's model does not know."""
        known = None if self.ranking is None else self.ranking.predictor.supported_elements
        return [] if known is None else [z for z in range(1, len(SYMBOLS)) if z not in known]

    def _ranked(self, made: Sequence[tuple[Crystal, float]]) -> list[GeneratedSample]:
        crystals, scores = [crystal for crystal, _ in made], [score for _, score in made]
        if self.ranking is not None:
            name = self.ranking.target
            values = self.ranking.predictor.predict(crystals)[name]
            crystals = [
                crystal.replace(properties={**crystal.properties, name: float(value)})
                for crystal, value in zip(crystals, values, strict=True)
            ]
            sign = 1.0 if self.ranking.raised else -1.0
            scores = [sign * float(value) for value in values]
        return [
            GeneratedSample(crystal, score, _words(crystal), flags)
            for crystal, score, flags in zip(crystals, scores, _flags(crystals), strict=True)
        ]


def _start(task: Task) -> Crystal:
    if task.request.start is None:
        raise RequestError(f"request {task.request.id}: there is no structure to start from")
    return task.request.start


def _described(crystal: Crystal, start: Crystal) -> Crystal:
    """With what was exchanged, and how far it is from its start, Å, up to a common shift."""
    both = np.stack((start.atomic_numbers, crystal.atomic_numbers), axis=1)
    pairs = np.unique(both[both[:, 0] != both[:, 1]], axis=0).tolist()
    exchanged = " ".join(f"{SYMBOLS[before]}>{SYMBOLS[after]}" for before, after in pairs)
    moved = (crystal.frac_coords - start.frac_coords) @ start.lattice
    moved = moved - moved.mean(0)
    distance = float(np.linalg.norm(moved, axis=1).mean())
    return crystal.replace(properties={"exchanged": exchanged, "distance_from_start": distance})


def _words(crystal: Crystal) -> str:
    exchanged = crystal.properties["exchanged"] or "same elements"
    return f"{exchanged}, moved {crystal.properties['distance_from_start']:.3f} Å"


def _flags(crystals: Sequence[Crystal]) -> list[tuple[str, ...]]:
    batch = CrystalBatch.from_crystals(crystals).with_edges(GraphSpec(max_neighbors=1))
    edges = batch.edges()
    shortest = torch.full((len(crystals),), torch.inf, dtype=torch.float64)
    crystal: Tensor = batch.batch[edges.edge_index[1]]
    shortest = shortest.scatter_reduce(0, crystal, edges.edge_length, "amin")
    return [("atoms_too_close",) if close else () for close in (shortest < _TOO_CLOSE).tolist()]


def _fingerprint(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, values in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(values.detach().cpu().numpy()).tobytes())
    return digest.hexdigest()
