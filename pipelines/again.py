"""A clip once more, from what its own file says: `--again`, and the same in Python.

    output = again("out/a-bell_seed3_0.wav")

The samples are the same bit for bit where all is the same: the model, the sources, the number of threads, the device
and the libraries. What is missing is refused, what may change the last bits is said.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.clips import check_writable, versions
from pipelines.delivery import Delivery, send_stream
from pipelines.editing import Edit
from pipelines.generate import generate, load_pipeline
from pipelines.live import live_output
from pipelines.options import WRITING, check_needs
from pipelines.provenance import (
    REVISION,
    check_sources,
    check_stages,
    jobs_from,
    read_page,
    settings_from,
    with_moved_sources,
)
from pipelines.request import AudioOutput, Job
from pipelines.text_to_audio import TextToAudioPipeline
from training.command import say
from training.device import choose_device

MOST_THREADS = 1024
MODEL = ("model", "autoencoder", "diffusion", "vocoder", "vocoder_arguments")


@dataclass(frozen=True)
class Recipe:
    """How a clip was made.

    Args:
        page: of its file.
        settings: of the page, whole.
        jobs: of all clips that were computed with it.
        row: which of them it is.
    """

    page: Mapping[str, Any]
    settings: dict[str, Any]
    jobs: list[Job]
    row: int

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        """What a file says.

        Raises:
            ValueError: a file that does not say it, or a source that is gone or has changed.
        """
        page = with_moved_sources(read_page(path), path.parent)
        settings = settings_from(page)
        check_sources(page)
        return cls(page, settings, *jobs_from(page))

    def load(self, device: str = "auto", **named: Any) -> TextToAudioPipeline:  # noqa: ANN401
        """The model that it was made with, where it was made; says what is not as it was then.

        Args:
            device: where to compute; where it was made when `auto`.
            named: what to load, under the names of `generate.py`; what the page names when left out.

        Raises:
            ValueError: another model than the one it was made with.
        """
        chosen = device_of(self.page, device)
        pipeline: TextToAudioPipeline = load_pipeline(
            **named_model(named, self.page), device=chosen, precision=self.settings["precision"]
        )
        check_stages(self.page, pipeline.fingerprints)
        if len(self.jobs) > 1:
            say(f"made with {len(self.jobs) - 1} others at once: all of them are computed, one is written")
        if self.page.get("revision", 1) != REVISION:
            say("made by another revision of the sampler: the same settings, but not the same samples")
        theirs, own = self.page.get("versions", {}).get("torch"), versions()["torch"]
        if theirs is not None and theirs != own:
            say(f"made with torch {theirs}, and here is {own}: samples may differ in their last bits")
        return pipeline

    def make(self, pipeline: TextToAudioPipeline) -> AudioOutput:
        """The clip, once more."""
        with in_threads(self.page.get("threads")):
            if self.settings["stream"]:
                return live_output(pipeline, self.jobs[self.row], self.settings)
            return pipeline.one_of(self.jobs, self.row, self.settings)


def again(file: Path | str, device: str = "auto", **model: Any) -> AudioOutput:  # noqa: ANN401
    """Make the clip of a file once more.

    Args:
        file: a clip that was made here, .wav, .flac or .ogg.
        device: where to compute; where it was made when `auto`.
        model: `model`, `autoencoder`, `diffusion`, `vocoder` or `vocoder_arguments`, as `generate.py` has them; what
            the file names when left out.

    Raises:
        ValueError: a file that does not say how it was made, a source or a model that is not the one it was made with.
    """
    unknown = sorted(set(model) - set(MODEL))
    if unknown:
        raise ValueError(f"again: expected {', '.join(MODEL)}, got {', '.join(unknown)}; the file says all else")
    recipe = Recipe.read(Path(file))
    return recipe.make(recipe.load(device, **model))


def once_more(options: Mapping[str, Any]) -> None:
    """Make the clip of a file again, and write it or send it.

    Args:
        options: of `generate`.

    Raises:
        ValueError: another option that decides the sound, a file that does not say how it was made, a source or a model
            that is not the one it was made with.
    """
    for name, parameter in inspect.signature(generate).parameters.items():
        if name not in WRITING and options[name] != parameter.default:
            raise ValueError(f"--again and --{name} contradict each other: the file says how it was made")
    check_needs(options)
    recipe = Recipe.read(Path(options["again"]))
    settings, job, stream = recipe.settings, recipe.jobs[recipe.row], options["stream"]
    if settings["stream"] and options["watch"]:
        raise ValueError("--watch and a clip that was streamed contradict each other: it was made stretch by stretch")
    if settings["edit"] and options["watch"] and Edit.from_dict(settings["edit"]).start_time >= 1.0:
        raise ValueError("--watch and a clip of strength 0 contradict each other: no solver runs")
    if stream is not None and not settings["stream"]:
        raise ValueError("--stream and a clip that was made at once contradict each other: a stream is another clip")
    pipeline = recipe.load(options["device"], **{name: options[name] for name in MODEL})
    if stream is not None:
        with in_threads(recipe.page.get("threads")):
            send_stream(pipeline, job, settings, stream)
        return
    check_writable(options["out"], int(job.seconds * pipeline.sample_rate * 4 + 100_000))
    delivery = Delivery(pipeline, options["out"], options["format"], options["plot"], options["watch"])
    # The new page says how many threads there were, and what is watched is computed anew.
    with in_threads(recipe.page.get("threads")):
        delivery.deliver(recipe.make(pipeline))
    delivery.show()


def device_of(page: Mapping[str, Any], asked: str) -> str:
    """Where to compute a clip once more; says where that is not where it was made.

    Args:
        page: of the clip.
        asked: `auto`, or a device.
    """
    made = page.get("device")
    if made is None:
        return asked
    if asked == "auto":
        try:
            return choose_device(str(made)).type
        except ValueError:
            pass
    here = choose_device(asked).type
    if here != made:
        there = "which is not here, and now" if asked == "auto" else "and now"
        say(f"made on the device {made}, {there} on {here}: samples may differ")
    return here


def named_model(options: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any]:
    """What to load: what the options name, or else what the clip was made with."""
    said = {name: options.get(name) for name in MODEL}
    loaded = page.get("loaded", {})
    if any(value is not None for value in said.values()) or not loaded:
        return said
    say("made with " + ", ".join(f"{name} {value}" for name, value in loaded.items()) + ": loading that again")
    paths = {"model", "autoencoder", "diffusion"}
    return said | {name: Path(value) if name in paths else value for name, value in loaded.items() if name in MODEL}


@contextmanager
def in_threads(count: Any) -> Iterator[None]:  # noqa: ANN401 (of a page)
    """Compute with as many threads as a clip was made with: sums depend on how many share them."""
    own = torch.get_num_threads()
    wanted = count if isinstance(count, int) and 0 < count <= MOST_THREADS else own
    if wanted == own:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(own)
