"""The data doctor on 400 real clips: every planted fault is found, nothing else is accused."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.files import resample, write_audio
from evaluation.faults import find_cliff, find_clipping, find_offset, spectrum_db
from pipelines.diagnosis import examine
from pipelines.doctor import main

RATE = 44100
EACH = 20
CLIPS = 400
CROP = 0.6


def _clean_crops(folder: Path, wanted: int) -> list[np.ndarray]:
    """Crops of real recordings that overlap nowhere and have no fault of their own."""
    crops = []
    for path in sorted(folder.glob("*.flac")):
        block, rate = soundfile.read(path, dtype="float32", always_2d=True)
        # Loops repeat themselves and the drones hold one sound: two crops of them may truly be duplicates.
        # The soft cymbal is the hard one again, at a correlation of 0.98.
        if path.stem.startswith(("loop_", "ambi_", "drum_cymbal_soft")):
            continue
        mono = block.mean(axis=1)
        offset, cliff = find_offset(mono, rate), find_cliff(mono, rate)
        if rate != RATE or offset or cliff is not None or find_clipping(mono) is not None:
            continue
        length = round(CROP * RATE)
        for start in range(0, 1, length):
            crop = mono[start : start + length]
            if len(crop) >= RATE // 8 and np.abs(crop).max() > 0.05:
                fade = np.minimum(1.0, np.arange(len(crop))[::-1] / 400).astype(np.float32)
                crops.append((0.8 * crop * fade / np.abs(crop).max()).astype(np.float32))
    assert len(crops) >= 60
    return _varied(crops, wanted)


def _varied(crops: list[np.ndarray], wanted: int) -> list[np.ndarray]:
    """Tape speed makes further clips of the same crops, as unlike as two notes of one instrument."""
    clips = list(crops)
    for speed in (28000, 31000, 34000, 38000, 49000, 54000, 60000, 67000):
        clips += [resample(crop[: RATE // 2], RATE, speed) for crop in crops]
    kept = [clip for clip in clips if find_cliff(clip, RATE) is None and not find_offset(clip, RATE)]
    assert len(kept) >= wanted
    return kept[:wanted]


def _bright(clip: np.ndarray) -> bool:
    """Whether sound reaches the top at all: in a dark clip nobody can tell where a band ends."""
    return float(np.percentile(spectrum_db(clip, RATE)[100:320], 10)) > -70.0


def _narrowed(clip: np.ndarray, rate: int) -> np.ndarray:
    return resample(resample(clip, RATE, rate), rate, RATE)


def _plant(folder: Path, clips: list[np.ndarray]) -> dict[str, str]:
    """Write the folder; return the kind of each faulty file."""
    planted: dict[str, str] = {}
    bright = [index for index, clip in enumerate(clips) if _bright(clip)][:EACH]
    assert len(bright) == EACH
    rest = [index for index in range(len(clips)) if index not in set(bright)]
    kinds = dict(zip(bright, ["band_limited"] * EACH, strict=True))
    order = ("clipped", "dc", "silent", "not_finite", "too_short", "empty", "unreadable", "exact", "near")
    for place, kind in enumerate(order):
        kinds |= dict.fromkeys(rest[place * EACH : (place + 1) * EACH], kind)
    sources = [index for index in range(len(clips)) if index not in kinds]
    for index, clip in enumerate(clips):
        path = folder / f"part{index % 4}" / f"clip {index:03d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = kinds.get(index, "")
        turn = index % 3
        if kind == "clipped":
            cut = float(np.quantile(np.abs(clip), 0.95))
            clip = np.clip(clip, -cut, cut) * (0.99, 0.5, 0.2)[turn] / cut
        elif kind == "dc":
            clip = 0.8 * clip + np.float32((0.03, -0.05, 0.1)[turn])
        elif kind == "silent":
            clip = clip * np.float32((0.0, 1e-5, 1e-4)[turn])
        elif kind == "too_short":
            clip = clip[:400]
        elif kind == "empty":
            clip = clip[:0]
        elif kind == "band_limited":
            clip = _narrowed(clip, (32000, 22050, 16000)[turn])
        elif kind in ("exact", "near"):
            path, clip = _copy(path, clips[sources.pop()], kind, turn)
        if kind == "unreadable":
            _break(path, clip, turn)
        elif kind == "not_finite":
            clip = clip.copy()
            clip[len(clip) // 2] = (np.nan, np.inf, -np.inf)[turn]
            soundfile.write(path, clip, RATE, subtype="FLOAT")
        elif not path.exists():
            write_audio(path, np.asarray(clip, dtype=np.float32), RATE)
        if kind:
            planted[path.relative_to(folder).as_posix()] = "duplicate" if kind in ("exact", "near") else kind
    return planted


def _copy(path: Path, source: np.ndarray, kind: str, turn: int) -> tuple[Path, np.ndarray]:
    """A copy of a clip that comes later in the folder than any original."""
    path = path.parent.parent / "z later" / path.name
    if kind == "exact":
        return (path.with_suffix(".flac") if turn else path), source
    path.parent.mkdir(parents=True, exist_ok=True)
    if turn == 0:
        return path, 0.3 * source[25:]
    if turn == 1:
        path = path.with_suffix(".ogg")
        soundfile.write(path, source, RATE, format="OGG", subtype="VORBIS")
    else:
        soundfile.write(path, resample(source, RATE, 32000), 32000)
    return path, source


def _break(path: Path, clip: np.ndarray, turn: int) -> None:
    if turn == 0:
        path.write_bytes(b"")
    elif turn == 1:
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    else:
        write_audio(path.with_suffix(".flac"), clip, RATE)
        data = path.with_suffix(".flac").read_bytes()
        path.with_suffix(".flac").unlink()
        path.write_bytes(data[: len(data) // 2])


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_every_planted_fault_is_found_and_nothing_else(sonic_pi_folder, tmp_path, capsys):
    folder, out = tmp_path / "sounds", tmp_path / "report"
    planted = _plant(folder, _clean_crops(sonic_pi_folder, CLIPS))
    assert main([str(folder), "--out", str(out)]) == 1
    printed = capsys.readouterr().out.split("\n")
    assert printed[:2] == [str(out / "doctor.json"), str(out / "doctor.html")]
    report = json.loads((out / "doctor.json").read_text())
    found = {(fault["file"], fault["kind"]) for fault in report["faults"]}
    # Vorbis cuts the top off as well: those copies are rightly said to be both.
    found -= {(name, "band_limited") for name in planted if name.endswith(".ogg")}
    assert set(planted.items()) - found == set(), "missed"
    assert found - set(planted.items()) == set(), "false alarm"
    assert all(fault["spoils"] for fault in report["faults"])
    copies = [fault for fault in report["faults"] if fault["kind"] == "duplicate"]
    assert len(copies) == 2 * EACH
    assert all(fault["of"] not in planted for fault in copies)
    assert report["proposal"]["mel"] == "bigvgan_44khz"
    assert "clipped" in (out / "doctor.html").read_text()


def test_a_clean_folder_passes_and_captions_are_notes(sonic_pi_folder, tmp_path):
    folder = tmp_path / "sounds"
    clips = _clean_crops(sonic_pi_folder, 12)
    for index, clip in enumerate(clips):
        write_audio(folder / f"audio_{index:04d}.wav", clip, RATE)
    assert main([str(folder), "--out", str(tmp_path / "report")]) == 0
    diagnosis = examine(folder)
    assert not diagnosis.spoiled
    assert diagnosis.note_counts()["junk_caption"] == 12
    assert diagnosis.licences == {"unknown": 12}


def test_recordings_and_splits_decide_about_copies(sonic_pi_folder, tmp_path):
    clip = _clean_crops(sonic_pi_folder, 1)[0]
    for name in "abcd":
        write_audio(tmp_path / f"{name}.wav", clip * np.float32({"a": 1, "b": 0.7, "c": 0.5, "d": 0.2}[name]), RATE)
    rows = [
        {"file_name": "a.wav", "text": "a", "recording": "one", "split": "train", "licence": "CC0-1.0"},
        {"file_name": "b.wav", "text": "", "recording": "one", "split": "train", "licence": "CC0-1.0"},
    ]
    lines = [json.dumps(row) for row in rows]
    (tmp_path / "c.wav").rename(tmp_path / "hidden.bak")
    (tmp_path / "d.wav").rename(tmp_path / "d.bak")
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    assert examine(tmp_path).faults == ()
    (tmp_path / "d.bak").rename(tmp_path / "d.wav")
    lines.append(json.dumps({"file_name": "d.wav", "text": "d", "recording": "one", "split": "test"}))
    lines.append(json.dumps({"file_name": "gone.wav", "text": "e"}))
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    diagnosis = examine(tmp_path)
    assert diagnosis.counts()["duplicate"] >= 1
    assert all("across splits (test, train)" in fault.detail for fault in diagnosis.faults)
    assert {"no_file", "no_caption", "unknown_licence"} <= diagnosis.note_counts().keys()
    (tmp_path / "metadata.jsonl").write_text("\n".join([*lines, "not json"]))
    assert "bad_metadata" in examine(tmp_path).counts()


def test_bad_input_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "none"), "--out", str(tmp_path / "out")]) == 2
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("error:") == 2
    assert not (tmp_path / "out").exists()
