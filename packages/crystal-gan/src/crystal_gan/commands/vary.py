"""`crystal-gan vary`: variants of crystals, ranked by a property."""

from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from crystal_data.cli.command_parser import CommandParser
from crystal_data.errors import InvalidArgumentError
from crystal_data.processes import report_errors
from crystal_gan.commands.starts import add_start_options, model_from, requests_of, run
from crystal_gan.shipped import SHIPPED, predictors_of

if TYPE_CHECKING:
    from crystal_gan.generator import Ranking


@report_errors
def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    from crystal_gan.generator import Change, RepairGenerator

    args = _parser().parse(argv)
    change = Change(
        hide=tuple(args.mask_species),
        hide_random=not args.mask_species,
        noise=args.noise,
        allow_same=False,
    )
    ranking = _ranking(args)
    return run(RepairGenerator(model_from(args), change, ranking), requests_of(args), args)


def _ranking(args: Namespace) -> "Ranking | None":
    from crystal_data.inference import Predictor
    from crystal_gan.generator import Ranking

    wanted = args.raised or args.lowered
    if wanted is None:
        if args.judge is not None:
            raise InvalidArgumentError(
                "--judge is given and nothing is to be ranked", "give --raise or --lower PROPERTY"
            )
        return None
    judge = args.judge or _shipped_judge(wanted)
    predictor = Predictor.from_pretrained(SHIPPED.find(judge))
    return Ranking(predictor, wanted, raised=args.raised is not None)


def _shipped_judge(target: str) -> str:
    judges = predictors_of(target)
    if not judges:
        raise InvalidArgumentError(
            f"no model of this package predicts {target}",
            "give --judge, the folder of a model that does; `crystal-gan models` lists the others",
        )
    return judges[0]


def _parser() -> CommandParser:
    parser = CommandParser(
        "crystal-gan vary",
        "Exchange an element of crystals for others that suit its place, move atoms where they "
        "then belong, and rank what comes by a property. Run the same again to go on after a kill.",
    )
    add_start_options(parser, samples=100)
    parser.add_argument(
        "--mask-species",
        action="append",
        default=[],
        metavar="SYMBOL",
        help="the element that is exchanged; may be repeated (default: another one in each sample)",
    )
    parser.add_argument(
        "--noise",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="displacement of all atoms before, in shortest distances (default: %(default)s)",
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument(
        "--raise", dest="raised", metavar="PROPERTY", help="rank by it, largest first"
    )
    ways.add_argument(
        "--lower", dest="lowered", metavar="PROPERTY", help="rank by it, smallest first"
    )
    parser.add_argument(
        "--judge",
        metavar="MODEL",
        help="a model that predicts the property: a name, or the folder of a run or an artifact "
        "(default: the one that comes with the package)",
    )
    return parser
