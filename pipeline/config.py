"""What a training run is made of: one frozen record, and presets that hold their differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.architecture_names import canonical
from pipeline.errors import BadInput, require_between
from pipeline.mixed_precision import ARITHMETICS
from pipeline.resize.notation import require_size, resize_by
from pipeline.resize.rule import Resize, Size

# Raised whenever the same recipe, on the same images with the same packages, trains other weights:
# finished trials of a comparison are then trained again (`pipeline.study.trial`).
RECIPE_VERSION: Final = 2  # 2: the temperature is checked on images that it was not fitted on


@dataclass(frozen=True)
class TrainConfig:
    """A training run, whole. The defaults are the paper's recipe where it states one.

    Attributes:
        architecture: as `pipeline.architecture_names.canonical` spells it, and reads it.
        weights: ``auto``, ``imagenet`` or ``none`` (`pipeline.models.pretrained`).
        side: of a square input in pixels; height and width of another.
        resize: how an image becomes the input, as `pipeline.resize.notation.resize_by` reads it.
        mean, std: normalisation per channel RGB, in units of pixel / 255; ImageNet's. Where they
            are left so and the initial weights were trained with others, those are taken.
        batch_size, seed: the paper's 16 and 2.
        frozen_epochs: first stage, the head alone learns.
        finetune_epochs: second stage, everything learns.
        frozen_lr: peak learning rate of the first stage (one-cycle schedule, Smith 2018).
        finetune_lr: peak of the second stage for the head; the body's is `body_lr_factor` of it.
        weight_decay: decoupled (AdamW, fastai's Adam).
        averaging: decay of the moving average of the weights
            (`pipeline.training.weight_averaging`), 0 for none.
        consistency: weight of the difference between the outputs for one image resized by two
            filters (`pipeline.training.consistency`), 0 for the one resize rule alone.
        mixup: alpha of the blending of images (Zhang et al., arXiv:1710.09412), 0 for none.
        label_smoothing: share of the target that is spread over all classes.
        rotate_deg, zoom, lighting, flip: augmentation, each applied with probability 0.75
            (flip 0.5), on top of the one resize rule.
        crop: least share of the image that a random crop keeps, 1 for no crop.
        calibrate: divide the logits by the temperature that fits the validation images, if that
            does no harm on those it was not fitted on (`pipeline.metrics.calibration`).
        least_recall: the threshold is the highest that finds this share of the positive validation
            images; 0: Youden's.
        arithmetic: of training, ``fp32``, ``bf16``, or ``auto``: bf16 where the CPU has it.
        valid_fraction: share that is valid, where the data have no split.
        threads: of torch on the CPU, 0 for all cores; sums depend on it in the last digits.
    """

    architecture: str = "squeezenet1_1"
    weights: str = "auto"
    side: Size = 224
    resize: str = "squish"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    batch_size: int = 16
    seed: int = 2
    frozen_epochs: int = 3
    finetune_epochs: int = 8
    frozen_lr: float = 3e-3
    finetune_lr: float = 1e-3
    body_lr_factor: float = 0.3
    weight_decay: float = 0.01
    averaging: float = 0.0
    consistency: float = 0.0
    mixup: float = 0.0
    label_smoothing: float = 0.0
    rotate_deg: float = 10.0
    zoom: float = 1.15
    lighting: float = 0.2
    flip: bool = True
    crop: float = 1.0
    calibrate: bool = True
    least_recall: float = 0.0
    arithmetic: str = "auto"
    valid_fraction: float = 0.25
    threads: int = 0

    @property
    def rule(self) -> Resize:
        """How an image becomes the input."""
        return resize_by(self.resize, self.side)

    def __post_init__(self) -> None:
        """Refuse a recipe that cannot be trained, before any image is read.

        Raises:
            BadInput: names the field, its value and what is allowed.
        """
        limits = {
            "batch_size": (1, 4096),
            "valid_fraction": (0.05, 0.5),
            "frozen_epochs": (0, 10_000),
            "finetune_epochs": (0, 10_000),
            "frozen_lr": (0, 10),
            "finetune_lr": (0, 10),
            "averaging": (0, 0.9999),
            "consistency": (0, 1000),
            "mixup": (0, 10),
            "label_smoothing": (0, 0.9),
            "crop": (0.05, 1),
            "least_recall": (0, 1),
            "seed": (0, 2**32 - 1),
            "threads": (0, 1024),
        }
        require_between(self, limits)
        require_size(self.rule)
        object.__setattr__(self, "architecture", canonical(self.architecture))
        if self.arithmetic not in ARITHMETICS:
            raise BadInput(f"arithmetic {self.arithmetic!r} is not one of {', '.join(ARITHMETICS)}")
        if self.consistency and self.mixup:
            raise BadInput(
                "consistency and mixup cannot go together: one compares two versions of an image, "
                "the other blends it with another"
            )
        if self.frozen_epochs + self.finetune_epochs == 0:
            raise BadInput("no epochs to train: frozen_epochs and finetune_epochs are both 0")


PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    "paper": {},
    "quick": {"frozen_epochs": 1, "finetune_epochs": 2},
    # The head finishes learning before the body moves, the body learns to see the same in an image
    # after any filter, and the average of its weights is kept.
    # `docs/results/ablation.json` has what each part brings.
    "released": {
        "frozen_epochs": 30,
        "frozen_lr": 1e-3,
        "finetune_epochs": 20,
        "finetune_lr": 5e-4,
        "body_lr_factor": 1.0,
        "consistency": 5.0,
        "averaging": 0.99,
        "least_recall": 0.9,
    },
}
