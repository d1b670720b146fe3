// The manifest: what is published, and what the model takes and gives. Read once, never guessed.

import { sha256 } from "./checked_file.js";
import { ClassifierError } from "./errors.js";
import { DEFAULT_FILE, SCHEMA } from "./release.js";

/**
 * Read manifest.json of the release and hold it against manifest.json.sha256.
 *
 * @param {URL | string} base the folder of the release, with a slash at its end
 * @throws {ClassifierError} manifest, insecure
 */
export async function readManifest(base) {
  const [bytes, sum] = await Promise.all(["manifest.json", "manifest.json.sha256"].map((path) => fetched(path, base)));
  const expected = new TextDecoder().decode(sum).slice(0, 64);
  if ((await sha256(bytes)) !== expected) {
    throw unusable("manifest.json is not the one that was published: its SHA-256 differs");
  }
  let document;
  try {
    document = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw unusable("manifest.json is not JSON");
  }
  if (document?.schema !== SCHEMA) {
    throw unusable(`manifest.json has the schema ${document?.schema}, and this page reads ${SCHEMA}`);
  }
  return document;
}

/** The entries of the ONNX files, the one that a page starts with first. */
export function onnxArtifacts(manifest) {
  const found = manifest.artifacts.filter((artifact) => artifact.format === "onnx");
  return found.sort((one, other) => Number(other.path === DEFAULT_FILE) - Number(one.path === DEFAULT_FILE));
}

/**
 * @param {string} [wanted] a path or a precision; without: the default of the release
 * @throws {ClassifierError} model-missing
 */
export function chooseArtifact(manifest, wanted) {
  const all = onnxArtifacts(manifest);
  const found = wanted ? all.find((a) => a.path === wanted || a.precision === wanted) : all[0];
  if (!found) {
    const names = all.map((a) => a.precision).join(", ");
    throw new ClassifierError("model-missing", `No model ${wanted ?? "in ONNX"} is published; there are: ${names}.`);
  }
  return found;
}

/** Whether the model tells where in the image it saw what it answers. */
export function givesEvidence(artifact) {
  return artifact.outputs.some((port) => port.name === "evidence");
}

async function fetched(path, base) {
  let response;
  try {
    response = await fetch(new URL(path, base), { cache: "no-cache" });
  } catch (error) {
    throw unusable(`${path} cannot be fetched`, error);
  }
  if (!response.ok) throw unusable(`${path} is not on the server (status ${response.status})`);
  return response.arrayBuffer();
}

function unusable(what, cause) {
  return new ClassifierError(
    "manifest",
    `${what}, so nothing can be classified. Reload the page; if that does not help, the whole folder has ` +
      "to be put on the server again.",
    { cause },
  );
}
