"""Activations that torch has not."""

from math import log

import torch.nn.functional as F
from torch import Tensor


def softplus2(x: Tensor) -> Tensor:
    """``log(1 + exp(x)) - log(2)``, which is 0 at 0.

    Source:
        Chen et al., Chem. Mater. 31, 3564 (2019).
    """
    return F.softplus(x).sub_(log(2.0))
