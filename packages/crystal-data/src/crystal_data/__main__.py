"""The `crystal-data` command."""

from collections.abc import Sequence

from crystal_data.cli.lazy import Command, dispatch

COMMANDS = {
    "list": Command(
        "data sets that are known, and which are here", "crystal_data.cli.sets:list_sets"
    ),
    "download": Command("fetch a data set, verified", "crystal_data.cli.sets:download"),
    "check": Command("read everything and say what cannot be used", "crystal_data.cli.check:main"),
    "info": Command(
        "rows, elements, sizes and columns of a data set", "crystal_data.cli.info:main"
    ),
    "convert": Command("write structures in other formats", "crystal_data.cli.convert:main"),
    "evaluate": Command(
        "measure generated structures on references", "crystal_data.cli.evaluate:main"
    ),
    "split": Command("write lists of ids for train, val and test", "crystal_data.cli.split:main"),
    "trajectories": Command(
        "relax crystals by a potential, and write how", "crystal_data.cli.trajectories:main"
    ),
    "show": Command("make a page of crystals to look at", "crystal_data.cli.show:main"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `crystal-data`."""
    return dispatch(
        "crystal-data",
        "Public crystal data sets and your own: list, download, check, inspect, convert, look.",
        COMMANDS,
        argv,
    )


if __name__ == "__main__":
    raise SystemExit(main())
