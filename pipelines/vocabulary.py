"""The words that a model learnt sounds by, so that a prompt without any of them is told to be a guess.

A text encoder has an answer to every word. To which of them the rest of the model has ever heard a sound, a bundle
keeps in `words.txt`: on each line a word of the captions that it was trained on, or the words of a phrase that holds
none of these ("bird blowing bebop" is a saxophone; a bird alone is not).
"""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from audio.dataset import AudioFolder
from audio.files import write_aside
from audio.notes import named_pitches
from audio.phrasings import content_words, read_phrasings
from training.command import say

WORDS_NAME = "words.txt"
MOST_NAMED, SHORTEST_PLURAL = 3, 3


def read_words(folder: Path) -> frozenset[str]:
    """The words of a bundle; none where it keeps none.

    Raises:
        ValueError: they cannot be read.
    """
    path = folder / WORDS_NAME
    try:
        return frozenset(path.read_text(encoding="utf-8").splitlines()) if path.is_file() else frozenset()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' cannot be read") from error


def write_words(folder: Path, words: Iterable[str]) -> None:
    """Write the words of a bundle into its folder."""
    with write_aside(folder / WORDS_NAME) as aside:
        aside.write_text("".join(f"{word}\n" for word in sorted(words)), encoding="utf-8")


def taught_words(audio: Path, phrasings: Path | None = None) -> set[str]:
    """The words of the training captions of a folder, and phrases without any of them that were learnt beside them.

    Args:
        audio: folder of clips.
        phrasings: YAML of phrases by label or family.

    Raises:
        ValueError: an unusable folder or list.
    """
    captions = {caption for clip in AudioFolder.scan(audio).split("train") for caption in clip.captions}
    words = {word for caption in captions for word in _words(caption)}
    listed = read_phrasings(phrasings).values() if phrasings else ()
    phrases = {" ".join(sorted(_words(phrase))) for some in listed for phrase in some}
    return words | {phrase for phrase in phrases if phrase and not words & set(phrase.split())}


def unheard(prompts: Iterable[str], words: Collection[str]) -> list[str]:
    """Those prompts that hold no word or phrase that a model knows, and no note; none where it keeps no words."""
    known = [frozenset(line.split()) for line in words]

    def is_unheard(prompt: str) -> bool:
        said = _words(prompt)
        return bool(known and said) and not named_pitches(prompt) and not any(one <= said for one in known)

    return [prompt for prompt in dict.fromkeys(prompts) if is_unheard(prompt)]


def tell_unheard(prompts: Sequence[str], words: Collection[str]) -> None:
    """Say of which prompts no word was in training."""
    found = unheard(prompts, words)
    if found:
        named = ", ".join(f"'{prompt}'" for prompt in found[:MOST_NAMED])
        more = f" and of {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        say(f"no word of {named}{more} was in this model's training: what it makes of that is a guess")


def _words(text: str) -> set[str]:
    """The words that say something, one of several things as one of them."""
    return {word[:-1] if len(word) > SHORTEST_PLURAL and word.endswith("s") else word for word in content_words(text)}
