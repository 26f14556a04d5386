// The page: what a person does, and what follows from it.
import { Camera } from "./camera.mjs";
import { Painter } from "./painter.mjs";
import { readPhoto, shrunk } from "./photo.mjs";
import { Shelf } from "./shelf.mjs";
import { Stage } from "./stage.mjs";

const THUMBNAIL = 240;
const LARGEST_FRAME = 640;
const WRITABLE = ["image/jpeg", "image/png", "image/webp"];

const element = (id) => document.getElementById(id);
const painter = new Painter(new URLSearchParams(location.search).get("engine"));
const camera = new Camera();
const stage = new Stage({ frame: element("frame"), before: element("before"), after: element("after"), slider: element("compare") });
const size = element("size");
let shelf;
let photo = null;
let painting = null; // the promise of the loop that paints, while there is one
let stale = false;

const strength = () => Number(element("strength").value) / 100;
const say = (text, trouble = false) => {
  element("status").textContent = text;
  element("status").classList.toggle("trouble", trouble);
};

/** Do what was asked and tell a person what went wrong. */
const attempt = (action) => async (...words) => {
  try {
    await action(...words);
  } catch (error) {
    say(error.message, true);
  }
};

function reveal() {
  element("empty").hidden = true;
  element("frame").hidden = false;
  element("save").disabled = camera.running;
}

// --- one photo --------------------------------------------------------------------------------------------------------

/** Paint the photo in the chosen style; asked again meanwhile, paint once more with what is chosen then. */
function repaint() {
  stale = true;
  painting ??= paintWhileStale().finally(() => (painting = null));
  return painting;
}

async function paintWhileStale() {
  while (stale && photo && !camera.running) {
    stale = false;
    const { style } = shelf;
    const { bitmap } = photo;
    say(`Painting ${style.title} …`);
    document.body.setAttribute("aria-busy", "true");
    try {
      const result = await painter.paint(style, await shrunk(bitmap, bitmap.width, bitmap.height, Number(size.value)));
      if (stale || camera.running) continue;
      stage.show(result, strength());
      reveal();
      say(`${style.title}, ${result.width} × ${result.height} pixels in ${result.seconds.toFixed(1)} s`);
    } catch (error) {
      say(`This picture could not be painted (${error.message}): choose a smaller size.`, true);
    } finally {
      document.body.removeAttribute("aria-busy");
    }
  }
}

/** Take a photo: the chosen style first, then a thumbnail in each of the others. */
const take = attempt(async (file) => {
  if (!file) return;
  stopCamera();
  say("Reading …");
  const mine = await readPhoto(file);
  photo?.bitmap.close();
  photo = mine;
  await repaint();
  for (const style of shelf.styles) {
    if (painting) await painting;
    if (photo !== mine || camera.running) return;
    const small = await shrunk(mine.bitmap, mine.bitmap.width, mine.bitmap.height, THUMBNAIL);
    shelf.show(style, await painter.paint(style, small));
  }
});

const takeExample = attempt(async () => {
  const response = await fetch("example.jpg");
  await take(new File([await response.blob()], "example.jpg", { type: "image/jpeg" }));
});

const save = attempt(async () => {
  const blob = await stage.file(WRITABLE.includes(photo?.type) ? photo.type : "image/png");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${photo?.name ?? "camera"}_${shelf.style.name}.${blob.type.split("/")[1].replace("jpeg", "jpg")}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
});

// --- the camera -------------------------------------------------------------------------------------------------------

async function paintFrame(bitmap) {
  const result = await painter.paint(shelf.style, bitmap);
  if (!camera.running) return;
  stage.show(result, strength());
  reveal();
}

function tellRate(rate) {
  if (camera.running && rate) say(`${shelf.style.title}, ${rate.toFixed(1)} frames a second`);
  element("frame").dataset.rate = rate;
}

function stopCamera() {
  if (!camera.running) return;
  camera.stop();
  showCamera();
  say("Stopped. The last frame can be downloaded.");
}

function showCamera() {
  element("camera").setAttribute("aria-pressed", String(camera.running));
  element("camera").textContent = camera.running ? "Stop" : "Camera";
  element("status").setAttribute("aria-live", camera.running ? "off" : "polite");
  element("save").disabled = camera.running;
}

const toggleCamera = attempt(async () => {
  if (camera.running) return stopCamera();
  photo = null;
  if (Number(size.value) > LARGEST_FRAME) size.value = "384";
  try {
    say("Waiting for the camera …");
    await camera.open();
    showCamera();
    await camera.run(() => Math.min(Number(size.value), LARGEST_FRAME), paintFrame, tellRate);
  } catch (error) {
    camera.stop();
    throw error.name === "NotAllowedError" ? new Error("The camera was not allowed: allow it in your browser's settings.") : error;
  } finally {
    showCamera();
  }
});

// --- what starts it ---------------------------------------------------------------------------------------------------

function listen() {
  element("file").addEventListener("change", ({ target }) => take(target.files[0]).then(() => (target.value = "")));
  element("example").addEventListener("click", takeExample);
  element("camera").addEventListener("click", toggleCamera);
  element("save").addEventListener("click", save);
  size.addEventListener("change", () => photo && repaint());
  element("strength").addEventListener("input", () => {
    element("percent").value = `${element("strength").value} %`;
    stage.lay(strength());
  });
  document.addEventListener("paste", ({ clipboardData }) => take(clipboardData.files[0]));
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    take(event.dataTransfer.files[0]);
  });
}

await attempt(async () => {
  const response = await fetch("styles/styles.json");
  if (!response.ok) throw new Error("The styles are missing: run npm run build.");
  shelf = new Shelf(element("shelf"), await response.json(), () => photo && repaint());
  const { provider, threads } = await painter.describe();
  const quick = provider === "webgpu" || threads > 1;
  size.value = provider === "webgpu" ? "1024" : "640";
  const way = provider === "webgpu" ? "WebGPU" : `WebAssembly, ${threads} thread${threads > 1 ? "s" : ""}`;
  element("engine").textContent = quick ? way : `${way}: this web host does not send the headers that allow more`;
  listen();
  document.body.dataset.ready = "";
})();
