"""The chain: three trained stages, joined."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.text_to_audio import TextToAudioPipeline

__all__ = ["TextToAudioPipeline"]


def __getattr__(name: str) -> object:
    """Import the pipeline when it is asked for: a command that only reads its options must not wait for torch."""
    if name == "TextToAudioPipeline":
        from pipelines.text_to_audio import TextToAudioPipeline

        return TextToAudioPipeline
    raise AttributeError(f"module 'pipelines' has no attribute '{name}'")
