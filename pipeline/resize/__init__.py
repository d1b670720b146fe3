"""How an image of any size becomes a model's input: fastai's ways to resize a validation image.

``squish``  the whole image, aspect ratio not kept. With a `margin` it becomes larger by so many
            pixels and the middle is kept, as of fastai's `RandomResizedCrop`.
``crop``    the largest part from the middle that has the input's shape (`Resize`, its default).
``pad``     the whole image in the middle of a frame of the input's shape (`Resize(method="pad")`).
``centre``  the middle as it is, not scaled (`CropPad`, `RandomCrop`).

Sizes and offsets are rounded as fastai rounds them (fastai.vision.augment). Then Pillow's bilinear
filter, which grows with the reduction, makes the pixels. The same geometry is written once more in
Kotlin, Swift and JavaScript, in the packages for apps.
"""
