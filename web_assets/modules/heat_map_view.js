// The evidence over the image, with its legend, its controls, and its numbers as text.

import { against, fullScale, heatMap, strongest } from "./evidence.js";
import { shownOf } from "./resize.js";

const byId = (id) => document.getElementById(id);

export class HeatMapView {
  #evidence = null;
  #labels = [];
  #shown = null;

  constructor() {
    byId("map-class").addEventListener("change", () => this.#draw());
    byId("map-opacity").addEventListener("input", () => this.#fade());
    this.#fade();
  }

  /**
   * @param {object} found as `Classifier.classify` gives it; nothing is drawn where it has no evidence
   * @param {{labels: string[], input: object}} model of the manifest
   */
  show(found, { labels, input }) {
    if (!found.evidence) return this.clear();
    this.#evidence = found.evidence;
    this.#labels = labels;
    this.#shown = shownOf(found, input);
    byId("map-class").replaceChildren(...labels.map((label, i) => new Option(label, String(i), i === found.index, i === found.index)));
    byId("map-controls").hidden = false;
    byId("heat").hidden = false;
    return this.#draw();
  }

  clear() {
    this.#evidence = null;
    byId("map-controls").hidden = true;
    byId("heat").hidden = true;
  }

  #draw() {
    const { rows, columns } = this.#evidence;
    const index = Number(byId("map-class").value);
    const map = against(this.#evidence, index);
    const canvas = byId("heat");
    canvas.getContext("2d", { willReadFrequently: true }).putImageData(heatMap(map, rows, columns, canvas.width, canvas.height, this.#shown), 0, 0);
    const full = fullScale(map);
    byId("legend-low").textContent = `${logits(-full)} against`;
    byId("legend-high").textContent = `for ${logits(full)}`;
    const most = strongest(map, columns);
    byId("map-told").textContent =
      `Most evidence for ${this.#labels[index]}: row ${most.row} of ${rows}, column ${most.column} of ${columns}, ` +
      `counted from the top left: ${logits(most.value)} logits.`;
    byId("map-table").replaceChildren(...tableOf(map, rows, columns, this.#labels[index]));
  }

  #fade() {
    byId("heat").style.opacity = String(Number(byId("map-opacity").value) / 100);
  }
}

function tableOf(map, rows, columns, label) {
  const caption = document.createElement("caption");
  caption.textContent = `Logits for ${label}, by row and column`;
  const head = document.createElement("tr");
  head.append(document.createElement("td"), ...Array.from({ length: columns }, (_, i) => heading(i + 1, "col")));
  const lines = Array.from({ length: rows }, (_, y) => {
    const line = document.createElement("tr");
    const cells = Array.from(map.subarray(y * columns, (y + 1) * columns), (value) => {
      const cell = document.createElement("td");
      cell.textContent = logits(value);
      return cell;
    });
    line.append(heading(y + 1, "row"), ...cells);
    return line;
  });
  return [caption, head, ...lines];
}

function heading(number, scope) {
  const cell = document.createElement("th");
  cell.scope = scope;
  cell.textContent = String(number);
  return cell;
}

function logits(value) {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)}`;
}
