"""`crystal-relax relax`: relaxed structures of files and folders."""

from collections.abc import Sequence
from pathlib import Path

from crystal_data.cli.command_parser import CommandParser
from crystal_data.errors import InvalidArgumentError, SourceError
from crystal_data.processes import report_errors


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    from crystal_data.cli.inputs import read_options
    from crystal_data.io import REJECTED, read_crystals, write_rejected
    from crystal_data.trajectories import RelaxationSettings
    from crystal_relax.many import RelaxOptions, relax_all

    args = _parser().parse(argv)
    if args.num_workers < 0:
        raise InvalidArgumentError(f"--num-workers {args.num_workers}: a number from 0 is needed")
    options = RelaxOptions(
        args.model,
        args.refine,
        num_samples=args.samples,
        settings=RelaxationSettings(args.max_force, args.max_steps),
    )
    read = read_crystals(args.input, options=read_options(args))
    if not read.crystals:
        first = read.rejected[0].detail if read.rejected else "there are none"
        raise SourceError(f"none of the structures can be used: {first}")
    relaxed = relax_all(read.crystals, args.out, options, num_workers=args.num_workers)
    write_rejected(Path(args.out) / REJECTED, read.rejected)
    flagged = f", {relaxed.num_flagged} with a note" if relaxed.num_flagged else ""
    left_out = f"; {len(read.rejected)} left out ({REJECTED})" if read.rejected else ""
    print(f"{relaxed.num_relaxed} structures in {relaxed.folder}{flagged}{left_out}")
    return 0


def _parser() -> CommandParser:
    from crystal_data.cli.inputs import add_read_options
    from crystal_data.trajectories import POTENTIALS, RelaxationSettings

    settings = RelaxationSettings()
    parser = CommandParser(
        "crystal-relax relax",
        "Predict relaxed structures by a trained model. Run the same again to go on after a kill.",
    )
    parser.add_argument(
        "input", nargs="+", metavar="INPUT", help="files, folders or patterns of structures"
    )
    parser.add_argument(
        "--model",
        required=True,
        metavar="NAME|FOLDER",
        help="one that comes with the package (crystal-relax models), or the folder of a run or of "
        "an artifact",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--refine",
        choices=sorted(POTENTIALS),
        help="relax what is predicted by this potential (chgnet and sevenn are extras)",
    )
    parser.add_argument(
        "--max-force",
        type=float,
        default=settings.max_force,
        metavar="eV/Å",
        help="at the end of --refine (default: %(default)s)",
    )
    parser.add_argument(
        "--max-steps",
        type=int,
        default=settings.max_steps,
        metavar="N",
        help="of --refine (default: %(default)s)",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=1,
        metavar="N",
        help="of a model that writes text: how far so many lie apart is in the table as spread (Å) "
        "and volume_spread (default: 1, none)",
    )
    parser.add_argument(
        "--num-workers", type=int, default=0, metavar="N", help="processes (default: 0, this one)"
    )
    add_read_options(parser)
    return parser
