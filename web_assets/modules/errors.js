// What can go wrong, by its cause. A message says what, where, and the way out.

export class ClassifierError extends Error {
  /**
   * @param {"manifest" | "model-missing" | "model-changed" | "offline" | "insecure" | "no-wasm" |
   *   "runtime" | "not-an-image" | "too-large" | "pixels-altered" | "camera"} kind
   * @param {string} message a sentence for people
   */
  constructor(kind, message, options) {
    super(message, options);
    this.name = "ClassifierError";
    this.kind = kind;
  }
}

/** As plain data, which can go from a worker to its page. */
export function told(error) {
  return error instanceof ClassifierError
    ? { kind: error.kind, message: error.message }
    : { kind: "runtime", message: `Something failed that should not: ${error?.message ?? error}. Reload the page.` };
}
