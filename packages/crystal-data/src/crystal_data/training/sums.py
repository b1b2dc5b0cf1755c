"""What a step of a module measures."""

from collections.abc import Mapping

from torch import Tensor

# Apart from the averages over epochs, so that models that name it load no library of metrics.
Sums = Mapping[str, tuple[Tensor, Tensor]]  # a name's total and count (or weight), both scalars
