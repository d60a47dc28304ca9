"""Ears: what judges sound."""
