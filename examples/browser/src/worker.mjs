// The network runs here, so that the page stays quick to the touch. One picture at a time, in the order of asking.
import { describe, run } from "./engine.mjs";
import { toBytes, toPlanes } from "./pixels.mjs";

const wanted = new URL(self.location.href).searchParams.get("engine");
let last = Promise.resolve();

self.onmessage = ({ data }) => {
  last = last.then(() => answer(data));
};

async function answer({ id, style, bitmap }) {
  try {
    if (!style) return self.postMessage({ id, ...(await describe(wanted)) });
    const began = performance.now();
    const { width, height } = bitmap;
    const { data: rgba } = pixelsOf(bitmap);
    const values = await run(style, toPlanes(rgba), width, height, wanted);
    const bytes = toBytes(values, rgba);
    const seconds = (performance.now() - began) / 1000;
    const answer = { id, width, height, seconds, photo: rgba, styled: bytes, planes: values };
    return self.postMessage(answer, [rgba.buffer, bytes.buffer, values.buffer]);
  } catch (error) {
    return self.postMessage({ id, error: String(error?.message ?? error) });
  } finally {
    bitmap?.close();
  }
}

function pixelsOf(bitmap) {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, bitmap.width, bitmap.height);
}
