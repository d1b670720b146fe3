// An image file becomes pixels: upright, 8-bit RGB, transparency painted onto black.

import { ClassifierError } from "./errors.js";

/** More would fill the memory of a phone: three bytes each, beside the browser's own copy. */
export const MOST_PIXELS = 64e6;
/** Browsers refuse a canvas that is wider, or give out an empty one. */
const LONGEST_SIDE = 16384;
const LARGEST_FILE_BYTES = 256e6;
/** Read a few rows at a time, since phones limit the area of a canvas to less than a photo. */
const STRIPE_PIXELS = 1 << 20;

let canvasChecked = false;

/**
 * Decode an image file of any format that the browser reads.
 *
 * @param {Blob} file
 * @returns {Promise<{width: number, height: number, rgb: Uint8Array}>} rows first, R G B each
 * @throws {ClassifierError} not-an-image, too-large, pixels-altered
 */
export async function decode(file) {
  const name = file.name || "This";
  if (file.size > LARGEST_FILE_BYTES) throw tooLarge(`${name} has ${Math.round(file.size / 1e6)} MB`);
  let bitmap;
  try {
    // Colours as they are stored, as in training: no colour management. Orientation as EXIF says.
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  } catch (error) {
    throw new ClassifierError(
      "not-an-image",
      `${name} is not an image that this browser can read, or is damaged. Choose a PNG, JPEG or WebP ` +
        "file; save any other as PNG first.",
      { cause: error },
    );
  }
  try {
    return pixelsOf(bitmap, name);
  } finally {
    bitmap.close();
  }
}

function pixelsOf(bitmap, name) {
  const { width, height } = bitmap;
  if (width * height > MOST_PIXELS || width > LONGEST_SIDE || height > LONGEST_SIDE) {
    throw tooLarge(`${name} has ${width} x ${height} pixels`);
  }
  const stripe = Math.min(height, Math.max(1, Math.floor(STRIPE_PIXELS / width)));
  const context = opaqueCanvas(width, stripe);
  const rgb = new Uint8Array(width * height * 3);
  for (let top = 0; top < height; top += stripe) {
    const rows = Math.min(stripe, height - top);
    context.fillRect(0, 0, width, stripe);
    context.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    const { data } = context.getImageData(0, 0, width, rows);
    for (let from = 0, to = top * width * 3; from < data.length; from += 4) {
      rgb[to++] = data[from];
      rgb[to++] = data[from + 1];
      rgb[to++] = data[from + 2];
    }
  }
  return { width, height, rgb };
}

function opaqueCanvas(width, height) {
  const context = new OffscreenCanvas(width, height).getContext("2d", { alpha: false, willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  context.fillStyle = "#000";
  if (!canvasChecked) {
    refuseAlteredPixels();
    canvasChecked = true;
  }
  return context;
}

/** Some browsers change what is read from a canvas, against fingerprinting: the answer would be wrong. */
function refuseAlteredPixels() {
  const context = new OffscreenCanvas(16, 16).getContext("2d", { alpha: false, willReadFrequently: true });
  const pattern = new ImageData(16, 16);
  pattern.data.forEach((_, at) => {
    pattern.data[at] = at % 4 === 3 ? 255 : (at * 37) % 256;
  });
  context.putImageData(pattern, 0, 0);
  const found = context.getImageData(0, 0, 16, 16).data;
  if (found.some((value, at) => value !== pattern.data[at])) {
    throw new ClassifierError(
      "pixels-altered",
      "This browser changes the pixels that a page reads, as a protection against fingerprinting, so " +
        "that the answer would be wrong. Switch it off for this page, or use another browser.",
    );
  }
}

function tooLarge(what) {
  return new ClassifierError(
    "too-large",
    `${what}, and at most ${MOST_PIXELS / 1e6} megapixels, ${LONGEST_SIDE.toLocaleString("en")} pixels a side ` +
      `and ${LARGEST_FILE_BYTES / 1e6} MB are read. Make it smaller and choose it again.`,
  );
}
