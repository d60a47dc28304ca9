"""What can be refused before any work, and before anything is written or sent."""

from typing import Any

from pipelines.editing import check_source
from pipelines.request import Request, asked_numbers
from pipelines.text_to_audio import TextToAudioPipeline


def check_before(pipeline: TextToAudioPipeline, request: Request, settings: dict[str, Any]) -> None:
    """Refuse labels and numbers that the model does not know, and files that it cannot hear.

    Args:
        pipeline: of the model.
        request: what is asked for.
        settings: of `TextToAudioPipeline.settle`.

    Raises:
        ValueError: says what is wrong.
    """
    pipeline.diffusion.encode_conditions([""], [request.label], [asked_numbers(settings)])
    pipeline.style(settings)
    if request.edit is not None:
        check_source(request.edit, pipeline.autoencoder.mel)
