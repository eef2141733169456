/** Makes a photo ready to leave the phone: upright, without metadata, 1024 px at most. The original stays here. */

import { Refused } from "./api.js";

const SIDE_MAX = 1024;
const BYTES_MAX = 380_000;
/** Beyond this a browser may not decode a picture at all. */
const FILE_BYTES_MAX = 80 * 2 ** 20;

/** Return {blob, url, width, height}, or raise Refused. */
export async function prepared(file) {
  if (file.size > FILE_BYTES_MAX) throw new Refused("IMAGE_TOO_LARGE", "", 0);
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    throw new Refused("UNSUPPORTED_FORMAT", "", 0);
  }
  const scale = Math.min(1, SIDE_MAX / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  const blob = await encoded(canvas);
  return { blob, url: URL.createObjectURL(blob), width: canvas.width, height: canvas.height };
}

async function encoded(canvas) {
  let blob = null;
  for (const quality of [0.88, 0.78, 0.66, 0.5]) {
    blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
    if (blob && blob.size <= BYTES_MAX) return blob;
  }
  if (!blob) throw new Refused("UNSUPPORTED_FORMAT", "", 0);
  return blob;
}

/** Return the first picture among what was dropped or pasted. */
export function pictureAmong(transfer) {
  const files = [...(transfer?.files ?? [])];
  return files.find((file) => file.type.startsWith("image/")) ?? files[0] ?? null;
}
