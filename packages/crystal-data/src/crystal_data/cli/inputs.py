"""What `crystal-data` commands take: the name of a data set, a folder, a table or a file."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from crystal_data.cli.command_parser import CommandParser
from crystal_data.errors import SourceError

if TYPE_CHECKING:
    from crystal_data.crystal import Crystal
    from crystal_data.errors import Rejection
    from crystal_data.io.options import ReadOptions
    from crystal_data.sources.base import CrystalSource
    from crystal_data.store.store import CrystalStore

# Name of a data set to the module and class that read it.
SOURCES = {
    "builtin": "crystal_data.builtin:BuiltinSource",
    "carbon_24": "crystal_data.sources:Carbon24",
    "jarvis_dft_3d": "crystal_data.sources:JarvisDFT3D",
    "jarvis_supercon": "crystal_data.sources:JarvisSupercon",
    "mp_20": "crystal_data.sources:MP20",
    "mp_2018": "crystal_data.sources:MP2018",
    "mpts_52": "crystal_data.sources:MPTS52",
    "perov_5": "crystal_data.sources:Perov5",
}


@dataclass(frozen=True)
class Opened:
    """An input that was read.

    Args:
        store: What can be used; None if nothing can.
        rejections: What cannot, and why.
    """

    store: "CrystalStore | None"
    rejections: "list[Rejection]"

    @property
    def num_rows(self) -> int:
        """Structures that can be used."""
        return 0 if self.store is None else len(self.store)

    def usable(self) -> "CrystalStore":
        """The store.

        Raises:
            SourceError: If nothing of the input can be used.
        """
        if self.store is None:
            raise SourceError("none of the structures can be used", "`crystal-data check` says why")
        return self.store


def parser_for(name: str, description: str) -> CommandParser:
    """An argument parser of one subcommand."""
    return CommandParser(f"crystal-data {name}", description)


def add_data_root(parser: ArgumentParser) -> None:
    """Adds ``--data-root``."""
    parser.add_argument(
        "--data-root", metavar="DIR", help="folder of the public data sets (CRYSTAL_DATA_HOME)"
    )


def add_reference(parser: ArgumentParser) -> None:
    """Adds ``--reference`` and ``--split``: what is compared with; see :func:`crystals_of`."""
    parser.add_argument(
        "--reference", required=True, metavar="DATA", help="data set, folder, table or file"
    )
    parser.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        help="rows of the reference (default: test where it has that, else all)",
    )


def add_input(parser: ArgumentParser) -> None:
    """Adds the arguments that say what to read, and how."""
    parser.add_argument(
        "input",
        metavar="INPUT",
        help="name of a data set, folder of structures, table (CSV, Parquet, JSONL) or file",
    )
    add_read_options(parser)
    add_data_root(parser)


def add_allow_package(parser: ArgumentParser) -> None:
    """Adds ``--allow-package``."""
    parser.add_argument(
        "--allow-package",
        metavar="NAME",
        help="installed package outside ours whose model may be loaded; its code runs",
    )


def add_read_options(parser: ArgumentParser) -> None:
    """Adds the arguments of ``ReadOptions``."""
    from crystal_data.io.options import DEFAULT, OnDisorder, OnFormula

    parser.add_argument(
        "--on-disorder",
        choices=get_args(OnDisorder),
        default=DEFAULT.on_disorder,
        help="what to do with partly occupied sites (default: leave such structures out)",
    )
    parser.add_argument(
        "--on-formula",
        choices=get_args(OnFormula),
        default=DEFAULT.on_formula,
        help="what to do with a file whose atoms are not those of its own formula "
        "(default: leave it out; 'note' reads its atoms and notes the difference)",
    )
    parser.add_argument(
        "--min-distance",
        type=float,
        metavar="Å",
        default=DEFAULT.min_distance,
        help="atoms closer than this overlap, and the structure is left out (default: %(default)s)",
    )


def read_options(args: Namespace) -> "ReadOptions":
    """The options that :func:`add_read_options` has read."""
    from crystal_data.io.options import ReadOptions

    return ReadOptions(args.on_disorder, args.min_distance, args.on_formula)


def source_of(name_or_path: str, data_root: str | None = None) -> "CrystalSource":
    """The source behind a name or a path.

    Args:
        name_or_path: Of a data set, or of a folder, table or file.
        data_root: Folder of the public data sets; by default ``CRYSTAL_DATA_HOME``.

    Raises:
        SourceError: If it is neither.
    """
    from difflib import get_close_matches

    from crystal_data.sources import FileSource

    path = Path(name_or_path)
    if name_or_path in SOURCES and not path.exists():
        module, class_name = SOURCES[name_or_path].split(":")
        # The built-in data set is computed, all others lie in the data home.
        root = {} if name_or_path == "builtin" else {"root": data_root}
        source: CrystalSource = getattr(import_module(module), class_name)(**root)
        return source
    if not path.exists():
        near = get_close_matches(name_or_path, SOURCES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"data sets are {', '.join(SOURCES)}"
        raise SourceError(f"'{name_or_path}' is no file, no folder and no data set; {hint}")
    return FileSource(path)


def crystals_of(name: str, split: str | None, usual: str, data_root: str | None) -> "list[Crystal]":
    """The crystals of a split; structures that cannot be used are left out.

    Args:
        name: Of a data set, or of a folder, table or file.
        split: ``"all"`` takes all rows; None those of the usual split, or all where it has none.
        usual: Split.
        data_root: Folder of the public data sets; by default ``CRYSTAL_DATA_HOME``.

    Raises:
        SourceError: If the split has no rows.
    """
    from crystal_data.store.build import open_store

    store = open_store(source_of(name, data_root), on_invalid="skip")
    rows = list(range(len(store)))
    if split != "all":
        chosen = store.rows_of(split or usual).tolist()
        if split is not None and not chosen:
            raise SourceError(f"{name} has no rows of the split '{split}'", "--split all takes all")
        rows = chosen or rows
    return [store.crystal(row) for row in rows]


def open_input(args: Namespace) -> Opened:
    """Reads an input, from its store if it was read before; what cannot be used is left out.

    Raises:
        SourceError: If it does not exist or has no structures.
    """
    from crystal_data.io.rejected import REJECTED, read_rejected
    from crystal_data.store.build import open_store
    from crystal_data.store.rejections import InvalidSourceError

    source = source_of(args.input, args.data_root)
    try:
        store = open_store(source, on_invalid="skip", options=read_options(args))
    except InvalidSourceError as error:
        rejections = read_rejected(error.rejected_path)
        if not rejections:
            raise
        return Opened(None, rejections)
    path = None if store.path is None else store.path / REJECTED
    return Opened(store, read_rejected(path) if path is not None and path.is_file() else [])
