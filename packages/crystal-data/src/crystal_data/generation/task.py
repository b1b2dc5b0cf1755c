"""One sample of one request, its seed, and what a generator makes of it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from crystal_data.crystal import Crystal
from crystal_data.errors import InvalidArgumentError
from crystal_data.generation.request import GenerationRequest


class Task(NamedTuple):
    """One sample that is wanted."""

    request: GenerationRequest
    sample: int

    @property
    def seed(self) -> int:
        """See :func:`sample_seed`."""
        return sample_seed(self.request, self.sample)


@dataclass(frozen=True, slots=True, eq=False)
class GeneratedSample:
    """What came of one task.

    Args:
        crystal: None where nothing came; a flag then says why. Its properties are numbers and text.
        score: More is better; None where the generator does not score. Samples of a request are
            ranked by it.
        source: Where it came from, such as ``"template"``.
        flags: Words about it, such as ``"atoms_too_close"``, without semicolons.
        probability: That it is what is asked, 0 to 1; None where the generator does not say.
        why: A sentence that says where it came from, for people.
    """

    crystal: Crystal | None
    score: float | None = None
    source: str = ""
    flags: tuple[str, ...] = ()
    probability: float | None = None
    why: str = ""

    def __post_init__(self) -> None:
        if self.crystal is None and not self.flags:
            raise InvalidArgumentError("a sample without a crystal needs a flag that says why")
        if self.score is not None and not isfinite(self.score):
            raise InvalidArgumentError(
                f"the score {self.score} is not finite; None is for samples without"
            )
        if self.probability is not None and not 0.0 <= self.probability <= 1.0:
            raise InvalidArgumentError(f"the probability {self.probability} is not from 0 to 1")
        if not self.why.isprintable():
            raise InvalidArgumentError(f"why, {self.why!r}, is no line of text")
        for flag in self.flags:
            if not flag or ";" in flag or not flag.isprintable():
                raise InvalidArgumentError(f"the flag {flag!r} is no word without semicolons")
        for name, value in (self.crystal.properties if self.crystal else {}).items():
            if not isinstance(value, (str, int, float)):
                raise InvalidArgumentError(
                    f"the property {name} of a generated crystal is a {type(value).__name__}; "
                    "numbers and text are written"
                )


def tasks_of(requests: Sequence[GenerationRequest]) -> list[Task]:
    """All samples of all requests, in their order.

    Raises:
        InvalidArgumentError: If two requests have one id.
    """
    by_id = {request.id: request for request in requests}
    for request in requests:
        if by_id[request.id] is not request:
            raise InvalidArgumentError(
                f"two requests have the id '{request.id}'; give each its own"
            )
    return [Task(request, sample) for request in requests for sample in range(request.num_samples)]


def sample_seed(request: GenerationRequest, sample: int) -> int:
    """The seed of one sample: a hash of the request's seed and id, and of the sample's number.

    So a sample is the same in any block, process or order, and whatever is asked beside it. Two
    requests of one id and seed have the same seeds, which makes comparisons of wishes paired.

    Returns:
        A whole number from 0 to below 2⁶³: a seed of ``numpy.random.default_rng`` or
        ``torch.Generator``, or a sample id of ``crystal_data.transforms.SampleRandom``.
    """
    text = json.dumps([request.seed, request.id, sample])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
