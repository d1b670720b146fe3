// Probabilities become a label, by the manifest's rule.

/**
 * With a threshold (two classes) the positive label where its probability reaches it, the other one
 * elsewhere; without, the most probable, the first on a tie.
 *
 * @param {Float32Array} probabilities in the order of `model.labels`
 * @param {{labels: string[], positive: string | null, threshold: number | null}} model
 * @returns {number} position of the label
 */
export function decide(probabilities, model) {
  if (model.positive !== null && model.threshold !== null) {
    const positive = model.labels.indexOf(model.positive);
    // In float32, as the probabilities are and as the published labels were decided.
    return probabilities[positive] >= Math.fround(model.threshold) ? positive : 1 - positive;
  }
  return probabilities.indexOf(Math.max(...probabilities));
}
