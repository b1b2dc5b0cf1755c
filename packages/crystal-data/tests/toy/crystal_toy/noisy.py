"""A model that draws from every global generator."""

import random

import numpy as np
import torch
from torch import Tensor

from crystal_data.graphs.batch import CrystalBatch
from crystal_toy.model import ElementSum


class NoisySum(ElementSum):
    """ElementSum with noise from torch, NumPy and Python while it trains.

    Args:
        hidden_size: Width of the element vectors.
        num_outputs: Properties.
    """

    def forward(self, batch: CrystalBatch) -> Tensor:
        output = super().forward(batch)
        if not self.training:
            return output
        kept = torch.rand(len(output), 1) < 0.8
        shift = np.random.normal() + random.random()  # noqa: NPY002 - on purpose
        return output * kept + 0.1 * shift
