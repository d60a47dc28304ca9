"""`python -m pipelines.export_decoder --model BUNDLE --out decoder.onnx`: latents to waveform in one file.

In: `latents`, `(batch, channels, latent_frames)`, raw (not whitened). Out: `waveform`, `(batch, samples)`. It is the
decoder of the autoencoder, what lies below its floor cut off, and the vocoder.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from autoencoder.model import MelVAE
from pipelines.bundle import Bundle
from pipelines.compatibility import check_vocoder
from pipelines.streaming import StreamingDecoder
from training.command import answer, run_command, say
from vocoder.base import Vocoder
from vocoder.generators import load_generator
from vocoder.onnx_file import Wire, check_target, example_mels, write_onnx
from vocoder.onnx_network import exportable


class RealDecoder(nn.Module):
    """Latents to sound in real operations.

    Args:
        autoencoder: decodes latents.
        vocoder: one of ours.

    Raises:
        ValueError: the two do not belong together, or the vocoder cannot be exported.
    """

    def __init__(self, autoencoder: MelVAE, vocoder: Vocoder) -> None:
        super().__init__()
        check_vocoder(autoencoder.mel, vocoder.mel)
        self.autoencoder = autoencoder
        self.vocoder = exportable(vocoder)
        self.floor = max(autoencoder.mel.log_mel_floor, vocoder.mel.log_mel_floor)

    def forward(self, latents: Tensor) -> Tensor:
        """Waveform `(batch, samples)` of raw latents `(batch, channels, latent_frames)`."""
        log_mel = self.autoencoder.decode(self.autoencoder.led(latents))
        waveform: Tensor = self.vocoder(log_mel.clamp(min=self.floor))
        return waveform[:, self.autoencoder.lead_samples :]


def export_decoder(model: Path, out: Path, vocoder: Path | None = None) -> None:
    """Write the decoder of a bundle as an ONNX file, after ONNX Runtime has been heard to agree with torch.

    Args:
        model: folder of a bundle.
        out: file to write, .onnx.
        vocoder: a checkpoint of ours that replaces the bundle's vocoder.

    Raises:
        ValueError: a bad bundle or checkpoint, a missing package, or a file that differs from torch by more than 1e-4.
    """
    check_target(out)
    bundle = Bundle.open(model)
    autoencoder = MelVAE.from_checkpoint(bundle.stage("autoencoder"))
    chosen = load_generator(vocoder or bundle.stage("vocoder"))
    say("exporting and comparing, about a minute")
    decoder = RealDecoder(autoencoder, chosen).eval()
    with torch.no_grad():
        latents = [autoencoder.encode(log_mel).mean for log_mel in example_mels(autoencoder.mel)]
    # One latent frame may be one mel frame, which no vocoder decodes.
    shortest = 1 if autoencoder.config.frames_per_latent > 1 else 2
    records = {"autoencoder": autoencoder.record, "vocoder": chosen.record}
    metadata = {
        "kind": "decoder",
        "input": "latents (batch, channels, latent_frames), raw",
        "output": "waveform (batch, samples), float32",
        "mel": autoencoder.mel.to_dict(),
        "frames_per_latent": autoencoder.config.frames_per_latent,
        "fingerprints": {kind: record.fingerprint for kind, record in records.items() if record},
        "licences": sorted(
            {*bundle.licences, *(text for record in records.values() if record for text in record.licences)}
        ),
        "name": bundle.page.get("name", ""),
    }
    whole = StreamingDecoder(autoencoder, chosen)
    agreement = write_onnx(decoder, whole.decode, Wire("latents", shortest, latents), metadata, out)
    for line in agreement.lines():
        answer(line)
    answer(str(out))


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.export_decoder`."""
    return run_command(export_decoder, arguments, program="python -m pipelines.export_decoder")


if __name__ == "__main__":
    sys.exit(main())
