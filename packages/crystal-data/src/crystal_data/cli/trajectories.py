"""`crystal-data trajectories`."""

from collections.abc import Sequence
from typing import get_args

from crystal_data.cli.inputs import add_data_root, crystals_of, parser_for
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes.error_reporting import report_errors


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Relaxes crystals by a potential and writes the trajectories."""
    from crystal_data.trajectories.make import make_trajectories
    from crystal_data.trajectories.potentials import POTENTIALS
    from crystal_data.trajectories.relaxing import RelaxationSettings
    from crystal_data.trajectories.starts import StartKind, start_kinds
    from crystal_data.trajectories.tasks import TrajectoryOptions

    default, settings = TrajectoryOptions(), RelaxationSettings()
    parser = parser_for(
        "trajectories",
        "Relax crystals, or such as are made from them, by a potential (FIRE, cell and atoms), and "
        "write the frames in the columns of LeMat-Traj. Run again after a kill, it goes on.",
    )
    parser.add_argument(
        "input", nargs="+", metavar="INPUT", help="data sets, folders, tables or files of parents"
    )
    parser.add_argument(
        "--split",
        choices=("train", "val", "test", "all"),
        help="rows of the inputs (default: train where an input has that, else all)",
    )
    parser.add_argument(
        "--calculator",
        choices=sorted(POTENTIALS),
        default=default.potential,
        help="potential; chgnet and sevenn are extras (default: %(default)s)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--starts",
        nargs="+",
        choices=get_args(StartKind),
        default=list(default.starts),
        help="what is relaxed: parents as they are, with another volume, strained with atoms "
        "moved, or with elements exchanged (default: strain substitution)",
    )
    numbers = (
        ("--per-parent", default.per_parent, "starts of each parent"),
        ("--max-atoms", default.max_atoms, "larger parents are left out"),
        ("--frames", default.num_frames, "frames kept of each trajectory"),
        ("--max-steps", settings.max_steps, "more steps are no convergence"),
        ("--seed", default.seed, "of starts, and of the order of parents"),
        ("--num-workers", 0, "processes; 0 works in this one"),
    )
    for option, value, meaning in numbers:
        parser.add_argument(
            option, type=int, default=value, metavar="N", help=f"{meaning} (default: %(default)s)"
        )
    parser.add_argument(
        "--max-force",
        type=float,
        default=settings.max_force,
        metavar="eV/Å",
        help="largest force at the end (default: %(default)s)",
    )
    for split in ("val", "test"):
        parser.add_argument(
            f"--{split}",
            type=float,
            default=0.0,
            metavar="SHARE",
            help=f"of the trajectories for {split}.parquet, by sets of elements (default: 0)",
        )
    parser.add_argument(
        "--apart",
        nargs="+",
        default=[],
        metavar="FILE",
        help="trajectories to evaluate on: nothing is made of the sets of elements in them",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="stop after so many (default: all parents)"
    )
    add_data_root(parser)
    args = parser.parse(argv)
    if args.num_workers < 0:
        raise InvalidArgumentError(f"--num-workers {args.num_workers}: a number from 0 is needed")
    options = TrajectoryOptions(
        potential=args.calculator,
        starts=start_kinds(args.starts),
        per_parent=args.per_parent,
        max_atoms=args.max_atoms,
        apart=_systems(args.apart),
        val=args.val,
        test=args.test,
        num_frames=args.frames,
        settings=RelaxationSettings(args.max_force, args.max_steps),
        seed=args.seed,
    )
    parents = [
        crystal
        for name in args.input
        for crystal in crystals_of(name, args.split, "train", args.data_root)
    ]
    made = make_trajectories(
        parents, args.out, options, num_workers=args.num_workers, limit=args.limit
    )
    failed = "".join(f", {count} {reason}" for reason, count in made.failed.items())
    print(f"{made.num_made} trajectories in {made.folder}{failed}")
    return 0


def _systems(paths: Sequence[str]) -> frozenset[str]:
    from crystal_data.crystal import Trajectory
    from crystal_data.trajectories import iter_trajectories

    runs = (one for path in paths for one in iter_trajectories(path))
    return frozenset(run.frames[0].chemical_system for run in runs if isinstance(run, Trajectory))
