"""`python generate.py --prompt "a deep punchy kick drum"`: text becomes clips on disk.

The audio paths are printed on standard output, one a line; everything else goes to standard error.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml

from pipelines.options import DEFAULT_MORPH_CLIPS, GROUPS
from training.command import one_line, run_command, say
from training.device import Device, Precision

# Named here as well, for options are read before torch is.
Spacing = Literal["even", "quadratic", "cosine"]
Loop = bool | Literal["circle", "struck"]

VOCODER_OPTION = "--vocoder."


def generate(
    prompt: list[str] | None = None,
    prompts_file: Path | None = None,
    negative_prompt: str | None = None,
    mix: str | None = None,
    glide: bool = False,
    glide_at: str | None = None,
    loop: Loop = False,
    stereo: float = 0.0,
    morph: list[str] | None = None,
    morph_clips: int = DEFAULT_MORPH_CLIPS,
    pitch: str | None = None,
    loudness: float | None = None,
    brightness: float | None = None,
    label: str | None = None,
    style: Path | None = None,
    style_strength: float | None = None,
    init_audio: Path | None = None,
    strength: float | None = None,
    mask: list[str] | None = None,
    extend_before: float = 0.0,
    extend_after: float = 0.0,
    again: Path | None = None,
    model: Path | None = None,
    seconds: float | None = None,
    num_clips: int = 1,
    best_of: int = 1,
    variety: float | None = None,
    seed: int | None = None,
    guidance_scale: float | None = None,
    autoguidance: float | None = None,
    autoguidance_interval: str | None = None,
    guidance_interval: str | None = None,
    guidance_rescale: float = 0.0,
    guidance_parallel: float = 1.0,
    solver: str | None = None,
    solver_steps: int | None = None,
    spacing: Spacing = "even",
    shift: float = 1.0,
    eta: float = 0.5,
    tolerance: float = 1e-3,
    autoencoder: Path | None = None,
    diffusion: Path | None = None,
    vocoder: str | None = None,
    vocoder_arguments: dict[str, Any] | None = None,
    out: Path = Path("out"),
    format: Literal["wav", "flac", "ogg"] = "wav",
    stream: Literal["wav", "pcm"] | None = None,
    plot: bool = True,
    watch: bool = False,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Generate sound from text, from another sound, or a clip once more.

    Args:
        prompt: what to make, in free words; repeat the option for several.
        prompts_file: a text file with a prompt on each line; for a table of thousands see python -m pipelines.batch.
        negative_prompt: what is not wanted.
        mix: weights of the prompts, such as 0.7,0.3: they make one sound together.
        glide: the prompts follow each other within one sound.
        glide_at: the second at which each prompt rules alone, such as 0,2,5; evenly over the sound when left out.
        loop: true lets the end lead into the beginning without a seam, up to 60 s; what is struck begins anew each turn
            and rings on. Which that is is heard; struck or circle decide it. The length is rounded to what goes round.
        stereo: width of a sound in two channels, such as 0.5 and up to 1; 0 is one channel. Both together are the
            one-channel sound, softer only where a channel would clip.
        morph: two prompts ("a kick" "a bell"), two seeds (1 2) or two sound files; clips lead from the first to the
            second.
        morph_clips: how many clips lead there, both ends counted.
        pitch: a note (C4), a frequency (440Hz) or a MIDI number (60).
        loudness: of the loudest 50 ms, in dB relative to full scale, such as -12.
        brightness: where the middle of the spectrum lies (spectral centroid), in Hz, such as 2000; more is brighter.
        label: one of the model's classes, such as "snare", beside a prompt or instead of one; a wrong one is answered
            with the nearest.
        style: a sound file whose timbre the clips are drawn towards.
        style_strength: how far, 0 to 1; 0.15 when left out. More of it takes more away from the prompt.
        init_audio: a sound file to start from: a variation of it, or with --mask or --extend_after more of it.
        strength: how new a variation, or a morph of two sound files, is: 0 gives the source back as the model hears
            it, 1 forgets it; 0.6 when left out, 1 inside a mask.
        mask: seconds that are made anew, as 0.4:0.8; all else is kept; repeat the option for several.
        extend_before: seconds to make before the sound of --init_audio, rounded to whole latent frames (of 23 ms in
            the bundled model).
        extend_after: seconds to make after it.
        again: a clip that was made here: make the same once more, from what its file says; a streamed one goes with
            --stream too.
        model: folder of a bundle; the bundled model when left out.
        seconds: length of each clip, up to 600; from the bundle when left out. What is longer than the model was
            trained on is made window by window.
        num_clips: clips of each prompt.
        best_of: make so many for each clip that is asked for, and keep those that fit their prompt best.
        variety: how far clips of the same words may lie apart, 0 to 1; when left out from the bundle, and 0 with
            --init_audio.
        seed: clip i of seed K is always the same clip; random, recorded and printed when left out.
        guidance_scale: how strongly the prompt is followed; 1 is off; from the bundle when left out.
        autoguidance: how strongly clips are led away from what a weaker model makes of the same words; 1 is off; from
            the bundle when left out.
        autoguidance_interval: the times at which --autoguidance acts, as 0.5:1; 0 is noise, 1 the finished sound; from
            the bundle when left out.
        guidance_interval: the times at which --guidance_scale acts, as 0.1:0.8; from the bundle when left out.
        guidance_rescale: how much of the harshness of a large --guidance_scale is taken back, 0 to 1.
        guidance_parallel: how much of the guidance may make a sound louder and harsher, 0 to 1 (projected guidance).
        solver: such as euler, midpoint, heun, dpmpp_2m, ddim, stochastic, ancestral or adaptive; from the bundle when
            left out.
        solver_steps: how many steps lead from noise to sound; more is slower and finer; from the bundle when left out.
        spacing: where the solver's steps lie: even, quadratic (more near noise) or cosine (more at both ends).
        shift: above 1, more of the solver's steps lie near noise, where the kind of sound is decided.
        eta: how much fresh noise each step of --solver stochastic adds, 0 to 1.
        tolerance: error that --solver adaptive allows in each step; less is slower and finer.
        autoencoder: a checkpoint of stage 1, with --diffusion, instead of --model.
        diffusion: a checkpoint of stage 2, with --autoencoder.
        vocoder: a checkpoint of stage 3, an import path such as vocoder.griffin_lim.GriffinLim, or a YAML.
        vocoder_arguments: of a vocoder named by import path; written --vocoder.NAME VALUE.
        out: folder to write into.
        format: of the sound files: wav, flac or ogg.
        stream: send one clip to standard output while it is being made, as a WAV or as bare 16-bit samples; nothing
            is written into --out.
        plot: write a spectrogram picture of each clip; false writes none.
        watch: write how the first clip came out of noise, as a strip of spectrograms and as sound.
        device: where to compute; where it was made with --again.
        precision: of matrix products; auto takes what is fast on the device.

    Raises:
        ValueError: anything that cannot be done, named.
    """
    options = dict(locals())
    from pipelines.options import request_from

    if again is not None:
        from pipelines.again import once_more

        once_more(options)
        return
    request = request_from(options)
    import torch  # noqa: F401 (after the options are known to be sound: wrong ones are told at once)

    pipeline = load_pipeline(model, autoencoder, diffusion, vocoder, vocoder_arguments, device, precision)
    if stream is not None:
        stream_out(pipeline, request, stream, watch)
        return
    from dataclasses import replace

    from pipelines.checking import check_before
    from pipelines.clips import check_writable
    from pipelines.delivery import Delivery
    from pipelines.making import outputs
    from pipelines.progress import SolverBar, announce
    from pipelines.request import jobs_of

    settings = pipeline.settle(request)
    jobs = jobs_of(request, settings)
    tries = len(jobs)
    check_before(pipeline, request, settings)
    if watch and request.edit is not None and request.edit.start_time >= 1.0:
        raise ValueError("--watch and --strength 0 contradict each other: no solver runs")
    check_writable(out, int(tries // best_of * (settings["seconds"] * pipeline.sample_rate * 4 + 100_000)))
    announce(pipeline, request, settings, tries)
    delivery = Delivery(pipeline, out, format, plot, watch)
    with SolverBar(jobs, settings) as bar:
        made = outputs(pipeline, replace(request, seed=settings["seed"]), bar.step, bar.begin)
        delivery.deliver_all(made, tries // best_of, bar)
    delivery.show()


def stream_out(pipeline: Any, request: Any, kind: str, watch: bool) -> None:  # noqa: ANN401 (imported late)
    """Send a clip to standard output while it is being made.

    Raises:
        ValueError: a setting out of its range, or one that no stream can have.
    """
    from pipelines.delivery import send_stream
    from pipelines.live import live_job

    if watch:
        raise ValueError("--stream and --watch contradict each other: a stream is made stretch by stretch")
    send_stream(pipeline, *live_job(pipeline, request), kind)


def load_pipeline(
    model: Path | None,
    autoencoder: Path | None,
    diffusion: Path | None,
    vocoder: str | None,
    vocoder_arguments: dict[str, Any] | None,
    device: str,
    precision: str,
) -> Any:  # noqa: ANN401 (TextToAudioPipeline, imported late)
    """Join the stages that the options name.

    Raises:
        ValueError: options that contradict each other, or stages that do not belong together.
    """
    if vocoder_arguments and vocoder is None:
        raise ValueError(f"{VOCODER_OPTION}{next(iter(vocoder_arguments))}: only goes with --vocoder IMPORT.PATH")
    if autoencoder is None and diffusion is None:
        from pipelines.text_to_audio import TextToAudioPipeline

        return TextToAudioPipeline.from_pretrained(model, vocoder, vocoder_arguments, device, precision)
    if model is not None:
        raise ValueError("--model and --autoencoder/--diffusion contradict each other: give one or the other")
    if autoencoder is None or diffusion is None:
        raise ValueError("--autoencoder and --diffusion go together: give both")
    from pipelines.bundle import Bundle
    from pipelines.resources import DEFAULT_BUNDLE, resource
    from pipelines.text_to_audio import TextToAudioPipeline

    if vocoder is None:
        vocoder = str(Bundle.open(resource(DEFAULT_BUNDLE)).stage("vocoder"))
        say("no --vocoder given: taking the one of the bundled model")
    return TextToAudioPipeline.from_stages(autoencoder, diffusion, vocoder, vocoder_arguments, device, precision)


def split_vocoder_arguments(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Take `--vocoder.NAME VALUE` and `--vocoder.NAME=VALUE` out of a command line.

    Raises:
        ValueError: an option without a value.
    """
    rest: list[str] = []
    taken: dict[str, Any] = {}
    waiting = iter(arguments)
    for text in waiting:
        if not text.startswith(VOCODER_OPTION):
            rest.append(text)
            continue
        name, equals, value = text.removeprefix(VOCODER_OPTION).partition("=")
        if not equals:
            value = next(waiting, "")
            if not value or value.startswith("--"):
                raise ValueError(f"{text}: expected a value")
        taken[name] = yaml.safe_load(value)
    return rest, taken


def run_with_vocoder(
    function: Callable[..., Any],
    arguments: list[str] | None,
    program: str,
    **more: Any,  # noqa: ANN401 (as `run_command` takes them)
) -> int:
    """Run a command whose `vocoder_arguments` are written `--vocoder.NAME VALUE`; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        rest, taken = split_vocoder_arguments(given)
    except (ValueError, yaml.YAMLError) as error:
        say(f"error: {one_line(error)}")
        return 2
    return run_command(function, rest, program=program, fixed={"vocoder_arguments": taken or None}, **more)


def main(arguments: list[str] | None = None) -> int:
    """Entry of `generate.py`, `python -m pipelines.generate` and `melisma generate`."""
    lists, several = ("prompt", "mask"), ("morph",)
    return run_with_vocoder(
        generate, arguments, "generate.py", lists=lists, several=several, groups=GROUPS, config=True
    )


if __name__ == "__main__":
    sys.exit(main())
