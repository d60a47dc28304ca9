"""Captions: what a sound designer would type to get this clip, in several forms, from the tersest to a whole phrase.

Everything said is known (from the package) or measured (see `traits`). The choice among true forms is drawn from the
clip's name, so a clip always gets the same captions.
"""

import random

from audio.notes import SHARPS
from pipelines.recipes.clips import STRUCK_FAMILIES, Clip
from pipelines.recipes.paraphrases import paraphrases

MOST = 8
FEWEST = 4
FLATS = {1: "Db", 3: "Eb", 6: "Gb", 8: "Ab", 10: "Bb"}
SPOKEN = {1: "C sharp", 3: "E flat", 6: "F sharp", 8: "A flat", 10: "B flat"}
LOW_PITCH, HIGH_PITCH = 45, 78
TONE_WORDS = frozenset({"bright", "crisp", "dark", "warm", "muffled", "deep", "brightness"})
COURSE_WORDS = frozenset({"short", "long", "slow", "tight"})
DYNAMIC_WORDS = frozenset({"soft", "hard", "loud"})
THINGS = frozenset({"hit", "roll", "loop", "strum", "ambience", "sound", "noise"})


def note_names(pitch: float) -> list[str]:
    """Names of a MIDI note: 61 is C#4, Db4 and "C sharp 4"; 60 is C4 and middle C."""
    octave, step = divmod(round(pitch), 12)
    names = [f"{SHARPS[step]}{octave - 1}"]
    if step in FLATS:
        names += [f"{FLATS[step]}{octave - 1}", f"{SPOKEN[step]} {octave - 1}"]
    return [*names, "middle C"] if round(pitch) == 60 else names


def with_article(phrase: str) -> str:
    """Put "a" or "an" before a phrase; a plural gets none."""
    first = phrase.split()[0].lower()
    last = phrase.split()[-1].lower()
    plural = last.endswith("s") and not last.endswith(("ss", "vibes"))
    if plural or last in ("noise", "percussion"):
        return phrase
    vowel = first[0] in "aeio" or (first[0] == "u" and not first.startswith(("uni", "use")))
    return f"{'an' if vowel or first.startswith(('fm', 'hour', '808')) else 'a'} {phrase}"


def captions(clip: Clip, tone: list[str], course: list[str]) -> list[str]:
    """Four to eight captions of a clip made of what is known of it, and up to four in other words; no two are equal.

    Args:
        clip: what is known.
        tone: true adjectives of tone; synonyms of each other.
        course: true adjectives of its course in time.
    """
    chance = random.Random(clip.file_name)
    forms = _note_forms if clip.pitch is not None else _hit_forms
    exact, common = clip.names[0], clip.names[-1]
    wordings = [exact, common]
    # Several rounds with other synonyms; the first two captions are always the bare names.
    for _ in range(4):
        wordings += forms(clip, _Draw(clip, tone, course, chance))
    unique = list(dict.fromkeys(" ".join(wording.split()) for wording in wordings))
    head, rest = unique[:1], unique[1:]
    chance.shuffle(rest)
    count = chance.randint(FEWEST + 1, MOST)
    plain = (head + rest)[:count] if len(unique) >= FEWEST else _padded(unique, exact)
    draw = _Draw(clip, tone, course, chance)
    said = draw.dynamics or draw.tone
    article = with_article(_described(said, draw.name))
    return list(dict.fromkeys(plain + paraphrases(draw.name, clip.family, draw.note, said, article, chance)))


class _Draw:
    """One round's choice of words."""

    def __init__(self, clip: Clip, tone: list[str], course: list[str], chance: random.Random) -> None:
        self.name = chance.choice(clip.names)
        self.tone = chance.choice(tone) if tone else ""
        self.course = chance.choice(course) if course else ""
        self.word = chance.choice(clip.words) if clip.words else ""
        self.dynamics = clip.dynamics if clip.dynamics not in (None, "medium") else ""
        self.note = chance.choice(note_names(clip.pitch)) if clip.pitch is not None else ""
        self.register = ""
        if clip.pitch is not None:
            self.register = "low" if clip.pitch < LOW_PITCH else "high" if clip.pitch > HIGH_PITCH else ""
        # A name that says "808", "brush" or "warm" already needs no second such word, and no contrary one.
        spoken = set(self.name.lower().split())
        self.word = "" if any(self.word.lower().startswith(part) for part in spoken) else self.word
        self.dynamics = "" if spoken & DYNAMIC_WORDS else self.dynamics
        self.tone = "" if spoken & TONE_WORDS else self.tone
        self.course = "" if spoken & COURSE_WORDS else self.course


def _described(*words: str | None) -> str:
    """Join words, leaving out empty and repeated ones."""
    return " ".join(dict.fromkeys(word for word in words if word))


def _hit_forms(clip: Clip, draw: _Draw) -> list[str]:
    """Captions of a drum, a strum, a loop, an effect: anything without a pitch."""
    tuned = draw.word.startswith("tuned")
    word = "" if tuned else draw.word
    full = _described(draw.dynamics, draw.course, draw.tone, word, draw.name)
    thing = draw.name if draw.name.split()[-1] in THINGS else f"{draw.name} hit"
    listed = ", ".join(
        dict.fromkeys(part for part in (draw.name, draw.tone, draw.course, draw.dynamics, draw.word) if part)
    )
    forms = [
        with_article(full),
        _described(draw.tone or draw.course, draw.name),
        _described(word, draw.name),
        listed,
        with_article(_described(draw.dynamics or draw.tone, draw.name)),
    ]
    if clip.family in STRUCK_FAMILIES:
        forms += [
            with_article(f"single {_described(draw.dynamics, draw.tone, thing)}"),
            f"{_described(word, draw.name)} one-shot",
        ]
        forms += [f"{_described(draw.tone, draw.name)}, {draw.word}"] if tuned else []
    elif clip.family == "loop":
        forms += [with_article(_described(draw.tone, draw.name)) + " that repeats"]
    else:
        forms += [f"the sound of {with_article(_described(draw.tone, draw.name))}"]
        forms += [f"{draw.name} sound"] if draw.name.split()[-1] not in THINGS else []
    return forms


def _note_forms(clip: Clip, draw: _Draw) -> list[str]:
    """Captions of a note of known pitch."""
    full = _described(draw.dynamics, draw.course, draw.tone, draw.name)
    parts = (draw.name, draw.note, draw.tone, draw.dynamics or draw.course)
    front = (_described(draw.tone or draw.course, draw.name), draw.note, draw.dynamics)
    forms = [
        ", ".join(part for part in parts if part),
        ", ".join(part for part in front if part),
        f"{draw.name} {draw.note}",
        f"{with_article(full)} playing {draw.note}",
        f"{with_article(_described(draw.dynamics, draw.course, draw.tone, draw.register, draw.name))} note",
        f"{with_article(f'single {draw.name} note')} at {draw.note}",
        f"{draw.note} on {with_article(_described(draw.tone, draw.name))}",
    ]
    if draw.register:
        forms.append(with_article(f"{_described(draw.register, draw.tone, draw.name)} note"))
    return forms


def _padded(wordings: list[str], exact: str) -> list[str]:
    """Fill up captions of a clip of which little is known."""
    more = [with_article(exact), f"{exact} sound", f"{exact} sample", f"{with_article(exact)}, one-shot"]
    return list(dict.fromkeys(wordings + more))[: FEWEST + 1]
