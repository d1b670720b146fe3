// The classifier, for any page: an image file in, a label with its probabilities and evidence out.
// What the model may be used for is said by its owner: model.intended_use in manifest.json.

import { fetchChecked } from "./checked_file.js";
import { decode } from "./decode.js";
import { chooseArtifact, readManifest } from "./manifest.js";
import { decide } from "./prediction.js";
import { resize } from "./resize.js";
import { openSession } from "./session.js";

export { ClassifierError } from "./errors.js";

/** Of so many runs the median is told as the time of one. */
const RUNS = 5;
const RELEASE = new URL("../", import.meta.url);

/**
 * Load a model of the release beside this module.
 *
 * @param {{model?: string, assets?: URL | string, runtime?: URL | string}} [options] model: a
 *   precision or a file, the default of the release without; assets: the folder with manifest.json;
 *   runtime: the folder with the files of onnxruntime-web
 * @throws {ClassifierError}
 */
export async function loadClassifier({ model, assets = RELEASE, runtime = new URL("runtime/", RELEASE) } = {}) {
  const base = new URL(assets, globalThis.location?.href);
  const manifest = await readManifest(base);
  const artifact = chooseArtifact(manifest, model);
  return openClassifier(manifest, artifact, await fetchChecked(artifact.files[0], base), runtime);
}

/** The same from a file that was fetched and checked already. */
export async function openClassifier(manifest, artifact, bytes, runtime) {
  const session = await openSession(bytes, artifact, runtime);
  const { width, height } = manifest.model.input;
  await session.run(new Uint8Array(width * height * 3)); // the first run is slower: memory is laid out
  return new Classifier(manifest.model, artifact, session);
}

class Classifier {
  #session;

  constructor(model, artifact, session) {
    this.model = model;
    this.artifact = artifact;
    this.#session = session;
  }

  /**
   * @param {Blob} file an image in a format that the browser reads, such as a File
   * @throws {ClassifierError}
   */
  async classify(file) {
    const image = await decode(file);
    const pixels = resize(image, this.model.input);
    return { ...(await this.classifyPixels(pixels)), width: image.width, height: image.height };
  }

  /**
   * @param {Uint8Array} pixels the input itself: H * W * 3 bytes, rows first, R G B each
   * @returns {Promise<{label: string, index: number, probability: number,
   *   probabilities: Float32Array, evidence: object | null, milliseconds: number, runs: number}>}
   *   milliseconds: of one inference, the median of `runs`
   */
  async classifyPixels(pixels) {
    const times = [];
    let answer;
    for (let i = 0; i < RUNS; i++) {
      const start = performance.now();
      answer = await this.#session.run(pixels);
      times.push(performance.now() - start);
    }
    const index = decide(answer.probabilities, this.model);
    return {
      ...answer,
      index,
      label: this.model.labels[index],
      probability: answer.probabilities[index],
      milliseconds: times.sort((one, other) => one - other)[RUNS >> 1],
      runs: RUNS,
    };
  }

  /** Give the memory back; the model lies outside of what the browser clears by itself. */
  async close() {
    await this.#session.close();
  }
}
