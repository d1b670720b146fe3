// The choice of a model: each published precision with its size, and whether it is kept here.

const MEANING = {
  fp32: "Weights as trained.",
  fp16: "Weights in 16 bits, unpacked when loaded.",
  int8: "Weights and arithmetic in 8 bits.",
  w4: "Weights in 4 bits, unpacked when loaded.",
  w3: "Weights in 3 bits in the mean, unpacked when loaded.",
};

export class ModelChoice {
  #marks = new Map();
  #inputs = new Map();

  /** @param {(artifact: object) => void} choose called with what is chosen */
  constructor(artifacts, choose) {
    const set = document.getElementById("models");
    for (const artifact of artifacts) {
      const label = document.createElement("label");
      label.className = "choice";
      const input = document.createElement("input");
      input.type = "radio";
      input.name = "model";
      input.value = artifact.path;
      input.addEventListener("change", () => choose(artifact));
      const name = document.createElement("span");
      name.textContent = artifact.precision;
      const size = document.createElement("span");
      size.className = "size";
      size.textContent = `${Math.ceil(artifact.size_bytes / 1000).toLocaleString("en")} KB`;
      const note = document.createElement("small");
      label.append(input, name, size, note);
      set.append(label);
      this.#inputs.set(artifact.path, input);
      this.#marks.set(artifact.path, note);
      this.mark(artifact, false);
    }
  }

  /** Check the one that answers; none where none does. */
  show(artifact) {
    for (const [path, input] of this.#inputs) input.checked = path === artifact?.path;
  }

  mark(artifact, kept) {
    const accuracy = artifact.accuracy?.auroc ? ` AUROC ${artifact.accuracy.auroc.toFixed(4)}.` : "";
    this.#marks.get(artifact.path).textContent =
      `${MEANING[artifact.precision] ?? ""}${accuracy}${kept ? " Kept for offline use." : ""}`;
  }
}
