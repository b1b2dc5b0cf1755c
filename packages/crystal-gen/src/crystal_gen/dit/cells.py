"""Cells as normalized vectors, relative to what elements and crystal system let expect."""

import math

import torch
from torch import Tensor, nn

from crystal_data.elements import SYMBOLS
from crystal_data.symmetry import CRYSTAL_SYSTEMS, crystal_system
from crystal_gen.lattice_vector import family_constraints

_NUM_ELEMENTS = len(SYMBOLS)
_VOLUME = 5  # component of k
_TYPICAL_STD = 0.2  # of a component in a crystal system, worth as much as so many crystals:
_NUM_PRIOR = 3
_TYPICAL_VOLUME = 18.0  # Å³ of an atom of an element that no crystal had


class CellScale(nn.Module):
    """Turns a cell's vector k into numbers of mean 0 and variance 1, and back.

    The volume is measured against a sum over elements of a volume each; all components against
    mean and deviation in their crystal system. Fitted on training crystals.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_volumes: Tensor
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("log_volumes", torch.full((_NUM_ELEMENTS,), math.log(_TYPICAL_VOLUME)))
        self.register_buffer("mean", torch.zeros(len(CRYSTAL_SYSTEMS), 6))
        self.register_buffer("std", torch.full((len(CRYSTAL_SYSTEMS), 6), _TYPICAL_STD))
        free, fixed = family_constraints()
        systems = [0, *(CRYSTAL_SYSTEMS.index(crystal_system(number)) for number in range(1, 231))]
        self.system: Tensor
        self.free: Tensor
        self.fixed: Tensor
        self.register_buffer("system", torch.tensor(systems), persistent=False)
        self.register_buffer("free", free, persistent=False)
        self.register_buffer("fixed", fixed.to(torch.get_default_dtype()), persistent=False)

    @torch.no_grad()
    def fit(self, number: Tensor, composition: Tensor, vector: Tensor) -> None:
        """Fits on crystals.

        Args:
            number: Space groups; ``[num_crystals]``.
            composition: Atoms of each element in the conventional cell; ``[num_crystals, 119]``.
            vector: k of their cells; ``[num_crystals, 6]``.
        """
        counts = composition.double()
        total = counts.sum(1)
        logs = math.sqrt(3.0) * vector[:, _VOLUME].double() - total.log()
        known = counts.sum(0) > 0
        shares = counts[:, known] / total[:, None]
        # A little towards the mean, for elements of few crystals.
        mean, weight = logs.mean(), 0.1
        gram = shares.T @ shares + weight * torch.eye(shares.shape[1], dtype=shares.dtype)
        fitted = mean + torch.linalg.solve(gram, shares.T @ (logs - mean))
        self.log_volumes.fill_(float(mean))
        self.log_volumes[known] = fitted.float()
        self.mean.zero_()
        self.std.fill_(_TYPICAL_STD)
        rest = vector - self._expected(number, composition)
        for place in range(len(CRYSTAL_SYSTEMS)):
            own = rest[self.system[number] == place]
            if len(own):
                self.mean[place] = own.mean(0)
                squares = ((own - self.mean[place]) ** 2).sum(0) + _NUM_PRIOR * _TYPICAL_STD**2
                self.std[place] = (squares / (len(own) + _NUM_PRIOR)).sqrt()

    def normalize(self, number: Tensor, composition: Tensor, vector: Tensor) -> Tensor:
        """``[num_crystals, 6]``; components that are not free are 0."""
        system = self.system[number]
        shape = (vector - self._expected(number, composition) - self.mean[system]) / self.std[
            system
        ]
        return shape * self.free[number]

    def denormalize(self, number: Tensor, composition: Tensor, shape: Tensor) -> Tensor:
        """The vector k; ``[num_crystals, 6]``."""
        system = self.system[number]
        vector = shape * self.std[system] + self.mean[system] + self._expected(number, composition)
        return torch.where(self.free[number], vector, self.fixed[number])

    def _expected(self, number: Tensor, composition: Tensor) -> Tensor:
        """Volume of the elements and fixed components; ``[num_crystals, 6]``."""
        total = composition.sum(1)
        logs = (composition * self.log_volumes).sum(1) / total + total.log()
        expected = self.fixed[number].clone()
        expected[:, _VOLUME] = logs / math.sqrt(3.0)
        return expected
