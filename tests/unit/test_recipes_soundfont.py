"""The sf2 reader against a font built here, byte by byte, and the real one where it is cached."""

import struct

import pytest

from pipelines.recipes.general_midi import FLUID
from pipelines.recipes.packages import package_folder
from pipelines.recipes.soundfont import read_soundfont


def _chunk(kind, body):
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _name(text):
    return text.encode().ljust(20, b"\0")


def _generators(*pairs):
    return b"".join(struct.pack("<HH", kind, value) for kind, value in pairs)


def build_font(path, *, sample_end=300, velocity_to_filter=False):
    """Two samples in a stereo pair, one alone; program 0 splits at key 60, program 5 uses the upper sample again."""
    samples = b"".join(struct.pack("<h", (7 * i) % 251) for i in range(400))
    headers = [("Tone(L)", 0, 100, 4), ("Tone(R)", 100, 200, 2), ("Low", 200, sample_end, 1)]
    shdr = b"".join(
        _name(name) + struct.pack("<IIIIIBbHH", start, end, start, end, 44100, 60, 0, 0, kind)
        for name, start, end, kind in [*headers, ("EOS", 0, 0, 0)]
    )
    # Instrument 0: a global zone (keys 0..127), then left and right for keys 60 up, and "Low" below.
    zones = [
        [(43, 127 << 8)],
        [(43, 60 | 127 << 8), (53, 0)],
        [(43, 60 | 127 << 8), (53, 1)],
        [(43, 0 | 59 << 8), (44, 0 | 100 << 8), (53, 2)],
        [(53, 0)],  # instrument 1
    ]
    igen = b"".join(_generators(*zone) for zone in zones) + _generators((0, 0))
    starts = [sum(len(zone) for zone in zones[:i]) for i in range(len(zones) + 1)]
    modulator = struct.pack("<HHhHH", 2, 8, -2400, 0, 0)  # velocity steers the filter, in the last zone
    modulators = [0] * 4 + [0, 1 if velocity_to_filter else 0]
    ibag = b"".join(struct.pack("<HH", start, mod) for start, mod in zip(starts, modulators, strict=True))
    inst = (
        _name("split")
        + struct.pack("<H", 0)
        + _name("one")
        + struct.pack("<H", 4)
        + _name("EOI")
        + struct.pack("<H", 5)
    )
    pgen = _generators((41, 0), (41, 1), (0, 0))
    phdr = b"".join(
        _name(name) + struct.pack("<HHHIII", program, bank, bag, 0, 0, 0)
        for name, program, bank, bag in [("split", 0, 0, 0), ("one", 5, 0, 1), ("EOP", 0, 0, 2)]
    )
    pdta = b"".join(
        _chunk(kind, body)
        for kind, body in [
            (b"phdr", phdr), (b"pbag", struct.pack("<HHHHHH", 0, 0, 1, 0, 2, 0)), (b"pmod", b"\0" * 10),
            (b"pgen", pgen), (b"inst", inst), (b"ibag", ibag), (b"imod", modulator + b"\0" * 10), (b"igen", igen),
            (b"shdr", shdr),
        ]
    )  # fmt: skip
    lists = _chunk(b"LIST", b"sdta" + _chunk(b"smpl", samples)) + _chunk(b"LIST", b"pdta" + pdta)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(lists) + 4) + b"sfbk" + lists)
    return path


def test_zones_lead_to_the_samples_of_a_key(tmp_path):
    font = read_soundfont(build_font(tmp_path / "a.sf2"))
    low, high = font.recordings_of(0, 0, 40, 90), font.recordings_of(0, 0, 72, 90)
    assert [name.split("#")[0] for name in low] == ["Low"]
    assert [name.split("#")[0] for name in high] == ["Tone(L)"]
    assert font.recordings_of(0, 0, 40, 110) == ()  # above that zone's velocities
    assert font.recordings_of(0, 99, 60, 90) == ()


def test_stereo_pair_is_one_recording_and_programs_share_it(tmp_path):
    font = read_soundfont(build_font(tmp_path / "a.sf2"))
    assert font.recordings[0] == font.recordings[1] != font.recordings[2]
    assert font.recordings_of(0, 5, 30, 64) == font.recordings_of(0, 0, 72, 64)


def test_velocity_that_steers_more_than_level_is_seen(tmp_path):
    plain = read_soundfont(build_font(tmp_path / "a.sf2"))
    shaped = read_soundfont(build_font(tmp_path / "b.sf2", velocity_to_filter=True))
    assert not plain.is_shaped(0, 5, 60, (40, 100))
    assert shaped.is_shaped(0, 5, 60, (40, 100))
    assert plain.is_shaped(0, 0, 40, (40, 110))  # another set of samples


@pytest.mark.parametrize("keep", [4, 100, 1200])
def test_truncated_font_is_refused_in_one_line(tmp_path, keep):
    path = build_font(tmp_path / "a.sf2")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="not a readable SoundFont 2 file") as caught:
        read_soundfont(path)
    assert "\n" not in str(caught.value)


def test_sample_outside_the_data_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'Low' lies outside"):
        read_soundfont(build_font(tmp_path / "a.sf2", sample_end=9000))


def test_missing_font_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a readable SoundFont 2"):
        read_soundfont(tmp_path / "none.sf2")


@pytest.mark.slow
def test_real_font_where_it_is_cached():
    folder = package_folder(FLUID.package)
    if not folder.is_dir():
        pytest.skip(f"{FLUID.package} is not in the cache")
    font = read_soundfont(folder / FLUID.file)
    assert len(font.sample_names) == 1418
    assert len({program for bank, program in font.presets if bank == 0}) == 128
    piano = font.recordings_of(0, 0, 60, 100)
    assert piano
    assert set(piano) == set(font.recordings_of(0, 1, 60, 100))  # the bright piano shares the piano's samples
