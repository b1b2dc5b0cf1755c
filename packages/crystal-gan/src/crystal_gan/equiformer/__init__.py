"""Equivariant graph attention of the Equiformer family, for periodic crystals."""

from crystal_gan.equiformer.backbone import NUM_SPECIES as NUM_SPECIES
from crystal_gan.equiformer.backbone import AtomFeatures as AtomFeatures
from crystal_gan.equiformer.backbone import Backbone as Backbone
from crystal_gan.equiformer.sizes import EquiformerSizes as EquiformerSizes
