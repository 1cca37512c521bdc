"""Two models that begin with Inception-v3."""

from stages.models.inception.character_inception import CharacterInception
from stages.models.inception.photo_inception import PhotoInception

MODELS = {
    "photo_inception": PhotoInception,
    "character_inception": CharacterInception,
}
