// What the model says, in words, numbers and bars, and which file said it.

const PERCENT = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const byId = (id) => document.getElementById(id);

export class ResultView {
  /** Something is at work: say what. */
  wait(what) {
    this.#say(what, true);
  }

  /** Nothing is at work, and there is no answer. */
  idle(what) {
    this.#say(what, false);
  }

  /**
   * @param {object} found as `Classifier.classify` gives it
   * @param {object} artifact the manifest's entry of the model that answered
   * @param {object} model of the manifest
   */
  show(found, artifact, model) {
    const label = element("strong", found.label);
    const said = element("span", `with a probability of ${PERCENT.format(found.probability)}`);
    byId("verdict").replaceChildren(label, said);
    byId("verdict").classList.remove("quiet");
    byId("bars").replaceChildren(...model.labels.map((name, i) => bar(name, i, found, model)));
    byId("rule").textContent = ruleOf(model);
    byId("facts").replaceChildren(...facts(found, artifact).flatMap(([name, value]) => [element("dt", name), element("dd", value)]));
    byId("busy").hidden = true;
    byId("details").hidden = false;
  }

  #say(what, busy) {
    byId("verdict").textContent = what;
    byId("verdict").classList.add("quiet");
    byId("busy").hidden = !busy;
    byId("details").hidden = true;
  }
}

function bar(name, index, found, model) {
  const said = element("div", "");
  said.className = "said";
  said.append(element("span", name), element("span", PERCENT.format(found.probabilities[index])));
  const track = element("div", "");
  track.className = "track";
  const filled = element("i", "");
  filled.style.width = `${found.probabilities[index] * 100}%`;
  track.append(filled);
  if (name === model.positive && model.threshold !== null) {
    const mark = element("b", "");
    mark.style.left = `${model.threshold * 100}%`;
    track.append(mark);
  }
  const item = document.createElement("li");
  item.className = index === found.index ? "chosen" : "";
  item.append(said, track);
  return item;
}

function ruleOf(model) {
  const rule =
    model.positive === null || model.threshold === null
      ? "The most probable label is the answer."
      : `The answer is ${model.positive} from a probability of ${PERCENT.format(model.threshold)} on (the mark).`;
  const error = model.metrics.calibration_error?.value ?? model.metrics.calibration_error;
  return typeof error === "number"
    ? `${rule} On the validation images the probabilities of the fp32 model are off by ${PERCENT.format(error)} in the mean.`
    : rule;
}

function facts(found, artifact) {
  return [
    ["One inference", `${found.milliseconds.toFixed(1)} ms, the median of ${found.runs}, on this device`],
    ["Model file", `${artifact.path}, ${artifact.precision}`],
    ["Its SHA-256", `${artifact.files[0].sha256.slice(0, 12)}…, checked`],
  ];
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
