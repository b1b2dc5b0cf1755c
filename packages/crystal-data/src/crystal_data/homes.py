"""Where files are kept: public data as downloaded, and what is made from it."""

import os
from pathlib import Path

_DATA_HOME = "CRYSTAL_DATA_HOME"


def data_home(root: str | Path | None = None) -> Path:
    """Folder of the public data sets, which may be read-only.

    Args:
        root: Takes precedence over the environment variable ``CRYSTAL_DATA_HOME``.
    """
    return _home(root or os.environ.get(_DATA_HOME), "data")


def set_data_home(root: str | Path) -> None:
    """Makes a folder the home of the public data sets, for sources that name none.

    Only the Trainer's command line needs this: its sources are built from configs, which do not
    say where files lie. Processes that it starts inherit the choice.

    Args:
        root: The folder; a relative one counts from the working folder.
    """
    os.environ[_DATA_HOME] = str(data_home(root))


def cache_home(root: str | Path | None = None) -> Path:
    """Folder of stores and other files that can be made again; it must be writable.

    Args:
        root: Takes precedence over the environment variable ``CRYSTAL_CACHE_HOME``.
    """
    return _home(root or os.environ.get("CRYSTAL_CACHE_HOME"), "stores")


def _home(chosen: str | Path | None, default: str) -> Path:
    path = Path(chosen) if chosen else Path.home() / ".cache" / "crystal" / default
    return path.expanduser().absolute()
