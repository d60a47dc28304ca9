"""Other words for the same sound: lists of phrases by label or family.

    trumpet: [a jazz trumpeter, someone blowing a trumpet]
    brass: [a horn in a marching band]

A model that learns captions alone learns one way of asking; see `latent_diffusion.loading.LatentData`. Lists that it
never saw measure how it understands other people (`pipelines.check_classes`).
"""

import math
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from audio.notes import SHARPS

# Words that say nothing of a sound.
SMALL_WORDS = frozenset(
    {"a", "an", "the", "of", "on", "in", "at", "to", "with", "for", "from", "and", "by", "its", "being", "one"}
)
NOTED = 4
NOTE_FORMS = ("{phrase}, {note}", "{phrase} at {note}", "{note}, {phrase}", "{phrase} {note}")


def read_phrasings(path: Path) -> dict[str, list[str]]:
    """Phrases by label or family.

    Raises:
        ValueError: not a YAML file of names with lists of texts.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"phrasings: cannot read '{path}' as YAML") from error
    lists = found.values() if isinstance(found, dict) else ()
    if not lists or not all(isinstance(texts, list) and texts and all(map(_is_phrase, texts)) for texts in lists):
        raise ValueError(f"phrasings: expected families with lists of prompts in '{path}'")
    return {str(name): list(texts) for name, texts in found.items()}


def phrases_of(
    phrasings: Mapping[str, Sequence[str]], label: str, family: str, pitch: float | None = None
) -> tuple[str, ...]:
    """All phrases for a clip: those of its label and of its family, and four of them with its note.

    Args:
        phrasings: by label or family.
        label: fine class of the clip.
        family: coarse class.
        pitch: MIDI note; None for a clip without one.

    Returns:
        none where neither is listed. The same clip always gets the same.
    """
    bare = list(dict.fromkeys([*phrasings.get(label, ()), *phrasings.get(family, ())]))
    if pitch is None or not math.isfinite(pitch) or not bare:
        return tuple(bare)
    octave, step = divmod(round(pitch), 12)
    note = f"{SHARPS[step]}{octave - 1}"
    chance = random.Random(f"{label} {family} {note}")
    chosen = chance.sample(bare, min(NOTED, len(bare)))
    return tuple(bare + [chance.choice(NOTE_FORMS).format(phrase=phrase, note=note) for phrase in chosen])


def _is_phrase(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())


def words_of(text: str) -> set[str]:
    """The words of a text, in small letters."""
    return set(re.findall(r"[a-z0-9#]+", text.lower()))


def content_words(text: str) -> set[str]:
    """The same without those that say nothing of a sound."""
    return words_of(text) - SMALL_WORDS
