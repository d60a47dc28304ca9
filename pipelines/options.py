"""The options of `generate.py` as a request."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
    "stream",
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
# Options that a table of prompts takes too; it has its own seed, and each of its rows is one clip of one prompt.
BATCHED = (
    *(name for name in SAME if name not in ("seed", "num_clips", "best_of", "glide")),
    *("pitch", "guidance_interval", "autoguidance_interval"),
)
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
