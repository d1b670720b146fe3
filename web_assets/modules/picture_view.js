// The image as it is shown: upright, its name and size below.

export class PictureView {
  #figure = document.getElementById("figure");
  #picture = document.getElementById("picture");
  #name = document.getElementById("picture-name");
  #drop = document.getElementById("drop");
  #choose = document.getElementById("choose");
  #url = null;

  constructor() {
    this.#picture.addEventListener("load", () => {
      const ratio = this.#picture.naturalWidth / this.#picture.naturalHeight;
      this.#picture.parentElement.style.setProperty("--ratio", String(ratio));
    });
  }

  /** Show an image file in place of the one before. */
  show(file) {
    const focused = document.activeElement === this.#drop;
    this.#release();
    this.#url = URL.createObjectURL(file);
    this.#picture.src = this.#url;
    this.#picture.alt = `The image: ${file.name || "a picture"}`;
    this.#name.textContent = file.name || "A picture";
    this.#figure.hidden = false;
    this.#choose.hidden = false;
    this.#drop.hidden = true;
    if (focused) this.#choose.focus();
  }

  /** Say how large it is, once that is known. */
  describe(file, { width, height }) {
    this.#name.textContent = `${file.name || "A picture"}, ${width} x ${height} pixels`;
  }

  clear() {
    this.#release();
    this.#figure.hidden = true;
    this.#choose.hidden = true;
    this.#drop.hidden = false;
  }

  #release() {
    if (this.#url) URL.revokeObjectURL(this.#url);
    this.#url = null;
    this.#picture.removeAttribute("src");
  }
}
