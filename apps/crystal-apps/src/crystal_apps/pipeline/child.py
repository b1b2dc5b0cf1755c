"""The process of one run: several commands of `crystal` one after the other.

They share a process because it takes seconds to import what a training needs. With several
devices Lightning starts this module again for each further one, with the same arguments.
"""

import json
import sys

from crystal_data.training.cli import main

if __name__ == "__main__":
    for arguments in json.loads(sys.argv[1]):
        status = main(arguments)
        if status:
            raise SystemExit(status)
