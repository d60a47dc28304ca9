"""`python -m pipelines.train`: a folder of audio becomes a bundle of three trained stages, and its first clips.

Each stage is trained by its own command, run as a child process: the stage commands are the truth, this one only calls
them in order. What is finished is written down in the run's folder, and a stage that was interrupted goes on from its
last checkpoint, so the same words started again go on where they stopped.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from audio.dataset import AudioFolder
from audio.files import write_aside
from audio.mel import MelConfig
from pipelines.bundle import Bundle
from pipelines.resources import resource
from training.checkpoint import load_stage
from training.command import answer, run_command, say
from vocoder.judging import long_enough

PLAN_NAME = "plan.json"
PARENT_VARIABLE = "MELISMA_PARENT"
CONFIG_STAGES = ("autoencoder", "latent_diffusion", "vocoder")
# How often some frames of a clip are known, where a bundle knows what that means (as in configs/oneshots).
KNOWN_SHARE = 0.3


@dataclass(frozen=True)
class Step:
    """One command of the chain.

    Args:
        name: of the step.
        command: what to run, after the interpreter.
    """

    name: str
    command: tuple[str, ...]


def train(
    audio: Path,
    preset: Literal["tiny", "oneshots"] = "oneshots",
    out: Path = Path("runs/mine"),
    init_from: Path | None = None,
    num_clips: int = 4,
) -> None:
    """Examine a folder of audio, train all three stages on it, join them and make the first clips.

    Args:
        audio: folder of wav, flac, ogg or mp3, with or without metadata.jsonl.
        preset: tiny for a few dozen clips and ten minutes, oneshots for thousands and hours.
        out: folder of the run; started again with the same words, the run goes on.
        init_from: a bundle whose weights are the start of every stage.
        num_clips: first clips to make.

    Raises:
        ValueError: an unusable folder, a run of something else in `out`, or a step that failed.
    """
    if num_clips < 1:
        raise ValueError(f"num_clips: expected at least 1, got {num_clips}")
    configs = {stage: resource(f"configs/{preset}/{stage}.yaml") for stage in CONFIG_STAGES}
    folder = AudioFolder.scan(audio)
    say(folder.report())
    for item in folder.skipped[:10]:
        say(f"skipped {item.path}: {item.reason}")
    bundle = Bundle.open(init_from) if init_from else None
    check_judged(folder, configs["vocoder"], bundle)
    done = open_plan(out, {"audio": folder.fingerprint(), "preset": preset, "init_from": _bundle_name(bundle)})
    if not done:
        ask_doctor(audio, out)
        tell_cost(configs, folder, out)
    steps = plan_steps(configs, audio, out, bundle, first_prompts(folder), num_clips)
    for number, step in enumerate(steps, 1):
        if step.name in done:
            say(f"[{number}/{len(steps)}] {step.name}: done before")
            continue
        say(f"[{number}/{len(steps)}] {step.name}")
        run_step(step)
        done.append(step.name)
        write_plan(out, done)
    answer(f"bundle: {out / 'bundle'}")
    answer(f'next: python generate.py --model {out / "bundle"} --prompt "{first_prompts(folder)[0]}"')


def plan_steps(
    configs: dict[str, Path], audio: Path, out: Path, bundle: Bundle | None, prompts: list[str], num_clips: int
) -> list[Step]:
    """All commands, in order.

    Args:
        configs: stage name to YAML.
        audio: folder of clips.
        out: folder of the run.
        bundle: to start from.
        prompts: of the first clips.
        num_clips: in all.
    """
    latents = out / "latents.safetensors"

    def fit(stage: str, *options: str) -> Step:
        command = ("-m", stage, "fit", "-c", str(configs[stage]), "--trainer.default_root_dir", str(out / stage))
        return Step(f"train {stage}", (*command, *options, *warm_start_options(stage, bundle)))

    chosen = [option for prompt in prompts[:num_clips] for option in ("--prompt", prompt)]
    per_prompt = str(max(1, num_clips // max(1, len(prompts[:num_clips]))))
    encode = ("--checkpoint", str(out / "autoencoder/best.ckpt"), "--audio", str(audio), "--out", str(latents))
    join = (
        *("--autoencoder", str(out / "autoencoder/best.ckpt"), "--diffusion", str(out / "latent_diffusion/best.ckpt")),
        *("--vocoder", str(out / "vocoder/best.ckpt"), "--out", str(out / "bundle"), "--name", out.name),
        # A model that goes on from another one knows the words of that one too.
        *(() if bundle else ("--words", str(audio))),
    )
    clips = ("--model", str(out / "bundle"), "--out", str(out / "clips"), "--seed", "0", "--num_clips", per_prompt)
    return [
        fit("autoencoder", "--data.folder", str(audio)),
        Step("encode", ("-m", "autoencoder.encode", *encode)),
        fit("latent_diffusion", "--data.latents", str(latents)),
        fit("vocoder", "--data.folder", str(audio)),
        Step("bundle", ("-m", "pipelines.bundle", *join)),
        Step("first clips", ("-m", "pipelines.generate", *clips, *chosen)),
    ]


def warm_start_options(stage: str, bundle: Bundle | None) -> list[str]:
    """Options that start a stage from a bundle: its weights, and the sizes of its network."""
    if bundle is None:
        return []
    path = bundle.stage(stage)
    record, _ = load_stage(path, stage)
    key = {"autoencoder": "vae", "latent_diffusion": "network", "vocoder": "network"}[stage]
    options = ["--model.init_from", str(path), f"--model.{key}", json.dumps(record.config[key])]
    if record.config[key].get("known"):
        # Or it would unlearn what kept frames mean.
        options += ["--data.known", str(KNOWN_SHARE)]
    if stage != "latent_diffusion":
        options += ["--model.mel", json.dumps(record.config["mel"])]
    return options


def run_step(step: Step) -> None:
    """Run a command as a child process; Ctrl-C reaches it, and it stops when this process dies.

    Raises:
        ValueError: the command failed; it has said why.
        KeyboardInterrupt: Ctrl-C, after the child has stopped.
    """
    environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
    child = subprocess.Popen([sys.executable, *step.command], env=environment)
    try:
        code = child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        child.wait()
        raise
    if code == 130:
        raise KeyboardInterrupt
    if code != 0:
        raise ValueError(f"step '{step.name}' failed with exit code {code}: python {' '.join(step.command)}")


def open_plan(out: Path, identity: dict[str, Any]) -> list[str]:
    """The steps that an earlier start of the same run has finished; a new run is written down.

    Raises:
        ValueError: `out` holds a run of other audio, another preset or another start, or something else.
    """
    path = out / PLAN_NAME
    if path.is_file():
        try:
            page = json.loads(path.read_text(encoding="utf-8"))
            found, done = dict(page["identity"]), list(page["done"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"'{path}' is broken; choose another --out") from error
        differences = [
            f"{key}: {found.get(key)} != {value}" for key, value in identity.items() if found.get(key) != value
        ]
        if differences:
            raise ValueError(f"--out '{out}' holds another run ({'; '.join(differences)}); choose another folder")
        return done
    if out.is_dir() and any(out.iterdir()):
        raise ValueError(f"--out '{out}' is not empty and holds no run; choose another folder")
    with write_aside(path) as aside:
        aside.write_text(json.dumps({"identity": identity, "done": []}, indent=2), encoding="utf-8")
    return []


def write_plan(out: Path, done: list[str]) -> None:
    """Write down what is finished."""
    path = out / PLAN_NAME
    page = json.loads(path.read_text(encoding="utf-8"))
    with write_aside(path) as aside:
        aside.write_text(json.dumps({**page, "done": done}, indent=2), encoding="utf-8")


def ask_doctor(audio: Path, out: Path) -> None:
    """Examine the folder first; say what would spoil training, and go on: unusable files are skipped anyway.

    Raises:
        ValueError: the report cannot be written.
    """
    from pipelines.diagnosis import examine
    from pipelines.doctor_page import write_report

    say("the data doctor looks at the folder …")
    diagnosis = examine(audio)
    page = write_report(diagnosis, out / "doctor")[1]
    if not diagnosis.faults:
        say(f"no faults; report: {page}")
        return
    counts = ", ".join(f"{count} {kind}" for kind, count in diagnosis.counts().items())
    say(f"warning: {len(diagnosis.faults)} faults that would spoil training ({counts}); see {page}; training goes on")


def tell_cost(configs: dict[str, Path], folder: AudioFolder, out: Path) -> None:
    """Say from a short probe how long it will take and what disk it needs.

    Raises:
        ValueError: the disk is too full.
    """
    from pipelines.probe import estimate_stages

    say("probing: a few training steps of each stage …")
    estimates = estimate_stages(configs)
    for stage, estimate in estimates.items():
        say(f"  {stage}: about {max(1, round(estimate.seconds / 60))} min, {estimate.bytes / 2**20:.0f} MiB")
    needed = sum(estimate.bytes for estimate in estimates.values()) * 1.2
    free = shutil.disk_usage(out).free
    minutes = sum(estimate.seconds for estimate in estimates.values()) / 60
    say(f"in all about {max(1, round(minutes))} min; {needed / 2**20:.0f} MiB of disk, {free / 2**20:.0f} MiB are free")
    if free < needed:
        raise ValueError(f"--out '{out}': {free / 2**20:.0f} MiB are free, this run needs {needed / 2**20:.0f} MiB")


def check_judged(folder: AudioFolder, config: Path, bundle: Bundle | None) -> None:
    """Refuse a folder of which the last stage could judge nothing, before the first one is trained.

    Raises:
        ValueError: no clip to validate on is long enough.
    """
    told = bundle.page["mel"] if bundle else yaml.safe_load(config.read_text(encoding="utf-8"))["model"]["mel"]
    mel = MelConfig.from_dict(told) if bundle else MelConfig.from_yaml(config.parent / told)
    held_out = folder.split("validation") or folder.split("train")
    if not any(long_enough(int(clip.seconds * mel.sample_rate), mel) for clip in held_out):
        raise ValueError(
            f"audio: none of the clips to validate on ({len(held_out)}) is long enough for the vocoder to be judged by"
        )


def first_prompts(folder: AudioFolder) -> list[str]:
    """One caption of each class, the most frequent classes first."""
    counts: dict[str, int] = {}
    captions: dict[str, str] = {}
    for clip in folder.split("train") or folder.clips:
        name = clip.label or clip.captions[0]
        counts[name] = counts.get(name, 0) + 1
        captions.setdefault(name, clip.captions[0])
    return [captions[name] for name in sorted(counts, key=lambda name: (-counts[name], name))]


def _bundle_name(bundle: Bundle | None) -> dict[str, str] | None:
    return {kind: bundle.page["stages"][kind]["fingerprint"] for kind in CONFIG_STAGES} if bundle else None


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.train` and `melisma train`."""
    return run_command(train, arguments, program="python -m pipelines.train")


if __name__ == "__main__":
    sys.exit(main())
