// Serves dist/ on this machine alone, with the two headers that let a page use threads: npm run serve [port].
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const dist = join(dirname(fileURLToPath(import.meta.url)), "dist");
const port = Number(process.argv[2] ?? 8000);
const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".jpg": "image/jpeg",
  ".wasm": "application/wasm",
  ".onnx": "application/octet-stream",
};

createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname)).replace(/\/$/, "/index.html");
  const file = join(dist, path);
  const found = file.startsWith(dist) && statSync(file, { throwIfNoEntry: false })?.isFile();
  response.writeHead(found ? 200 : 404, {
    "Content-Type": TYPES[extname(file)] ?? "text/plain",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
  });
  if (found) createReadStream(file).pipe(response);
  else response.end("not found");
}).listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${port}`));
