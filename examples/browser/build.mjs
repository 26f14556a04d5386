// Puts the page together in dist/: its own files, onnxruntime-web, and the styles, which Python exports.
//
//   npm run build                                  the swift styles that come with stylenet
//   npm run build -- udnie ../my_style.safetensors these styles
//
// PYTHON names the interpreter that has stylenet and its extra `export`; it is python3 otherwise.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");

// Two builds of the runtime: for WebAssembly alone, and the larger one that can use WebGPU. A browser loads one of them.
const RUNTIME = [
  "ort.wasm.min.mjs",
  "ort-wasm-simd-threaded.mjs",
  "ort-wasm-simd-threaded.wasm",
  "ort.webgpu.min.mjs",
  "ort-wasm-simd-threaded.asyncify.mjs",
  "ort-wasm-simd-threaded.asyncify.wasm",
];

rmSync(dist, { recursive: true, force: true });
cpSync(join(here, "src"), dist, { recursive: true });
cpSync(join(here, "example.jpg"), join(dist, "example.jpg"));
mkdirSync(join(dist, "ort"));
for (const name of RUNTIME) {
  cpSync(join(here, "node_modules", "onnxruntime-web", "dist", name), join(dist, "ort", name));
}

const styles = process.argv.slice(2).map((style) => (style.endsWith(".safetensors") ? resolve(style) : style));
const script = [join(here, "export_styles.py"), "--output", join(dist, "styles"), ...styles];
const { status, error } = spawnSync(process.env.PYTHON ?? "python3", script, { stdio: "inherit" });
if (status !== 0) {
  if (error) console.error(`cannot run Python (${error.message}): set PYTHON to one that has stylenet`);
  process.exit(1);
}
console.log(`built: ${dist}`);
