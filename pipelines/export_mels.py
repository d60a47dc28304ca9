"""`python -m pipelines.export_mels`: mels as the model makes them, beside the clips they belong to.

A vocoder that has only heard real mels stumbles over decoded ones. Here they are written to disk, aligned to the clips'
waveforms, for `python -m vocoder fit … --data.mels OUT`. See `audio.mel_pairs` for the files, `pipelines.mel_pairs` for
how they are made.
"""

import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor

from audio.dataset import AudioFolder, Clip, Split
from audio.distances import YARDSTICK_PEAK
from audio.files import file_hash, read_audio
from audio.mel import LogMelSpectrogram
from audio.mel_pairs import MANIFEST_NAME, MelPairs, PairedClip
from pipelines.clips import check_writable
from pipelines.mel_pairs import EARLIEST_TIME, MelMaker
from pipelines.progress import bar
from pipelines.request import Request
from pipelines.text_to_audio import TextToAudioPipeline
from training.command import answer, run_command, say
from training.device import Device
from training.locks import held_folder

# Test clips stay unheard: they are for judging.
EXPORTED: tuple[Split, ...] = ("train", "validation")
STORED_TYPES = {"float16": torch.float16, "float32": torch.float32}
LOCK_SECONDS = 10.0
HEADER_BYTES = 1500

Item = tuple[Clip, PairedClip]


def export_mels(
    model: Path,
    audio: Path,
    out: Path,
    kind: Literal["decoded", "denoised"],
    noise_time: float = EARLIEST_TIME,
    variants: int = 2,
    clips: int = 0,
    dtype: Literal["float16", "float32"] = "float16",
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Write the mels that a model makes of real clips, for fine-tuning a vocoder; an interrupted run goes on.

    Args:
        model: folder of a bundle.
        audio: folder of clips; those of the training and validation splits are taken.
        out: folder of the pairs.
        kind: decoded (encoded and decoded) or denoised (noised in between, and brought back by the diffusion model).
        noise_time: denoised clips start at a random time from here to 1 (0 is noise, 1 is data); at least 0.7.
        variants: denoised mels a clip, each from another time and noise.
        clips: at most so many of each split, spread evenly; 0 takes all.
        dtype: stored type of the mels.
        seed: of times and noise.
        device: auto, cpu, cuda or mps.

    Raises:
        ValueError: a bad bundle, an unusable folder, a number out of its range, or a folder of other pairs.
    """
    check_numbers(kind, noise_time, variants, clips, seed)
    pipeline = TextToAudioPipeline.from_pretrained(model, device=device, precision="float32")
    folder = AudioFolder.scan(audio)
    say(folder.report())
    maker = MelMaker(
        pipeline=pipeline,
        front_end=LogMelSpectrogram(pipeline.autoencoder.mel).to(pipeline.device),
        kind=kind,
        settings=pipeline.settle(Request(prompts=("pairs",), seed=seed)),
        noise_time=noise_time,
        variants=variants if kind == "denoised" else 1,
    )
    chosen = [clip for split in EXPORTED if folder.split(split) for clip in folder.spread(split, clips)]
    items = [(clip, paired(clip, folder)) for clip in bar("reading clips")(chosen)]
    with held_folder(out, LOCK_SECONDS, f"another process exports into '{out}'; stop it, or choose another --out"):
        pairs = claim(out, identity(maker, dtype), clips == 0, items)
        missing = [item for item in items if not is_made(pairs, item)]
        if missing:
            say(forecast(maker, missing, len(items), out, dtype))
        for item in bar("making mels")(missing):
            make_pair(maker, pairs, item, STORED_TYPES[dtype])
        differences = [(pairs.facts(row.file_name) or {}).get("difference", 0.0) for _, row in items]
    answer(f"{len(items)} pairs in {out}: {summary(kind, differences)}")
    start, folders = quoted(model / "vocoder.safetensors"), f"--data.folder {quoted(audio)} --data.mels {quoted(out)}"
    answer(
        f"next: python -m vocoder fit -c configs/oneshots/vocoder.yaml {folders} --model.init_from {start} "
        "--trainer.default_root_dir runs/finetuned/vocoder --model.optimiser.learning_rate 2e-4"
    )


def quoted(path: Path) -> str:
    """A path as one word of a shell."""
    return shlex.quote(path.as_posix())


def check_numbers(kind: str, noise_time: float, variants: int, clips: int, seed: int) -> None:
    """Refuse numbers out of their range.

    Raises:
        ValueError: names the number, what was expected, and why.
    """
    if kind == "denoised" and not EARLIEST_TIME <= noise_time < 1.0:
        raise ValueError(
            f"noise_time: expected {EARLIEST_TIME} to less than 1 (0 is noise, 1 is data), got {noise_time}; earlier, "
            "the model invents another clip, and its mel no longer belongs to the waveform"
        )
    if not 1 <= variants <= 16 or clips < 0 or seed < 0:
        raise ValueError(
            f"expected variants 1 to 16, clips and seed 0 or more, got variants {variants}, clips {clips}, seed {seed}"
        )


def identity(maker: MelMaker, dtype: str) -> dict[str, Any]:
    """All that decides the mels but the clips, as plain containers."""
    pipeline, settings = maker.pipeline, maker.settings
    stages = {name: value for name, value in pipeline.fingerprints.items() if name != "vocoder"}
    found = {"mel": pipeline.autoencoder.mel.to_dict(), "kind": maker.kind, "dtype": dtype}
    if maker.kind == "decoded":
        return {**found, "stages": {"autoencoder": stages["autoencoder"]}}
    names = ("seed", "guidance_scale", "guidance_interval", "solver", "solver_steps")
    numbers = {"noise_time": maker.noise_time, "variants": maker.variants}
    if settings["autoguidance"] != 1.0:
        # Of before there was any, the page says nothing of it.
        numbers |= {name: settings[name] for name in ("autoguidance", "autoguidance_interval")}
    return {**found, "stages": stages, **{name: settings[name] for name in names}, **numbers}


def paired(clip: Clip, folder: AudioFolder) -> PairedClip:
    """A clip as the manifest has it."""
    return PairedClip(clip.path.relative_to(folder.root).as_posix(), file_hash(clip.path), clip.split)


def claim(out: Path, values: dict[str, Any], whole: bool, items: Sequence[Item]) -> MelPairs:
    """Write the manifest; rows that it had stay, for a smaller choice of clips takes none away.

    Raises:
        ValueError: the folder holds pairs of another model, kind, type or seed.
    """
    rows = {row.file_name: row for _, row in items}
    pairs = MelPairs(out, values, whole, rows)
    if (out / MANIFEST_NAME).is_file():
        before = MelPairs.open(out)
        if before.fingerprint != pairs.fingerprint:
            names = [name for name in values if before.identity.get(name, values[name]) != values[name]]
            raise ValueError(f"out: '{out}' holds other pairs (other {', '.join(names)}); choose another --out")
        pairs = MelPairs(out, values, whole or before.whole, {**before.clips, **rows})
    pairs.save()
    return pairs


def is_made(pairs: MelPairs, item: Item) -> bool:
    """Whether a whole, fresh pair is there."""
    return pairs.facts(item[1].file_name) is not None


def make_pair(maker: MelMaker, pairs: MelPairs, item: Item, dtype: torch.dtype) -> None:
    """Make and write one pair."""
    clip, row = item
    found, _ = read_audio(clip.path, pairs.mel.sample_rate)
    waveform, gain = at_peak(torch.from_numpy(found))
    log_mel = maker.real(waveform)
    made, times = maker(clip, row.file_name, log_mel)
    inside = -(-len(waveform) // pairs.mel.hop_length)
    difference = float((made - log_mel)[..., :inside].abs().mean())
    facts = {"difference": round(difference, 5), "times": times, "gain": gain}
    pairs.write(row.file_name, made.cpu(), facts, dtype)


def at_peak(waveform: Tensor) -> tuple[Tensor, float]:
    """A waveform `(samples,)` at the peak at which vocoders are judged, and its gain; silence stays silent."""
    peak = float(waveform.abs().max()) if len(waveform) else 0.0
    gain = YARDSTICK_PEAK / peak if peak > 0.0 else 1.0
    return waveform * gain, gain


def forecast(maker: MelMaker, missing: Sequence[Item], total: int, out: Path, dtype: str) -> str:
    """How long it takes and what disk it needs, from one timed clip; a full disk is refused.

    Raises:
        ValueError: the disk is too full.
    """
    mel = maker.front_end.config
    seconds = sum(clip.seconds for clip, _ in missing)
    numbers = mel.n_mels * maker.variants * (seconds * mel.frame_rate + 3 * len(missing))
    needed = int(numbers * STORED_TYPES[dtype].itemsize + HEADER_BYTES * len(missing))
    check_writable(out, needed)
    middle = sorted(missing, key=lambda item: item[0].seconds)[len(missing) // 2]
    took = []
    for _ in range(2):
        started = time.perf_counter()
        waveform, _ = read_audio(middle[0].path, mel.sample_rate)
        maker(middle[0], middle[1].file_name, maker.real(torch.from_numpy(waveform)))
        took.append(time.perf_counter() - started)
    minutes = min(took) * seconds / max(1e-3, middle[0].seconds) / 60.0
    going_on = f"going on, {total - len(missing)} of {total} pairs are there; " if len(missing) < total else ""
    return (
        f"{going_on}{len(missing)} clips, {seconds / 60:.1f} minutes of audio: about {minutes:.1f} min, "
        f"{needed / 2**20:.1f} MiB of disk"
    )


def summary(kind: str, differences: Sequence[float]) -> str:
    """How far the mels are from the real ones."""
    mean = sum(differences) / max(1, len(differences))
    return f"{kind} mels differ from the real ones by {mean:.3f} nats (median clip {median(differences):.3f})"


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.export_mels`."""
    return run_command(export_mels, arguments, program="python -m pipelines.export_mels")


if __name__ == "__main__":
    sys.exit(main())
