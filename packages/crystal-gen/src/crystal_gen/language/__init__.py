"""Symmetry by a language model: prompts, answers that are legal by construction, their ranking."""
