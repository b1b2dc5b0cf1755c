"""The equivariant graph model."""
