// Offline: the service worker that keeps the release, what is kept, and when a new release is ready.

const BASE = new URL("../", import.meta.url);
const byId = (id) => document.getElementById(id);

/**
 * Have the release kept on this device, and say in the page how things stand.
 *
 * @param {() => void} changed called when more may be kept than before
 */
export async function followOffline(changed) {
  let kept = false;
  const tell = () => {
    const [state, text] = !navigator.onLine
      ? ["offline", kept ? "Offline; works all the same" : "Offline"]
      : kept
        ? ["kept", "Kept for offline use"]
        : ["none", "Not yet kept for offline use"];
    byId("offline-state").dataset.state = state;
    byId("offline-state").textContent = text;
  };
  addEventListener("online", tell);
  addEventListener("offline", tell);
  tell();
  if (!navigator.serviceWorker) return;
  try {
    const registration = await navigator.serviceWorker.register(new URL("service_worker.js", BASE), { updateViaCache: "none" });
    if (!registration) throw new Error("this browser does not let it");
    offerUpdates(registration);
    await navigator.serviceWorker.ready;
    kept = true;
    tell();
    changed();
  } catch (error) {
    byId("offline-state").textContent = `Cannot be kept for offline use: ${reason(error)}`;
  }
}

/** Whether a file of the release is on this device. */
export async function isKept(path) {
  return Boolean(await globalThis.caches?.match(new URL(path, BASE)));
}

/** Have a file of the release kept; in vain where there is no service worker yet, which keeps the default. */
export async function keep(path) {
  const registration = await navigator.serviceWorker?.getRegistration(BASE);
  if (!registration?.active) return;
  await new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = resolve;
    registration.active.postMessage({ keep: path }, [port2]);
    setTimeout(resolve, 10_000);
  });
}

/** A new release waits until the page is told to use it; then every window of the page loads it. */
function offerUpdates(registration) {
  const controlled = Boolean(navigator.serviceWorker.controller);
  const offer = () => {
    if (!registration.waiting || !navigator.serviceWorker.controller) return;
    byId("update").hidden = false;
    byId("update-take").onclick = () => registration.waiting.postMessage({ takeOver: true });
  };
  offer();
  registration.addEventListener("updatefound", () => {
    registration.installing?.addEventListener("statechange", offer);
  });
  if (controlled) {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
  }
}

function reason(error) {
  return error.name === "SecurityError" ? "this page was not opened by https" : error.message;
}
