"""A width that heads of attention do not share is refused before anything is trained."""

from collections.abc import Callable

import pytest

from crystal_data.errors import InvalidArgumentError
from crystal_gen import CrystalDiT, PublishedDiT, WyckoffTransformer


@pytest.mark.parametrize(
    "make",
    [
        lambda: CrystalDiT(width=36, num_heads=8),
        lambda: WyckoffTransformer(width=36, num_heads=8),
        lambda: PublishedDiT(width=36, num_heads=8, properties=["band_gap"]),
        lambda: CrystalDiT(width=36, num_heads=0),
    ],
)
def test_heads_divide_the_width(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgumentError, match=r"heads do not divide the width 36; choose"):
        make()


def test_without_properties_the_published_model_has_no_heads() -> None:
    PublishedDiT(width=36, num_heads=8)
