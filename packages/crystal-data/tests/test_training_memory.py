"""Steps of a training find the memory of the step before."""

import os
import subprocess
import sys

import pytest

STEPS = """
import resource, torch
from crystal_data.training.memory import keep_freed_memory
if {kept}:
    keep_freed_memory()
def step():
    blocks = [torch.ones(2_000_000) for _ in range(4)]  # 8 MB each
    return sum(block[0] for block in blocks)
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, kept: bool) -> int:
    code = STEPS.format(kept=kept)
    # From this size on blocks come from the system; else glibc moves the limit as it goes along,
    # differently from run to run.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**17)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc")
def test_pages_are_not_asked_for_anew() -> None:
    assert page_faults(kept=False) > 10 * page_faults(kept=True) + 1000
