"""A reference clip as style, from a request to the diffusion stage (`latent_diffusion.style`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from audio.files import read_audio
from audio.measures import peak
from autoencoder.model import MelVAE
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.style import Style, check_style_strength
from pipelines.editing import file_sha256
from pipelines.encoding import encoded
from pipelines.request import Request

DEFAULT_STYLE_STRENGTH = 0.15
# Of a longer reference only so much is heard.
LONGEST_REFERENCE_SECONDS = 30.0
# -80 dBFS: below it a file holds no sound.
SILENT_PEAK = 1e-4


def settled_style(request: Request) -> dict[str, Any] | None:
    """A request's style as plain containers, with the hash of the file; None where there is none.

    Raises:
        ValueError: a file that cannot be read or is silent, a strength out of its range or without a file, or an edit
            in which nothing is made anew.
    """
    if request.style is None:
        if request.style_strength is not None:
            raise ValueError("style_strength: only goes with --style FILE")
        return None
    if request.edit is not None and request.edit.start_time >= 1.0:
        raise ValueError("style and strength 0 contradict each other: nothing is made anew that could be drawn to it")
    strength = DEFAULT_STYLE_STRENGTH if request.style_strength is None else float(request.style_strength)
    check_style_strength(strength)
    path = Path(request.style)
    if peak(read_audio(path, seconds=LONGEST_REFERENCE_SECONDS)[0]) < SILENT_PEAK:
        raise ValueError(f"style: '{path}' holds no sound")
    return {"path": str(path.resolve()), "sha256": file_sha256(path, "style"), "strength": strength}


class StyleReader:
    """Encodes the reference of settled settings, once for all batches of a run.

    Args:
        autoencoder: encodes.
        diffusion: whitens.
    """

    def __init__(self, autoencoder: MelVAE, diffusion: LatentDiffusion) -> None:
        self.autoencoder, self.diffusion = autoencoder, diffusion
        self._last: tuple[Mapping[str, Any], Style] | None = None

    @torch.inference_mode()
    def __call__(self, settings: Mapping[str, Any]) -> Style | None:
        """The style of settings of `pipelines.settling.settle`; None where there is none.

        Raises:
            ValueError: an unreadable file, one too short for the mel, or one that has changed since it was settled.
        """
        told = settings["style"]
        if told is None:
            return None
        if self._last is None or self._last[0] != told:
            path, spec = Path(told["path"]), self.diffusion.spec
            if file_sha256(path, "style") != told["sha256"]:
                raise ValueError(f"style: '{path}' has changed since")
            # In whatever precision the model runs, a reference is heard in full.
            with torch.autocast(self.diffusion.device.type, enabled=False):
                latents = encoded(path, self.autoencoder, "style", LONGEST_REFERENCE_SECONDS)
                silence = torch.tensor(spec.silence, device=latents.device)[None, :, None]
                style = Style(spec.whiten(latents), spec.whiten(silence)[0, :, 0], told["strength"])
            self._last = dict(told), style
        return self._last[1]
