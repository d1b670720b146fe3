// The worker: decoding and inference away from the page, which stays responsive. One request after
// the other, each answered by {id, value} or {id, error}.

import { openClassifier } from "./classifier.js";
import { told } from "./errors.js";

let classifier = null;
let before = Promise.resolve();

const VERBS = {
  async open({ manifest, artifact, bytes, runtime }) {
    const next = await openClassifier(manifest, artifact, bytes, runtime);
    await classifier?.close();
    classifier = next;
  },
  classify({ file }) {
    return classifier.classify(file);
  },
};

self.addEventListener("message", ({ data }) => {
  before = before.then(() => answer(data));
});

async function answer({ id, verb, ...request }) {
  try {
    self.postMessage({ id, value: await VERBS[verb](request) });
  } catch (error) {
    self.postMessage({ id, error: told(error) });
  }
}
