// The resize rule that the model was trained by. It is written out here because browsers promise
// nothing about how drawImage scales. Arithmetic follows Pillow's (`Image.resize`, BILINEAR, 8 bits)
// step by step and gives the same bytes; the tests hold it against what Pillow made.

const WEIGHT_BITS = 22; // 8 bits of pixel and 2 of room leave 22 of an int32
const HALF = 1 << (WEIGHT_BITS - 1);
const TRIANGLE_REACH = 1; // to either side, in pixels of the smaller image

/**
 * Squish the whole image to side x side: no crop, the aspect ratio is not kept.
 *
 * Bilinear with antialias: a triangle that grows with the reduction. Along the rows and then along
 * the columns, or the other way round, with 8 bits between.
 *
 * @param {{width: number, height: number, rgb: Uint8Array}} image rows first, R G B each
 * @param {number} side
 * @returns {Uint8Array} side * side * 3 bytes, rows first, R G B each: the model's input
 */
export function squish(image, side) {
  const { width, height, rgb } = image;
  if (rgb.length !== width * height * 3) throw new RangeError(`${rgb.length} bytes are no image of ${width} x ${height}`);
  return columnsFirst(width, height, side)
    ? alongRows(alongColumns(rgb, width, height, side), width, side, side)
    : alongColumns(alongRows(rgb, width, height, side), side, height, side);
}

// As Pillow does from version 13.0 on to save time (https://github.com/python-pillow/Pillow/pull/9549).
// It shows in the last bit of a pixel.
function columnsFirst(width, height, side) {
  return height > side && height - side > 2 * (width - side);
}

function alongRows(rgb, width, height, side) {
  const taps = triangle(width, side);
  const narrow = new Uint8Array(side * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < side; x++) {
      const { first, weights } = taps[x];
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      let from = (y * width + first) * 3;
      for (let i = 0; i < weights.length; i++) {
        red += rgb[from++] * weights[i];
        green += rgb[from++] * weights[i];
        blue += rgb[from++] * weights[i];
      }
      const to = (y * side + x) * 3;
      narrow[to] = toByte(red);
      narrow[to + 1] = toByte(green);
      narrow[to + 2] = toByte(blue);
    }
  }
  return narrow;
}

function alongColumns(rgb, width, height, side) {
  const taps = triangle(height, side);
  const rowBytes = width * 3;
  const short = new Uint8Array(side * rowBytes);
  const sums = new Int32Array(rowBytes);
  for (let y = 0; y < side; y++) {
    const { first, weights } = taps[y];
    sums.fill(HALF);
    for (let i = 0; i < weights.length; i++) {
      const row = (first + i) * rowBytes;
      for (let at = 0; at < rowBytes; at++) sums[at] += rgb[row + at] * weights[i];
    }
    for (let at = 0; at < rowBytes; at++) short[y * rowBytes + at] = toByte(sums[at]);
  }
  return short;
}

/** For each of `to` pixels in a line: the first of `from` that make it up, and their weights. */
function triangle(from, to) {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const reach = TRIANGLE_REACH * stretch;
  return Array.from({ length: to }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), from);
    const raw = Float64Array.from({ length: end - first }, (_, at) =>
      Math.max(1 - Math.abs((at + first - centre + 0.5) * (1 / stretch)), 0),
    );
    const sum = raw.reduce((total, weight) => total + weight, 0);
    const weights = Int32Array.from(raw, (weight) => Math.trunc(0.5 + (weight / sum) * (1 << WEIGHT_BITS)));
    return { first, weights };
  });
}

function toByte(sum) {
  return Math.min(sum >> WEIGHT_BITS, 255);
}
