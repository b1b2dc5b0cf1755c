"""How large a network is, and which of two forms it has."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from crystal_data import GraphSpec
from crystal_gan.equiformer.coefficients import Coefficients

Activation = Literal["swiglu", "s2"]


@dataclass(frozen=True, slots=True)
class EquiformerSizes:
    """Sizes of an equivariant network; by default what trains on a CPU.

    Args:
        num_layers: Layers of attention and feed-forward.
        num_channels: Channels of atoms.
        hidden_channels: Channels along edges.
        feedforward_channels: Inner channels of feed-forward parts.
        num_heads: Attention heads.
        value_channels: Channels of values in each head.
        max_degree: Greatest degree l of spherical harmonics: 2 on a CPU, 4 on a GPU.
        max_order: Greatest order |m| along edges; 2 is nearly as good as more.
        edge_width: Numbers that describe an edge.
        cutoff: Greatest distance of neighbors, Å.
        activation: ``swiglu``, whose equivariance is exact, or ``s2``, that of EquiformerV2.
        handed: Also mix orders m and -m, as EquiformerV2 does, so that mirrors are not kept.

    Raises:
        InvalidArgumentError: If degree, order or cutoff are not supported.
    """

    num_layers: int = 3
    num_channels: int = 32
    hidden_channels: int = 16
    feedforward_channels: int = 64
    num_heads: int = 4
    value_channels: int = 8
    max_degree: int = 2
    max_order: int = 2
    edge_width: int = 32
    cutoff: float = 5.0
    activation: Activation = "swiglu"
    handed: bool = False

    def __post_init__(self) -> None:
        _ = self.coefficients, self.graph_spec

    @classmethod
    def published(cls) -> "EquiformerSizes":
        """EquiformerV2 as the self-supervised model was published with: about 100 million weights.

        Source:
            Public code of the published self-supervised model: sizes of its fork of EquiformerV2.
        """
        return cls(
            num_layers=12,
            num_channels=128,
            hidden_channels=128,
            feedforward_channels=512,
            num_heads=8,
            value_channels=16,
            max_degree=6,
            max_order=2,
            edge_width=128,
            cutoff=5.0,
            activation="s2",
            handed=True,
        )

    @property
    def coefficients(self) -> Coefficients:
        """Which coefficients of spherical harmonics there are."""
        return Coefficients(self.max_degree, self.max_order)

    @property
    def graph_spec(self) -> GraphSpec:
        """All images within the cutoff."""
        return GraphSpec(cutoff=self.cutoff, max_neighbors=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for artifacts."""
        return asdict(self)
