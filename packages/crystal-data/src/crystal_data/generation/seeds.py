"""The seed of one sample, which depends on nothing else."""

import hashlib
import json

from crystal_data.generation.request import GenerationRequest


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
