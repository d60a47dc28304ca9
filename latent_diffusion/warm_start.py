"""What a new stage takes over from an older one."""

from torch import Tensor

from latent_diffusion.config import LatentDiffusionConfig
from latent_diffusion.guide import GUIDE
from latent_diffusion.model import LatentDiffusion
from training.checkpoint import StageRecord

LABEL_WEIGHT = "conditioner.labels.weight"
ENDING = "network.ending."
KNOWN = "network.known."
BLOCKS = "network.blocks."


def warm_weights(model: LatentDiffusion, record: StageRecord, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights for `model`: labels that both know are matched by name, and what an older stage lacks starts anew.

    Further blocks start as the identity, so that a deeper network begins where the shallower one ended.

    Args:
        model: freshly built.
        record: of the older stage.
        weights: of the older stage.
    """
    old = LatentDiffusionConfig.from_dict(record.config).conditioning.labels
    table, old_table = model.conditioner.labels.weight.detach().clone(), weights[LABEL_WEIGHT]
    for row, label in enumerate(model.config.conditioning.labels):
        # Tables of another width are left for `load_weights` to refuse.
        if label in old and old_table.shape[1] == table.shape[1]:
            table[row] = old_table[old.index(label)]
    # An older model was told nothing of the end of a clip, or of known frames: it begins by not hearing of them.
    depth = LatentDiffusionConfig.from_dict(record.config).network.depth
    fresh = {
        name: value
        for name, value in model.state_dict().items()
        if name.startswith((ENDING, KNOWN)) or (name.startswith(BLOCKS) and int(name.split(".")[2]) >= depth)
    }
    # A guiding model is of its own training.
    own = {name: value for name, value in weights.items() if not name.startswith(GUIDE)}
    return {**fresh, **own, LABEL_WEIGHT: table}
