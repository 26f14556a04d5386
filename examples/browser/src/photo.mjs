// A photo that a person gave: read, bounded, and resized for the network.

const LARGEST_FILE = 60e6;
const LARGEST_AREA = 100e6;
const SMALLEST_SIDE = 8;

/** Return `{bitmap, name, type}`, upright and in sRGB; throws an Error that says what to do. */
export async function readPhoto(file) {
  if (file.size > LARGEST_FILE) throw new Error(`${file.name} has ${Math.round(file.size / 1e6)} MB: take a file of up to 60`);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { premultiplyAlpha: "none" });
  } catch {
    throw new Error(`${file.name || "this"} is no picture that your browser can read: take a JPEG, PNG or WebP`);
  }
  if (Math.min(bitmap.width, bitmap.height) < SMALLEST_SIDE || bitmap.width * bitmap.height > LARGEST_AREA) {
    const size = `${bitmap.width} × ${bitmap.height}`;
    bitmap.close();
    throw new Error(`a picture of ${size} pixels cannot be styled here: each side needs 8 or more, and 100 megapixels are the most`);
  }
  return { bitmap, name: (file.name || "photo").replace(/\.[^.]*$/, ""), type: file.type };
}

/** Return width and height with the longest side at most `longest`; never enlarged. */
export function fitted(width, height, longest) {
  const factor = Math.min(1, longest / Math.max(width, height));
  return [width, height].map((side) => Math.max(SMALLEST_SIDE, Math.round(side * factor)));
}

/** Return a copy of a picture or video frame with its longest side at most `longest`. */
export function shrunk(source, width, height, longest) {
  const [resizeWidth, resizeHeight] = fitted(width, height, longest);
  const options = { premultiplyAlpha: "none" };
  if (resizeWidth === width && resizeHeight === height) return createImageBitmap(source, options);
  return createImageBitmap(source, { ...options, resizeWidth, resizeHeight, resizeQuality: "high" });
}
