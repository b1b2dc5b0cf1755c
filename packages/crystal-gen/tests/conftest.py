"""Crystals that several tests copy from."""

import numpy as np
import pytest

from crystal_data import Crystal
from crystal_data.generation import Task
from crystal_data.store import CrystalStore
from crystal_data.testing import ToyGenerator, rock_salt, toy_requests
from crystal_gen import TemplateLibrary

# In place of the elements of the toy requests: other ones, of other Mendeleev numbers.
_OTHERS = {26: 24, 8: 16, 3: 11, 12: 30, 13: 31, 22: 40, 56: 38, 20: 38, 30: 48, 16: 34, 11: 19}


@pytest.fixture(scope="session")
def toys() -> list[Crystal]:
    """Three crystals for each of the toy requests, with other elements, and rock salt."""
    crystals = []
    for request in toy_requests():
        for sample in range(3):
            made = ToyGenerator().sample(Task(request, sample)).crystal
            assert made is not None
            numbers = [_OTHERS.get(z, z) for z in made.atomic_numbers.tolist()]
            name = f"{request.id}-{sample}"
            crystals.append(made.replace(atomic_numbers=np.array(numbers), identifier=name))
    return [*crystals, rock_salt().replace(identifier="rock-salt")]


@pytest.fixture(scope="session")
def store(toys: list[Crystal]) -> CrystalStore:
    return CrystalStore.from_crystals(toys)


@pytest.fixture(scope="session")
def library(store: CrystalStore) -> TemplateLibrary:
    return TemplateLibrary.from_store(store, symprec=0.01)
