// Sends the newest frame of the webcam when one has come back; three are on the way, so that the network never waits for the camera.
const element = (id) => document.getElementById(id);
const [style, size, button, canvas] = ["style", "size", "camera", "picture"].map(element);
const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
const ON_THE_WAY = 3;
let stream = null;
let [times, sent, drawn] = [[], 0, 0];

const say = (text) => (element("status").textContent = text);

/** Send the newest frame, draw what comes back, and go on until the camera is off or on anew. */
async function keepSending(mine) {
  const grab = new OffscreenCanvas(1, 1);
  while (stream === mine) {
    const number = (sent += 1);
    const frame = await grabbed(grab);
    const answer = await fetch(`/live-frames/${encodeURIComponent(style.value)}`, { method: "POST", body: frame }).catch(() => null);
    if (stream !== mine) return;
    if (!answer?.ok) {
      stop();
      say(answer ? await answer.text() : "The server is gone: start it again.");
      return;
    }
    const bitmap = await createImageBitmap(await answer.blob());
    // Where the camera was switched off meanwhile, it would take the place of the word that says so.
    if (number > drawn && stream === mine) draw(bitmap);
    drawn = Math.max(drawn, number);
    bitmap.close();
  }
}

function grabbed(grab) {
  const factor = Math.min(1, Number(size.value) / Math.max(video.videoWidth, video.videoHeight));
  grab.width = Math.round(video.videoWidth * factor);
  grab.height = Math.round(video.videoHeight * factor);
  grab.getContext("2d", { willReadFrequently: true }).drawImage(video, 0, 0, grab.width, grab.height);
  return grab.convertToBlob({ type: "image/jpeg", quality: 0.85 });
}

function draw(bitmap) {
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  times = [...times.slice(-60), performance.now()];
  const rate = (1000 * (times.length - 1)) / (times.at(-1) - times[0] || Infinity);
  canvas.dataset.rate = rate;
  if (times.length > 2) say(`${canvas.width} × ${canvas.height}, ${rate.toFixed(1)} frames a second`);
}

async function start() {
  if (!navigator.mediaDevices) return say("This browser gives no camera to a page that is not https or localhost.");
  say("Waiting for the camera …");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 }, frameRate: { ideal: 30 } }, audio: false });
  } catch {
    return say("The camera was not allowed: allow it in your browser's settings.");
  }
  video.srcObject = stream;
  await video.play();
  times = [];
  for (let lane = 0; lane < ON_THE_WAY; lane += 1) keepSending(stream);
  show();
}

function stop() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  show();
}

function show() {
  button.textContent = `Switch the camera ${stream ? "off" : "on"}`;
  element("status").setAttribute("aria-live", stream ? "off" : "polite");
}

for (const name of await (await fetch("/live-styles")).json()) style.add(new Option(name.replaceAll("_", " "), name));
button.addEventListener("click", () => (stream ? (stop(), say("Stopped.")) : start()));
window.addEventListener("pagehide", stop);
say("Choose a style and switch the camera on. A swift style is quickest.");
document.body.dataset.ready = "";
