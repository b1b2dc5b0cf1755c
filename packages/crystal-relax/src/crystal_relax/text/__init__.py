"""Relaxations as text: what changes, in digits of fixed precision, and what may be written."""
