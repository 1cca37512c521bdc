"""Who is it, from a face, by transfer learning on Inception-v3."""

from stages.models.inception.transfer import TransferClassifier, TransferConfig


class CharacterInception(TransferClassifier[TransferConfig]):
    """Inception-v3 up to a tap, fine-tuned on faces."""

    config_class = TransferConfig
