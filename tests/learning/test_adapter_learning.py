"""An adapter learns in seconds; a vocoder behind it sounds better than behind a gain and offset; resuming is exact."""

import sys

import pytest
import torch
import yaml

from audio.distances import multi_scale_mel_distance, normalise_peak
from audio.files import read_audio
from audio.mel import LogMelSpectrogram
from training.checkpoint import load_checkpoint, load_stage
from training.cli import run_stage
from vocoder.adapter import AdaptedVocoder
from vocoder.adapter.affine import AffineFix
from vocoder.adapter.grids import same_numbers
from vocoder.adapter.model import KIND
from vocoder.adapter.training import AdapterData, MelAdapterTraining
from vocoder.griffin_lim import GriffinLim

HELD_OUT = ("bd_haus", "elec_plip", "perc_bell", "guit_e_slide", "sn_dub")


@pytest.fixture(scope="module")
def folder(sonic_pi_folder, tmp_path_factory):
    """Ninety short real clips, none of the held-out ones."""
    out = tmp_path_factory.mktemp("clips")
    short = [path for path in sorted(sonic_pi_folder.glob("*.flac")) if path.stat().st_size < 150_000]
    for path in [path for path in short if path.stem not in HELD_OUT][:90]:
        (out / path.name).symlink_to(path)
    return out


def fit(folder, out, presets, max_steps, *options, source="hifigan_22khz", **network):
    out.mkdir(parents=True, exist_ok=True)
    config = {
        "seed_everything": 1,
        "trainer": {"default_root_dir": str(out / "run"), "max_steps": max_steps, "num_sanity_val_steps": 0},
        "model": {
            "source": presets[source].to_dict(),
            "target": presets["vocos_24khz"].to_dict(),
            "network": {"width": 48, "blocks": 2, "refinements": 8, **network},
            "optimiser": {"learning_rate": 3e-3},
            "schedule": {"name": "cosine", "warmup_steps": 3, "total_steps": max_steps},
        },
        "data": {
            "folder": str(folder),
            "segment_seconds": 0.4,
            "batch_size": 4,
            "steps_per_epoch": 3,
            "validation_seconds": 0.5,
        },
        "ema": {"decay": 0.9},
    }
    (out / "c.yaml").write_text(yaml.safe_dump(config))
    arguments, sys.argv = (
        sys.argv,
        ["adapter", "fit", "-c", str(out / "c.yaml"), "--trainer.accelerator", "cpu", *options],
    )
    try:
        assert run_stage(MelAdapterTraining, AdapterData, link_sample_rate=False) == 0
    finally:
        sys.argv = arguments
    return out / "run"


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory, presets):
    """Eighty steps, ten seconds; what lies above 8 kHz is not in the source, and has to be guessed."""
    options = ("--data.steps_per_epoch", "80", "--model.optimiser.learning_rate", "2e-3", "--ema.decay", "0.95")
    return fit(folder, tmp_path_factory.mktemp("adapter"), presets, 80, *options, width=64) / "best.ckpt"


def test_it_beats_its_start_and_the_record_says_by_how_much(trained):
    record, _ = load_stage(trained, KIND)
    errors = record.training
    # Least squares at the start fill the silent bands, steps do the rest.
    assert errors["validation/start_error"] < 0.5 * errors["validation/prior_error"]
    assert errors["validation/log_mel_error"] < errors["validation/start_error"]
    assert errors["validation/nearest_raw_error"] > 3.0
    assert record.lineage["data"]
    assert record.licences == ["unknown"]


def test_behind_it_griffin_lim_beats_the_one_behind_a_gain_and_offset_per_band(
    folder, sonic_pi_folder, presets, tmp_path
):
    """Two mels that both say 24 kHz, 100 bands, n_fft 1024, hop 256, on clips that neither repair has seen."""
    checkpoint = fit(folder, tmp_path, presets, 20, source="bigvgan_24khz", width=64) / "best.ckpt"
    vocoder = AdaptedVocoder(checkpoint, "vocoder.griffin_lim.GriffinLim", iterations=16)
    assert vocoder.adapter_loss == pytest.approx(load_stage(checkpoint, KIND)[0].training["validation/log_mel_error"])
    source, target = presets["bigvgan_24khz"], presets["vocos_24khz"]

    def mels(path):
        waveform, _ = read_audio(path, 24000, seconds=0.6)
        clip = normalise_peak(torch.from_numpy(waveform)[None])
        return clip, LogMelSpectrogram(source)(clip), LogMelSpectrogram(target)(clip)

    # Fitted to the clips that the adapter was trained on.
    fix = AffineFix(source, target, same_numbers(source, target))
    for path in sorted(folder.glob("*.flac")):
        if path.stat().st_size < 20_000:
            continue
        _, log_mel, wanted = mels(path)
        fix.add(log_mel, wanted, torch.ones(1, wanted.shape[-1], dtype=torch.bool))
    inner, distances = GriffinLim(target, iterations=16), []
    for clip, log_mel, wanted in [mels(sonic_pi_folder / f"{name}.flac") for name in HELD_OUT]:
        made = vocoder.decode(log_mel)
        repaired = inner.decode(fix(log_mel, wanted.shape[-1]))
        samples = min(made.shape[1], repaired.shape[1], clip.shape[1])
        heard = [value[:, :samples] for value in (made, repaired)]
        distances.append([float(multi_scale_mel_distance(value, clip[:, :samples], 24000)) for value in heard])
    adapted, affine = torch.tensor(distances).mean(dim=0)
    assert float(adapted) < 0.75 * float(affine), distances


def test_resuming_equals_not_having_stopped(folder, tmp_path, presets):
    whole = load_checkpoint(fit(folder, tmp_path / "whole", presets, 6, width=8) / "last.ckpt")
    fit(folder, tmp_path / "parts", presets, 6, "--trainer.max_steps", "3", width=8)
    parts = load_checkpoint(fit(folder, tmp_path / "parts", presets, 6, width=8) / "last.ckpt")
    assert parts["progress"]["batches_done"] == whole["progress"]["batches_done"] == 6
    assert whole["stage_record"]["fingerprint"] == parts["stage_record"]["fingerprint"]
    for name, value in whole["current_model_state"].items():
        assert torch.equal(value, parts["current_model_state"][name]), name
    best = [load_checkpoint(tmp_path / name / "run" / "best.ckpt")["stage_record"] for name in ("whole", "parts")]
    assert best[0]["fingerprint"] == best[1]["fingerprint"]
    assert best[0]["training"]["validation/start_error"] == best[1]["training"]["validation/start_error"]


@pytest.mark.parametrize("max_steps", ["3", "6"])
def test_steps_that_do_harm_leave_the_start(folder, tmp_path, presets, capsys, max_steps):
    """Also where the run is interrupted and goes on: the second time, three of six steps were done before."""
    harm = ("--model.optimiser.learning_rate", "3.0", "--data.steps_per_epoch", "30", "--trainer.val_check_interval")
    if max_steps == "6":
        fit(folder, tmp_path, presets, 6, *harm, "3", "--trainer.max_steps", "3", width=8)
    capsys.readouterr()
    best = fit(folder, tmp_path, presets, int(max_steps), *harm, "3", width=8) / "best.ckpt"
    assert "training did not help: the best checkpoint is the start" in capsys.readouterr().out
    record, weights = load_stage(best, KIND)
    assert record.training["batches"] == 0
    assert record.training["validation/log_mel_error"] == record.training["validation/start_error"]
    # The start in full: the network adds nothing, the filter is set.
    assert not weights["out.weight"].any()
    assert weights["linear.weight"].any()
    assert load_checkpoint(best.with_name("last.ckpt"))["progress"]["batches_done"] == int(max_steps)
    assert AdaptedVocoder(best, "vocoder.griffin_lim.GriffinLim").adapter_loss < 1.0


def test_it_does_not_start_from_an_adapter_that_goes_the_other_way(trained, presets):
    """The shapes may well agree; the filter would turn the wrong way."""
    with pytest.raises(ValueError, match=r"the mels of model\.source and .* differ: sample_rate: 24000 != 22050"):
        MelAdapterTraining(presets["vocos_24khz"], presets["hifigan_22khz"], init_from=trained)


def test_the_data_are_read_at_the_higher_rate(presets):
    assert AdapterData("nowhere", presets["bigvgan_44khz"].sample_rate, 24000).sample_rate == 44100
    assert AdapterData("nowhere", 22050, 24000).sample_rate == 24000


def test_the_end_says_what_was_beaten(folder, tmp_path, presets, capsys):
    fit(folder, tmp_path, presets, 3, width=8)
    out = capsys.readouterr().out
    assert "log-mel error in nats: nearest_raw " in out
    assert all(f"{name} " in out for name in ("start", "adapter", "best checkpoint"))
