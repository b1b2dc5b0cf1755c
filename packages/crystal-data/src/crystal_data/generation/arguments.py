"""The options with which a command is told what to generate."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from crystal_data.generation.request import GenerationRequest
from crystal_data.generation.request_files import read_requests, read_start, split_unit
from crystal_data.generation.words import RequestError

_ONE = ("formula", "elements", "z", "z_conventional", "spacegroup", "wyckoff", "like", "property")


def add_request_options(parser: ArgumentParser) -> None:
    """Adds the options of one request, and ``--requests`` for many."""
    group = parser.add_argument_group("what to generate")
    group.add_argument("--formula", metavar="LiMn2O4", help="atoms of one formula unit")
    group.add_argument("--elements", metavar="Li-Mn-O", help="elements, if the formula is open")
    group.add_argument(
        "--z",
        metavar="1:4",
        help="formula units of the primitive cell: 2, 1:4 or 1,2,4 (default: open)",
    )
    group.add_argument(
        "--z-conventional", type=int, metavar="N", help="formula units of the conventional cell"
    )
    group.add_argument("--spacegroup", metavar="Fd-3m", help="number or symbol (default: open)")
    group.add_argument(
        "--wyckoff", metavar="SITES", help="occupied orbits: 'Li:8a Mn:16d O:32e' or '8a 16d 32e'"
    )
    group.add_argument(
        "--property",
        action="append",
        metavar="NAME=VALUE",
        help="wanted value of a property, as band_gap=2.0 or 'band_gap (eV)=2.0'; may be repeated",
    )
    group.add_argument("--like", metavar="FILE", help="a structure to start from")
    group.add_argument(
        "--requests",
        metavar="FILE",
        help="table with columns id, formula, z, …, or the JSON of DiffCSP++, in place of these",
    )
    group.add_argument(
        "--n", type=int, default=1, metavar="N", help="samples of each request (default: 1)"
    )
    group.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")


def requests_from(args: Namespace) -> list[GenerationRequest]:
    """The requests that :func:`add_request_options` has read.

    Several numbers for ``--z`` leave the request's z open; :func:`parse_z` gives them to a
    generator that chooses among them.

    Raises:
        RequestError: If they cannot be met, or a single request is given beside a file.
    """
    given = [name for name in _ONE if getattr(args, name) is not None]
    if args.requests is not None:
        if given:
            option = given[0].replace("_", "-")
            raise RequestError(f"--requests and --{option} are both given; give one of the two")
        return read_requests(args.requests, num_samples=args.n, seed=args.seed)
    names = {"spacegroup": "space_group", "like": "start", "property": "properties"}
    values: dict[str, Any] = {names.get(name, name): getattr(args, name) for name in given}
    if "z" in values and len(units := parse_z(args.z)) == 1:
        [values["z"]] = units
    elif "z" in values:
        del values["z"]
    if "start" in values:
        values["start"] = read_start(Path(values["start"]))
    if "properties" in values:
        values["properties"] = dict(map(parse_wish, values["properties"]))
    return [GenerationRequest.from_dict({**values, "num_samples": args.n, "seed": args.seed})]


def parse_z(text: str) -> list[int]:
    """Numbers of formula units.

    Args:
        text: ``"2"``, ``"1:4"`` or ``"1,2,4"``.

    Raises:
        RequestError: If it is something else.
    """
    first, colon, last = text.partition(":")
    words = [first, last] if colon else text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise RequestError(f"--z {text}: expected a number, a range 1:4, or a list 1,2,4")
    numbers = [int(word) for word in words]
    values = list(range(numbers[0], numbers[1] + 1)) if colon else numbers
    if not values or min(values) < 1:
        raise RequestError(f"--z {text}: there are no formula units from 1 in it")
    return values


def parse_wish(text: str) -> tuple[str, dict[str, Any]]:
    """Name and value of a property that is wanted, as ``GenerationRequest.from_dict`` takes them.

    Args:
        text: Such as ``"band_gap=2.0"`` or ``"band_gap (eV)=2.0"``.

    Raises:
        RequestError: If the value is no number.
    """
    header, _, number = text.partition("=")
    name, unit = split_unit(header)
    try:
        return name, {"value": float(number), "unit": unit}
    except ValueError:
        raise RequestError(f"--property {text}: expected NAME=VALUE, as band_gap=2.0") from None
