"""Folders of sound: what is read, what is skipped, how it is split and balanced."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.balance import balanced_weights
from audio.dataset import AudioFolder, Clip, evenly
from audio.files import write_audio


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path_factory.mktemp("cache")))


def noise(seconds: float = 0.2, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * 22050))).astype(np.float32)


def test_a_plain_folder_takes_captions_from_its_names(tmp_path: Path) -> None:
    write_audio(tmp_path / "Snare Drums" / "tight_snare-01.wav", noise(), 22050)
    write_audio(tmp_path / "kickBoom.flac", noise(), 22050)
    captions = {clip.path.name: clip.captions for clip in AudioFolder.scan(tmp_path).clips}
    assert captions == {"tight_snare-01.wav": ("snare drums tight snare 01",), "kickBoom.flac": ("kick boom",)}


def test_what_cannot_be_used_is_reported_and_skipped(tmp_path: Path) -> None:
    write_audio(tmp_path / "good.wav", noise(), 22050)
    write_audio(tmp_path / "short.wav", noise(0.01), 22050)
    write_audio(tmp_path / "silent.wav", np.zeros(22050, np.float32), 22050)
    (tmp_path / "broken.wav").write_bytes(b"RIFFxxxx")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 22050)
    soundfile.write(tmp_path / "nan.wav", np.full(4000, np.nan, np.float32), 22050, subtype="FLOAT")
    folder = AudioFolder.scan(tmp_path)
    assert [clip.path.name for clip in folder.clips] == ["good.wav"]
    assert {item.path.stem: item.reason for item in folder.skipped} == {
        "short": "too short",
        "silent": "silent",
        "broken": "unreadable",
        "empty": "no samples",
        "nan": "not finite",
    }
    assert "skipped 5" in folder.report()


def test_a_folder_with_nothing_usable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no sound files"):
        AudioFolder.scan(tmp_path)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(ValueError, match="no usable sound file"):
        AudioFolder.scan(tmp_path)
    with pytest.raises(ValueError, match="existing folder"):
        AudioFolder.scan(tmp_path / "missing")


def test_metadata_is_believed_and_measured(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", noise(level=0.1), 22050)
    write_audio(tmp_path / "b.wav", noise(level=0.01, seed=1), 22050)
    rows = [
        {"file_name": "a.wav", "text": ["one", "two"], "pitch": 60, "label": "x", "family": "f", "split": "test"},
        {"file_name": "b.wav", "text": "three", "pitch": None, "licence": "CC0-1.0"},
        {"file_name": "gone.wav", "text": "four"},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    folder = AudioFolder.scan(tmp_path)
    first, second = folder.clips
    assert first.captions == ("one", "two")
    assert first.numbers["pitch"] == 60.0
    assert first.split == "test"
    assert "pitch" not in second.numbers
    assert second.licence == "CC0-1.0"
    assert 18.0 < first.loudness - second.loudness < 22.0
    assert [item.reason for item in folder.skipped] == ["missing"]


@pytest.mark.parametrize("line", ["{", "[]", '{"text": "x"}', '{"file_name": "../../etc/passwd"}'])
def test_broken_metadata_names_the_line(line: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", noise(), 22050)
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.wav"}\n' + line + "\n")
    with pytest.raises(ValueError, match="line 2"):
        AudioFolder.scan(tmp_path)


def test_splits_go_by_recording_and_do_not_depend_on_order(tmp_path: Path) -> None:
    rows = []
    for recording in range(30):
        for layer in range(2):
            name = f"{recording}_{layer}.wav"
            write_audio(tmp_path / name, noise(seed=recording), 22050)
            rows.append({"file_name": name, "text": "x", "recording": f"r{recording}"})
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    first = AudioFolder.scan(tmp_path)
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in reversed(rows)))
    second = AudioFolder.scan(tmp_path)
    assert first.clips == second.clips
    assert first.fingerprint() == second.fingerprint()
    sides = {name: {clip.recording for clip in first.split(name)} for name in ("train", "validation", "test")}
    assert sum(map(len, sides.values())) == 30
    assert {name: len(recordings) for name, recordings in sides.items()} == {"train": 24, "validation": 3, "test": 3}


def test_a_changed_file_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, noise(level=0.1), 22050)
    before = AudioFolder.scan(tmp_path).clips[0].loudness
    write_audio(path, noise(0.3, level=0.01), 22050)
    assert AudioFolder.scan(tmp_path).clips[0].loudness < before - 10.0


def test_balance_draws_cells_alike(tmp_path: Path) -> None:
    rows = []
    for number in range(12):
        name = f"{number}.wav"
        write_audio(tmp_path / name, noise(seed=number), 22050)
        family, rendered = ("a", True) if number < 9 else ("b", False)
        rows.append({"file_name": name, "text": "x", "family": family, "source": family, "rendered": rendered})
    rows.append({"file_name": "0.wav", "text": "x", "split": "validation"})
    (tmp_path / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    clips = [clip for clip in AudioFolder.scan(tmp_path).clips if clip.family]
    weights = np.array(balanced_weights(clips, 1.0))
    large = np.array([clip.family == "a" for clip in clips])
    assert weights[~large].sum() > weights[large].sum()
    assert np.allclose(balanced_weights(clips, 0.0), 1.0)
    with pytest.raises(ValueError, match="balance"):
        balanced_weights(clips, 2.0)


def test_clips_are_spread_evenly_and_all_are_taken_where_there_are_no_more() -> None:
    clips = [Clip(Path(f"{number}.wav"), ("x",), 1.0, -10.0, 100.0) for number in range(5)]
    assert [clip.path.stem for clip in evenly(clips, 2)] == ["0", "2"]
    assert evenly(clips, 20) == evenly(clips, 5) == evenly(clips, 0) == tuple(clips)
    assert evenly([], 3) == ()
