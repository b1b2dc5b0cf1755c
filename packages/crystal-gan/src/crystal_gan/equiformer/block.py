"""A layer of the network: attention to neighbors, then each atom by itself."""

from torch import Tensor, nn
from typing_extensions import override

from crystal_gan.equiformer.activation import activation
from crystal_gan.equiformer.attention import GraphAttention
from crystal_gan.equiformer.graph import EdgeGraph
from crystal_gan.equiformer.linear import DegreeLinear
from crystal_gan.equiformer.norm import MergedNorm
from crystal_gan.equiformer.sizes import EquiformerSizes


class FeedForward(nn.Module):
    """Two mixings of channels with a product on the sphere in between.

    Args:
        sizes: Of the network.
    """

    def __init__(self, sizes: EquiformerSizes) -> None:
        super().__init__()
        coefficients, num_channels = sizes.coefficients, sizes.num_channels
        hidden_channels = sizes.feedforward_channels
        self.activation = activation(
            sizes.activation, coefficients, hidden_channels, along_edges=False
        )
        taken = self.activation.channels_taken * hidden_channels
        self.first = DegreeLinear(coefficients, num_channels, taken)
        self.scalars = nn.Linear(num_channels, self.activation.scalars_taken * hidden_channels)
        self.second = DegreeLinear(coefficients, hidden_channels, num_channels)

    @override
    def forward(self, atoms: Tensor) -> Tensor:
        """What is added to atoms; shape of both ``[num_atoms, num_at_atoms, num_channels]``."""
        added: Tensor = self.second(self.activation(self.first(atoms), self.scalars(atoms[:, 0])))
        return added


class Block(nn.Module):
    """Attention and feed-forward, each behind a norm and added to what was there.

    Args:
        sizes: Of the network.
    """

    def __init__(self, sizes: EquiformerSizes) -> None:
        super().__init__()
        self.attention_norm = MergedNorm(sizes.coefficients, sizes.num_channels)
        self.attention = GraphAttention(sizes)
        self.feedforward_norm = MergedNorm(sizes.coefficients, sizes.num_channels)
        self.feedforward = FeedForward(sizes)

    @override
    def forward(self, atoms: Tensor, graph: EdgeGraph) -> Tensor:
        """Updates atoms; shape ``[num_atoms, num_at_atoms, num_channels]``."""
        atoms = atoms + self.attention(self.attention_norm(atoms), graph)
        added: Tensor = self.feedforward(self.feedforward_norm(atoms))
        return atoms + added
