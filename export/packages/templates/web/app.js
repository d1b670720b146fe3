// The page: an image comes in by file, drop, paste, camera or example; what the model says goes out.
// What the model may be used for is said by its owner: model.intended_use in manifest.json.

import { Background } from "./modules/background.js";
import { Camera } from "./modules/camera.js";
import { fetchChecked } from "./modules/checked_file.js";
import { told } from "./modules/errors.js";
import { HeatMapView } from "./modules/heat_map_view.js";
import { onnxArtifacts, readManifest } from "./modules/manifest.js";
import { ModelChoice } from "./modules/model_choice.js";
import { followOffline, isKept, keep } from "./modules/offline.js";
import { PictureView } from "./modules/picture_view.js";
import { ResultView } from "./modules/result_view.js";
import { offerExamples, takeFiles } from "./modules/sources.js";

const BASE = new URL("./", import.meta.url);
const RUNTIME = new URL("runtime/", BASE);

const byId = (id) => document.getElementById(id);
const background = new Background();
const picture = new PictureView();
const result = new ResultView();
const heat = new HeatMapView();
const camera = new Camera(classify, fail, makeRoom);

let manifest = null;
let choice = null;
let opened = null; // the entry of the model that answers
let opening = Promise.resolve(); // settles when the last choice of a model is loaded or refused
let image = null; // the last that was given
let turn = 0; // of images and models: an answer to an earlier one is dropped

async function start() {
  result.wait("Getting ready: fetching the model and the runtime.");
  manifest = await readManifest(BASE);
  choice = new ModelChoice(onnxArtifacts(manifest), use);
  offerExamples(manifest, BASE, classify, fail);
  await use(onnxArtifacts(manifest)[0]);
}

/** Load a model; the one before stays where this fails. An image that is shown is classified again. */
function use(artifact) {
  opening = opening.then(() => open(artifact));
  return opening;
}

async function open(artifact) {
  const mine = ++turn;
  hideFault();
  result.wait(`Loading ${artifact.path}.`);
  try {
    const bytes = await fetchChecked(artifact.files[0], BASE);
    await background.open(manifest, artifact, bytes, RUNTIME);
    opened = artifact;
  } catch (error) {
    fail(error);
  }
  choice.show(opened);
  await keep(artifact.files[0].path);
  await showKept();
  if (mine !== turn) return;
  if (opened && image) await answer(image, mine);
  else result.idle(opened ? "Ready. Choose an image." : "No model is loaded.");
}

/** Classify an image file; it takes the place of the one before at once. */
async function classify(file) {
  const mine = ++turn;
  hideFault();
  image = file;
  heat.clear();
  picture.show(file);
  result.wait("Looking at the image.");
  await opening;
  if (mine !== turn) return;
  if (opened) await answer(file, mine);
  else result.idle("No model is loaded.");
}

async function answer(file, mine) {
  try {
    const found = await background.classify(file);
    if (mine !== turn) return;
    picture.describe(file, found);
    result.show(found, opened, manifest.model);
    heat.show(found, manifest.model);
  } catch (error) {
    if (mine !== turn) return;
    image = null;
    picture.clear();
    heat.clear();
    result.idle("No answer.");
    fail(error);
  }
}

/** The camera takes the place of the image. */
function makeRoom() {
  turn++;
  image = null;
  hideFault();
  picture.clear();
  heat.clear();
  result.idle("Take the picture.");
}

async function showKept() {
  for (const artifact of onnxArtifacts(manifest)) {
    choice.mark(artifact, await isKept(artifact.files[0].path));
  }
}

function fail(error) {
  const { kind, message } = told(error);
  byId("fault").dataset.kind = kind;
  byId("fault-message").textContent = message;
  byId("fault").hidden = false;
}

function hideFault() {
  byId("fault").hidden = true;
}

byId("fault-close").addEventListener("click", () => {
  hideFault();
  byId("image-heading").focus();
});
takeFiles((file) => {
  camera.stop();
  classify(file);
});
followOffline(async () => {
  if (opened) await keep(opened.files[0].path);
  if (choice) await showKept();
});
start().catch((error) => {
  result.idle("Nothing can be classified.");
  fail(error);
});
