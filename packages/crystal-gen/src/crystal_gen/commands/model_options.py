"""What every command takes that makes crystals with a trained model."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from typing import TYPE_CHECKING

from crystal_gen.commands.template_options import library_from
from crystal_gen.shipped import SHIPPED

if TYPE_CHECKING:
    from crystal_gen.generator import StructureGenerator

#: What ``--model`` takes.
MODEL_HELP = (
    "a trained model: a name that `crystal-gen models` lists, or the folder of a run or of an "
    "artifact"
)
#: Options of :func:`add_sampling_options`, as attributes.
SAMPLING_OPTIONS = ("start_level", "steps", "guidance", "sharpness")


def add_sampling_options(parser: ArgumentParser) -> None:
    """Adds ``--start-level``, ``--steps``, ``--guidance`` and ``--sharpness``."""
    group = parser.add_argument_group("how a model makes them")
    group.add_argument(
        "--start-level",
        type=float,
        metavar="X",
        help="noise that a template or a start gets before it is made anew: 0 keeps it, 1 is noise "
        "alone (default: 0.05)",
    )
    group.add_argument(
        "--steps",
        type=int,
        metavar="N",
        help="steps from noise to crystal (default: what suits the model)",
    )
    group.add_argument(
        "--guidance",
        type=float,
        metavar="G",
        help="how strongly wishes count: 0 not at all, 1 as learned, 2 beyond (default: 1)",
    )
    group.add_argument(
        "--sharpness",
        type=float,
        metavar="S",
        help="draws samples to the middle of what is probable; 0 for none (default: what suits the "
        "model)",
    )


def generator_from(args: Namespace) -> "StructureGenerator":
    """The generator that ``--model``, ``--templates`` and the options above have named.

    Raises:
        ArtifactError: If the model cannot be read, or makes no structures.
        InvalidArgumentError: If a number is out of its range.
    """
    from crystal_gen.generator import StructureGenerator
    from crystal_gen.structure_model import StructureModel

    given = {
        name: value
        for name, value in (
            ("num_steps", args.steps),
            ("guidance", args.guidance),
            ("sharpness", args.sharpness),
        )
        if value is not None
    }
    model = StructureModel.from_pretrained(SHIPPED.find(args.model))
    level = {} if args.start_level is None else {"start_level": args.start_level}
    return StructureGenerator(
        model,
        sampling=replace(model.default_sampling, **given),
        templates=library_from(args) if args.templates else None,
        **level,
    )
