"""The gallery's modes that work on a recording."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from audio.files import write_audio
from pipelines.editing import Edit
from pipelines.gallery_maker import Gallery, Sound

# Of a recording's length: what is made anew in the midst of it; the same as two regions; and of a long one.
MASK = (0.45, 0.65)
TWO_MASKS = ((0.15, 0.3), (0.55, 0.7))
LONG_MASK = (0.6, 0.75)
# A long recording is this many of the model's own lengths, at least.
LONG = 1.5


@contextmanager
def sound_file(waveform: Tensor, sample_rate: int) -> Iterator[Path]:
    """A clip, `(samples,)`, as a file that goes again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"
        write_audio(path, waveform.numpy(), sample_rate)
        yield path


def regions(seconds: float, *shares: tuple[float, float]) -> tuple[tuple[float, float], ...]:
    """Regions of a length, in seconds."""
    return tuple((round(start * seconds, 2), round(end * seconds, 2)) for start, end in shares)


def masks(chosen: tuple[tuple[float, float], ...]) -> str:
    """The options that name regions, a line each."""
    return "\n".join(f"--mask {start:g}:{end:g}" for start, end in chosen)


def strength(shown: Gallery) -> Iterator[Sound]:
    """Variations, from the reconstruction to a new sound."""
    yield "the recording", shown.real()
    for value in (0.0, 0.3, 0.6, 1.0):
        yield f"--strength {value:g}", shown.one(edit=Edit(shown.source, value))


def mask(shown: Gallery) -> Iterator[Sound]:
    """Regions made anew: one, two at once, and one that starts from what was there."""
    seconds = len(shown.real()) / shown.pipeline.sample_rate
    once, twice = regions(seconds, MASK), regions(seconds, *TWO_MASKS)
    yield "--strength 0", shown.one(edit=Edit(shown.source, 0.0))
    yield masks(once), shown.one("a hand clap", edit=Edit(shown.source, mask=once))
    yield masks(twice), shown.one("a hand clap", edit=Edit(shown.source, mask=twice))
    for value in (0.8, 0.5):
        made = shown.one("a hand clap", edit=Edit(shown.source, value, mask=once))
        yield f"{masks(once)}\n--strength {value:g}", made


def long_edit(shown: Gallery) -> Iterator[Sound]:
    """A region of a recording that is longer than the model's own length."""
    rate, longest = shown.pipeline.sample_rate, shown.pipeline.defaults.max_seconds
    whole = shown.real()
    times = max(1, -(-round(LONG * longest * rate) // len(whole)))
    with sound_file(whole.repeat(times), rate) as path:
        chosen = regions(times * len(whole) / rate, LONG_MASK)
        yield f"the recording x {times}" if times > 1 else "the recording", whole.repeat(times)
        yield "--strength 0", shown.one(edit=Edit(path, 0.0))
        yield masks(chosen), shown.one(shown.prompt, edit=Edit(path, mask=chosen))


def extend(shown: Gallery) -> Iterator[Sound]:
    """More of it, before and after."""
    yield "--strength 0", shown.one(edit=Edit(shown.source, 0.0))
    yield "--extend_before 0.6", shown.one(shown.prompt, edit=Edit(shown.source, extend_before=0.6))
    whole = shown.real()
    with sound_file(whole[: len(whole) // 2], shown.pipeline.sample_rate) as path:
        yield "a part that breaks off", shown.one(edit=Edit(path, 0.0))
        yield "--extend_after 1 of it", shown.one(shown.prompt, edit=Edit(path, extend_after=1.0))
    with sound_file(whole[len(whole) // 2 :], shown.pipeline.sample_rate) as path:
        yield "a part that breaks in", shown.one(edit=Edit(path, 0.0))
        yield "--extend_before 0.6 of it", shown.one(shown.prompt, edit=Edit(path, extend_before=0.6))


def style(shown: Gallery) -> Iterator[Sound]:
    """A prompt drawn towards the recording."""
    yield "the recording", shown.real()
    yield "a snare drum", shown.one("a snare drum", seconds=0.8)
    for value in (0.15, 0.4, 0.8):
        yield (
            f"--style_strength {value:g}",
            shown.one("a snare drum", seconds=0.8, style=shown.source, style_strength=value),
        )


def recordings(shown: Gallery) -> Iterator[Sound]:
    """From the recording to another sound file, which is made for it."""
    other = shown.one("a deep kick", seconds=0.8)
    with sound_file(other, shown.pipeline.sample_rate) as path:
        clips = shown.made(edit=Edit(shown.source, 0.3, toward=path), morph_clips=6)
    for number, clip in enumerate(clips):
        yield f"--morph A.wav B.wav, {number + 1} of {len(clips)}", clip
