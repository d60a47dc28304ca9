"""The VAE learns, and a resumed run is the uninterrupted one, bit for bit."""

from pathlib import Path

import pytest
import torch
from filelock import FileLock

from audio.files import read_audio
from audio.latents import LatentFile
from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.discriminators import MelDiscriminators, MelGanConfig
from autoencoder.encode import main as encode_main
from autoencoder.losses import MelVAELoss, frame_weights, log_mel_error, vae_loss
from autoencoder.model import MelVAE, MelVAEConfig
from autoencoder.training import MelVAETraining
from training.checkpoint import load_checkpoint, load_stage, save_stage
from training.cli import run_stage
from training.data import AudioData

SMALL = [
    *("--model.vae", '{"latent_channels": 8, "width": 24, "encoder_blocks": [1, 1], "decoder_blocks": [1, 1]}'),
    *("--data.batch_size", "2", "--data.segment_seconds", "0.2", "--data.steps_per_epoch", "3"),
    *("--data.validation_seconds", "0.3", "--data.validation_clips", "2"),
]


def fit(folder: Path, out: Path, max_steps: int, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    words = ["autoencoder", "fit", "-c", "configs/tiny/autoencoder.yaml", "--data.folder", str(folder)]
    words += ["--trainer.default_root_dir", str(out), "--trainer.max_steps", str(max_steps)]
    # The cosine's end must not depend on where a run is interrupted.
    words += ["--model.schedule.total_steps", "6", *SMALL, *options]
    monkeypatch.setattr("sys.argv", words)
    return run_stage(MelVAETraining, AudioData, link_sample_rate=True)


def test_one_batch_is_overfitted(mel: MelConfig, sonic_pi_folder: Path) -> None:
    torch.manual_seed(0)
    names = ("drum_snare_hard.flac", "bd_haus.flac", "tabla_ke1.flac")
    clips = [torch.from_numpy(read_audio(sonic_pi_folder / name, 44100, seconds=0.3)[0]) for name in names]
    waveform = torch.zeros(len(clips), 13230)
    for row, clip in enumerate(clips):
        waveform[row, : len(clip)] = clip
    log_mel = LogMelSpectrogram(mel)(waveform)
    frames = torch.tensor([mel.num_frames(len(clip)) for clip in clips])
    network = MelVAE(mel, MelVAEConfig(latent_channels=16, width=64, encoder_blocks=(1, 1), decoder_blocks=(1, 1)))
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    first = float("nan")
    for step in range(150):
        estimate, posterior = network(log_mel)
        loss, _ = vae_loss(estimate, log_mel, posterior, frame_weights(frames, log_mel.shape[-1]), MelVAELoss())
        if step == 0:
            first = float(log_mel_error(estimate, log_mel, frames).mean().detach())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    with torch.no_grad():
        last = float(log_mel_error(network.eval()(log_mel)[0], log_mel, frames).mean())
    assert first > 2.0
    assert last < 0.4


def test_resuming_equals_not_having_stopped_and_latents_follow(
    sonic_pi_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert fit(sonic_pi_folder, whole, 6, monkeypatch) == 0
    printed = capsys.readouterr().out
    assert f"best checkpoint: {whole / 'best.ckpt'}" in printed
    assert "next: python -m autoencoder.encode" in printed
    assert fit(sonic_pi_folder, halves, 3, monkeypatch) == 0
    assert fit(sonic_pi_folder, halves, 6, monkeypatch) == 0
    assert "going on from" in capsys.readouterr().err
    first, second = (load_checkpoint(folder / "last.ckpt") for folder in (whole, halves))
    assert first["global_step"] == second["global_step"] == 6
    for key in ("state_dict", "current_model_state"):
        assert all(torch.equal(first[key][name], second[key][name]) for name in first[key])
    assert first["stage_record"]["fingerprint"] == second["stage_record"]["fingerprint"]
    assert {path.name for path in whole.iterdir()} >= {"best.ckpt", "last.ckpt", "config.yaml"}

    # Another network in the same folder is refused, and nothing is lost.
    before = (halves / "last.ckpt").read_bytes()
    assert fit(sonic_pi_folder, halves, 9, monkeypatch, "--model.vae.width", "16") == 2
    assert "vae.width: 24 != 16" in capsys.readouterr().err
    assert (halves / "last.ckpt").read_bytes() == before

    out = tmp_path / "latents.safetensors"
    options = ["--audio", str(sonic_pi_folder), "--out", str(out), "--max_seconds", "0.5", "--variants", "2"]
    assert encode_main(["--checkpoint", str(whole / "best.ckpt"), *options, "--device", "cpu"]) == 0
    latents = LatentFile.load(out)
    record, _ = load_stage(whole / "best.ckpt", "autoencoder")
    assert latents.spec.encoder_fingerprint == record.parts["encoder"]
    assert {clip.split for clip in latents.clips} == {"train", "validation"}
    inside = latents.clips[0]
    network = MelVAE.from_checkpoint(whole / "best.ckpt")
    clip = next(path for path in sonic_pi_folder.glob("*.flac") if path.name == inside.file_name)
    waveform = torch.from_numpy(read_audio(clip, 44100, seconds=0.5)[0])
    padded = torch.nn.functional.pad(waveform, (0, 44100))
    expected = network.encode(LogMelSpectrogram(network.mel)(padded[None])).mean[0, :, : inside.frames]
    got = latents.mean[:, inside.start : inside.start + inside.frames].float()
    assert (got - expected).abs().max() < 5e-3 * float(expected.abs().max())


def test_a_frozen_encoder_stays_what_it_was_and_so_do_its_latents(
    sonic_pi_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit(sonic_pi_folder, tmp_path / "first", 3, monkeypatch) == 0
    record, weights = load_stage(tmp_path / "first" / "best.ckpt", "autoencoder")
    # A released stage has lost the last digits of its weights, and is still the same encoder.
    released = tmp_path / "released.safetensors"
    save_stage(released, record, weights, torch.float16)
    kept = load_stage(released, "autoencoder")[1]
    options = ["--model.init_from", str(released), "--model.freeze_encoder", "true", "--ema.decay", "0.9"]
    for steps in (3, 6):
        # Once more from where it stopped, too: its encoder is still that of before the release.
        assert fit(sonic_pi_folder, tmp_path / "second", steps, monkeypatch, *options) == 0
        after, moved = load_stage(tmp_path / "second" / "last.ckpt", "autoencoder")
        assert after.parts == record.parts
    assert after.fingerprint != record.fingerprint
    same = {name: torch.equal(moved[name], kept[name]) for name in kept}
    assert all(equal for name, equal in same.items() if name.startswith("encoder."))
    assert not all(equal for name, equal in same.items() if name.startswith("decoder."))


GAN = [
    *("--model.gan", '{"start_batch": 1, "channels": 4}', "--trainer.gradient_clip_val", "1.0"),
    *("--trainer.accumulate_grad_batches", "1", "--ema.decay", "0.9"),
]


def test_a_run_against_discriminators_goes_on_as_if_it_had_not_stopped(
    sonic_pi_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert fit(sonic_pi_folder, whole, 6, monkeypatch, *GAN) == 0
    assert fit(sonic_pi_folder, halves, 3, monkeypatch, *GAN) == 0
    assert fit(sonic_pi_folder, halves, 6, monkeypatch, *GAN) == 0
    first, second = (load_checkpoint(folder / "last.ckpt") for folder in (whole, halves))
    # Steps are those of the network; both players have an optimiser.
    assert first["global_step"] == second["global_step"] == 6
    assert len(first["optimizer_states"]) == 2
    listeners = [name for name in first["current_model_state"] if name.startswith("discriminators.")]
    assert listeners
    for key in ("state_dict", "current_model_state"):
        assert all(torch.equal(first[key][name], second[key][name]) for name in first[key])
    # The error does not tell which is best.
    printed = capsys.readouterr().out
    assert f"last checkpoint: {whole / 'last.ckpt'}" in printed
    assert f"--checkpoint {whole / 'last.ckpt'}" in printed
    # They have learnt, and changed what the network learns; the stage holds none of them.
    plain = tmp_path / "plain"
    assert fit(sonic_pi_folder, plain, 6, monkeypatch, "--trainer.gradient_clip_val", "1.0", "--ema.decay", "0.9") == 0
    alone, played = (load_stage(folder / "last.ckpt", "autoencoder")[1] for folder in (plain, whole))
    assert set(alone) == set(played)
    assert not all(torch.equal(alone[name], played[name]) for name in alone)
    start = MelDiscriminators(MelGanConfig(1, 4)).state_dict()
    assert {f"discriminators.{name}" for name in start} == set(listeners)
    # Discriminators neither come nor go in the midst of a run, nor does a plateau of that error say anything.
    capsys.readouterr()
    assert fit(sonic_pi_folder, whole, 7, monkeypatch, "--trainer.gradient_clip_val", "1.0", "--ema.decay", "0.9") == 2
    assert "plays against discriminators (model.gan.start_batch)" in capsys.readouterr().err
    assert fit(sonic_pi_folder, tmp_path / "no", 3, monkeypatch, *GAN, "--model.schedule.name", "plateau") == 2
    assert "plateau goes by the error of log-mels" in capsys.readouterr().err


def test_until_its_batch_the_game_changes_nothing(
    sonic_pi_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    late = ["--model.gan", '{"start_batch": 1000, "channels": 4}', "--trainer.gradient_clip_val", "1.0"]
    assert fit(sonic_pi_folder, tmp_path / "late", 4, monkeypatch, *late) == 0
    assert fit(sonic_pi_folder, tmp_path / "plain", 4, monkeypatch, "--trainer.gradient_clip_val", "1.0") == 0
    assert "warning: discriminators begin at batch 1000, and training ends at 4" in capsys.readouterr().err
    late_weights, plain_weights = (
        load_stage(tmp_path / name / "last.ckpt", "autoencoder")[1] for name in ("late", "plain")
    )
    assert all(torch.allclose(late_weights[name], plain_weights[name], atol=1e-6) for name in plain_weights)


def test_the_batches_behind_the_last_validation_are_judged_too(
    sonic_pi_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A validation follows every third batch, and the fifth."""
    assert fit(sonic_pi_folder, tmp_path / "run", 5, monkeypatch, "--ema.decay", "0.5") == 0
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines() if line.startswith("step ")] == [
        "step 3",
        "step 5",
    ]
    record, _ = load_stage(tmp_path / "run" / "best.ckpt", "autoencoder")
    assert record.training["batches"] == 5
    # A run of less than an epoch has a best one too, where before the command that follows named a file that was not.
    assert fit(sonic_pi_folder, tmp_path / "short", 2, monkeypatch) == 0
    assert load_stage(tmp_path / "short" / "best.ckpt", "autoencoder")[0].training["batches"] == 2
    assert f"best checkpoint: {tmp_path / 'short' / 'best.ckpt'}" in capsys.readouterr().out


def test_early_stopping_is_said_and_does_not_end_a_game(
    sonic_pi_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What learns nothing is not better in one validation: it stops, unless its metric does not tell what is better."""
    still = ["--model.optimiser.learning_rate", "0", "--early_stopping.patience", "1", "--data.steps_per_epoch", "1"]
    assert fit(sonic_pi_folder, tmp_path / "plain", 6, monkeypatch, *still) == 0
    assert "stopping early: Monitored metric validation/log_mel_error did not improve in the last 1 records." in (
        capsys.readouterr().err
    )
    assert load_stage(tmp_path / "plain" / "last.ckpt", "autoencoder")[0].training["batches"] == 2
    assert fit(sonic_pi_folder, tmp_path / "game", 6, monkeypatch, *still, *GAN) == 0
    assert "stopping early" not in capsys.readouterr().err
    assert load_stage(tmp_path / "game" / "last.ckpt", "autoencoder")[0].training["batches"] == 6
    # A run goes on by the patience that it is given now: the steps are up when it is at its end.
    assert fit(sonic_pi_folder, tmp_path / "plain", 4, monkeypatch, *still, "--early_stopping.patience", "3") == 0
    assert load_stage(tmp_path / "plain" / "last.ckpt", "autoencoder")[0].training["batches"] == 4
    assert "stopping early" not in capsys.readouterr().err


def test_an_encoder_that_learnt_nothing_is_not_frozen(
    sonic_pi_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(sonic_pi_folder, tmp_path / "run", 3, monkeypatch, "--model.freeze_encoder", "true") == 2
    assert "model.freeze_encoder: needs model.init_from" in capsys.readouterr().err
    assert not list((tmp_path / "run").glob("*.ckpt"))


def test_a_lead_is_learnt_beside_latents_that_stay_valid(
    sonic_pi_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fit(sonic_pi_folder, tmp_path / "first", 3, monkeypatch, "--model.vae.lead", "0") == 0
    first = MelVAE.from_checkpoint(tmp_path / "first" / "last.ckpt")
    options = ["--model.init_from", str(tmp_path / "first" / "last.ckpt"), "--model.freeze_encoder", "true"]
    options += ["--model.vae.lead", "1", "--ema.decay", "0.5"]
    assert fit(sonic_pi_folder, tmp_path / "second", 6, monkeypatch, *options) == 0
    led = MelVAE.from_checkpoint(tmp_path / "second" / "last.ckpt")
    assert led.record is not None
    assert first.record is not None
    assert led.record.parts == first.record.parts
    assert led.lead is not None
    # It begins as silence, and moves.
    start = first.silence()[:, None]
    assert 0.0 < float((led.lead - start).abs().max()) < 0.2
    latents = torch.randn(2, led.config.latent_channels, 5)
    with torch.no_grad():
        assert led.led(latents).shape[-1] == 6
        assert torch.equal(led.led(latents)[..., 1:], latents)
        assert torch.equal(first.led(latents), latents)
    assert (first.lead_samples, led.lead_samples) == (0, 2 * led.mel.hop_length)
    # A stage that goes on from it takes its lead along.
    again = MelVAETraining(led.mel, led.config, init_from=tmp_path / "second" / "last.ckpt")
    assert again.model.lead is not None
    assert torch.equal(again.model.lead, led.lead)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model.vae.lead", "-1"], "lead"),
        (["--model.vae.widht", "3"], "widht"),
        (["--data.folder", "/nowhere"], "/nowhere"),
        (["--data.batch_size", "0"], "batch_size"),
        (["--model.optimiser.name", "adam"], "adam"),
        (["--model.init_from", "/nowhere.ckpt"], "/nowhere.ckpt"),
        (["--data.segment_seconds", "-1"], "segment_seconds"),
        # Mels that a model has made are for the vocoder.
        (["--data.mels", "runs/pairs"], "--data.mels"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    options: list[str],
    words: str,
    sonic_pi_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fit(sonic_pi_folder, tmp_path / "run", 3, monkeypatch, *options) == 2
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert "usage:" not in printed.err
    assert "Traceback" not in printed.err


def test_two_trainings_never_share_a_folder(
    sonic_pi_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("training.cli.LOCK_SECONDS", 0.1)
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"):
        assert fit(sonic_pi_folder, tmp_path / "run", 3, monkeypatch) == 2
    assert "another process trains" in capsys.readouterr().err
    assert not (tmp_path / "run" / "last.ckpt").exists()
