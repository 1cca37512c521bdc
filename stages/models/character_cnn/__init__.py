"""A small network on faces: who is it."""

from stages.models.character_cnn.character_cnn import CharacterCnn

MODELS = {"character_cnn": CharacterCnn}
