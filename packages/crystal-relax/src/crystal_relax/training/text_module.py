"""The LightningModule that trains text models."""

from typing import NamedTuple

import numpy as np
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor
from torch.nn import functional
from typing_extensions import override

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.graphs import CrystalBatch
from crystal_data.processes import all_reduce_sum, global_mean, world_size
from crystal_data.trajectories import DISPLACEMENT, STRAIN, Change, change_between
from crystal_relax.graph.geometry import Geometry, to_cartesian
from crystal_relax.text.changes import TextChange, numbers_of
from crystal_relax.text.constraint import ChangeConstraint
from crystal_relax.text.decoding import write_changes
from crystal_relax.text.expected import expected_numbers
from crystal_relax.text.model import TextRelaxer
from crystal_relax.text.overlap import overlap
from crystal_relax.text.tokens import ChangeTokenizer, Kind
from crystal_relax.training.loss import TrueGeometry
from crystal_relax.training.task import RelaxationTask

_LENGTH_OF_DEGREE = 0.1  # Å by which the end of a vector of 6 Å moves


class TextRelaxationModule(RelaxationTask):
    """Trains a text model on the first and last frames of relaxations.

    The loss of a model that writes is the cross-entropy of its tokens plus ``number_weight`` times
    the root mean squared errors of lengths (Å), angles (a degree counts 0.1 Å) and positions (Å) of
    the numbers that its distributions over digits stand for (``expected_numbers``), so that they
    have gradients. That of a model that reads numbers off is these errors alone. What is logged is
    that of :class:`RelaxationTask`, of what is written without chance.

    T2-Relax has ROUGE and BLEU in its loss, which have no gradients; how they enter is not said.
    What they are there for, that no element is lost, is here a property of the decoding. With
    ``overlap_weight`` they enter as a reward: in training each crystal's text is drawn once and
    written once without chance, both without the grammar, and the likelihood of the drawn one is
    raised by how much better its mean of ROUGE-1, -2, -L and BLEU is (self-critical training,
    Rennie et al., arXiv 1612.00563).

    Args:
        model: What is trained.
        number_weight: Of the errors of numbers; 0 leaves the cross-entropy alone.
        overlap_weight: Of the reward; a step with it takes several times as long.
        cell_weight: Å that a strain of one counts in ``val/error``.
        optimizer: Called with the parameters.
        lr_scheduler: Called with the optimizer.

    Raises:
        InvalidArgumentError: If a weight is negative.
    """

    def __init__(
        self,
        model: TextRelaxer,
        *,
        number_weight: float = 1.0,
        overlap_weight: float = 0.0,
        cell_weight: float = 5.0,
        optimizer: OptimizerCallable = torch.optim.AdamW,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(
            model, cell_weight=cell_weight, optimizer=optimizer, lr_scheduler=lr_scheduler
        )
        for name, weight in (("number", number_weight), ("overlap", overlap_weight)):
            if not weight >= 0:
                raise InvalidArgumentError(f"{name}_weight is {weight}; it is 0 or more")
        if overlap_weight > 0 and model.output != "text":
            raise InvalidArgumentError("overlap_weight is for models that write text")
        self.relaxer = model
        self.number_weight = number_weight
        self.overlap_weight = overlap_weight

    @override
    def training_step(self, batch: CrystalBatch, batch_idx: int) -> Tensor:
        true, share = self.true(batch)
        loss = self.loss(batch, true, share)
        if self.overlap_weight > 0:
            loss = loss + self.overlap_weight * self.reward_loss(batch, share)
        count = share.sum()
        self.train_metric.update({"loss": (loss * count, count)})
        return loss

    @override
    def loss(self, batch: CrystalBatch, true: TrueGeometry, share: Tensor) -> Tensor:
        crystals = crystals_of(batch)
        changes = [
            numbers_of(start, change)
            for start, change in zip(crystals, _true_changes(batch, crystals), strict=True)
        ]
        starts = self.relaxer.start_batch(crystals)
        if self.relaxer.output == "numbers":
            lengths = batch.lattice.norm(dim=2)[batch.batch]
            found = self.relaxer.numbers(self.relaxer.encoded(starts), starts, lengths)
            return self._of_numbers(batch, found, changes, true, share)
        written = Written.of(self.relaxer.tokenizer, changes, crystals).to(share.device)
        scores = self.relaxer(starts, written.tokens)
        weights = share[:, None] * (written.kinds != Kind.PAD)
        entropy = functional.cross_entropy(
            scores.flatten(0, 1), written.tokens.flatten(), reduction="none"
        )
        loss = global_mean((entropy * weights.flatten()).sum(), weights.sum())
        if self.number_weight == 0:
            return loss
        numbers = written.expected(scores, batch.num_atoms)
        return loss + self.number_weight * self._of_numbers(batch, numbers, changes, true, share)

    def reward_loss(self, batch: CrystalBatch, share: Tensor) -> Tensor:
        """What raises the likelihood of drawn texts that repeat more of the true ones.

        Args:
            batch: Starts with labels.
            share: 1 for each crystal that counts, else 0; ``[num_crystals]``.
        """
        crystals = crystals_of(batch)
        changes = [
            numbers_of(*pair) for pair in zip(crystals, _true_changes(batch, crystals), strict=True)
        ]
        true = Written.of(self.relaxer.tokenizer, changes, crystals).tokens
        starts = self.relaxer.start_batch(crystals)
        constraint = ChangeConstraint(
            self.relaxer.tokenizer, [one.atomic_numbers for one in crystals]
        )
        draws = np.array(
            [
                np.random.default_rng([self.current_epoch, sample]).random(true.shape[1])
                for sample in batch.sample_id.tolist()
            ]
        )
        with torch.no_grad():
            encoded = self.relaxer.encoded(starts)
            greedy, drawn = (
                write_changes(
                    self.relaxer,
                    encoded,
                    constraint,
                    temperature=temperature,
                    draws=torch.from_numpy(draws).to(share.device),
                    constrained=False,
                )
                for temperature in (0.0, 1.0)
            )
        gained = [
            overlap(_until_end(one), _until_end(right)).mean
            - overlap(_until_end(other), _until_end(right)).mean
            for one, other, right in zip(
                drawn.tolist(), greedy.tolist(), true.tolist(), strict=True
            )
        ]
        likelihood = -functional.cross_entropy(
            self.relaxer(starts, drawn).flatten(0, 1), drawn.flatten(), reduction="none"
        ).view(drawn.shape)
        ends = (drawn == ChangeTokenizer.EOS).cumsum(dim=1)
        is_written = (ends == 0) | ((ends == 1) & (drawn == ChangeTokenizer.EOS))
        per_crystal = (likelihood * is_written).sum(dim=1) / is_written.sum(dim=1)
        weights = torch.tensor(gained, device=share.device) * share
        return -global_mean((weights * per_crystal).sum(), share.sum())

    def _of_numbers(
        self,
        batch: CrystalBatch,
        found: tuple[Tensor, Tensor],
        changes: list[TextChange],
        true: TrueGeometry,
        share: Tensor,
    ) -> Tensor:
        cell, frac_coords = found
        right = torch.from_numpy(np.array([one.cell for one in changes])).to(cell)
        sites = np.concatenate([one.frac_coords for one in changes])
        moved = frac_coords - torch.from_numpy(sites).to(frac_coords)
        cart = to_cartesian(moved, true.lattice, batch.batch)
        squares = (cell - right).square()
        return (
            _root_mean(squares[:, :3].mean(dim=1), share)
            + _LENGTH_OF_DEGREE * _root_mean(squares[:, 3:].mean(dim=1), share)
            + _root_mean(cart.square().sum(dim=1), share[batch.batch])
        )

    @override
    @torch.no_grad()
    def predicted(self, batch: CrystalBatch) -> Geometry:
        starts = crystals_of(batch)
        strains, coords = [], []
        for start, one in zip(starts, self.relaxer.relaxed(starts), strict=True):
            change = change_between(start, one.crystal)
            strains.append(change.strain)
            coords.append(one.crystal.frac_coords)
        return Geometry(
            torch.from_numpy(np.array(strains)).to(batch.lattice),
            torch.from_numpy(np.concatenate(coords)).to(batch.frac_coords),
        )


class Written(NamedTuple):
    """Changes as padded tokens.

    Args:
        tokens: int64 ``[num_crystals, length]``.
        kinds: What stands at each place; int64 ``[num_crystals, length]``.
        places: What a one counts at each place of digits; int64 ``[num_crystals, length]``.
        unit: What a one in the last decimal counts.
    """

    tokens: Tensor
    kinds: Tensor
    places: Tensor
    unit: float

    @classmethod
    def of(
        cls, tokenizer: ChangeTokenizer, changes: list[TextChange], crystals: list[Crystal]
    ) -> "Written":
        """The tokens of changes; numbers beyond their digits are cut to the largest."""
        shape = (len(changes), max(tokenizer.length(one.num_atoms) for one in crystals))
        tokens = np.full(shape, ChangeTokenizer.PAD, dtype=np.int64)
        kinds = np.full(shape, int(Kind.PAD), dtype=np.int64)
        places = np.zeros(shape, dtype=np.int64)
        for row, (change, crystal) in enumerate(zip(changes, crystals, strict=True)):
            length = tokenizer.length(crystal.num_atoms)
            numbers = crystal.atomic_numbers
            tokens[row, :length] = tokenizer.encode(tokenizer.cut(change), numbers)
            kinds[row, :length] = tokenizer.kinds(numbers)
            places[row, :length] = tokenizer.place_values(crystal.num_atoms)
        return cls(
            torch.from_numpy(tokens),
            torch.from_numpy(kinds),
            torch.from_numpy(places),
            10.0**-tokenizer.decimals,
        )

    def to(self, device: torch.device) -> "Written":
        """The same on another device."""
        return Written(
            self.tokens.to(device), self.kinds.to(device), self.places.to(device), self.unit
        )

    def expected(self, scores: Tensor, num_atoms: Tensor) -> tuple[Tensor, Tensor]:
        """The numbers that scores stand for: of cells ``[n, 6]`` and of sites ``[n, 3]``."""
        numbers, _ = expected_numbers(scores, self.kinds, self.places)
        # Six numbers of the cell, then three of each site, crystal after crystal.
        counts = 6 + 3 * num_atoms
        first = counts.cumsum(0) - counts
        owner = torch.repeat_interleave(first, counts)
        is_cell = torch.arange(len(numbers), device=numbers.device) - owner < 6
        return numbers[is_cell].view(-1, 6) * self.unit, numbers[~is_cell].view(-1, 3) * self.unit


def _until_end(tokens: list[int]) -> list[int]:
    end = ChangeTokenizer.EOS
    return tokens[: tokens.index(end) + 1] if end in tokens else tokens


def crystals_of(batch: CrystalBatch) -> list[Crystal]:
    """The crystals of a batch, without labels."""
    lattices = batch.lattice.double().cpu().numpy()
    counts = batch.num_atoms.tolist()
    coords = batch.frac_coords.double().cpu().split(counts)
    numbers = batch.atomic_numbers.cpu().split(counts)
    return [
        Crystal(lattice, frac.numpy(), elements.numpy(), name)
        for lattice, frac, elements, name in zip(
            lattices, coords, numbers, batch.identifier, strict=True
        )
    ]


def _true_changes(batch: CrystalBatch, crystals: list[Crystal]) -> list[Change]:
    strains = batch.targets[STRAIN.name].nan_to_num().double().cpu().view(-1, 3, 3).numpy()
    moved = batch.targets[DISPLACEMENT.name].nan_to_num().double().cpu()
    parts = moved.split([one.num_atoms for one in crystals])
    return [Change(strain, part.numpy()) for strain, part in zip(strains, parts, strict=True)]


def _root_mean(squares: Tensor, share: Tensor) -> Tensor:
    """Root of the mean over all processes, exact in value and gradient."""
    mean = global_mean((squares * share).sum(), share.sum())
    root = (all_reduce_sum(mean) / world_size() + 1e-12).sqrt()
    half = mean / (2 * root)
    return half + half.detach()
