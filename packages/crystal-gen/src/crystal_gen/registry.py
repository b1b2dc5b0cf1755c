"""The names under which artifacts may ask for classes of this package."""

from crystal_data.artifacts import ModelRegistry

MODELS = ModelRegistry(
    "crystal_gen",
    {
        "CandidateRanker": "crystal_gen.candidates.ranker",
        "CrystalDiT": "crystal_gen.crystal_dit",
        "FormulaModel": "crystal_gen.candidates.formula_model",
        "LanguageAdapter": "crystal_gen.language.adapter",
        "PublishedDiT": "crystal_gen.published.model",
        "SmallLanguageModel": "crystal_gen.language.small",
        "TemplateLibrary": "crystal_gen.templates.library",
        "WyckoffTransformer": "crystal_gen.wyckoff.model",
    },
)
