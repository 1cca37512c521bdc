"""A detector of drawn faces of our own."""

from stages.models.face_detector.face_detector import FaceDetector

MODELS = {"face_detector": FaceDetector}
