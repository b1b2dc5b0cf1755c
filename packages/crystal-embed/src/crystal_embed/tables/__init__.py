"""Vectors for elements: the named tables, those of others, and files for all of them."""

from crystal_embed.tables.files import save_table as save_table
from crystal_embed.tables.load import load_table as load_table
from crystal_embed.tables.table import ElementTable as ElementTable

__all__ = ["ElementTable", "load_table", "save_table"]
