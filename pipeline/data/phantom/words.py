"""What a model that was trained on phantoms says of itself: a demonstration of this program."""

from __future__ import annotations

from typing import Final

from pipeline.model_spec import Example, Owner

INTENDED_USE: Final = (
    "Research only. Trained on drawn phantoms: not a medical device; never use it for diagnosis."
)
OWNER: Final = Owner(
    images="drawn X-rays",
    looks_for="lesions",
    samples="chest_phantoms",
    examples=(
        Example("golden/images/grey.png", "A drawn chest, not a patient"),
        Example("golden/images/grey_jpeg.jpg", "Another drawn chest"),
        Example("golden/images/upright_photo.jpg", "A drawn chest, photographed on its side"),
    ),
)
