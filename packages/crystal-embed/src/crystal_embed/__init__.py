"""Atomic embeddings from crystal transformers, in front of crystal graph networks."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystal_embed.layers.atom_embedding import AtomEmbedding as AtomEmbedding
    from crystal_embed.models.base import GraphModel as GraphModel
    from crystal_embed.models.cgcnn import CGCNN as CGCNN
    from crystal_embed.models.crystal_transformer import CrystalTransformer as CrystalTransformer
    from crystal_embed.tables.files import save_table as save_table
    from crystal_embed.tables.load import load_table as load_table
    from crystal_embed.tables.table import ElementTable as ElementTable

# Heavy parts load on first use, so that `crystal-embed --help` stays quick.
_EXPORTS = {
    "CGCNN": "crystal_embed.models.cgcnn",
    "AtomEmbedding": "crystal_embed.layers.atom_embedding",
    "CrystalTransformer": "crystal_embed.models.crystal_transformer",
    "ElementTable": "crystal_embed.tables.table",
    "GraphModel": "crystal_embed.models.base",
    "load_table": "crystal_embed.tables.load",
    "save_table": "crystal_embed.tables.files",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> object:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
