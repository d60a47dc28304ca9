"""The samples of Sonic Pi (CC0): what each file is, and which of them are one recording.

The package names its files `kind_name`; what cannot be known from the name is not claimed. Numbered and hard/soft
variants stay together, and so do files of one author that look like parts of one session.
"""

import re
from pathlib import Path

from pipelines.recipes.clips import Clip

PACKAGE = "sonic-pi-samples"
FOLDER = "usr/share/sonic-pi/samples"
LICENCE = "CC0-1.0"

# Patterns of file names -> family, names (the label first), context words. The first match counts.
RULES = """
bd_808|kick|kick, 808 kick, 808 bass drum|808, electronic
bd_chip|kick|kick, chiptune kick, kick drum|electronic
bd_jazz|kick|kick, jazz kick, kick drum|
bd_(boom|fat|gas|klub|tek|haus|zum|sone|zome|ada|pure|mehackit)|kick|kick, kick drum, bass drum|electronic
drum_bass_.*|kick|kick, kick drum, bass drum|acoustic
drum_heavy_kick|kick|kick, heavy kick, kick drum|heavy
elec_hollow_kick|kick|kick, hollow kick, electronic kick|hollow, electronic
elec_soft_kick|kick|kick, soft kick, electronic kick|electronic
drum_snare_.*|snare|snare, snare drum|acoustic
drum_roll|snare|snare roll, drum roll|acoustic
sn_dub|snare|snare, dub snare|electronic
sn_.*|snare|snare, snare drum|
elec_filt_snare|snare|snare, filtered snare|filtered, electronic
elec_(hi|lo|mid)_snare|snare|snare, electronic snare|electronic
elec_snare|snare|snare, electronic snare|electronic
drum_cymbal_closed|hihat|closed hi-hat, closed hat, hi-hat|acoustic
drum_cymbal_open|hihat|open hi-hat, open hat, hi-hat|acoustic
drum_cymbal_pedal|hihat|pedal hi-hat, foot hi-hat, hi-hat|acoustic
drum_cymbal_.*|cymbal|cymbal, cymbal hit|acoustic
drum_splash_.*|cymbal|splash cymbal, splash|acoustic
hat_.*|hihat|hi-hat, hat|
ride_.*|cymbal|ride cymbal, ride|
elec_cymbal|cymbal|cymbal, electronic cymbal|electronic
drum_tom_hi_.*|tom|high tom, tom|acoustic
drum_tom_mid_.*|tom|mid tom, tom|acoustic
drum_tom_lo_.*|tom|low tom, tom|acoustic
elec_fuzz_tom|tom|fuzz tom, distorted tom, tom|distorted, electronic
drum_cowbell|percussion|cowbell|acoustic
elec_triangle|percussion|electronic triangle, triangle|electronic
elec_wood|percussion|woodblock, electronic woodblock|electronic
elec_bell|chromatic_percussion|electronic bell, bell|electronic
elec_chime|chromatic_percussion|electronic chime, chime|electronic
elec_(.*)|electronic|electronic {}, {}|electronic
perc_bell.*|chromatic_percussion|bell, bell strike|
perc_snap.*|clap_and_snap|finger snap, snap|
perc_impact.*|effect|impact, impact hit|
perc_door|effect|door, door sound|
perc_swash|effect|swash, swash sound|
perc_swoosh|effect|swoosh, whoosh|
perc_till|effect|cash register, till|
misc_burp|effect|burp|
misc_crow|effect|crow, crow call|
misc_cineboom|effect|cinematic boom, movie trailer boom|cinematic
vinyl_hiss|effect|vinyl hiss, record noise|
vinyl_(.*)|effect|vinyl {}, turntable {}|
tabla_(tas|ke|na|tun|te|ghe|dhec|re).*|percussion|tabla, tabla {}, tabla drum|acoustic
bass_dnb_f|bass|dnb bass, jungle bass, bass|electronic
bass_trance_c|bass|trance bass, synth bass, bass|electronic
bass_(hard|thick|drop|woodsy|voxy|hit|voxy_hit)_c|bass|{} bass, {} synth bass, bass|
ambi_choir|vocal|choir, choir ambience|
ambi_(.*)|ambience|{}, {} ambience, ambient texture|ambient
guit_e_fifths|guitar|electric guitar, guitar fifths, guitar chord|
guit_e_slide|guitar|electric guitar slide, guitar slide|
guit_em9|guitar|guitar chord, guitar E minor ninth chord, guitar em9|
guit_harmonics|guitar|guitar harmonics, guitar harmonic|
loop_amen.*|loop|drum loop, amen break, breakbeat|
loop_breakbeat|loop|drum loop, breakbeat|
loop_tabla|loop|tabla loop|
loop_perc.*|loop|percussion loop, loop|
loop_drone_g_97|loop|drone loop, drone in G|
loop_mehackit.*|loop|loop, music loop|
loop_(3d_printer|compus|electric|garzul|industrial|mika|safari|weirdo)|loop|{} loop, loop|
glitch_bass_g|bass|glitch bass, glitchy bass, bass|glitchy, electronic
glitch_perc.*|electronic|glitch percussion, glitchy percussion hit|glitchy
glitch_robot.*|electronic|glitch robot, robot sound, robot|glitchy
tbd_perc_blip|electronic|electronic blip, blip|electronic
tbd_perc_hat|hihat|hi-hat, electronic hat, hat|electronic
tbd_perc_tap.*|percussion|electronic tap, tap|electronic
tbd_highkey_c4|electronic|electronic key, high electronic key|electronic
tbd_pad.*|ambience|ambient pad, ambience, ambient texture|ambient
tbd_voctone|vocal|vocal tone, voice tone|electronic
tbd_fxbed.*|ambience|effect bed, ambience, ambient texture|ambient
mehackit_phone.*|electronic|phone, phone sound, telephone|
mehackit_robot.*|electronic|robot, robot sound, robot noise|
"""

# A bass's file name gives the pitch class; the octave was measured (autocorrelation). `bass_drop_c` falls, `bass_hit_c`
# is a thump: neither holds a pitch.
PITCHES = {
    "bass_dnb_f": 29.0, "bass_hard_c": 24.0, "bass_thick_c": 36.0, "bass_trance_c": 36.0, "bass_voxy_c": 36.0,
    "bass_voxy_hit_c": 36.0, "bass_woodsy_c": 36.0, "glitch_bass_g": 31.0,
}  # fmt: skip

# Files of one author's session: kept on one side, for they may share sources.
SESSIONS = {
    "ambi_haunted_hum": "ambi_glass_hum", "loop_amen_full": "loop_amen", "bass_voxy_hit_c": "bass_voxy_c",
    "loop_mehackit1": "mehackit_loops", "loop_mehackit2": "mehackit_loops", "loop_perc1": "mehackit_loops",
    "loop_perc2": "mehackit_loops", "loop_electric": "mehackit_loops", "loop_weirdo": "mehackit_loops",
    "loop_drone_g_97": "mehackit_loops",
    "loop_breakbeat": "bd_klub",  # begins with that kick (correlation 0.94)
}  # fmt: skip
SESSION_PREFIXES = {"glitch_robot": "mehackit_robot", "mehackit_robot": "mehackit_robot"}


def list_clips(package: Path) -> list[tuple[Clip, Path]]:
    """Every sample of the package with its file, by name; `rand-stream.wav` holds random numbers, not sound.

    Raises:
        ValueError: the package does not hold the samples.
    """
    files = sorted((package / FOLDER).glob("*.flac"))
    if not files:
        raise ValueError(f"{package}: expected Sonic Pi's samples in {FOLDER}, found none")
    return [(describe(path.stem), path) for path in files]


def describe(stem: str) -> Clip:
    """What a file of that name is.

    Raises:
        ValueError: the name fits no rule, as in a newer package.
    """
    for line in RULES.strip().splitlines():
        pattern, family, names, words = line.rsplit("|", 3)
        match = re.fullmatch(pattern, stem)
        if match:
            spoken = match[1].replace("_", " ").rstrip("0123456789") if match.groups() and match[1] else ""
            return _clip(stem, family, [name.strip().format(spoken) for name in names.split(",")], words)
    raise ValueError(f"sonic-pi-samples: no rule says what '{stem}' is")


def recording_group(stem: str) -> str:
    """Which files count as one recording."""
    if stem in SESSIONS:
        return SESSIONS[stem]
    bare = re.sub(r"(_hard|_soft)$", "", stem) if stem.startswith("drum_") else stem
    bare = re.sub(r"\d+$", "", bare) if bare != "bd_808" else bare
    bare = "_".join(bare.split("_")[:2]) if bare.startswith("tabla_") else bare  # te_m is te2 again
    return SESSION_PREFIXES.get(bare, bare)


def _clip(stem: str, family: str, names: list[str], words: str) -> Clip:
    layers = {"hard": (0.9, "loud"), "soft": (0.4, "soft")}
    struck = stem.rsplit("_", 1)[-1] if stem.startswith("drum_") else ""
    velocity, dynamics = layers.get(struck, (None, None))
    group = f"{PACKAGE}/{recording_group(stem)}"
    return Clip(
        file_name=f"sonic_pi/{stem}.flac", label=names[0], family=family, names=tuple(dict.fromkeys(names)),
        words=tuple(word.strip() for word in words.split(",") if word.strip()),
        pitch=PITCHES.get(stem), velocity=velocity, dynamics=dynamics, group=group, recording=group,
        licence=LICENCE, source=PACKAGE, rendered=False,
    )  # fmt: skip
