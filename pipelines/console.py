"""`melisma generate|train|prepare …`: the same functions as the modules, under one name."""

import importlib
import sys

from training.command import say

COMMANDS = {
    "generate": ("pipelines.generate", "make sound from text"),
    "batch": ("pipelines.batch", "make thousands of clips from a table"),
    "inspect": ("pipelines.inspect", "read how a clip was made"),
    "gallery": ("pipelines.gallery", "show what each mode makes of a sound"),
    "train": ("pipelines.train", "train all three stages on a folder of audio"),
    "prepare": ("pipelines.prepare_data", "build a training folder from packages"),
    "bundle": ("pipelines.bundle", "join three trained stages"),
    "average": ("pipelines.average", "average the weights of two or more trainings of one stage"),
    "doctor": ("pipelines.doctor", "find what would spoil training in a folder of audio"),
    "evaluate": ("pipelines.evaluate", "measure a model against real clips, or against another model"),
    "ladder": ("pipelines.ladder", "find the stage that loses most"),
    "compare-vocoders": ("pipelines.compare_vocoders", "the same mels through every vocoder"),
    "score-listening": ("pipelines.score_listening", "score the answers of a blind listening test"),
    "export-mels": ("pipelines.export_mels", "write a model's own mels for vocoder training"),
    "stream": ("pipelines.stream", "send sound of any length through a model in bounded memory"),
    "export-decoder": ("pipelines.export_decoder", "write latents-to-sound as an ONNX file"),
    "memorisation": ("pipelines.memorisation", "find generated clips that are copies of training clips"),
    "install-ears": ("pipelines.install_ears", "fetch the pretrained models that listen"),
    "check-control": ("pipelines.check_control", "measure what the modes promise"),
    "check-classes": ("pipelines.check_classes", "ask a classifier whether clips sound like their class"),
}


def main(arguments: list[str] | None = None) -> int:
    """Entry of the console command; returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        say("usage: melisma COMMAND [--help] …")
        for name, (_, text) in COMMANDS.items():
            say(f"  {name:16} {text}")
        return 0 if given else 2
    if given[0] not in COMMANDS:
        say(f"error: unknown command '{given[0]}'; known: {', '.join(COMMANDS)}")
        return 2
    module = importlib.import_module(COMMANDS[given[0]][0])
    return int(module.main(given[1:]))


if __name__ == "__main__":
    sys.exit(main())
