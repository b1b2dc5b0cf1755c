"""Runs several commands in one process: ``run_commands.py FILE``, a list of lists of arguments.

Starting Python and importing torch takes longer than any of the commands.
"""

import json
import sys
from pathlib import Path

from crystal_data.training.command import main

ALLOWED = ("--allow-module", "processes_toy", "--allow-module", "two_optimizers")

if __name__ == "__main__":
    for arguments in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        status = main([*arguments, *ALLOWED])
        if status:
            sys.exit(status)
