// The evidence: what each place of the image adds to each class, in logits; as numbers and as colours.
// It shows what the network reacts to, be that a mark at the edge. It outlines nothing.

/** Below this many logits nothing is worth a full colour: noise is not blown up. */
const LEAST_FULL_SCALE = 1;
/** Told apart by people who do not tell red from green. */
const SPEAKS_FOR = [0xe6, 0x61, 0x00];
const SPEAKS_AGAINST = [0x5d, 0x3a, 0x9b];

/**
 * What speaks for one class and not as much for the others: its map less the mean of theirs, since a
 * probability depends on differences of logits alone.
 *
 * @param {{rows: number, columns: number, values: Float32Array}} evidence a map for each class
 * @param {number} index of the class
 * @returns {Float32Array} rows * columns logits, row by row
 */
export function against(evidence, index) {
  const area = evidence.rows * evidence.columns;
  const classes = evidence.values.length / area;
  return Float32Array.from({ length: area }, (_, at) => {
    let others = 0;
    for (let i = 0; i < classes; i++) if (i !== index) others += evidence.values[i * area + at];
    return evidence.values[index * area + at] - (classes > 1 ? others / (classes - 1) : 0);
  });
}

/** Logits of the strongest colour. */
export function fullScale(map) {
  return map.reduce((largest, value) => Math.max(largest, Math.abs(value)), LEAST_FULL_SCALE);
}

/** Where the map is largest: row and column, counted from 1, and the value. */
export function strongest(map, columns) {
  const at = map.indexOf(Math.max(...map));
  return { row: Math.floor(at / columns) + 1, column: (at % columns) + 1, value: map[at] };
}

const WHOLE = { left: 0, top: 0, width: 1, height: 1 };

/**
 * Colours to lay over the whole image, stretched to its shape: orange speaks for the class, violet
 * against it, clear is neither, or a place that the model was not shown.
 *
 * @param {object} shown the part of the image that the map covers, as `shownOf` gives it
 * @returns {ImageData} width x height
 */
export function heatMap(map, rows, columns, width, height, shown = WHOLE) {
  const full = fullScale(map);
  const picture = new ImageData(width, height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const down = ((y + 0.5) / height - shown.top) / shown.height;
      const across = ((x + 0.5) / width - shown.left) / shown.width;
      if (down < 0 || down > 1 || across < 0 || across > 1) continue;
      const value = between(map, rows, columns, down, across);
      const colour = value < 0 ? SPEAKS_AGAINST : SPEAKS_FOR;
      picture.data.set([...colour, Math.round(Math.min(Math.abs(value) / full, 1) * 255)], (y * width + x) * 4);
    }
  }
  return picture;
}

/** Bilinear; centres of pixels at halves, as in the resize rule; edges go on as they are. */
function between(map, rows, columns, down, across) {
  const y = Math.min(Math.max(down * rows - 0.5, 0), rows - 1);
  const x = Math.min(Math.max(across * columns - 0.5, 0), columns - 1);
  const top = Math.floor(y);
  const left = Math.floor(x);
  const bottom = Math.min(top + 1, rows - 1);
  const right = Math.min(left + 1, columns - 1);
  const above = mix(map[top * columns + left], map[top * columns + right], x - left);
  const below = mix(map[bottom * columns + left], map[bottom * columns + right], x - left);
  return mix(above, below, y - top);
}

function mix(one, other, share) {
  return one + (other - one) * share;
}
