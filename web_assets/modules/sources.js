// Where images come from, but for the camera: a file that is chosen, dropped or pasted, or an example.

import { ClassifierError } from "./errors.js";

/** Call `take` with each image file that is given. */
export function takeFiles(take) {
  const input = document.getElementById("file");
  const first = (list) => list?.length && take(list[0]);
  for (const id of ["drop", "choose"]) {
    document.getElementById(id).addEventListener("click", () => input.click());
  }
  input.addEventListener("change", () => {
    first(Array.from(input.files));
    input.value = ""; // the same file again is a choice, too
  });
  document.addEventListener("paste", (event) => first(event.clipboardData?.files));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    first(event.dataTransfer?.files);
  });
}

/** Offer the pictures that the owner of the model names, those that the release has. */
export function offerExamples(manifest, base, take, fail) {
  const list = document.getElementById("example-list");
  for (const example of manifest.model.owner.examples) {
    const file = manifest.files.find(({ path }) => path === example.file);
    if (!file) continue;
    const picture = new Image(72, 72);
    picture.src = new URL(file.path, base);
    picture.alt = "";
    const caption = document.createElement("span");
    caption.textContent = example.caption;
    const button = document.createElement("button");
    button.type = "button";
    button.append(picture, caption);
    button.addEventListener("click", async () => {
      try {
        const response = await fetch(picture.src);
        if (!response.ok) throw new Error(`status ${response.status}`);
        take(new File([await response.blob()], file.path.split("/").at(-1)));
      } catch (error) {
        fail(new ClassifierError("offline", `The example cannot be fetched: ${error.message}. Choose an image of your own.`));
      }
    });
    const item = document.createElement("li");
    item.append(button);
    list.append(item);
  }
  document.getElementById("examples").hidden = !list.childElementCount;
}
