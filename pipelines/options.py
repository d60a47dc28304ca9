"""The options of `generate.py` as a request, and `--again`, which reads them out of a clip."""

from collections.abc import Mapping, Sequence
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
    *("seconds", "num_clips", "seed", "guidance_scale", "guidance_rescale", "guidance_parallel", "solver"),
    *("solver_steps", "spacing", "shift", "eta", "tolerance", "loudness", "brightness", "label", "negative_prompt"),
    *("glide", "loop", "stereo", "best_of", "style", "style_strength"),
)
# The help, from what everyone asks for to what few do.
GROUPS = {
    "what to make": (
        *("prompt", "prompts_file", "seconds", "num_clips", "seed", "pitch", "loudness", "brightness", "label"),
        *("negative_prompt", "style", "style_strength", "best_of"),
    ),
    "several prompts, other shapes": ("mix", "glide", "glide_at", "morph", "morph_clips", "loop", "stereo"),
    "from a sound": ("init_audio", "strength", "mask", "extend_before", "extend_after", "again"),
    "where it goes": ("out", "format", "plot", "watch", "stream"),
    "how it is sampled": (
        *("guidance_scale", "guidance_interval", "guidance_rescale", "guidance_parallel", "solver", "solver_steps"),
        *("spacing", "shift", "eta", "tolerance"),
    ),
    "the model": ("model", "autoencoder", "diffusion", "vocoder", "device", "precision"),
}
EDITS = ("strength", "mask", "extend_before", "extend_after")


def request_from(options: Mapping[str, Any]) -> Any:  # noqa: ANN401 (Request, imported late)
    """The request that the options of `generate` make; torch is imported only once the prompts are sound.

    Raises:
        ValueError: options that say nothing, contradict each other or cannot be read.
    """
    ends = morph_ends(options)
    given, seed = options["init_audio"] or ends.get("init_audio"), ends.get("seed", options["seed"])
    for name in EDITS:
        if options[name] and given is None:
            raise ValueError(f"--{name}: only goes with --init_audio FILE")
    texts = [*(options["prompt"] or []), *ends.get("prompts", ())]
    prompts = read_prompts(texts, options["prompts_file"], needed=given is None)
    mix = parse_numbers("mix", options["mix"], ",") if options["mix"] is not None else ()
    interval = options["guidance_interval"]
    if interval is not None:
        interval = parse_pair("guidance_interval", interval)
    regions = tuple(parse_pair("mask", text) for text in options["mask"] or ())
    from pipelines.editing import Edit
    from pipelines.pitch import parse_pitch
    from pipelines.request import Request

    extended = (options["extend_before"], options["extend_after"])
    edit = Edit(given, options["strength"], regions, *extended, ends.get("toward")) if given else None
    pitch = options["pitch"]
    return Request(
        prompts=tuple(prompts),
        mix=mix,
        glide_at=parse_numbers("glide_at", options["glide_at"], ",") if options["glide_at"] is not None else (),
        guidance_interval=interval,
        pitch=parse_pitch(pitch) if pitch is not None else None,
        edit=edit,
        to_seed=ends.get("to_seed"),
        morph_clips=options["morph_clips"] if ends else 0,
        **{**{name: options[name] for name in SAME}, "seed": seed},
    )


def morph_ends(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the two words of `--morph` are, by the names that a request has for them; nothing where there is no morph.

    Raises:
        ValueError: words that are not two of a kind, or that another option has said already.
    """
    if options["morph"] is None:
        return {}
    from pipelines.morphing import morph_kind

    first, second = options["morph"] if len(options["morph"]) == 2 else ("", "")
    kind = morph_kind(options["morph"])
    said = {
        "prompts": options["prompt"] or options["prompts_file"],
        "seeds": options["seed"],
        "clips": options["init_audio"],
    }
    if said[kind] is not None:
        raise ValueError(f"--morph of two {kind} contradicts the option that names one")
    if kind == "seeds":
        return {"seed": int(first), "to_seed": int(second)}
    if kind == "clips":
        return {"init_audio": Path(first), "toward": Path(second)}
    return {"prompts": (first, second)}


def once_more(options: Mapping[str, Any]) -> None:
    """Make the clip of a file again.

    Raises:
        ValueError: another option that decides the sound, a file that does not say how it was made, a source or a model
            that is not the one it was made with.
    """
    import inspect

    from pipelines.generate import deliver, generate, load_pipeline
    from pipelines.provenance import check_sources, check_stages, jobs_from, read_page, settings_from

    for name, parameter in inspect.signature(generate).parameters.items():
        if name not in WRITING and options[name] != parameter.default:
            raise ValueError(f"--again and --{name} contradict each other: the file says how it was made")
    page = read_page(options["again"])
    check_sources(page)
    settings = settings_from(page)
    jobs, row = jobs_from(page)
    names = ("model", "autoencoder", "diffusion", "vocoder", "vocoder_arguments", "device")
    pipeline = load_pipeline(**{name: options[name] for name in names}, precision=settings["precision"])
    check_stages(page, pipeline.fingerprints)
    if len(jobs) > 1:
        say(f"made with {len(jobs) - 1} others at once: all of them are computed, one is written")
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


def parse_numbers(name: str, text: str, separator: str) -> tuple[float, ...]:
    """`0.7,0.3` as numbers.

    Raises:
        ValueError: something else than numbers.
    """
    try:
        return tuple(float(part) for part in text.split(separator))
    except ValueError as error:
        example = separator.join(("0.7", "0.3"))
        raise ValueError(f"{name}: expected numbers such as {example}, got '{text}'") from error


def parse_pair(name: str, text: str) -> tuple[float, float]:
    """`0.1:0.8` as two numbers.

    Raises:
        ValueError: not two numbers with a colon between them.
    """
    first, _, last = text.partition(":")
    try:
        return float(first), float(last)
    except ValueError as error:
        raise ValueError(f"{name}: expected two times such as 0.1:0.8, got '{text}'") from error
