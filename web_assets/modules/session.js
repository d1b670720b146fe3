// The runtime: onnxruntime-web, compiled to WebAssembly, one thread. Bytes of a model in, answers out.

import { ClassifierError } from "./errors.js";

const OPTIMISATION = {
  ORT_ENABLE_ALL: "all",
  ORT_ENABLE_EXTENDED: "extended",
  ORT_ENABLE_BASIC: "basic",
  ORT_DISABLE_ALL: "disabled",
};

/**
 * Load a model that was checked.
 *
 * The manifest's optimisation level is taken over. Its number of threads is not: threads would need
 * headers from the server that many hosts do not let one set, so there is one.
 *
 * @param {ArrayBuffer} bytes of the model file
 * @param {object} artifact its entry in the manifest
 * @param {URL | string} runtime the folder with the files of onnxruntime-web
 * @throws {ClassifierError} no-wasm, runtime
 */
export async function openSession(bytes, artifact, runtime) {
  const ort = await loadRuntime(new URL(runtime, globalThis.location?.href));
  try {
    const session = await ort.InferenceSession.create(new Uint8Array(bytes), {
      executionProviders: ["wasm"],
      graphOptimizationLevel: OPTIMISATION[artifact.session.graph_optimization_level] ?? "all",
      intraOpNumThreads: 1,
      logSeverityLevel: 3,
    });
    return new Session(ort, session, artifact);
  } catch (error) {
    throw failed(`The runtime refused ${artifact.path}`, error);
  }
}

class Session {
  #ort;
  #session;
  #artifact;

  constructor(ort, session, artifact) {
    this.#ort = ort;
    this.#session = session;
    this.#artifact = artifact;
  }

  /**
   * @param {Uint8Array} pixels the input itself: H * W * 3 bytes, rows first, R G B each
   * @returns {Promise<{probabilities: Float32Array,
   *   evidence: {rows: number, columns: number, values: Float32Array} | null}>}
   */
  async run(pixels) {
    const [{ name, shape }] = this.#artifact.inputs;
    const input = new this.#ort.Tensor("uint8", pixels, shape);
    try {
      const { probs, evidence } = await this.#session.run({ [name]: input });
      return {
        probabilities: Float32Array.from(probs.data),
        evidence: evidence
          ? { rows: evidence.dims[2], columns: evidence.dims[3], values: Float32Array.from(evidence.data) }
          : null,
      };
    } catch (error) {
      throw failed(`The runtime failed while it ran ${this.#artifact.path}`, error);
    }
  }

  async close() {
    await this.#session.release();
  }
}

async function loadRuntime(folder) {
  if (typeof WebAssembly !== "object") {
    throw new ClassifierError(
      "no-wasm",
      "This browser has no WebAssembly, by which the model is run, or it is switched off (lockdown mode, " +
        "a setting). Allow it for this page, or use another browser.",
    );
  }
  try {
    const ort = await import(new URL("ort.wasm.min.js", folder).href);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = { mjs: new URL("ort-wasm-simd-threaded.js", folder).href };
    ort.env.wasm.wasmBinary ??= await unpacked(new URL("ort-wasm-simd-threaded.wasm.gzip", folder));
    return ort;
  } catch (error) {
    throw failed("The runtime is not beside this page (`python -m export web` puts it there)", error);
  }
}

/** Packed in the folder, since not every host compresses what it sends. */
async function unpacked(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`status ${response.status}`);
  return new Response(response.body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

function failed(what, error) {
  return new ClassifierError(
    "runtime",
    `${what}: ${error?.message ?? error}. Reload the page, or use a newer browser.`,
    { cause: error },
  );
}
