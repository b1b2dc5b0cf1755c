"""The process of one run: several commands of `crystal` one after the other.

They share a process because it takes seconds to import what a training needs. With several
devices Lightning starts this module again for each further one, with the same arguments: a list of
commands, and a list of the modules that the user allows.
"""

import json
import sys

from crystal_data.processes import end_with_parent, until_signal


def _run() -> int:
    from crystal_data.training.cli import run_command

    commands, allow_modules = map(json.loads, sys.argv[1:3])
    return next(filter(None, (run_command(one, allow_modules) for one in commands)), 0)


if __name__ == "__main__":
    # Before the import, which takes so long that the parent may be gone when it is done.
    end_with_parent()
    sys.exit(until_signal("crystal", _run))
