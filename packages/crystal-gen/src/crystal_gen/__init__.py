"""Crystals for a wish: structures of a given composition and symmetry."""

from typing import TYPE_CHECKING

from crystal_data.lazy import lazy_exports

if TYPE_CHECKING:
    from crystal_gen.candidates.formula_model import FormulaModel as FormulaModel
    from crystal_gen.candidates.formulas import FormulaProposer as FormulaProposer
    from crystal_gen.candidates.generator import CrystalGenerator as CrystalGenerator
    from crystal_gen.candidates.generator import RankedCandidate as RankedCandidate
    from crystal_gen.candidates.ranker import CandidateRanker as CandidateRanker
    from crystal_gen.crystal_dit import CrystalDiT as CrystalDiT
    from crystal_gen.generator import StructureGenerator as StructureGenerator
    from crystal_gen.language.adapter import LanguageAdapter as LanguageAdapter
    from crystal_gen.language.load import load_symmetry_model as load_symmetry_model
    from crystal_gen.language.model import LanguageModel as LanguageModel
    from crystal_gen.language.small import SmallLanguageModel as SmallLanguageModel
    from crystal_gen.published.model import PublishedDiT as PublishedDiT
    from crystal_gen.random_crystals import RandomGenerator as RandomGenerator
    from crystal_gen.structure_model import Sampling as Sampling
    from crystal_gen.structure_model import StructureModel as StructureModel
    from crystal_gen.templates.generator import TemplateGenerator as TemplateGenerator
    from crystal_gen.templates.joined import JoinedLibrary as JoinedLibrary
    from crystal_gen.templates.joined import join_sources as join_sources
    from crystal_gen.templates.library import TemplateLibrary as TemplateLibrary
    from crystal_gen.templates.search import Candidate as Candidate
    from crystal_gen.templates.search import Exclusion as Exclusion
    from crystal_gen.templates.search import Level as Level
    from crystal_gen.templates.search import TemplateSearch as TemplateSearch
    from crystal_gen.templates.strata import have_polymorph as have_polymorph
    from crystal_gen.templates.strata import have_template as have_template
    from crystal_gen.templates.volume import VolumeModel as VolumeModel
    from crystal_gen.training.module import StructureModule as StructureModule
    from crystal_gen.wyckoff.assignment import WyckoffAssignment as WyckoffAssignment
    from crystal_gen.wyckoff.baselines import FrequencyProposer as FrequencyProposer
    from crystal_gen.wyckoff.baselines import NearestProposer as NearestProposer
    from crystal_gen.wyckoff.mixture import MixedProposer as MixedProposer
    from crystal_gen.wyckoff.model import WyckoffTransformer as WyckoffTransformer
    from crystal_gen.wyckoff.module import WyckoffModule as WyckoffModule
    from crystal_gen.wyckoff.proposals import GroupProposal as GroupProposal
    from crystal_gen.wyckoff.proposals import Proposal as Proposal
    from crystal_gen.wyckoff.proposals import SymmetryProposer as SymmetryProposer
    from crystal_gen.wyckoff.proposer import ModelProposer as ModelProposer
    from crystal_gen.wyckoff.symmetry_model import SymmetryModel as SymmetryModel

# Heavy parts load on first use, so that `crystal-gen --help` stays quick.
_EXPORTS = {
    "Candidate": "crystal_gen.templates.search",
    "CandidateRanker": "crystal_gen.candidates.ranker",
    "CrystalGenerator": "crystal_gen.candidates.generator",
    "FormulaModel": "crystal_gen.candidates.formula_model",
    "FormulaProposer": "crystal_gen.candidates.formulas",
    "RankedCandidate": "crystal_gen.candidates.generator",
    "CrystalDiT": "crystal_gen.crystal_dit",
    "Exclusion": "crystal_gen.templates.search",
    "JoinedLibrary": "crystal_gen.templates.joined",
    "Level": "crystal_gen.templates.search",
    "Sampling": "crystal_gen.structure_model",
    "StructureGenerator": "crystal_gen.generator",
    "StructureModel": "crystal_gen.structure_model",
    "StructureModule": "crystal_gen.training.module",
    "PublishedDiT": "crystal_gen.published.model",
    "RandomGenerator": "crystal_gen.random_crystals",
    "TemplateGenerator": "crystal_gen.templates.generator",
    "TemplateLibrary": "crystal_gen.templates.library",
    "TemplateSearch": "crystal_gen.templates.search",
    "VolumeModel": "crystal_gen.templates.volume",
    "FrequencyProposer": "crystal_gen.wyckoff.baselines",
    "LanguageAdapter": "crystal_gen.language.adapter",
    "LanguageModel": "crystal_gen.language.model",
    "SmallLanguageModel": "crystal_gen.language.small",
    "GroupProposal": "crystal_gen.wyckoff.proposals",
    "MixedProposer": "crystal_gen.wyckoff.mixture",
    "ModelProposer": "crystal_gen.wyckoff.proposer",
    "NearestProposer": "crystal_gen.wyckoff.baselines",
    "Proposal": "crystal_gen.wyckoff.proposals",
    "SymmetryModel": "crystal_gen.wyckoff.symmetry_model",
    "SymmetryProposer": "crystal_gen.wyckoff.proposals",
    "WyckoffAssignment": "crystal_gen.wyckoff.assignment",
    "WyckoffModule": "crystal_gen.wyckoff.module",
    "WyckoffTransformer": "crystal_gen.wyckoff.model",
    "have_polymorph": "crystal_gen.templates.strata",
    "have_template": "crystal_gen.templates.strata",
    "load_symmetry_model": "crystal_gen.language.load",
    "join_sources": "crystal_gen.templates.joined",
}
__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
