"""Other words for the same sound: who plays it, how it is set going, what it is used for, what people call its kind.

Captions that put the parts of metadata in a row teach a model one way of asking. These say the same in the words of
people: nothing is claimed but what the name, the family and the pitch of a clip already say. None of them is in the
lists of `configs/phrasings`, which are kept for the evaluation.
"""

import random

# Pattern in the clip's name -> who plays it. The first that is found counts.
PLAYERS = """
honky-tonk, saloon|a bar-room pianist
harpsichord|a harpsichord player
clav|a clavinet player
electric piano, e-piano|a keyboard player
piano, grand|a pianist
celesta, music box|a keyboard player
vibra, vibes, marimba, xylo, glock, bells, dulcimer|a mallet player
harmonica, mouth harp|a harmonica player
accordion, bandoneon|an accordionist
organ, harmonium|an organist
double bass, upright bass, acoustic bass, contrabass|a double bass player
bassoon|a bassoon player
synth|a synthesist
bass and lead, lead, pad|a synthesist
bass drum, kick|a drummer
bass|a bass player
banjo|a banjo player
koto, shamisen, sitar|a string player
guitar|a guitarist
fiddle|a fiddler
violin|a violin player
viola|a viola player
cello|a cello player
harp|a harp player
trumpet|a trumpet player
trombone|a trombone player
tuba|a tuba player
horn, cor anglais|a horn player
sax|a sax player
oboe|an oboe player
clarinet|a clarinet player
flute, piccolo, recorder, whistle, ocarina, shakuhachi, pipes|a flute player
snare, tom, hi-hat, cymbal, ride, crash, splash, china|a drummer
conga, bongo, timbale, tabla, taiko, cowbell, agogo, shaker, maracas, tambourine, cuica, guiro, claves|a percussionist
"""

# Family -> how it is set going (participles), what it is for or heard in, what its kind is called.
MANNERS = """
bass|plucked, picked, struck|low end, a bass line, groove|bass, low instrument, bass sound
brass|played, sounded|a big band, a brass part, a march|brass, brass sound, horns
chromatic_percussion|struck, hit, tapped|a lullaby, accents, a mallet part|tuned percussion, mallets, bell sound
cymbal|struck, hit, tapped|an accent, a drum fill, a drum kit|cymbal, metal percussion, kit piece
clap_and_snap|clapped, made with the hands|a dance beat, a backbeat|clap, hand percussion
ensemble|played, sounded|a film score, a string part, an arrangement|ensemble, orchestral sound, strings
ethnic|played, sounded|world music, folk music, a travel film|folk instrument, traditional instrument, world instrument
guitar|plucked, picked|a guitar part, a riff, a song|guitar, six-string, plucked instrument
hihat|struck, tapped, hit|a drum groove, eighth notes, a beat|hi-hat, hats, kit cymbal
kick|struck, kicked|a dance beat, the downbeat, a drum kit|kick, bass drum, low drum
organ|held, pressed|a hymn, a chord part, a soul song|organ, organ sound, sustained keys
percussion|struck, hit, played|a rhythm part, a groove, a beat|percussion, percussion hit, rhythm instrument
piano|struck, pressed, played|a ballad, a melody, a keyboard part|keyboard, keys, keyboard instrument
pipe|blown, breathed|a melody, a pastoral scene, a tune|breathy tone, wind instrument, airy sound
reed|blown, sounded|a solo, a melody, a wind part|reed instrument, woodwind, wind instrument
snare|struck, hit, rapped|a backbeat, a march, a drum kit|snare, snare drum, kit drum
strings|played, sounded|a string part, chamber music, a melody|string instrument, orchestral instrument, strings
strum|strummed, swept|a song, a folk tune, a singer's backing|guitar chord, strummed strings, chord
synth_effect|synthesised, generated|a science fiction film, a game|synth effect, electronic texture, sound design
synth_lead|synthesised, generated|a hook, an electronic solo, a melody|lead synth, synth, electronic tone
synth_pad|synthesised, held|a slow intro, ambient music, a bed of sound|pad, synth chord sound, background synth
tom|struck, hit|a drum fill, a tribal beat, a drum kit|tom, tom-tom, drum
vocal|voiced, sounded|a hymn, a film score, a backing part|voices, vocal sound, choir sound
"""

FRONTS = ("please make {name}", "I need {name}", "give me {name}", "sound of {name}", "recording of {name}")
MOST = 4


def _table(text: str) -> list[list[list[str]]]:
    return [
        [[part.strip() for part in cell.split(",")] for cell in line.split("|")] for line in text.split("\n") if line
    ]


_PLAYERS = [(patterns, player[0]) for patterns, player in _table(PLAYERS)]
_MANNERS = {row[0][0]: row[1:] for row in _table(MANNERS)}


def player_of(name: str) -> str:
    """Who plays it, with an article; empty where nobody does."""
    return next((player for patterns, player in _PLAYERS if any(pattern in name for pattern in patterns)), "")


def paraphrases(name: str, family: str, note: str, adjective: str, article: str, chance: random.Random) -> list[str]:
    """Up to four other ways to ask for a clip.

    Args:
        name: one of its names.
        family: of the clip; one that is not known gives the plainest forms only.
        note: spoken name of its pitch, or empty.
        adjective: a true one of its tone or dynamics, or empty.
        article: the name with its adjective and "a" or "an".
        chance: which are chosen.
    """
    at, tone = (f" at {note}" if note else ""), (f"{adjective} " if adjective else "")
    forms = [chance.choice(FRONTS).format(name=article) + at]
    player = player_of(name.lower())
    if player:
        act = f"plays {note} on" if note else "plays"
        forms.append(f"{player} {act} {article}" if player.split()[-1] not in name else f"{player}{at}, {tone}{name}")
        forms.append(f"{tone}{name} played by {player}{at}")
    if family in _MANNERS:
        manners, uses, kinds = _MANNERS[family]
        manner, use = chance.choice(manners), chance.choice(uses)
        kind = chance.choice([word for word in kinds if word not in name] or kinds)
        forms += [
            f"{article} for {use}{at}",
            f"{tone}{name} {manner} once{at}",
            f"{tone}{kind}{at}, {name}",
            f"{tone}{kind}, like {name}{at}" if chance.random() < 0.5 else f"{name}: {tone}{kind}{at}",
            f"{name} from {use}{at}",
        ]
    chance.shuffle(forms)
    return forms[:MOST]
