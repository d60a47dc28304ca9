"""What General MIDI's programs and drum keys are called, by people rather than by the standard.

One line a program: family, then the names, the exact one first. (General MIDI System Level 1, and Level 2 for the
drum keys above 81.)
"""

FAMILY_LINES = """
piano|acoustic grand piano, grand piano, piano
piano|bright acoustic piano, bright piano, piano
piano|electric grand piano, electric grand
piano|honky-tonk piano, honky-tonk, saloon piano
piano|electric piano, Rhodes electric piano, e-piano
piano|FM electric piano, electric piano, digital electric piano
piano|harpsichord
piano|clavinet, clavi
chromatic_percussion|celesta
chromatic_percussion|glockenspiel, glock
chromatic_percussion|music box
chromatic_percussion|vibraphone, vibes
chromatic_percussion|marimba
chromatic_percussion|xylophone
chromatic_percussion|tubular bells, tubular bell, bell
chromatic_percussion|dulcimer, hammered dulcimer
organ|drawbar organ, tonewheel organ, organ
organ|percussive organ, organ
organ|rock organ, organ
organ|church organ, pipe organ, organ
organ|reed organ, harmonium
organ|accordion
organ|harmonica, mouth harp
organ|tango accordion, bandoneon
guitar|nylon guitar, classical guitar, acoustic guitar
guitar|steel guitar, steel-string acoustic guitar, acoustic guitar
guitar|jazz guitar, electric jazz guitar
guitar|clean electric guitar, clean guitar, electric guitar
guitar|muted electric guitar, palm-muted guitar, electric guitar
guitar|overdriven guitar, overdrive guitar, electric guitar
guitar|distortion guitar, distorted electric guitar, electric guitar
guitar|guitar harmonics, guitar harmonic
bass|acoustic bass, upright bass, double bass
bass|fingered bass, fingered electric bass, bass guitar
bass|picked bass, picked electric bass, bass guitar
bass|fretless bass, bass guitar
bass|slap bass, slapped bass guitar
bass|popped slap bass, slap bass
bass|synth bass, analog synth bass
bass|rubber synth bass, synth bass
strings|violin, solo violin
strings|viola, solo viola
strings|cello, solo cello
strings|contrabass, bowed double bass
strings|tremolo strings, string tremolo
strings|pizzicato strings, plucked strings, pizzicato
strings|harp, orchestral harp
percussion|timpani, kettledrum
ensemble|string ensemble, string section, strings
ensemble|slow strings, slow string ensemble, strings
ensemble|synth strings, string synthesizer
ensemble|warm synth strings, synth strings
vocal|choir aahs, choir, aah choir
vocal|voice oohs, ooh choir, choir
vocal|synth voice, synth vox
ensemble|orchestra hit, orchestral stab
brass|trumpet, solo trumpet
brass|trombone
brass|tuba
brass|muted trumpet, mute trumpet
brass|french horn, horn
brass|brass section, brass ensemble, brass
brass|synth brass, analog brass
brass|soft synth brass, synth brass
reed|soprano sax, soprano saxophone, sax
reed|alto sax, alto saxophone, sax
reed|tenor sax, tenor saxophone, sax
reed|baritone sax, baritone saxophone, sax
reed|oboe
reed|english horn, cor anglais
reed|bassoon
reed|clarinet
pipe|piccolo, piccolo flute
pipe|flute
pipe|recorder
pipe|pan flute, pan pipes
pipe|blown bottle, bottle
pipe|shakuhachi
pipe|whistle, tin whistle
pipe|ocarina
synth_lead|square lead, square wave synth lead, synth lead
synth_lead|saw lead, sawtooth synth lead, synth lead
synth_lead|calliope lead, synth calliope
synth_lead|chiff lead, breathy synth lead
synth_lead|charang lead, distorted synth lead
synth_lead|voice lead, vocal synth lead
synth_lead|fifths lead, fifths synth lead
synth_lead|bass and lead, fat synth lead
synth_pad|new age pad, fantasia pad, synth pad
synth_pad|warm pad, warm synth pad, pad
synth_pad|polysynth pad, polysynth
synth_pad|choir pad, space voice pad
synth_pad|bowed glass pad, bowed pad
synth_pad|metallic pad, metal pad
synth_pad|halo pad, synth pad
synth_pad|sweep pad, sweeping synth pad
synth_effect|ice rain, synth rain
synth_effect|soundtrack, cinematic synth
synth_effect|crystal synth, crystal
synth_effect|atmosphere synth, atmosphere
synth_effect|brightness synth
synth_effect|goblins, eerie synth
synth_effect|echo drops, echoing synth
synth_effect|sci-fi synth, science fiction synth
ethnic|sitar
ethnic|banjo
ethnic|shamisen
ethnic|koto
ethnic|kalimba, thumb piano
ethnic|bagpipe, bagpipes
ethnic|fiddle, folk violin
ethnic|shanai, shehnai
chromatic_percussion|tinkle bell, small bell, bell
percussion|agogo, agogo bell
chromatic_percussion|steel drums, steel pan
percussion|woodblock, wood block
percussion|taiko drum, taiko
tom|melodic tom, tuned tom
tom|synth drum, electronic tom
synth_effect|reverse cymbal, reversed cymbal
"""

DRUM_LINES = """
35|kick|kick, kick drum, bass drum
36|kick|kick, kick drum, bass drum
37|percussion|side stick, rim click
38|snare|snare, snare drum
39|clap_and_snap|hand clap, clap
40|snare|snare, snare drum
41|tom|low floor tom, floor tom, tom
42|hihat|closed hi-hat, closed hat, hi-hat
43|tom|floor tom, tom
44|hihat|pedal hi-hat, foot hi-hat, hi-hat
45|tom|low tom, tom
46|hihat|open hi-hat, open hat, hi-hat
47|tom|mid tom, tom
48|tom|high mid tom, tom
49|cymbal|crash cymbal, crash
50|tom|high tom, tom
51|cymbal|ride cymbal, ride
52|cymbal|china cymbal, china
53|cymbal|ride bell, ride cymbal bell
54|percussion|tambourine
55|cymbal|splash cymbal, splash
56|percussion|cowbell
57|cymbal|crash cymbal, crash
58|percussion|vibraslap
59|cymbal|ride cymbal, ride
60|percussion|high bongo, bongo
61|percussion|low bongo, bongo
62|percussion|muted conga, conga slap, conga
63|percussion|open conga, high conga, conga
64|percussion|low conga, conga
65|percussion|high timbale, timbale
66|percussion|low timbale, timbale
67|percussion|high agogo, agogo
68|percussion|low agogo, agogo
69|percussion|cabasa
70|percussion|maracas, shaker
71|percussion|short whistle, samba whistle
72|percussion|long whistle, samba whistle
73|percussion|short guiro, guiro
74|percussion|long guiro, guiro
75|percussion|claves, clave
76|percussion|high woodblock, woodblock
77|percussion|low woodblock, woodblock
78|percussion|muted cuica, cuica
79|percussion|open cuica, cuica
80|percussion|muted triangle, triangle
81|percussion|open triangle, triangle
82|percussion|shaker
83|percussion|sleigh bells, jingle bells
84|percussion|bell tree
85|percussion|castanets
86|percussion|muted taiko, taiko
87|percussion|taiko, taiko drum
"""


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def _programs() -> tuple[tuple[str, tuple[str, ...]], ...]:
    lines = (line.split("|") for line in FAMILY_LINES.strip().splitlines())
    return tuple((family, _names(names)) for family, names in lines)


def _drum_keys() -> dict[int, tuple[str, tuple[str, ...]]]:
    lines = (line.split("|") for line in DRUM_LINES.strip().splitlines())
    return {int(key): (family, _names(names)) for key, family, names in lines}


PROGRAMS = _programs()
DRUM_KEYS = _drum_keys()

# Where a kit departs from the map above (Roland GS, as both fonts follow it): (kit, key) -> family and names.
# Kits 41 to 47 are variants of the brush kit.
BRUSH_KIT, ORCHESTRA_KIT = 40, 48
KIT_KEYS: dict[tuple[int, int], tuple[str, tuple[str, ...]]] = {
    (BRUSH_KIT, 38): ("snare", ("brush snare tap", "brush snare", "snare")),
    (BRUSH_KIT, 39): ("snare", ("brush snare slap", "brush snare", "snare")),
    (BRUSH_KIT, 40): ("snare", ("brush snare swirl", "brush swirl", "brush snare")),
    (ORCHESTRA_KIT, 35): ("kick", ("concert bass drum", "orchestral bass drum")),
    (ORCHESTRA_KIT, 36): ("kick", ("concert bass drum", "orchestral bass drum")),
    (ORCHESTRA_KIT, 38): ("snare", ("concert snare", "orchestral snare drum", "snare")),
    (ORCHESTRA_KIT, 40): ("snare", ("concert snare", "orchestral snare drum", "snare")),
    (ORCHESTRA_KIT, 57): ("cymbal", ("clash cymbals", "orchestral crash cymbals", "crash")),
    (ORCHESTRA_KIT, 59): ("cymbal", ("clash cymbals", "orchestral crash cymbals", "crash")),
    **{(ORCHESTRA_KIT, key): ("percussion", ("timpani", "kettledrum")) for key in range(41, 54)},
}


def drum_names(kit: int, key: int) -> tuple[str, tuple[str, ...]]:
    """Family and names of a key of a drum kit."""
    kind = BRUSH_KIT if BRUSH_KIT <= kit < ORCHESTRA_KIT else kit
    return KIT_KEYS.get((kind, key), DRUM_KEYS[key])
