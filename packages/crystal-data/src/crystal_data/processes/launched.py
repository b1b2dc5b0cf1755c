"""Whether other processes were started side by side with this one on the same input.

Known from the environment, before torch is imported and before the processes have met.
"""

import os


def is_launched_first() -> bool:
    """Whether this is the one of such processes that tells the user of a mistake; True if alone."""
    side_by_side = "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_NTASKS" in os.environ
    place = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
    return place == "0" or not side_by_side
