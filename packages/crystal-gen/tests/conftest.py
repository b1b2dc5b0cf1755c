"""Crystals that several tests copy from."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from crystal_data import Crystal
from crystal_data.generation import Task
from crystal_data.loading import BatchRequest, CrystalDataset, OrbitBatch, OrbitCollator
from crystal_data.store import CrystalStore
from crystal_data.symmetry import SymmetricCrystal
from crystal_data.testing import ToyGenerator, face_centred, perovskite, rock_salt, toy_requests
from crystal_gen import TemplateLibrary

if TYPE_CHECKING:
    from crystal_gen.language.cursor import PieceTokens

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


@pytest.fixture(scope="session")
def orbits() -> OrbitBatch:
    """One crystal of each crystal system, and a large cubic one, as a batch of orbits."""
    requests = [request for request in toy_requests() if request.space_group]
    made = [ToyGenerator().sample(Task(request, 0)).crystal for request in requests]
    return _orbit_batch([crystal for crystal in made if crystal is not None])


@pytest.fixture(scope="session")
def known_orbits() -> OrbitBatch:
    """Rock salt and perovskite of other sizes, copper, and rutile, which has a free coordinate."""
    rutile = SymmetricCrystal.from_parameters(
        136, np.diag([4.59, 4.59, 2.96]), [(22, "a", []), (8, "f", [0.305])]
    )
    return _orbit_batch(
        [rock_salt(), rock_salt(19, 35, 6.6), perovskite(), face_centred(), rutile.to_crystal()]
    )


def _orbit_batch(crystals: Sequence[Crystal]) -> OrbitBatch:
    dataset = CrystalDataset(CrystalStore.from_crystals(crystals), collator=OrbitCollator())
    batch = dataset[BatchRequest(np.arange(len(crystals)), epoch=0)]
    assert isinstance(batch, OrbitBatch)
    return batch


@pytest.fixture(scope="session")
def take() -> Callable[[OrbitBatch, Sequence[int]], OrbitBatch]:
    """Rows of a batch, also several times, padded no more than they need."""
    return _take


def _take(batch: OrbitBatch, rows: Sequence[int]) -> OrbitBatch:
    width = int(batch.mask[list(rows)].sum(dim=1).max())
    padded = ("atomic_numbers", "wyckoff", "multiplicity", "frac_coords", "free_axes", "mask")
    others = ("sample_id", "space_group_number", "lattice_parameters", "free_lattice")
    return replace(
        batch,
        identifier=[batch.identifier[row] for row in rows],
        targets={name: values[list(rows)] for name, values in batch.targets.items()},
        **{name: getattr(batch, name)[list(rows), :width] for name in padded},
        **{name: getattr(batch, name)[list(rows)] for name in others},
    )


@pytest.fixture(scope="session")
def piece_tokens() -> Callable[[str], "PieceTokens"]:
    """Tokenizers of our own words, and of bytes with pairs joined, as language models have."""
    pytest.importorskip("transformers")
    made: dict[str, PieceTokens] = {}

    def of_kind(kind: str) -> "PieceTokens":
        from crystal_gen.language.crystal_tokenizer import crystal_tokenizer, crystal_words
        from crystal_gen.language.cursor import PieceTokens

        if kind not in made:
            made[kind] = PieceTokens(
                crystal_tokenizer(crystal_words()) if kind == "words" else _byte_pairs()
            )
        return made[kind]

    return of_kind


def _byte_pairs() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<end>"],
        show_progress=False,
    )
    texts = ["z 2\ngroup 227\npositions 8a 8b 16c 16d 32e\nLi 8a\nMn 16d\nO 32e\n"] * 20
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>")


@pytest.fixture(scope="session")
def untrained_glm() -> Callable[[int], Any]:
    """A small model of the published kind with random weights, for a number of words."""
    pytest.importorskip("transformers")

    def with_words(num_words: int) -> Any:
        import torch
        from transformers import GlmConfig, GlmForCausalLM

        torch.manual_seed(0)
        config = GlmConfig(
            vocab_size=num_words,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=16,
            pad_token_id=0,
            eos_token_id=1,
        )
        return GlmForCausalLM(config).eval()

    return with_words
