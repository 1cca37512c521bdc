"""Who is it, or nobody known: face encodings, from weights of the project's own."""

from stages.models.character_embedding.character_embedding import CharacterEmbedding

MODELS = {"character_embedding": CharacterEmbedding}
