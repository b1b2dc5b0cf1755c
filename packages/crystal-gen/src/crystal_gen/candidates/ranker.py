"""How probable it is that a candidate is the crystal that is asked."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from typing_extensions import override

from crystal_data.artifacts import PretrainedModel
from crystal_gen.candidates.features import FEATURES

Array = NDArray[np.float64]

_LARGEST = 5.0  # deviations that a feature is cut at


class CandidateRanker(PretrainedModel):
    """Orders the candidates of a request by the probability that they match a known crystal.

    Several small networks of the same candidates' features are averaged. A matching candidate is
    one that pymatgen's ``StructureMatcher`` takes for the true structure at the usual tolerances.

    Args:
        width: Of the hidden layer.
        num_members: Networks.
        dropout: In training.
        potential: Whose energies it can count in; None for none.
    """

    def __init__(
        self,
        width: int = 16,
        num_members: int = 4,
        dropout: float = 0.3,
        potential: str | None = None,
    ) -> None:
        super().__init__()
        self.potential = potential
        num_features = len(FEATURES)
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Linear(num_features, width),
                nn.SiLU(),
                nn.Dropout(dropout),
                nn.Linear(width, 1),
            )
            for _ in range(num_members)
        )
        self.mean: Tensor
        self.std: Tensor
        self.slope: Tensor
        self.shift: Tensor
        self.energy_weights: Tensor
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("std", torch.ones(num_features))
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))
        # Where energies are known: slope, shift, and the weight of their penalties.
        self.register_buffer("energy_weights", torch.tensor([1.0, 0.0, 0.0]))

    def fingerprint(self) -> str:
        """Hash of the weights."""
        digest = hashlib.sha256()
        for name, weights in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(weights.cpu().numpy().tobytes())
        return digest.hexdigest()

    def member_logits(self, features: Tensor) -> Tensor:
        """Of each network; ``[num_members, num_candidates]``.

        Args:
            features: As :class:`CandidateFeatures` makes them; ``[num_candidates, num_features]``.
        """
        scaled = ((features - self.mean) / self.std).clamp(-_LARGEST, _LARGEST)
        return torch.stack([member(scaled)[:, 0] for member in self.members])

    @override
    def forward(self, features: Tensor, penalties: Tensor | None = None) -> Tensor:
        logits = self.member_logits(features).mean(0)
        if penalties is None:
            return self.slope * logits + self.shift
        return _with_energies(self.energy_weights, logits, penalties)

    @torch.no_grad()
    def probabilities(self, features: Array, penalties: Array | None = None) -> Array:
        """The probability that each candidate matches; ``[num_candidates]``.

        Args:
            features: As :class:`CandidateFeatures` makes them; ``[num_candidates, num_features]``.
            penalties: As :func:`energy_penalties` makes them of one pool, with the potential that
                the ranker knows; ``[num_candidates]``.
        """
        self.eval()
        given = [torch.from_numpy(features).to(self.mean)]
        if penalties is not None:
            given.append(torch.from_numpy(penalties).to(self.mean))
        found: Array = self(*given).double().sigmoid().numpy()
        return found


def fit_ranker(
    ranker: CandidateRanker,
    features: Sequence[Array],
    matches: Sequence[NDArray[np.bool_]],
    *,
    num_epochs: int = 60,
    seed: int = 0,
) -> None:
    """Trains a ranker: each candidate for itself, and against the others of its pool.

    Args:
        ranker: To be trained.
        features: Of each pool; ``[num_candidates, num_features]``.
        matches: Whether each candidate is the true crystal.
        num_epochs: Passes over all pools.
        seed: Of weights, dropout and order.
    """
    flat = torch.from_numpy(np.concatenate(features)).float()
    truth = torch.from_numpy(np.concatenate(matches)).float()
    counts = [len(each) for each in matches]
    ends = np.cumsum(counts)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for layer in ranker.modules():
            if isinstance(layer, nn.Linear):
                layer.reset_parameters()
        ranker.mean.copy_(flat.mean(0))
        ranker.std.copy_(flat.std(0).clamp(min=1e-3))
        optimizer = torch.optim.AdamW(ranker.parameters(), lr=3e-3, weight_decay=0.3)
        pools_at_once = 64
        steps = num_epochs * -(-len(counts) // pools_at_once)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        ranker.train()
        for _ in range(num_epochs):
            for chosen in torch.randperm(len(counts)).split(pools_at_once):
                places = [np.arange(ends[x] - counts[x], ends[x]) for x in chosen.tolist()]
                pool = torch.arange(len(chosen)).repeat_interleave(
                    torch.tensor([len(each) for each in places])
                )
                rows = torch.from_numpy(np.concatenate(places))
                loss = _loss(ranker.member_logits(flat[rows]), truth[rows], pool, len(chosen))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    ranker.eval()


def _loss(logits: Tensor, truth: Tensor, pool: Tensor, num_pools: int) -> Tensor:
    """Cross entropy of each candidate, and of the choice of a matching one of each pool."""
    targets = truth.expand_as(logits)
    single = nn.functional.binary_cross_entropy_with_logits(logits, targets)
    shifted = (logits - logits.amax()).exp()
    empty = logits.new_zeros(len(logits), num_pools)
    all_ = empty.index_add(1, pool, shifted)
    right = empty.index_add(1, pool, shifted * targets)
    has_right = right[0] > 0
    if not has_right.any():
        return single
    choice = all_[:, has_right].clamp(min=1e-30).log() - right[:, has_right].clamp(min=1e-30).log()
    return single + 0.2 * choice.mean()


def calibrate(ranker: CandidateRanker, features: Array, matches: NDArray[np.bool_]) -> None:
    """Fits slope and shift of the logits on candidates that were not trained on (Platt 1999).

    Args:
        ranker: Trained.
        features: ``[num_candidates, num_features]``.
        matches: ``[num_candidates]``.
    """
    with torch.no_grad():
        logits = ranker.member_logits(torch.from_numpy(features).to(ranker.mean)).mean(0).double()
    truth = torch.from_numpy(matches).double()
    parameters = torch.tensor([1.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=100)

    def closure() -> Tensor:
        optimizer.zero_grad()
        scaled = parameters[0] * logits + parameters[1]
        loss = nn.functional.binary_cross_entropy_with_logits(scaled, truth)
        loss.backward()
        return loss

    optimizer.step(closure)
    ranker.slope.fill_(float(parameters[0].detach()))
    ranker.shift.fill_(float(parameters[1].detach()))


def count_energies(
    ranker: CandidateRanker,
    features: Sequence[Array],
    penalties: Sequence[Array],
    matches: Sequence[NDArray[np.bool_]],
) -> None:
    """Fits what energies say beside the features, on pools that were not trained on.

    Args:
        ranker: Trained, with a potential.
        features: Of each pool; ``[num_candidates, num_features]``.
        penalties: Of each pool; ``[num_candidates]``.
        matches: Whether each candidate is the true crystal.
    """
    with torch.no_grad():
        flat = torch.from_numpy(np.concatenate(features)).to(ranker.mean)
        logits = ranker.member_logits(flat).mean(0).double()
    against = torch.from_numpy(np.concatenate(penalties)).double()
    truth = torch.from_numpy(np.concatenate(matches)).double()
    counts = torch.tensor([len(each) for each in matches])
    pool = torch.arange(len(counts)).repeat_interleave(counts)
    weights = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200)

    def closure() -> Tensor:
        optimizer.zero_grad()
        together = _with_energies(weights, logits, against)
        loss = _loss(together[None], truth, pool, len(counts))
        loss.backward()
        return loss

    optimizer.step(closure)
    ranker.energy_weights.copy_(weights.detach())


def _with_energies(weights: Tensor, logits: Tensor, penalties: Tensor) -> Tensor:
    slope, shift, weight = weights
    return slope * logits + shift - weight * penalties


def calibration_error(probabilities: Array, matches: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean distance of frequency and probability over ten bins."""
    num_bins = 10
    places = np.minimum((probabilities * num_bins).astype(int), num_bins - 1)
    errors = [
        (places == place).mean()
        * abs(matches[places == place].mean() - probabilities[places == place].mean())
        for place in np.unique(places)
    ]
    return float(sum(errors))
