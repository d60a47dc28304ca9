"""The options of `generate.py` as a request, and `--again`, which reads them out of a clip."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training.command import say

# What --again reads out of the file itself; only how and where to write may be said anew.
WRITING = (
    "again",
    "model",
    "autoencoder",
    "diffusion",
    "vocoder",
    "vocoder_arguments",
    "out",
    "format",
    "plot",
    "watch",
    "device",
)
# Options that a request has under the same name.
SAME = (
    *(
        "seconds",
        "num_clips",
        "seed",
        "guidance_scale",
        "autoguidance",
        "guidance_rescale",
        "guidance_parallel",
        "solver",
    ),
    *("solver_steps", "spacing", "shift", "eta", "tolerance", "loudness", "brightness", "label", "negative_prompt"),
    *("glide", "loop", "stereo", "best_of", "variety", "style", "style_strength"),
)
# Options that are read from text, or that several make one field of a request.
EDITS = ("strength", "mask", "extend_before", "extend_after")
READ = ("pitch", "mix", "glide_at", "guidance_interval", "autoguidance_interval", "morph", "init_audio", *EDITS)
DEFAULT_MORPH_CLIPS = 8
# The help, from what everyone asks for to what few do.
GROUPS = {
    "what to make": (
        *("prompt", "prompts_file", "seconds", "num_clips", "seed", "pitch", "loudness", "brightness", "label"),
        *("negative_prompt", "style", "style_strength", "variety", "best_of"),
    ),
    "several prompts, other shapes": ("mix", "glide", "glide_at", "morph", "morph_clips", "loop", "stereo"),
    "from a sound": ("init_audio", "strength", "mask", "extend_before", "extend_after", "again"),
    "where it goes": ("out", "format", "plot", "watch", "stream"),
    "how it is sampled": (
        *(
            "guidance_scale",
            "guidance_interval",
            "guidance_rescale",
            "guidance_parallel",
            "autoguidance",
            "autoguidance_interval",
        ),
        *("solver", "solver_steps", "spacing", "shift", "eta", "tolerance"),
    ),
    "the model": ("model", "autoencoder", "diffusion", "vocoder", "device", "precision"),
}
# Options that say what to make.
WORDS = ("prompt", "prompts_file", "label", "morph")
# Options that only mean something beside another one, and what that is; the last says when it is there.
NEEDS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], bool]], ...] = (
    *((name, "--init_audio FILE", lambda given: "init_audio" in given or "morph" in given) for name in EDITS),
    (
        "variety",
        "words: --prompt, --prompts_file, --label or --morph",
        lambda given: not given.keys().isdisjoint(WORDS),
    ),
    ("glide_at", "--glide true", lambda given: "glide" in given),
    ("morph_clips", "--morph", lambda given: "morph" in given),
    ("style_strength", "--style FILE", lambda given: "style" in given),
    ("eta", "--solver stochastic", lambda given: given.get("solver") == "stochastic"),
    ("tolerance", "--solver adaptive", lambda given: given.get("solver") == "adaptive"),
    *(
        (name, "a --guidance_scale other than 1", lambda given: given.get("guidance_scale") != 1.0)
        for name in ("negative_prompt", "guidance_interval", "guidance_parallel")
    ),
    *((name, "files, and --stream writes none", lambda given: "stream" not in given) for name in ("format", "out")),
)


def given_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that say something else than when they are left out."""
    import inspect

    from pipelines.generate import generate

    defaults = {name: parameter.default for name, parameter in inspect.signature(generate).parameters.items()}
    return {name: value for name, value in options.items() if value != defaults[name]}


def check_needs(options: Mapping[str, Any]) -> None:
    """Refuse options that would be passed over in silence.

    Raises:
        ValueError: names the option and what it needs.
    """
    given = given_of(options)
    for name, needed, there in NEEDS:
        if name in given and not there(given):
            raise ValueError(f"--{name}: only goes with {needed}")


def request_from(options: Mapping[str, Any]) -> Any:  # noqa: ANN401 (Request, imported late)
    """The request that the options of `generate` make; torch is imported only once the prompts are sound.

    Raises:
        ValueError: options that say nothing, contradict each other or cannot be read.
    """
    check_needs(options)
    ends = options["morph"] or ()
    # Seeds need words beside them; prompts are words, a label is one, and sound files need none.
    needed = options["init_audio"] is None and options["label"] is None and all(end.isdecimal() for end in ends)
    prompts = read_prompts(options["prompt"] or [], options["prompts_file"], needed)
    from pipelines.words import request_of

    words = {name: options[name] for name in (*SAME, *READ)}
    return request_of(prompts, words | ({"morph_clips": options["morph_clips"]} if options["morph"] else {}))


def once_more(options: Mapping[str, Any]) -> None:
    """Make the clip of a file again.

    Raises:
        ValueError: another option that decides the sound, a file that does not say how it was made, a source or a model
            that is not the one it was made with.
    """
    import inspect

    from pipelines.clips import check_writable
    from pipelines.editing import Edit
    from pipelines.generate import deliver, generate, load_pipeline
    from pipelines.provenance import (
        REVISION,
        check_sources,
        check_stages,
        jobs_from,
        read_page,
        settings_from,
        with_moved_sources,
    )

    for name, parameter in inspect.signature(generate).parameters.items():
        if name not in WRITING and options[name] != parameter.default:
            raise ValueError(f"--again and --{name} contradict each other: the file says how it was made")
    page = with_moved_sources(read_page(options["again"]), Path(options["again"]).parent)
    check_sources(page)
    settings = settings_from(page)
    jobs, row = jobs_from(page)
    if settings["stream"] and options["watch"]:
        raise ValueError("--watch and a clip that was streamed contradict each other: it was made stretch by stretch")
    if settings["edit"] and options["watch"] and Edit.from_dict(settings["edit"]).start_time >= 1.0:
        raise ValueError("--watch and a clip of strength 0 contradict each other: no solver runs")
    pipeline = load_pipeline(**named_model(options, page), device=options["device"], precision=settings["precision"])
    check_stages(page, pipeline.fingerprints)
    with_threads(page.get("threads"))
    if len(jobs) > 1:
        say(f"made with {len(jobs) - 1} others at once: all of them are computed, one is written")
    if page.get("revision", 1) != REVISION:
        say("made by another revision of the sampler: the same settings, but not the same samples")
    check_writable(options["out"], int(jobs[row].seconds * pipeline.sample_rate * 4 + 100_000))
    if settings["stream"]:
        from pipelines.live import live_output

        output = live_output(pipeline, jobs[row], settings)
    else:
        output = pipeline.one_of(jobs, row, settings)
    deliver(
        output,
        pipeline,
        options["out"],
        options["format"],
        options["plot"],
        options["watch"],
    )


def named_model(options: Mapping[str, Any], page: Mapping[str, Any]) -> dict[str, Any]:
    """What to load: what the options name, or else what the clip was made with."""
    names = ("model", "autoencoder", "diffusion", "vocoder", "vocoder_arguments")
    said = {name: options[name] for name in names}
    loaded = page.get("loaded", {})
    if any(value is not None for value in said.values()) or not loaded:
        return said
    say("made with " + ", ".join(f"{name} {value}" for name, value in loaded.items()) + ": loading that again")
    paths = {"model", "autoencoder", "diffusion"}
    return said | {name: Path(value) if name in paths else value for name, value in loaded.items() if name in names}


def with_threads(count: Any) -> None:  # noqa: ANN401 (of a page)
    """Compute with as many threads as a clip was made with: sums depend on how many share them."""
    import torch

    if isinstance(count, int) and 0 < count <= 1024 and count != torch.get_num_threads():
        torch.set_num_threads(count)


def read_prompts(prompts: Sequence[str], file: Path | None, needed: bool = True) -> list[str]:
    """The prompts of the command line, then those of the file.

    Args:
        prompts: of the command line.
        file: with a prompt on each line.
        needed: refuse to have none.

    Raises:
        ValueError: none at all, an empty one, or an unreadable file.
    """
    texts = list(prompts)
    if any(not text.strip() for text in texts):
        raise ValueError("--prompt: expected some words, got an empty prompt")
    if file is not None:
        if file.suffix.lower() in (".csv", ".jsonl"):
            raise ValueError(
                f"--prompts_file: '{file}' is a table; python -m pipelines.batch '{file}' --out FOLDER takes it"
            )
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"--prompts_file: cannot read '{file}' as UTF-8 text") from error
        from_file = [line.strip() for line in lines if line.strip()]
        if not from_file:
            raise ValueError(f"--prompts_file: '{file}' holds no prompts")
        texts += from_file
    if not texts and needed:
        raise ValueError('--prompt: say what to make, such as --prompt "a deep punchy kick drum"')
    return texts
