// Sends the newest frame of the webcam when one has come back; two are on the way, so that the network never waits for the camera.
const element = (id) => document.getElementById(id);
const [style, size, button, canvas] = ["style", "size", "camera", "picture"].map(element);
const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
const grab = document.createElement("canvas");
const ON_THE_WAY = 2;
let stream = null;
let socket = null;
let times = [];

const say = (text) => (element("status").textContent = text);

function send() {
  if (!stream || socket?.readyState !== WebSocket.OPEN) return;
  const factor = Math.min(1, Number(size.value) / Math.max(video.videoWidth, video.videoHeight));
  grab.width = Math.round(video.videoWidth * factor);
  grab.height = Math.round(video.videoHeight * factor);
  grab.getContext("2d").drawImage(video, 0, 0, grab.width, grab.height);
  grab.toBlob((blob) => socket?.readyState === WebSocket.OPEN && socket.send(blob), "image/jpeg", 0.85);
}

async function receive({ data }) {
  if (typeof data === "string") {
    say(JSON.parse(data).error);
    return stop();
  }
  send();
  const bitmap = await createImageBitmap(data);
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  if (!stream) return;
  times = [...times.slice(-60), performance.now()];
  const rate = (1000 * (times.length - 1)) / (times.at(-1) - times[0] || Infinity);
  canvas.dataset.rate = rate;
  if (times.length > 2) say(`${canvas.width} × ${canvas.height}, ${rate.toFixed(1)} frames a second`);
}

async function start() {
  if (!navigator.mediaDevices) return say("This browser gives no camera to a page that is not https or localhost.");
  say("Waiting for the camera …");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
  } catch {
    return say("The camera was not allowed: allow it in your browser's settings.");
  }
  video.srcObject = stream;
  await video.play();
  times = [];
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live-frames`);
  socket.binaryType = "blob";
  socket.onmessage = receive;
  socket.onclose = ({ reason }) => stream && (stop(), say(reason || "The server is gone: start it again."));
  socket.onopen = () => {
    socket.send(style.value);
    for (let frame = 0; frame < ON_THE_WAY; frame += 1) send();
  };
  show();
}

function stop() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  socket?.close();
  socket = null;
  show();
}

function show() {
  button.textContent = stream ? "Stop" : "Camera";
  button.setAttribute("aria-pressed", String(stream !== null));
  element("status").setAttribute("aria-live", stream ? "off" : "polite");
}

for (const name of await (await fetch("/live-styles")).json()) style.add(new Option(name.replaceAll("_", " "), name));
style.addEventListener("change", () => socket?.readyState === WebSocket.OPEN && socket.send(style.value));
button.addEventListener("click", () => (stream ? (stop(), say("Stopped.")) : start()));
window.addEventListener("pagehide", stop);
say("Choose a style and switch the camera on. A swift style is quickest.");
document.body.dataset.ready = "";
