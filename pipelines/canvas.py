"""Latents to start from: those of a source, how long each of them is held, and when the solver starts.

Variation, filling in and going on are one thing: latents on a canvas, the time until which each frame is held, and the
time at which the solver starts. At strength 0 the start is the end: the source's reconstruction comes back. At strength
1 it is noise.

Where a source breaks off, nobody knows how it went on. What is certain is that it does not end there: behind its end
lie its last moments, back and forth, and they are held while level and kind of sound are decided, near noise. Where the
two meet all is free from the start, for sound that turns back is a border.

    | source, held to the end | its last frames, | its last moments back and forth, | free
                                let go by and by | taken up, then let go by and by  |

Ahead of a source that breaks in, in the midst of a sound, lies the same the other way round, of its first moments. One
that begins there, however hard, begins.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoencoder.model import MelVAE
from latent_diffusion.model import LatentDiffusion
from pipelines.borders import BORDER_FRAMES
from pipelines.broken_ends import breaks_in
from pipelines.editing import Edit
from pipelines.encoding import encoded
from pipelines.guarding import Zone, zones_of

# Where a source breaks off: how many of its latent frames are let go, from which time of the solver on; and how many
# behind its end begin as its last moments, back and forth. Ahead of one that breaks in there are fewer: something is to
# begin there.
EDGE_FRAMES, EDGE_FROM = 8, 0.9
# Of a region that is made anew, one part in so many at most begins as the source at either side.
EASED = 4
BEYOND_FRAMES, BEYOND_FROM, AHEAD_FRAMES = 60, 0.7, 30


@dataclass(frozen=True)
class Canvas:
    """Latents to start from.

    Args:
        latents: raw, `(1, channels, latent_frames)`; silence where there is no source.
        toward: the same of the sound that a morph leads to, if any.
        kept: `(1, latent_frames)`, until which time they are held: 1 where they come out as they went in.
        start_time: where the solver starts.
        zones: samples that are not the source's reconstruction, where some are; nothing where none is kept, or nobody
            knows how far the networks reach.
    """

    latents: Tensor
    toward: Tensor | None
    kept: Tensor
    start_time: float
    zones: tuple[Zone, ...] = ()

    def rows(self, places: Sequence[float]) -> tuple[Tensor, Tensor | None, float]:
        """Latents of clips that lie so far on the way of a morph, which frames are kept (None where none are), when."""
        kept = self.kept.expand(len(places), -1) if bool(self.kept.any()) else None
        latents = self.latents.repeat(len(places), 1, 1)
        if self.toward is not None:
            latents = torch.lerp(latents, self.toward, torch.tensor(places).to(latents)[:, None, None])
        return latents, kept, self.start_time


@torch.inference_mode()
def open_canvas(
    settings: Mapping[str, Any],
    autoencoder: MelVAE,
    diffusion: LatentDiffusion,
    vocoder: Any = None,  # noqa: ANN401
) -> Canvas | None:
    """Encode the source of settled settings and lay it where it belongs; None where there is none.

    Args:
        settings: of `pipelines.settling.settle`.
        autoencoder: encodes.
        diffusion: says how many latent frames a length has.
        vocoder: may say how far it hears.

    Raises:
        ValueError: an unreadable file, or one too short for the mel.
    """
    if settings["edit"] is None:
        return None
    edit, spec = Edit.from_dict(settings["edit"]), diffusion.spec
    frames = spec.num_latent_frames(settings["seconds"])
    offset = min(round(edit.extend_before * spec.latent_rate), frames - 1)

    beyond = BEYOND_FRAMES if edit.extend_after else 0
    # No more than is made, so that something begins there.
    ahead = min(AHEAD_FRAMES, offset)
    ahead = ahead if ahead and breaks_in(edit.init_audio, autoencoder.mel.sample_rate) else 0

    def laid(path: Path) -> tuple[Tensor, int]:
        source = encoded(path, autoencoder, edit.option, ahead=ahead, beyond=beyond)
        length = min(source.shape[-1] - ahead - beyond, frames - offset)
        latents = torch.tensor(spec.silence, device=source.device)[None, :, None].repeat(1, 1, frames)
        room = latents[..., offset - ahead :]
        room[..., : source.shape[-1]] = source[..., : room.shape[-1]]
        return latents, length

    latents, length = laid(edit.init_audio)
    toward = laid(edit.toward)[0] if edit.toward else None
    kept = torch.zeros(1, frames, device=latents.device)
    if edit.extends:
        kept[:, offset : offset + length] = 1.0
        if edit.extend_after:
            kept = eased_end(kept, offset + length, length, beyond)
        if ahead:
            kept = eased_end(kept.flip(1), frames - offset, length, ahead).flip(1)
    elif edit.mask:
        kept[:] = 1.0
        for start, end in edit.mask:
            kept[:, math.floor(start * spec.latent_rate) : math.ceil(end * spec.latent_rate)] = 0.0
        ease_sides(kept[0])
    reach = seam_reach(edit, autoencoder, diffusion, vocoder)
    zones = () if reach is None else made_zones(edit, settings["seconds"], reach, autoencoder.mel.sample_rate)
    return Canvas(latents, toward, kept, edit.start_time, zones)


def seam_reach(edit: Edit, autoencoder: MelVAE, diffusion: LatentDiffusion, vocoder: Any) -> float | None:  # noqa: ANN401
    """Seconds from what is made anew beyond which the kept sound is the source's reconstruction.

    Args:
        edit: with a mask, or with seconds to add.
        autoencoder: its decoder hears some frames around each.
        diffusion: its latent frames are wider than those of a mel.
        vocoder: hears some more.

    Returns:
        None where nothing is kept, and where a vocoder does not say how far it hears.
    """
    if not (edit.mask or edit.extends) or not hasattr(vocoder, "receptive_field"):
        return None
    unit = diffusion.spec.frames_per_latent
    frames = unit + autoencoder.decoder_reach() + vocoder.receptive_field() // 2 + BORDER_FRAMES
    if edit.extend_after or (edit.extend_before and breaks_in(edit.init_audio, autoencoder.mel.sample_rate)):
        # The frames next to such an end are let go; and the encoder hears what lies beyond it.
        heard = autoencoder.encoder_reach() + autoencoder.mel.n_fft // autoencoder.mel.hop_length
        frames += max(EDGE_FRAMES * unit, heard)
    return float(frames / autoencoder.mel.frame_rate)


def made_zones(edit: Edit, seconds: float, reach: float, sample_rate: int) -> tuple[Zone, ...]:
    """Samples that are not the source's reconstruction.

    Args:
        edit: with a mask, or with seconds to add.
        seconds: length of the clip.
        reach: of `seam_reach`.
        sample_rate: in Hz.
    """
    made = [(math.floor(start * sample_rate), math.ceil(end * sample_rate)) for start, end in edit.made(seconds)]
    return zones_of(made, math.ceil(reach * sample_rate), round(seconds * sample_rate))


def ease_sides(kept: Tensor) -> None:
    """Let go by and by, at either side of each stretch that is not kept; where a clip begins or ends, nothing is.

    Args:
        kept: `(latent_frames,)`, 1 or 0, which is changed.
    """
    free = torch.nn.functional.pad((kept == 0.0).int(), (1, 1)).diff()
    for start, end in zip((free == 1).nonzero()[:, 0].tolist(), (free == -1).nonzero()[:, 0].tolist(), strict=True):
        easing = let_go(min(EDGE_FRAMES, (end - start) // EASED), EDGE_FROM).to(kept)
        if start:
            kept[start : start + len(easing)] = easing
        if end < len(kept):
            kept[end - len(easing) : end] = easing.flip(0)


def eased_end(kept: Tensor, end: int, length: int, beyond: int) -> Tensor:
    """Let go by and by before the end of a source; behind it, take up and let go.

    Args:
        kept: `(1, latent_frames)`.
        end: where the source ends.
        length: of the source.
        beyond: latent frames behind it that begin as more of it.
    """
    edge = min(EDGE_FRAMES, length // 2)
    easing = torch.cat([let_go(edge, EDGE_FROM), taken_up(beyond)]).to(kept)
    return torch.cat([kept[:, : end - edge], easing[None], kept[:, end + beyond :]], dim=1)[:, : kept.shape[1]]


def let_go(frames: int, first: float) -> Tensor:
    """Until when frames are held that are let go one after the other, `(frames,)`: the first until `first`."""
    return first * (1.0 - torch.arange(frames) / max(1, frames))


def taken_up(frames: int) -> Tensor:
    """Until when frames are held that follow an end, `(frames,)`: the first are free to join, then ever fewer are."""
    free = min(EDGE_FRAMES, frames)
    return torch.cat([let_go(free, BEYOND_FROM).flip(0), let_go(frames - free, BEYOND_FROM)])
