"""A generator that copies is caught, clip by clip; an honest one is not; real sounds in both."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.dataset import AudioFolder
from audio.files import resample, write_audio
from pipelines.memorisation import choose_clips, main
from pipelines.memorisation_decoding import ClipDecoder
from pipelines.text_to_audio import TextToAudioPipeline

RATE = 44100
CROP = round(0.4 * RATE)
COPIES = 15
GENERATED = 50


def _crops(folder: Path) -> dict[str, list[np.ndarray]]:
    """Short pieces of every real recording: loud enough, and none of a loop or drone that repeats itself."""
    crops: dict[str, list[np.ndarray]] = {}
    for path in sorted(folder.glob("*.flac")):
        block, rate = soundfile.read(path, dtype="float32", always_2d=True, frames=6 * RATE)
        mono = block.mean(axis=1)
        if rate != RATE or path.stem.startswith(("loop_", "ambi_drone")):
            continue
        pieces = [mono[start : start + CROP] for start in range(0, len(mono) - RATE // 8, CROP)][:1]
        pieces = [piece for piece in pieces if np.abs(piece).max() > 0.05 and len(piece) > RATE // 8]
        if pieces:
            crops[path.stem] = pieces
    assert len(crops) > 80
    return crops


def _copy(clip: np.ndarray, seed: int) -> np.ndarray:
    """Gain, a small shift, faint noise, 16 bits; never the pitch."""
    rng = np.random.default_rng(seed)
    late = np.concatenate([np.zeros(round(rng.uniform(0.0, 0.08) * RATE), dtype=np.float32), clip])
    noise = 10 ** (-55 / 20) * np.abs(clip).max() * rng.standard_normal(len(late))
    return (rng.uniform(0.2, 0.9) * (late + noise)).astype(np.float32)


def _write(folder: Path, clips: dict[str, np.ndarray], recordings: dict[str, str], splits: dict[str, str]) -> None:
    rows = []
    for name, clip in clips.items():
        write_audio(folder / f"{name}.wav", clip, RATE)
        label = recordings[name].split("_")[0]
        row = {"file_name": f"{name}.wav", "text": [f"{label} sound"], "label": label, "family": label}
        rows.append(json.dumps(row | {"recording": recordings[name], "split": splits[name]}))
    (folder / "metadata.jsonl").write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, sonic_pi_folder: Path) -> Path:
    """A folder to train on; the clips of a copyist, 15 of whose 50 are copies; those of an honest generator."""
    root = tmp_path_factory.mktemp("planted")
    clips: dict[str, np.ndarray] = {}
    recordings: dict[str, str] = {}
    for stem, pieces in _crops(sonic_pi_folder).items():
        for number, piece in enumerate(pieces):
            # Tape speed: further clips of a recording, as unlike as two notes of one instrument.
            for speed in (1.0, 1.3):
                name = f"{stem}-{number}-{speed}"
                clips[name] = piece if speed == 1.0 else resample(piece, RATE, round(RATE * speed))
                recordings[name] = stem
    order = np.random.default_rng(0).permutation(sorted(set(recordings.values()))).tolist()
    unseen = set(order[: len(order) // 4])
    splits = {name: "test" if recordings[name] in unseen else "train" for name in clips}
    _write(root / "train", clips, recordings, splits)
    held_out = [name for name in clips if splits[name] == "test"][:GENERATED]
    trained = [name for name in clips if splits[name] == "train"]
    assert len(held_out) == GENERATED
    honest = {f"g{number:03d}": name for number, name in enumerate(held_out)}
    stolen = np.random.default_rng(1).choice(trained, COPIES, replace=False).tolist()
    copyist = honest | {f"g{number:03d}": name for number, name in enumerate(stolen)}
    for kind, chosen in (("honest", honest), ("copyist", copyist)):
        made = {
            name: _copy(clips[source], number) if source in trained else clips[source]
            for number, (name, source) in enumerate(chosen.items())
        }
        _write(
            root / kind,
            made,
            {name: recordings[source] for name, source in chosen.items()},
            dict.fromkeys(made, "test"),
        )
    (root / "stolen.json").write_text(json.dumps(dict(zip(copyist, stolen, strict=False))))
    return root


def _report(root: Path, kind: str, out: Path, *more: str) -> dict:
    command = ["--generated", str(root / kind), "--train", str(root / "train"), "--out", str(out), "--embedder", "mel"]
    assert main([*command, *more]) == 0
    assert (out / "report.html").stat().st_size > 10_000
    return json.loads((out / "report.json").read_text())


def test_a_copyist_is_caught(planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    report = _report(planted, "copyist", tmp_path)
    stolen = json.loads((planted / "stolen.json").read_text())
    suspects = {Path(row["generated"]).stem: Path(row["nearest"]).stem for row in report["suspects"]}
    assert 0.26 <= report["share"] <= 0.36
    assert report["interval"][0] > 0.15
    caught = [name for name, source in stolen.items() if suspects.get(name) == source]
    assert len(caught) >= 13
    assert report["held_out_share"] <= 0.03
    printed = capsys.readouterr().out
    assert "Listen to the suspects" in printed
    assert printed.count("suspect: ") == len(report["suspects"])
    assert (tmp_path / "report.html").read_text().count("<audio") == 2 * len(report["suspects"])


def test_an_honest_generator_is_not_accused(planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    report = _report(planted, "honest", tmp_path)
    assert report["share"] <= 0.03
    assert report["interval"][0] <= 0.01
    assert report["expected"] == 0.01
    assert "no more than chance" in capsys.readouterr().out
    assert all(row["distance"] > 0 for row in report["clips"])
    assert (tmp_path / "report.html").read_text().count("<audio") >= 2


@pytest.fixture(scope="module")
def given_back(planted: Path, small_bundle: Path) -> Path:
    """What a model gives back through its own stages: training clips (a memoriser), held-out ones (honest)."""
    decoder = ClipDecoder(TextToAudioPipeline.from_pretrained(small_bundle), planted / "unused")
    folder = AudioFolder.scan(planted / "train")
    for kind, clips in (
        ("memoriser", choose_clips(folder.split("train"), GENERATED, seed=5)),
        ("newcomer", folder.split("test")[:GENERATED]),
    ):
        names = {f"g{number:03d}": clip for number, clip in enumerate(clips)}
        made = {name: _copy(decoder.decode(clip), n) for n, (name, clip) in enumerate(names.items())}
        _write(
            planted / kind, made, {name: clip.recording for name, clip in names.items()}, dict.fromkeys(made, "test")
        )
        sources = {name: clip.path.stem for name, clip in names.items()}
        (planted / f"{kind}.json").write_text(json.dumps(sources))
    return planted


def test_a_memoriser_is_caught_in_the_models_own_domain(
    given_back: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path / "cache"))
    decoder = ("--decoder", str(small_bundle), "--power_clips", "20")
    report = _report(given_back, "memoriser", tmp_path / "decoded", *decoder)
    sources = json.loads((given_back / "memoriser.json").read_text())
    right = [row for row in report["suspects"] if sources[Path(row["generated"]).stem] == Path(row["nearest"]).stem]
    assert len(right) >= 0.8 * GENERATED
    assert report["held_out_share"] <= 0.03
    # Real clips as they are do not look like what this model makes of them.
    assert _report(given_back, "memoriser", tmp_path / "real")["share"] < 0.2
    # An untrained encoder is sure of nothing: what is drawn from it is noise, and the report admits it.
    assert report["power"]["clips"] == 20
    assert report["power"]["suspected"] <= 2
    # A sharp posterior: what this model gives back resembles its source.
    monkeypatch.setattr("autoencoder.model.LOG_VARIANCE_RANGE", (-14.0, -13.0))
    monkeypatch.setattr("pipelines.memorisation_decoding.COPY_NOISE", 0.001)
    honest = _report(given_back, "newcomer", tmp_path / "honest", *decoder)
    assert honest["share"] <= 0.03
    assert honest["power"]["suspected"] >= 16
    assert honest["power"]["source_nearest"] >= 16
    assert honest["power"]["interval"][0] > 0.5
    assert f"in {honest['power']['suspected']} of 20" in honest["sentence"]


def test_a_model_is_asked_for_captions_of_training_clips(
    planted: Path, small_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path / "cache"))
    command = ["--model", str(small_bundle), "--train", str(planted / "train"), "--out", str(tmp_path)]
    command += ["--clips", "2", "--power_clips", "3", "--embedder", "mel"]
    assert main(command) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    # Untrained weights copy nobody.
    assert report["generated_clips"] == 2
    assert report["suspects"] == []
    assert report["power"]["clips"] == 3
    assert report["real_clips"] == "decoded by the model"
    assert len(list((tmp_path / "given_back").glob("*.flac"))) == 3
    files = sorted((tmp_path / "generated").glob("*.flac"))
    times = [path.stat().st_mtime_ns for path in files]
    assert main(command) == 0
    assert [path.stat().st_mtime_ns for path in files] == times


def test_captions_come_from_every_class_and_recording(planted: Path):
    clips = AudioFolder.scan(planted / "train").split("train")
    classes = len({clip.label for clip in clips})
    chosen = choose_clips(clips, 2 * classes, seed=3)
    counts = {label: [clip.label for clip in chosen].count(label) for label in {clip.label for clip in clips}}
    assert min(counts.values()) >= 1
    first = [clip for clip in chosen if clip.label == "bd"]
    assert len({clip.recording for clip in first}) == len(first)
    assert choose_clips(clips, 2 * classes, seed=3) == chosen != choose_clips(clips, 2 * classes, seed=4)
    assert len(choose_clips(clips[:3], 10)) == 10


def test_too_few_real_clips_give_no_number(planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    few = tmp_path / "few"
    for number, path in enumerate(sorted((planted / "honest").glob("*.wav"))[:12]):
        clip, rate = soundfile.read(path, dtype="float32")
        write_audio(few / f"{number}.wav", clip, rate)
    command = ["--generated", str(planted / "honest"), "--train", str(few), "--out", str(tmp_path / "out")]
    assert main([*command, "--embedder", "mel"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["share"] is None
    assert report["suspects"] == []
    assert len(report["clips"]) == GENERATED
    printed = capsys.readouterr().out
    assert "Not computed" in printed
    assert "100 are enough" in printed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--generated": None}, "either --model or --generated"),
        ({"--model": "bundles/oneshots"}, "either --model or --generated"),
        ({"--generated": "EMPTY"}, "holds no sound files"),
        ({"--train": "EMPTY"}, "holds no sound files"),
        ({"--train": "TESTS"}, "no clip in its train split"),
        ({"--embedder": "nonsense"}, "expected one of"),
        ({"--clips": "0"}, "clips: expected 1 or more"),
        ({"--power_clips": "-1"}, "power_clips 0 or more"),
        ({"--decoder": "EMPTY"}, "bundle"),
        ({"--generated": None, "--model": "EMPTY", "--decoder": "EMPTY"}, "decoder: expected beside --generated"),
    ],
)
def test_bad_input_is_one_line(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str | None], said: str
):
    (tmp_path / "empty").mkdir()
    places = {"EMPTY": str(tmp_path / "empty"), "TESTS": str(planted / "honest")}
    options: dict[str, str | None] = {"--generated": str(planted / "honest"), "--train": str(planted / "train")}
    options |= {"--out": str(tmp_path / "out"), "--embedder": "mel"} | change
    given = [part for name, value in options.items() if value for part in (name, places.get(value, value))]
    assert main(given) == 2
    error = capsys.readouterr().err.strip()
    assert said in error
    assert error.startswith("error: ")
    assert "\n" not in error
    assert not (tmp_path / "out").exists()
