"""Element tables by name, by file, or out of an artifact."""

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from crystal_data.errors import InvalidArgumentError, MissingFileError
from crystal_embed.shipped import shipped_tables
from crystal_embed.tables.atom_init import atom_init
from crystal_embed.tables.files import SUFFIXES, read_table
from crystal_embed.tables.published import published_table
from crystal_embed.tables.table import ElementTable, HasElementTable

# The elements that public tables of this field hold, and that public data sets contain.
NUM_ELEMENTS = 100

if TYPE_CHECKING:
    TableInput: TypeAlias = str | Path | ElementTable
else:
    # What a config can say. A parser that saw the class in a signature would take a path for that
    # of the class's own config, and put the content of the file in its place.
    TableInput = str

_NAMES = (
    "atom_init",
    "one_hot",
    "random:<width>",
    "permuted:<seed>:<table>",
    "joined:<table>,<table>",
    "scaled:<table>",
    "uae:<name>",
    "elements:<name>",
)


def load_table(name_or_path: str | Path) -> ElementTable:
    """Finds an element table.

    Args:
        name_or_path: One of

            - ``atom_init``: the 92 numbers of CGCNN;
            - ``one_hot``: elements 1 to 100, each a dimension of its own;
            - ``random:<width>`` or ``random:<width>:<seed>``: normal numbers, seed 0 by default;
            - ``permuted:<seed>:<table>``: another table with its rows permuted between the
              elements, a control that keeps all numbers and loses their meaning;
            - ``joined:<table>,<table>``: the vectors of several tables, one after the other, for
              the elements that are in all of them;
            - ``scaled:<table>``: another table, centred, with numbers that spread by 1 in a column;
              for tables that are not trained further, since the layer behind them hardly sees
              vectors much shorter than that, as those of most transformers are;
            - ``uae:<name>``: universal atomic embeddings that come with the package, which
              ``crystal-embed models`` lists;
            - ``elements:<name>``: a table that others have published and the package
              ElementEmbeddings brings along, such as ``elements:mat2vec``;
            - a ``.json``, ``.csv`` or ``.safetensors`` file, as ``save_table`` writes them;
            - an artifact of a table or of a model that has one: its folder, that of the run which
              holds it, or ``owner/name`` on the hub.

    Raises:
        MissingFileError: If a file or folder is named that does not exist.
        InvalidArgumentError: If it is none of these, or what is there holds no table.
    """
    name = str(name_or_path)
    if (made := _made_table(name)) is not None:
        return made
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return _artifact_table(path)
    if path.suffix in SUFFIXES:
        if not path.is_file():
            raise MissingFileError(f"{path.resolve()}: no such file for an element table")
        return read_table(path)
    if name.count("/") == 1 and not name.startswith((".", "~", "/")):
        return _artifact_table(name)
    near = get_close_matches(name, _NAMES, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"the names are {', '.join(_NAMES)}."
    raise InvalidArgumentError(
        f"no element table '{name}'; {hint} Files end in {', '.join(SUFFIXES)}, and an artifact is "
        "given by its folder"
    )


def as_table(element_table: TableInput) -> ElementTable:
    """The table itself, or the one that a name or path means; errors as ``load_table``."""
    return element_table if isinstance(element_table, ElementTable) else load_table(element_table)


def _made_table(name: str) -> ElementTable | None:
    """The table of a name that is no file's; None if it may be one."""
    if name == "atom_init":
        return atom_init()
    if name == "one_hot":
        return ElementTable(
            name, np.arange(1, NUM_ELEMENTS + 1), np.eye(NUM_ELEMENTS, dtype=np.float32)
        )
    kinds = {
        "random": _random_table,
        "permuted": _permuted_table,
        "joined": _joined_table,
        "scaled": _scaled_table,
        "uae": _shipped_table,
        "elements": published_table,
    }
    kind, colon, _ = name.partition(":")
    return kinds[kind](name) if colon and kind in kinds else None


def _random_table(name: str) -> ElementTable:
    parts = name.split(":")[1:]
    if not all(part.isdecimal() for part in parts) or len(parts) > 2 or int(parts[0]) < 1:
        raise InvalidArgumentError(f"'{name}': expected random:<width> or random:<width>:<seed>")
    width, seed = int(parts[0]), int(parts[1]) if len(parts) == 2 else 0
    vectors = np.random.default_rng(seed).standard_normal((NUM_ELEMENTS, width), dtype=np.float32)
    return ElementTable(name, np.arange(1, NUM_ELEMENTS + 1), vectors, {"seed": seed})


def _permuted_table(name: str) -> ElementTable:
    parts = name.split(":", 2)
    if len(parts) != 3 or not parts[1].isdecimal() or not parts[2]:
        raise InvalidArgumentError(
            f"'{name}': expected permuted:<seed>:<table>, such as permuted:0:atom_init"
        )
    table = load_table(parts[2])
    # Rows of elements that were never trained mean nothing; they stay where they are.
    untrained = table.metadata.get("random_elements", ())
    rows = np.array([row for row, symbol in enumerate(table.symbols) if symbol not in untrained])
    vectors = table.vectors.copy()
    vectors[rows] = table.vectors[np.random.default_rng(int(parts[1])).permutation(rows)]
    return ElementTable(name, table.atomic_numbers, vectors, table.metadata)


def _joined_table(name: str) -> ElementTable:
    names = name.partition(":")[2].split(",")
    if len(names) < 2 or not all(names):
        raise InvalidArgumentError(
            f"'{name}': expected joined:<table>,<table>, such as joined:atom_init,one_hot"
        )
    tables = [load_table(one) for one in names]
    common = np.array(sorted(set.intersection(*(set(t.atomic_numbers.tolist()) for t in tables))))
    if len(common) == 0:
        raise InvalidArgumentError(f"'{name}': no element is in all of these tables")
    rows = [np.searchsorted(t.atomic_numbers, common) for t in tables]
    vectors = [table.vectors[chosen] for table, chosen in zip(tables, rows, strict=True)]
    untrained = {symbol for table in tables for symbol in table.metadata.get("random_elements", ())}
    return ElementTable(
        name, common, np.concatenate(vectors, axis=1), {"random_elements": sorted(untrained)}
    )


def _scaled_table(name: str) -> ElementTable:
    inner = name.partition(":")[2]
    if not inner:
        raise InvalidArgumentError(f"'{name}': expected scaled:<table>, such as scaled:atom_init")
    table = load_table(inner)
    # Random rows, and columns that are the same in all rows, say nothing of the spread.
    untrained = table.metadata.get("random_elements", ())
    trained = table.vectors[[symbol not in untrained for symbol in table.symbols]]
    if not len(trained) or (trained == trained[0]).all():
        raise InvalidArgumentError(f"'{name}': no two trained elements have different vectors")
    variances = trained.var(axis=0)
    spread = float(np.sqrt(variances[variances > 0].mean()))
    coordinates = None if table.coordinates is None else table.coordinates / spread
    vectors = (table.vectors - trained.mean(axis=0)) / spread
    return ElementTable(name, table.atomic_numbers, vectors, table.metadata, coordinates)


def _shipped_table(name: str) -> ElementTable:
    tables = shipped_tables()
    if name not in tables:
        near = get_close_matches(name, tables, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(tables) or 'none'}"
        raise InvalidArgumentError(f"no table '{name}' comes with the package; {hint}")
    return read_table(tables[name])


def _artifact_table(path_or_hub_id: str | Path) -> ElementTable:
    # A model imports the tables, so the way back waits until it is needed.
    from crystal_data.artifacts import Artifact, PretrainedModel

    if Artifact.load(path_or_hub_id).kind == "element_table":
        return ElementTable.from_pretrained(path_or_hub_id)
    model = PretrainedModel.from_pretrained(path_or_hub_id)
    if not isinstance(model, HasElementTable):
        raise InvalidArgumentError(
            f"{path_or_hub_id}: a {type(model).__name__} has no element table"
        )
    return model.element_table()
