"""Synthetic chest X-ray phantoms: the data set that comes with the code.

In: a label, a number and a seed. Out: one grey image, or a folder of them as fastai's
`ImageDataLoaders.from_folder` reads it. There is no patient data: every image is drawn from random
numbers, and says so in a corner and in its PNG text.

A phantom is a sum of shadows. An X-ray image is brighter where the beam met more matter, and
attenuations add up along a ray, so an organ is a field that is added, and air one that is
subtracted; size, angle, exposure and noise of the film come last.

`synthetic_opacities` shows several soft, faint patches, mostly in both lungs, low and near the
wall. `synthetic_clear` shows nothing (1 in 4) or something else of about the same total
attenuation: a dense lobe, nodules, fluid, a haze around the hila. Everything else has the same
chances under both labels: a large heart, wires, sizes, exposures, letters.

It is hard enough that training matters. AUROC on 400 images after 400 others, seeds 2, 3, 4:
logistic regression on mean, deviation, histogram and size 0.55, 0.50, 0.53; on the averaged
features of a frozen ImageNet SqueezeNet 1.1 0.83, 0.88, 0.89. That network fine-tuned for 10 epochs
(seed 2, 200 test images): 0.999, and 0.98 from 120 training images in 24 epochs. 10 ms per image.

`draw` combines `chest` (what the organs must agree on), `tissues` with `opacities` among them and
`devices` (shadows), `film` (what the detector makes of them) and `letters`. `canvas` has the
coordinates and shapes; `folder` writes many drawings to disk.
"""

from __future__ import annotations

from pipeline.data.phantom.draw import LABELS, draw
from pipeline.data.phantom.folder import DESCRIPTION, write_dataset
from pipeline.data.phantom.words import INTENDED_USE, OWNER

__all__ = ["DESCRIPTION", "INTENDED_USE", "LABELS", "OWNER", "draw", "write_dataset"]
