"""Atomic embeddings from crystal transformers, in front of crystal graph networks."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_embed.layers.atom_embedding import AtomEmbedding as AtomEmbedding
    from crystal_embed.models.alignn import ALIGNN as ALIGNN
    from crystal_embed.models.base import Encoder as Encoder
    from crystal_embed.models.base import GraphModel as GraphModel
    from crystal_embed.models.cgcnn import CGCNN as CGCNN
    from crystal_embed.models.crystal_transformer import CrystalTransformer as CrystalTransformer
    from crystal_embed.models.megnet import MEGNet as MEGNet
    from crystal_embed.shipped import load as load
    from crystal_embed.tables.files import save_table as save_table
    from crystal_embed.tables.load import load_table as load_table
    from crystal_embed.tables.table import ElementTable as ElementTable
    from crystal_embed.training.pretraining import PretrainingModule as PretrainingModule

# Heavy parts load on first use, so that `crystal-embed --help` stays quick.
_EXPORTS = {
    "ALIGNN": "crystal_embed.models.alignn",
    "AtomEmbedding": "crystal_embed.layers.atom_embedding",
    "CGCNN": "crystal_embed.models.cgcnn",
    "CrystalTransformer": "crystal_embed.models.crystal_transformer",
    "ElementTable": "crystal_embed.tables.table",
    "Encoder": "crystal_embed.models.base",
    "GraphModel": "crystal_embed.models.base",
    "MEGNet": "crystal_embed.models.megnet",
    "load": "crystal_embed.shipped",
    "PretrainingModule": "crystal_embed.training.pretraining",
    "load_table": "crystal_embed.tables.load",
    "save_table": "crystal_embed.tables.files",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
