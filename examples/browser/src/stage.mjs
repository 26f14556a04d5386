// The large picture: the photo below, the styled one above it, cut off at the slider.
import { mix } from "./pixels.mjs";

export class Stage {
  #result = null;
  #bytes = null;

  constructor({ frame, before, after, slider }) {
    Object.assign(this, { frame, before, after, slider });
    slider.addEventListener("input", () => this.#cut());
  }

  /** Show the painter's answer, mixed with the photo. */
  show(result, strength) {
    this.#result = result;
    const { width, height } = result;
    for (const canvas of [this.before, this.after]) {
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    }
    this.frame.style.setProperty("--ratio", width / height);
    this.before.getContext("2d").putImageData(new ImageData(result.photo, width, height), 0, 0);
    this.lay(strength);
    this.#cut();
  }

  /** Mix the last result anew. */
  lay(strength) {
    if (!this.#result) return;
    const { width, height, photo, styled, planes } = this.#result;
    this.#bytes = new ImageData(strength < 1 ? mix(photo, planes, strength) : styled, width, height);
    this.after.getContext("2d").putImageData(this.#bytes, 0, 0);
  }

  /** Return the styled picture as a file of this type; PNG where the browser cannot write it. */
  async file(type) {
    const { width, height } = this.#bytes;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(this.#bytes, 0, 0);
    return canvas.convertToBlob({ type, quality: 0.95 });
  }

  #cut() {
    this.frame.style.setProperty("--cut", `${this.slider.value}%`);
  }
}
