"""What an edge's length and its two elements say, and how an edge fades at the cutoff."""

from torch import Tensor, nn
from typing_extensions import override

from crystal_data.layers import GaussianBasis

_STEP = 0.25  # Å between Gaussians, about as long as the distances of a shell differ


def envelope(length: Tensor, cutoff: float) -> Tensor:
    """Falls from 1 to 0 at the cutoff, where its first two derivatives vanish as well.

    Args:
        length: Å; any shape.
        cutoff: Å.

    Source:
        Gasteiger et al., arXiv 2003.03123, equation 8, with p = 5.
    """
    u = (length / cutoff).clamp(max=1.0)
    return (1.0 + u**5 * (-21.0 + u * (35.0 - 15.0 * u))).clamp(min=0.0)


class EdgeFeatures(nn.Module):
    """Numbers of each edge that do not depend on its direction.

    The first layer is applied to length, neighbor and center apart, which is one matrix on all
    three together.

    Args:
        cutoff: Greatest length, Å.
        width: Numbers of each edge.
    """

    def __init__(self, cutoff: float, width: int) -> None:
        super().__init__()
        self.basis = GaussianBasis(0.0, cutoff, _STEP)
        self.of_length = nn.Linear(self.basis.num_features, width)
        self.norm = nn.LayerNorm(width)
        self.rest = nn.Sequential(
            nn.SiLU(), nn.Linear(width, width), nn.LayerNorm(width), nn.SiLU()
        )

    @override
    def forward(
        self, length: Tensor, edge_index: Tensor, neighbors: Tensor, centers: Tensor
    ) -> Tensor:
        """Features of edges; shape ``[num_edges, width]``.

        Args:
            length: Å; shape ``[num_edges]``.
            edge_index: Row 0 neighbor, row 1 center; int64 ``[2, num_edges]``.
            neighbors: What the elements of atoms add as neighbors; ``[num_atoms, width]``.
            centers: What they add as centers; ``[num_atoms, width]``.
        """
        neighbor, center = edge_index
        features = self.of_length(self.basis(length))
        features = features + neighbors.index_select(0, neighbor)
        features = features + centers.index_select(0, center)
        rest: Tensor = self.rest(self.norm(features))
        return rest


def by_degree(weights: Tensor, degree: Tensor, num_channels: int) -> Tensor:
    """Repeats what each degree has for its coefficients.

    Args:
        weights: Shape ``[n, num_degrees * num_channels]``.
        degree: Of each coefficient; int64 ``[num_coefficients]``.
        num_channels: Of each degree.

    Returns:
        Shape ``[n, num_coefficients, num_channels]``.
    """
    num_degrees = weights.shape[1] // num_channels
    return weights.view(len(weights), num_degrees, num_channels).index_select(1, degree)
