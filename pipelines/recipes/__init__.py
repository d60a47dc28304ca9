"""Recipes that build training folders from packages anyone can install."""
