// The camera: started, looked through, and one picture taken. The picture goes to the model on this
// device and nowhere else; the camera is off again as soon as it is taken.

import { ClassifierError } from "./errors.js";

const byId = (id) => document.getElementById(id);
const REASONS = {
  NotAllowedError: "The camera was refused. Allow it in the settings of this page, or choose an image file.",
  NotFoundError: "This device has no camera that the page can use. Choose an image file.",
  NotReadableError: "The camera is in use by another program. Close that one, or choose an image file.",
};

export class Camera {
  #stream = null;
  #fail;

  /**
   * @param {(file: File) => void} take called with a picture
   * @param {(error: Error) => void} fail
   * @param {() => void} started the place of the image is needed
   */
  constructor(take, fail, started) {
    this.#fail = fail;
    byId("camera-start").addEventListener("click", () => this.#start(started));
    byId("camera-stop").addEventListener("click", () => {
      this.stop();
      byId("camera-start").focus();
    });
    byId("camera-take").addEventListener("click", async () => {
      try {
        take(await this.#picture());
      } catch (error) {
        this.#fail(new ClassifierError("camera", `No picture could be taken (${error.message}). Choose an image file.`));
      }
      this.stop();
      byId("camera-start").focus();
    });
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    byId("video").srcObject = null;
    byId("camera").hidden = true;
    byId("sources").hidden = false;
    byId("drop").hidden = !byId("figure").hidden;
  }

  async #start(started) {
    try {
      if (!navigator.mediaDevices?.getUserMedia) {
        throw new ClassifierError("camera", "This browser gives no page the camera here (it wants https). Choose an image file.");
      }
      this.#stream = await navigator.mediaDevices.getUserMedia({
        audio: false,
        video: { facingMode: "environment", width: { ideal: 1920 }, height: { ideal: 1080 } },
      });
      started();
      byId("drop").hidden = true;
      byId("sources").hidden = true;
      byId("camera-take").disabled = true; // until there is something to take
      byId("camera").hidden = false;
      byId("video").srcObject = this.#stream;
      await byId("video").play();
      byId("camera-take").disabled = false;
      byId("camera-take").focus();
    } catch (error) {
      this.stop();
      const said = REASONS[error.name] ?? `The camera cannot be used (${error.message}). Choose an image file.`;
      this.#fail(error instanceof ClassifierError ? error : new ClassifierError("camera", said, { cause: error }));
    }
  }

  async #picture() {
    const video = byId("video");
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    canvas.getContext("2d", { alpha: false }).drawImage(video, 0, 0);
    return new File([await canvas.convertToBlob({ type: "image/png" })], "camera picture");
  }
}
