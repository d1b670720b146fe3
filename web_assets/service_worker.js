// Keeps one release on the device, whole: every file is hashed before it is kept, and what is served
// is of that release alone. A new release is another file `files.js`: it is kept beside the old one,
// takes its place as a whole when the page says so, and the old one is thrown away.

/* global RELEASE */
importScripts("files.js"); // RELEASE: {id, policy, files: {path: {sha256, kept}}}

const PREFIX = `image classifier at ${self.registration.scope}: `;
const CACHE = PREFIX + RELEASE.id;
const TYPES = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  json: "application/json",
  webmanifest: "application/manifest+json",
  svg: "image/svg+xml",
  png: "image/png",
  jpg: "image/jpeg",
  txt: "text/plain; charset=utf-8",
};

self.addEventListener("install", (event) => event.waitUntil(keepRelease()));
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));
self.addEventListener("fetch", (event) => {
  const path = pathOf(event.request);
  if (path !== null) event.respondWith(answer(path));
});
self.addEventListener("message", (event) => {
  if (event.data?.takeOver) self.skipWaiting();
  const path = event.data?.keep;
  if (path in RELEASE.files) {
    const done = answer(path).finally(() => event.ports[0]?.postMessage("done"));
    event.waitUntil(done);
  }
});

async function keepRelease() {
  const cache = await caches.open(CACHE);
  const wanted = Object.keys(RELEASE.files).filter((path) => RELEASE.files[path].kept);
  try {
    await Promise.all(
      wanted.map(async (path) => {
        const response = await fetched(path);
        if (!response.ok) throw new Error(`${path} is not the file of this release`);
        await cache.put(address(path), response);
      }),
    );
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

async function takeOver() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** The path in the release that a request asks for; null if it is none of ours. */
function pathOf(request) {
  const scope = self.registration.scope;
  const { origin, pathname } = new URL(request.url);
  const asked = origin + pathname;
  if (request.method !== "GET" || !asked.startsWith(scope)) return null;
  const path = decodeURIComponent(asked.slice(scope.length)) || "index.html";
  return path in RELEASE.files ? path : null;
}

/** From the device; else from the server, and then it is kept. */
async function answer(path) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(address(path));
  if (kept) return kept;
  let response;
  try {
    response = await fetched(path);
  } catch {
    return Response.error();
  }
  if (response.ok) await cache.put(address(path), response.clone());
  return response;
}

/** A file from the server; status 409 if it is not the one of this release. */
async function fetched(path) {
  const response = await fetch(address(path), { cache: "no-cache" });
  if (!response.ok) return response;
  const bytes = await response.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== RELEASE.files[path].sha256) return new Response(null, { status: 409 });
  const headers = {
    "Content-Type": TYPES[path.split(".").at(-1)] ?? "application/octet-stream",
    "Content-Security-Policy": RELEASE.policy, // workers do not take it over from their page
    "X-Content-Type-Options": "nosniff",
  };
  return new Response(bytes, { headers });
}

function address(path) {
  return new URL(path, self.registration.scope).href;
}
