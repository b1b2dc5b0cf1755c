"""What every command takes that copies templates."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from crystal_data.cli.inputs import add_data_root, source_of
from crystal_data.errors import InvalidArgumentError

if TYPE_CHECKING:
    from crystal_data.sources import CrystalSource
    from crystal_data.splits import EvaluationSet
    from crystal_gen.templates.joined import JoinedLibrary
    from crystal_gen.templates.library import TemplateLibrary


def add_template_options(parser: ArgumentParser, *, required: bool = True) -> None:
    """Adds ``--templates``, ``--max-atoms`` and ``--data-root``."""
    parser.add_argument(
        "--templates",
        required=required,
        nargs="+",
        metavar="DATA",
        help="what to copy or to start from: data sets, folders, tables or files, of which the "
        "training rows are taken where there are any, or saved libraries; several are joined",
    )
    parser.add_argument(
        "--max-atoms",
        type=int,
        metavar="N",
        help="leave out templates with more atoms in the primitive cell",
    )
    add_data_root(parser)


def library_from(args: Namespace) -> "TemplateLibrary":
    """The library that :func:`add_template_options` has read."""
    return joined_from(args).library


def joined_from(args: Namespace, exclude: Sequence[str] = ()) -> "JoinedLibrary":
    """The library, and what was kept out of it.

    Args:
        args: Of :func:`add_template_options`.
        exclude: Data sets whose validation and test rows, or all rows where there are none, must
            not be templates.

    Raises:
        InvalidArgumentError: If a number is too small, or crystals are to be kept out of a saved
            library.
    """
    from crystal_gen.templates.joined import join_sources

    if args.max_atoms is not None and args.max_atoms < 1:
        raise InvalidArgumentError(f"--max-atoms {args.max_atoms}: at least one atom is needed")
    sets = [each for name in exclude for each in _held_out(name, args.data_root)]
    sources = [_source(name, args.data_root) for name in args.templates]
    return join_sources(sources, exclude_from=sets, max_atoms=args.max_atoms)


def _held_out(name: str, data_root: str | None) -> "list[EvaluationSet]":
    """Validation and test rows, or all rows where there are none."""
    from crystal_data.splits import EvaluationSet
    from crystal_data.store import open_store

    source = source_of(name, data_root)
    store = open_store(source, on_invalid="skip")
    both = (EvaluationSet(source, "val"), EvaluationSet(source, "test"))
    return [each for each in both if len(store.rows_of(each.split))] or [EvaluationSet(source)]


def _source(name: str, data_root: str | None) -> "CrystalSource | TemplateLibrary":
    from crystal_gen.templates.library import TemplateLibrary

    if (Path(name) / "config.json").is_file():
        return TemplateLibrary.from_pretrained(name)
    return source_of(name, data_root)
