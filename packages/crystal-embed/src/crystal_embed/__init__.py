"""Atomic embeddings from crystal transformers, in front of crystal graph networks."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_embed.layers.atom_embedding import AtomEmbedding as AtomEmbedding
    from crystal_embed.models.base import Encoder as Encoder
    from crystal_embed.models.base import GraphModel as GraphModel
    from crystal_embed.models.cgcnn import CGCNN as CGCNN
    from crystal_embed.models.crystal_transformer import CrystalTransformer as CrystalTransformer
    "MEGNet": "crystal_embed.models.megnet",
