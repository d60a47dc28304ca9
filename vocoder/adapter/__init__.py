"""A learned map from one mel contract to another, so that a foreign vocoder serves without retraining."""

from vocoder.adapter.adapted import AdaptedVocoder
from vocoder.adapter.model import MelAdapter

__all__ = ["AdaptedVocoder", "MelAdapter"]
