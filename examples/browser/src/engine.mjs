// onnxruntime-web: which of its builds this browser gets, and one session for each style.

const here = new URL("./", import.meta.url);
const sessions = new Map();
let starting;

/** Return the runtime, loaded once: WebGPU where there is an adapter, else WebAssembly, with threads where the page may. */
function start(wanted) {
  starting ??= (async () => {
    const adapter = wanted === "wasm" ? null : await navigator.gpu?.requestAdapter().catch(() => null);
    const ort = await import(adapter ? "./ort/ort.webgpu.min.mjs" : "./ort/ort.wasm.min.mjs");
    const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 8) : 1;
    ort.env.wasm.wasmPaths = new URL("ort/", here).href;
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = "error";
    return { ort, provider: adapter ? "webgpu" : "wasm", threads };
  })();
  return starting;
}

/** Return what pictures are computed with, in words that the page shows. */
export async function describe(wanted) {
  const { provider, threads } = await start(wanted);
  return { provider, threads };
}

async function session(style, wanted) {
  const { ort, provider } = await start(wanted);
  if (!sessions.has(style)) {
    const opened = fetch(new URL(`styles/${style}`, here)).then(async (response) => {
      if (!response.ok) throw new Error(`the style ${style} is missing on this web host (${response.status})`);
      const network = new Uint8Array(await response.arrayBuffer());
      return ort.InferenceSession.create(network, { executionProviders: [provider], logSeverityLevel: 3 });
    });
    sessions.set(style, opened);
    opened.catch(() => sessions.delete(style)); // so that the next try asks again
  }
  return sessions.get(style);
}

/** Return `planes` ([3, height, width], RGB, 0..1) in a style. */
export async function run(style, planes, width, height, wanted) {
  const { ort } = await start(wanted);
  const opened = await session(style, wanted);
  const photo = new ort.Tensor("float32", planes, [1, 3, height, width]);
  const { styled } = await opened.run({ photo });
  const values = await styled.getData();
  photo.dispose();
  return values;
}
