"""How models of structures are trained."""
