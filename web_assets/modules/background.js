// The page's end of the worker: requests go out, promises come back.

import { ClassifierError } from "./errors.js";

export class Background {
  #worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  #waiting = new Map();
  #last = 0;

  constructor() {
    this.#worker.addEventListener("message", ({ data: { id, value, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new ClassifierError(error.kind, error.message));
      else resolve(value);
    });
    this.#worker.addEventListener("error", (event) => {
      event.preventDefault();
      for (const { reject } of this.#waiting.values()) {
        reject(
          new ClassifierError(
            "runtime",
            `The part of the page that runs the model has stopped (${event.message || "it could not be loaded"}). ` +
              "Reload the page, or use a newer browser.",
          ),
        );
      }
      this.#waiting.clear();
    });
  }

  /** Load a model that was checked; it replaces the one before. */
  open(manifest, artifact, bytes, runtime) {
    return this.#ask({ verb: "open", manifest, artifact, bytes, runtime: String(runtime) }, [bytes]);
  }

  /** Classify an image file by the model that was loaded last. */
  classify(file) {
    return this.#ask({ verb: "classify", file });
  }

  #ask(request, transfer = []) {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, ...request }, transfer);
    });
  }
}
