"""The chain: three trained stages, joined."""

from pipelines.text_to_audio import TextToAudioPipeline

__all__ = ["TextToAudioPipeline"]
