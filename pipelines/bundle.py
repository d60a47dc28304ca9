"""A bundle: three released stages in one folder, with one page that says what they are.

`python -m pipelines.bundle` writes it from three checkpoints. The folder holds three safetensors files, `bundle.json`
(format, fingerprints, hashes, defaults, lineage, licences) and, where one is given, a card `README.md`.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from audio.files import file_hash, write_aside
from latent_diffusion.guidance import GuidanceConfig
from pipelines.vocabulary import read_words, taught_words, write_words
from training.checkpoint import KINDS, StageRecord, load_stage, save_stage
from training.command import answer, run_command, say

BUNDLE_FORMAT = 4
BUNDLE_NAME = "bundle.json"
STORED_TYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


def check_variety(variety: float) -> float:
    """The number itself.

    Raises:
        ValueError: out of range, or no number.
    """
    if isinstance(variety, bool | str) or not 0.0 <= variety <= 1.0:
        raise ValueError(f"variety: expected 0 to 1, got {variety}")
    return float(variety)


@dataclass(frozen=True)
class Defaults:
    """What a model is asked for when nothing else is said.

    Args:
        seconds: length of a clip.
        max_seconds: longest clip the model was trained for.
        guidance_scale: strength of the prompt.
        guidance_interval: first and last time at which it acts, from 0 (noise) to 1 (data).
        solver: of the generating equation.
        solver_steps: of the solver.
        variety: how far clips of the same words may lie apart, 0 to 1 (ADR 28).
        autoguidance: away from the model's weaker one (ADR 29); 1 is off.
        autoguidance_interval: first and last time at which that acts.

    Raises:
        ValueError: a variety or a guidance out of range.
    """

    seconds: float = 1.0
    max_seconds: float = 4.0
    guidance_scale: float = 3.0
    solver: str = "euler"
    solver_steps: int = 32
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    variety: float = 0.0
    autoguidance: float = 1.0
    autoguidance_interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """A page of JSON has lists where Python has tuples."""
        for name in ("guidance_interval", "autoguidance_interval"):
            first, last = getattr(self, name)
            object.__setattr__(self, name, (float(first), float(last)))
        check_variety(self.variety)
        scale, auto = (self.guidance_scale, self.guidance_interval), (self.autoguidance, self.autoguidance_interval)
        GuidanceConfig(*scale, auto=auto[0], auto_interval=auto[1])


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: its page, read and checked.

    Args:
        folder: where it lies.
        page: the contents of bundle.json.
    """

    folder: Path
    page: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "Bundle":
        """Read a bundle's page.

        Raises:
            ValueError: no bundle there, a broken page, or a newer format (named).
        """
        path = Path(folder) / BUNDLE_NAME
        if not path.is_file():
            raise ValueError(f"'{folder}' is not a bundle: it holds no {BUNDLE_NAME}")
        try:
            page = json.loads(path.read_text(encoding="utf-8"))
            if page["format"] > BUNDLE_FORMAT:
                raise ValueError(
                    f"'{folder}' has bundle format {page['format']}, this version reads up to {BUNDLE_FORMAT}; "
                    "update melisma"
                )
            Defaults(**page["defaults"])
            for kind in KINDS:
                page["stages"][kind]["file"], page["stages"][kind]["sha256"]
        except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"'{path}' is broken: {type(error).__name__} {error}") from error
        return cls(Path(folder), page)

    @property
    def defaults(self) -> Defaults:
        """Of this model."""
        return Defaults(**self.page["defaults"])

    @property
    def words(self) -> frozenset[str]:
        """That it learnt sounds by; none where nobody kept them."""
        return read_words(self.folder)

    @property
    def licences(self) -> tuple[str, ...]:
        """Of the data it was trained on."""
        return tuple(self.page.get("licences", ()))

    def stage(self, kind: str) -> Path:
        """The file of one stage, its hash checked.

        Raises:
            ValueError: the file is missing, or is not the one that was bundled.
        """
        entry = self.page["stages"][kind]
        path = self.folder / Path(entry["file"]).name
        if not path.is_file():
            raise ValueError(f"bundle '{self.folder}' lacks {path.name}")
        found = file_hash(path)
        if found != entry["sha256"]:
            raise ValueError(
                f"'{path}' is truncated or changed: its hash is {found[:12]}…, "
                f"{BUNDLE_NAME} says {entry['sha256'][:12]}…"
            )
        return path


def bundle(
    autoencoder: Path,
    diffusion: Path,
    vocoder: Path,
    out: Path,
    name: str = "",
    defaults: Defaults | None = None,
    card: Path | None = None,
    dtype: Literal["float16", "bfloat16", "float32"] = "float16",
    guide: Path | None = None,
    words: Path | None = None,
    phrasings: Path | None = None,
) -> None:
    """Join three trained stages into a bundle.

    Args:
        autoencoder: checkpoint of stage 1.
        diffusion: checkpoint of stage 2.
        vocoder: checkpoint of stage 3.
        out: folder to write; an older bundle there is replaced.
        name: of the model; the folder's name when left out.
        defaults: seconds, guidance, solver and variety that suit the model.
        card: a Markdown page to put beside the weights.
        dtype: in which weights are stored.
        guide: checkpoint of a weaker diffusion stage, trained on the same latents, that guides the model; when left
            out, the one that the diffusion stage holds, if any.
        words: the folder of clips that the diffusion stage was trained on: the bundle keeps the words of their
            captions, so that a prompt without any of them is told to be a guess.
        phrasings: YAML of phrases that it learnt beside captions, with --words.

    Raises:
        ValueError: a wrong checkpoint, stages that do not belong together, or an unusable folder of clips.
    """
    from latent_diffusion.config import LatentDiffusionConfig
    from latent_diffusion.guide import with_guide
    from latent_diffusion.model import LatentDiffusion
    from pipelines.text_to_audio import TextToAudioPipeline

    if phrasings is not None and words is None:
        raise ValueError("phrasings: these are phrases learnt beside captions; --words names the clips of those")
    known = None if words is None else taught_words(words, phrasings)
    paths = dict(zip(KINDS, (autoencoder, diffusion, vocoder), strict=True))
    stages = {kind: load_stage(path, kind) for kind, path in paths.items()}
    if guide is not None:
        stages["latent_diffusion"] = with_guide(*stages["latent_diffusion"], *load_stage(guide, "latent_diffusion"))
    TextToAudioPipeline.from_stages(autoencoder, diffusion, str(vocoder), device="cpu")
    longest = LatentDiffusion.from_checkpoint(diffusion).max_seconds
    settled = defaults or Defaults(seconds=min(1.0, longest), max_seconds=longest)
    if settled.max_seconds not in (Defaults.max_seconds, longest):
        raise ValueError(f"defaults.max_seconds: the model was trained on clips of up to {longest:g} s")
    settled = replace(settled, max_seconds=longest)
    guided = LatentDiffusionConfig.from_dict(stages["latent_diffusion"][0].config).guide is not None
    if not guided and settled.autoguidance != 1.0:
        raise ValueError("defaults.autoguidance: this model holds no weaker one (--guide CHECKPOINT); 1 is off")
    if guided and settled.autoguidance == 1.0:
        say("the guide is not asked where nothing is said: --defaults.autoguidance 1.5 would")
    if out.exists() and not (out / BUNDLE_NAME).is_file() and any(out.iterdir()):
        raise ValueError(f"out: '{out}' exists and is not a bundle; choose another folder")
    page = write_bundle(out, stages, name or out.name, settled, card, STORED_TYPES[dtype], known)
    for kind, entry in page["stages"].items():
        say(f"{kind}: {entry['parameters'] / 1e6:.2f} million parameters, {entry['bytes'] / 2**20:.2f} MiB")
    answer(f"bundle: {out}")
    answer(f'next: python generate.py --model {out} --prompt "…"')


def write_bundle(
    out: Path,
    stages: dict[str, tuple[StageRecord, dict[str, Tensor]]],
    name: str,
    defaults: Defaults,
    card: Path | None,
    dtype: torch.dtype,
    words: Collection[str] | None = None,
) -> dict[str, Any]:
    """Write all files aside, then put the folder in its place; returns the page.

    Raises:
        ValueError: the folder cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise ValueError(f"out: '{out}' cannot be written ({error.strerror})") from error
    try:
        page = {
            "format": BUNDLE_FORMAT,
            "name": name,
            "mel": stages["autoencoder"][0].config["mel"],
            "defaults": asdict(defaults),
            "licences": sorted({text for record, _ in stages.values() for text in record.licences}),
            "stages": {kind: _write_stage(aside, kind, *stage, dtype) for kind, stage in stages.items()},
        }
        with write_aside(aside / BUNDLE_NAME) as file:
            file.write_text(json.dumps(page, indent=2) + "\n", encoding="utf-8")
        _copy_card(card, out, aside)
        if words:
            write_words(aside, words)
        aside.chmod(0o755)
        if out.exists():
            shutil.rmtree(out)
        aside.rename(out)
    except OSError as error:
        raise ValueError(f"out: '{out}' cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return page


def _write_stage(
    folder: Path, kind: str, record: StageRecord, weights: dict[str, Tensor], dtype: torch.dtype
) -> dict[str, Any]:
    """Write one stage; returns its entry on the bundle's page."""
    path = folder / f"{kind}.safetensors"
    save_stage(path, record, weights, dtype)
    return {
        "file": path.name,
        "fingerprint": record.fingerprint,
        "sha256": file_hash(path),
        "parameters": sum(value.numel() for value in weights.values()),
        "bytes": path.stat().st_size,
        "training": record.training,
        "lineage": record.lineage,
    }


def _copy_card(card: Path | None, out: Path, aside: Path) -> None:
    """The new card, or the one that the replaced bundle had."""
    source = card or (out / "README.md" if (out / "README.md").is_file() else None)
    if source is not None:
        if not source.is_file():
            raise ValueError(f"card: '{source}' does not exist")
        shutil.copyfile(source, aside / "README.md")


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.bundle`."""
    return run_command(bundle, arguments, program="python -m pipelines.bundle")


if __name__ == "__main__":
    sys.exit(main())
