"""A model that needs a file of words, as a language model needs its tokenizer."""

import json
from typing import Self

from torch import Tensor, nn

from crystal_data.artifacts import Artifact, BaseModel, PretrainedModel
from crystal_data.graphs.batch import CrystalBatch

FILE = "tokenizer/words.json"
BASE = BaseModel("somebody/words", 40 * "0", "MIT")


class WordSum(PretrainedModel):
    """A number for each word, of which every crystal has all.

    Args:
        words: The words.
    """

    def __init__(self, words: list[str]) -> None:
        super().__init__()
        self.words = words
        self.numbers = nn.Parameter(Tensor([len(word) for word in words]))

    def forward(self, batch: CrystalBatch) -> Tensor:
        return self.numbers.sum().expand(batch.num_crystals, 1)

    def artifact_arguments(self) -> dict[str, object]:
        return {}

    def artifact_files(self) -> dict[str, bytes]:
        return {FILE: json.dumps(self.words).encode()}

    def artifact_base(self) -> BaseModel:
        return BASE

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> Self:
        return cls(json.loads(artifact.file(FILE)))
