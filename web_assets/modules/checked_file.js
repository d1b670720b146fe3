// A published file: fetched whole, and given out only if it is the one that was proven.

import { ClassifierError } from "./errors.js";

/**
 * Fetch a file of the release and hold it against its published size and hash.
 *
 * @param {{path: string, size_bytes: number, sha256: string}} file as the manifest lists it
 * @param {URL | string} base the folder of the release
 * @returns {Promise<ArrayBuffer>}
 * @throws {ClassifierError} offline, model-missing, model-changed, insecure
 */
export async function fetchChecked(file, base) {
  let response;
  try {
    response = await fetch(new URL(file.path, base), { cache: "no-cache" });
  } catch (error) {
    throw new ClassifierError(
      "offline",
      `${file.path} cannot be fetched: this device is offline or the server is gone, and the file is ` +
        "not kept here. Choose a model that is marked as kept, or connect and choose it again.",
      { cause: error },
    );
  }
  if (response.status === 409) throw changed(file.path, "another release lies on the server");
  if (!response.ok) {
    throw new ClassifierError(
      "model-missing",
      `${file.path} is not on the server (status ${response.status}). Choose another model, or put the ` +
        "whole folder on the server again.",
    );
  }
  let bytes;
  try {
    bytes = await response.arrayBuffer();
  } catch (error) {
    throw new ClassifierError("offline", `${file.path} broke off on its way. Choose it again.`, { cause: error });
  }
  if (bytes.byteLength < file.size_bytes) {
    throw changed(file.path, `it is cut off after ${count(bytes.byteLength)} of ${count(file.size_bytes)} bytes`);
  }
  const found = await sha256(bytes);
  if (bytes.byteLength !== file.size_bytes || found !== file.sha256) {
    throw changed(file.path, `SHA-256 ${found.slice(0, 12)}, expected ${file.sha256.slice(0, 12)}`);
  }
  return bytes;
}

/** SHA-256 in lower-case hexadecimal digits. */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) {
    throw new ClassifierError(
      "insecure",
      "The model file cannot be checked, because this page was not opened by https. Open its https:// " +
        "address, or http://localhost.",
    );
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function changed(path, why) {
  return new ClassifierError(
    "model-changed",
    `${path} is not the file that was published (${why}), so it is not used. Reload the page; if that ` +
      "does not help, the folder has to be put on the server again.",
  );
}

function count(number) {
  return number.toLocaleString("en");
}
