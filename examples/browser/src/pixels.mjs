// Between a canvas's bytes (RGBA, row by row) and the network's values ([3, height, width], RGB, 0..1).

/** Return RGBA bytes as planar RGB values in 0..1. */
export function toPlanes(rgba) {
  const area = rgba.length / 4;
  const planes = new Float32Array(3 * area);
  for (let pixel = 0, byte = 0; pixel < area; pixel += 1, byte += 4) {
    planes[pixel] = rgba[byte] / 255;
    planes[area + pixel] = rgba[byte + 1] / 255;
    planes[2 * area + pixel] = rgba[byte + 2] / 255;
  }
  return planes;
}

/** Return planar values as RGBA bytes, with the transparency of `rgba`. Values are rounded and cut to 0..255. */
export function toBytes(planes, rgba) {
  const area = rgba.length / 4;
  const bytes = new Uint8ClampedArray(rgba.length);
  for (let pixel = 0, byte = 0; pixel < area; pixel += 1, byte += 4) {
    bytes[byte] = planes[pixel] * 255;
    bytes[byte + 1] = planes[area + pixel] * 255;
    bytes[byte + 2] = planes[2 * area + pixel] * 255;
    bytes[byte + 3] = rgba[byte + 3];
  }
  return bytes;
}

/**
 * Return the photo (RGBA bytes) and the styled picture (planar values) mixed in Oklab (Björn Ottosson, "A perceptual color
 * space for image processing", 2020), as `stylenet stylize --strength` does: 0 is the photo, 1 the styled picture.
 */
export function mix(photo, planes, strength) {
  if (strength <= 0) return photo;
  const area = photo.length / 4;
  const mixed = new Uint8ClampedArray(photo.length);
  for (let pixel = 0, byte = 0; pixel < area; pixel += 1, byte += 4) {
    const from = toOklab(photo[byte] / 255, photo[byte + 1] / 255, photo[byte + 2] / 255);
    const to = toOklab(planes[pixel], planes[area + pixel], planes[2 * area + pixel]);
    fromOklab(from.map((value, index) => value + strength * (to[index] - value)), mixed, byte);
    mixed[byte + 3] = photo[byte + 3];
  }
  return mixed;
}

// IEC 61966-2-1.
function decoded(value) {
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

function encoded(linear) {
  const value = Math.min(1, Math.max(0, linear));
  return 255 * (value <= 0.0031308 ? value * 12.92 : 1.055 * value ** (1 / 2.4) - 0.055);
}

function toOklab(red, green, blue) {
  const [r, g, b] = [decoded(red), decoded(green), decoded(blue)];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s,
  ];
}

function fromOklab([lightness, a, b], bytes, start) {
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  bytes[start] = encoded(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
  bytes[start + 1] = encoded(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
  bytes[start + 2] = encoded(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s);
}
