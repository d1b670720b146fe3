// The resize that the model was trained by. It is written out here because browsers promise
// nothing about how drawImage scales. Arithmetic follows Pillow's (`Image.resize`, BILINEAR, 8 bits)
// step by step and gives the same bytes; the tests hold it against what Pillow made.

const WEIGHT_BITS = 22; // 8 bits of pixel and 2 of room leave 22 of an int32
const HALF = 1 << (WEIGHT_BITS - 1);
const TRIANGLE_REACH = 1; // to either side, in pixels of the smaller image
const BLACK = -1; // stands for a pixel beyond the image

/**
 * The model's input: what `input.resize` takes of the image, resized.
 *
 * Bilinear with antialias: a triangle that grows with the reduction. Along the rows and then along
 * the columns, or the other way round, with 8 bits between.
 *
 * @param {{width: number, height: number, rgb: Uint8Array}} image rows first, R G B each
 * @param {{width: number, height: number, resize: object}} input `model.input` of manifest.json
 * @returns {Uint8Array} width * height * 3 bytes of the input, rows first, R G B each
 */
export function resize(image, input) {
  const { width, height, rgb } = image;
  if (rgb.length !== width * height * 3) throw new RangeError(`${rgb.length} bytes are no image of ${width} x ${height}`);
  const { across, down } = takenOf(image, input);
  const columns = taps(across, input.width, input.resize);
  const rows = taps(down, input.height, input.resize);
  return columnsFirst(across.length - columns.to, down.length - rows.to)
    ? alongRows(alongColumns(rgb, width, rows), width, input.height, columns)
    : alongColumns(alongRows(rgb, width, height, columns), input.width, rows);
}

/**
 * What is taken of an image: along each axis so many pixels from `start` on, which is negative where
 * a frame begins before the image.
 *
 * @param {{width: number, height: number}} image
 * @param {{width: number, height: number, resize: object}} input `model.input` of manifest.json
 */
export function takenOf(image, input) {
  const across = image.width / input.width;
  const down = image.height / input.height;
  const scale = input.resize.mode === "crop" ? Math.min(across, down) : Math.max(across, down);
  return {
    across: span(image.width, input.width, scale, input.resize.mode),
    down: span(image.height, input.height, scale, input.resize.mode),
  };
}

/**
 * Which part of the image the input shows: left, top, width and height, in shares of the image's own.
 * A frame reaches beyond the image.
 */
export function shownOf(image, input) {
  const { across, down } = takenOf(image, input);
  const margin = input.resize.margin ?? 0;
  const part = ({ start, length, size }, own) => {
    const first = start + (length * Math.floor(margin / 2)) / (own + margin);
    return [first / size, (length * own) / (own + margin) / size];
  };
  const [left, width] = part(across, input.width);
  const [top, height] = part(down, input.height);
  return { left, top, width, height };
}

function span(size, own, scale, mode) {
  if (mode === "squish") return { start: 0, length: size, size };
  if (mode === "centre") return { start: Math.floor((size - own) / 2), length: own, size };
  if (mode !== "crop" && mode !== "pad") throw new RangeError(`this page knows no resize ${mode}`);
  const length = Math.max(Math.trunc(scale * own), 1);
  return { start: Math.trunc((size - length) / 2), length, size };
}

// As Pillow does from version 13.0 on to save time (https://github.com/python-pillow/Pillow/pull/9549).
// It shows in the last bit of a pixel.
function columnsFirst(wider, higher) {
  return higher > 0 && higher > 2 * wider;
}

function alongRows(rgb, width, height, { taps }) {
  const narrow = new Uint8Array(taps.length * height * 3);
  let to = 0;
  for (let y = 0; y < height; y++) {
    for (const { places, weights } of taps) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      for (let i = 0; i < weights.length; i++) {
        const from = (y * width + places[i]) * 3;
        red += rgb[from] * weights[i];
        green += rgb[from + 1] * weights[i];
        blue += rgb[from + 2] * weights[i];
      }
      narrow[to++] = toByte(red);
      narrow[to++] = toByte(green);
      narrow[to++] = toByte(blue);
    }
  }
  return narrow;
}

function alongColumns(rgb, width, { taps }) {
  const rowBytes = width * 3;
  const short = new Uint8Array(taps.length * rowBytes);
  const sums = new Int32Array(rowBytes);
  taps.forEach(({ places, weights }, y) => {
    sums.fill(HALF);
    for (let i = 0; i < weights.length; i++) {
      const row = places[i] * rowBytes;
      for (let at = 0; at < rowBytes; at++) sums[at] += rgb[row + at] * weights[i];
    }
    for (let at = 0; at < rowBytes; at++) short[y * rowBytes + at] = toByte(sums[at]);
  });
  return short;
}

/**
 * For each of `own` pixels of the input along an axis: which pixels of the image make it up, those
 * that are black left out, and their weights. `to`: how many there would be with the margin, of which
 * the middle is kept.
 */
function taps(taken, own, { fill, margin = 0 }) {
  const to = own + margin;
  const scale = taken.length / to;
  const stretch = Math.max(scale, 1);
  const reach = TRIANGLE_REACH * stretch;
  const found = Array.from({ length: own }, (_, i) => {
    const centre = (i + Math.floor(margin / 2) + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
    const end = Math.min(Math.trunc(centre + reach + 0.5), taken.length);
    const raw = Float64Array.from({ length: end - first }, (_, at) =>
      Math.max(1 - Math.abs((at + first - centre + 0.5) * (1 / stretch)), 0),
    );
    const sum = raw.reduce((total, weight) => total + weight, 0);
    const weights = Int32Array.from(raw, (weight) => Math.trunc(0.5 + (weight / sum) * (1 << WEIGHT_BITS)));
    const places = Int32Array.from(weights, (_, at) => placeOf(taken, first + at, fill));
    const isThere = (_, at) => places[at] !== BLACK;
    return { places: places.filter(isThere), weights: weights.filter(isThere) };
  });
  return { taps: found, to };
}

/** Where in the image the pixel `at` of what is taken is. */
function placeOf({ start, size }, at, fill) {
  const place = start + at;
  if (place >= 0 && place < size) return place;
  if (fill === "zeros") return BLACK;
  if (fill === "border" || size === 1) return Math.max(0, Math.min(place, size - 1));
  if (fill !== "reflection") throw new RangeError(`this page knows no fill ${fill}`);
  const period = 2 * (size - 1);
  const along = ((place % period) + period) % period;
  return Math.min(along, period - along);
}

function toByte(sum) {
  return Math.min(sum >> WEIGHT_BITS, 255);
}
