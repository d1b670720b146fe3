"""Preprocessing mistakes: how apps get other pixels from an image than the resize rule.

In: an image as Pillow decodes it, and a model's resize. Out: uint8 (height, width, 3), the input
that the model would get. Each mistake replaces one step of the correct `Preprocessing`, so that
several can be combined; each uses a library that has the filter in question, not a filter of our
own, and names the interface on phones that does the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from PIL import Image, ImageOps

from pipeline.data.resize_filters import filtered, plain_bilinear
from pipeline.image_files.colours import is_deep
from pipeline.image_files.orientation import ORIENTATION
from pipeline.images import to_rgb, upright
from pipeline.resize.pixels import resized
from pipeline.resize.rule import Resize

if TYPE_CHECKING:
    from pipeline.resize.pixels import Pixels

SIDEWAYS: Final = 6  # how a phone held upright stores its photos
JPEG_QUALITY: Final = 70


T = TypeVar("T")


def _as_it_is(value: T) -> T:
    return value


@dataclass(frozen=True)
class Preprocessing:
    """The steps from a decoded image to pixels; the defaults are correct.

    Attributes:
        turn: by the EXIF orientation.
        colours: any mode to 8-bit RGB.
        recompress: applied to the RGB image before it is resized; nothing is correct.
        resize: (image, the model's rule) -> uint8 (height, width, 3).
        order: of the bytes; unchanged is correct, rows of R, G, B.
        scale: of the values; none is correct, 0 to 255.
    """

    turn: Callable[[Image.Image], Image.Image] = upright
    colours: Callable[[Image.Image], Image.Image] = to_rgb
    recompress: Callable[[Image.Image], Image.Image] = _as_it_is
    resize: Callable[[Image.Image, Resize], Pixels] = resized
    order: Callable[[Pixels], Pixels] = _as_it_is
    scale: Callable[[Pixels], Pixels] = _as_it_is

    def pixels(self, image: Image.Image, rule: Resize) -> Pixels:
        """Decoded image -> uint8 (height, width, 3)."""
        rgb = self.recompress(self.colours(self.turn(image)))
        return np.ascontiguousarray(self.scale(self.order(self.resize(rgb, rule))))


@dataclass(frozen=True)
class Mistake:
    """One way to get the pixels wrong.

    Attributes:
        name: identifier in reports and on the command line.
        step: the field of `Preprocessing` that it replaces.
        does: what happens to the image, as a phrase.
        seen_in: the interface that does so on phones or in their libraries.
        source: where that is documented or reported.
        make: the function that replaces the step.
        on_photographs: whether opaque 8-bit images can reveal it.
    """

    name: str
    step: str
    does: str
    seen_in: str
    source: str
    make: Callable[..., Any]
    on_photographs: bool = True


def with_mistakes(mistakes: Iterable[Mistake]) -> Preprocessing:
    """Correct preprocessing except for `mistakes`, each in a different step.

    Raises:
        ValueError: two of them replace the same step.
    """
    steps: dict[str, Any] = {}
    for mistake in mistakes:
        if mistake.step in steps:
            raise ValueError(f"two mistakes in the step {mistake.step}")
        steps[mistake.step] = mistake.make
    return replace(Preprocessing(), **steps)


def taken_sideways(image: Image.Image) -> Image.Image:
    """The same picture as a phone stores it: rotated by 90 degrees, with an EXIF tag for it."""
    turned = upright(image).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ORIENTATION] = SIDEWAYS
    turned.info["exif"] = exif.tobytes()
    return turned


def _centre_crop(image: Image.Image, rule: Resize) -> Pixels:
    size = rule.width, rule.height
    return np.asarray(ImageOps.fit(image, size, Image.Resampling.BILINEAR), dtype=np.uint8)


def _letterbox(image: Image.Image, rule: Resize) -> Pixels:
    size = rule.width, rule.height
    return np.asarray(ImageOps.pad(image, size, Image.Resampling.BILINEAR), dtype=np.uint8)


def _squished(image: Image.Image, rule: Resize) -> Pixels:
    return resized(image, Resize(*rule.size))


def _jpeg(image: Image.Image) -> Image.Image:
    content = BytesIO()
    image.save(content, "JPEG", quality=JPEG_QUALITY)
    return Image.open(content)


def _transparency_dropped(image: Image.Image) -> Image.Image:
    """The hidden colours of transparent pixels become visible."""
    return image.convert("RGBA").convert("RGB") if image.has_transparency_data else to_rgb(image)


def _on_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return to_rgb(image)
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _clipped(image: Image.Image) -> Image.Image:
    """16-bit grey cut off at 255, which turns nearly all of it white."""
    return image.convert("L").convert("RGB") if is_deep(image) else to_rgb(image)


def _bgr(pixels: Pixels) -> Pixels:
    return pixels[:, :, ::-1]


def _planes(pixels: Pixels) -> Pixels:
    """All of R, then all of G, then all of B, in a buffer that the model reads as RGB rows."""
    return pixels.transpose(2, 0, 1).reshape(pixels.shape)


def _divided(pixels: Pixels) -> Pixels:
    return pixels // 255


def mistakes_with(rule: Resize) -> tuple[Mistake, ...]:
    """The mistakes of a model's own rule: what that rule itself does is none."""
    right = RIGHT_WITH.get(rule.method)
    others = () if rule.method == "squish" else (SQUISHED,)
    return (*(mistake for mistake in MISTAKES if mistake.name != right), *others)


_APPLE: Final = "https://developer.apple.com/documentation/vision/vnimagecropandscaleoption"
_PILLOW: Final = "https://pillow.readthedocs.io/en/stable/handbook/concepts.html#filters"
_BITMAP: Final = "https://developer.android.com/reference/android/graphics/Bitmap"
MISTAKES: Final = (
    Mistake(
        "plain_bilinear",
        "resize",
        "bilinear without antialiasing",
        "Android Bitmap.createScaledBitmap(filter = true), OpenCV INTER_LINEAR",
        f"{_BITMAP}; https://github.com/opencv/opencv/issues/25620",
        plain_bilinear,
    ),
    Mistake(
        "nearest",
        "resize",
        "nearest neighbour",
        "Android Bitmap.createScaledBitmap(filter = false), OpenCV INTER_NEAREST",
        _BITMAP,
        filtered("NEAREST"),
    ),
    Mistake(
        "area",
        "resize",
        "mean over the area of a pixel",
        "OpenCV INTER_AREA",
        f"https://docs.opencv.org/4.x/da/d54/group__imgproc__transform.html; {_PILLOW}",
        filtered("BOX"),
    ),
    Mistake(
        "bicubic",
        "resize",
        "bicubic, antialiased",
        "Core Image CIBicubicScaleTransform, Pillow BICUBIC",
        _PILLOW,
        filtered("BICUBIC"),
    ),
    Mistake(
        "lanczos",
        "resize",
        "Lanczos, antialiased",
        "vImageScale, Core Image CILanczosScaleTransform",
        "https://developer.apple.com/documentation/accelerate/kvimagehighqualityresampling",
        filtered("LANCZOS"),
    ),
    Mistake(
        "centre_crop",
        "resize",
        "shorter side to size, the rest cut off",
        "Vision .centerCrop, torchvision CenterCrop",
        _APPLE,
        _centre_crop,
    ),
    Mistake(
        "letterbox",
        "resize",
        "longer side to size, black bars",
        "Vision .scaleFit",
        _APPLE,
        _letterbox,
    ),
    Mistake(
        "jpeg_70",
        "recompress",
        f"stored once more as JPEG, quality {JPEG_QUALITY}",
        "Android Bitmap.compress, UIImage.jpegData",
        _BITMAP,
        _jpeg,
    ),
    Mistake(
        "bgr",
        "order",
        "blue and red swapped",
        "OpenCV imread, kCVPixelFormatType_32BGRA",
        "https://github.com/ultralytics/yolo-ios-app/issues/208",
        _bgr,
    ),
    Mistake(
        "planes",
        "order",
        "all of R, then G, then B, read as rows of RGB",
        "PyTorch's layout NCHW, TensorImageUtils.bitmapToFloat32Tensor",
        "https://github.com/pytorch/android-demo-app",
        _planes,
    ),
    Mistake(
        "divided_twice",
        "scale",
        "divided by 255 although the model does so: all 0 or 1",
        "transforms.ToTensor carried over from training",
        "https://github.com/ultralytics/yolo-ios-app/issues/208",
        _divided,
    ),
    Mistake(
        "rotation_ignored",
        "turn",
        "EXIF orientation ignored; photo taken upright",
        "Android BitmapFactory.decodeFile, UIImage.cgImage",
        "https://developer.android.com/reference/androidx/exifinterface/media/ExifInterface",
        _as_it_is,
    ),
    Mistake(
        "transparency_dropped",
        "colours",
        "alpha thrown away, hidden colours show",
        "Pillow Image.convert, OpenCV imread",
        "https://pillow.readthedocs.io/en/stable/reference/Image.html",
        _transparency_dropped,
        on_photographs=False,
    ),
    Mistake(
        "transparency_on_white",
        "colours",
        "transparency painted onto white",
        "an app that draws onto its white background first",
        "https://developer.apple.com/documentation/uikit/uigraphicsimagerenderer",
        _on_white,
        on_photographs=False,
    ),
    Mistake(
        "sixteen_bits_clipped",
        "colours",
        "16-bit grey cut off at 255",
        "Pillow Image.convert",
        "https://github.com/python-pillow/Pillow/issues/3011",
        _clipped,
        on_photographs=False,
    ),
)
SQUISHED: Final = Mistake(
    "squish",
    "resize",
    "the whole image squished, aspect ratio not kept",
    "Vision .scaleFill, Android Bitmap.createScaledBitmap of the whole image",
    _APPLE,
    _squished,
)
# A model's method of resizing -> the mistake that does, or nearly does, what is right there.
RIGHT_WITH: Final = {"crop": "centre_crop", "pad:zeros": "letterbox"}
