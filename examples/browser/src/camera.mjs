// The webcam: always the newest frame, and how many a second come out.
import { shrunk } from "./photo.mjs";

export class Camera {
  #stream = null;
  #video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  #times = [];

  get running() {
    return this.#stream !== null;
  }

  /** Ask for the camera. */
  async open() {
    if (!navigator.mediaDevices) throw new Error("This browser gives no camera to a page that is not https or localhost.");
    this.#stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
    this.#video.srcObject = this.#stream;
    await this.#video.play();
    this.#times = [];
  }

  /** Call `paint(bitmap)` for one frame after another until stopped; `told` gets frames a second. */
  async run(longest, paint, told) {
    while (this.running) {
      const { videoWidth, videoHeight } = this.#video;
      await paint(await shrunk(this.#video, videoWidth, videoHeight, longest()));
      told(this.#rate());
    }
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
  }

  /** Return frames a second over the last 30. */
  #rate() {
    this.#times = [...this.#times.slice(-30), performance.now()];
    const count = this.#times.length - 1;
    return count ? (1000 * count) / (this.#times[count] - this.#times[0]) : 0;
  }
}
