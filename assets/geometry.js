// Coordinates. The only file that converts between the screen and the picture.
//
// Source coordinates: pixels of the clip, origin top left, pixel CENTRES at integers (the engine's convention).
// A view {scale, left, top} says where the picture lies in the stage: `scale` CSS pixels per source pixel,
// `left`/`top` CSS pixels of the picture's top left corner from the stage's.

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** Screen position -> source [x, y]; `rect` is the bounding box of the whole picture on the screen. */
export function clientToSource(clientX, clientY, rect, width, height) {
  const u = ((clientX - rect.left) * width) / rect.width;
  const v = ((clientY - rect.top) * height) / rect.height;
  return [u - 0.5, v - 0.5];
}

/** Source position -> CSS pixels in the stage. */
export function sourceToStage(x, y, view) {
  return [view.left + (x + 0.5) * view.scale, view.top + (y + 0.5) * view.scale];
}

/** Index of the pixel that a source position falls in, kept inside the picture. */
export const pixelIndex = (x, count) => clamp(Math.floor(x + 0.5), 0, count - 1);

/** A position on a grid of 1/32 px: short to send, exact in binary, so page and engine paint the same disc. */
export const onGrid = (value) => Math.round(value * 32) / 32;

/** The whole picture, centred in the stage. */
export function fitView(stageWidth, stageHeight, width, height) {
  const scale = Math.min(stageWidth / width, stageHeight / height);
  return { scale, left: (stageWidth - width * scale) / 2, top: (stageHeight - height * scale) / 2 };
}

/** Scale by `factor`; the source point under stage position (x, y) stays under it. */
export function zoomAt(view, factor, x, y, low, high) {
  const scale = clamp(view.scale * factor, low, high);
  const ratio = scale / view.scale;
  return { scale, left: x - (x - view.left) * ratio, top: y - (y - view.top) * ratio };
}

/** Pan so that some of the picture (40 CSS px, or all of a smaller one) stays in the stage. */
export function keepInside(view, stageWidth, stageHeight, width, height) {
  const marginX = Math.min(40, width * view.scale);
  const marginY = Math.min(40, height * view.scale);
  return {
    scale: view.scale,
    left: clamp(view.left, marginX - width * view.scale, stageWidth - marginX),
    top: clamp(view.top, marginY - height * view.scale, stageHeight - marginY),
  };
}

/** Two dragged corners (source positions) -> [x0, y0, x1, y1] whole pixels, x1 and y1 exclusive, or null if empty. */
export function boxFromCorners([ax, ay], [bx, by], width, height) {
  const x0 = clamp(Math.floor(Math.min(ax, bx) + 0.5), 0, width);
  const y0 = clamp(Math.floor(Math.min(ay, by) + 0.5), 0, height);
  const x1 = clamp(Math.ceil(Math.max(ax, bx) + 0.5), 0, width);
  const y1 = clamp(Math.ceil(Math.max(ay, by) + 0.5), 0, height);
  return x1 - x0 >= 2 && y1 - y0 >= 2 ? [x0, y0, x1, y1] : null;
}

/** Index of the nearest of `points` ([x, y, …]) within `reach` source px of (x, y), or -1. */
export function nearestPoint(points, x, y, reach) {
  let best = -1;
  let bestSquare = reach * reach;
  points.forEach(([px, py], index) => {
    const square = (px - x) ** 2 + (py - y) ** 2;
    if (square <= bestSquare) [best, bestSquare] = [index, square];
  });
  return best;
}

/** Which handle of a box lies within `reach` of (x, y): [-1|0|1, -1|0|1] (0, 0 = inside), or null. Edges in source px. */
export function boxHandle([x0, y0, x1, y1], x, y, reach) {
  const [left, top, right, bottom] = [x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5];
  if (x < left - reach || x > right + reach || y < top - reach || y > bottom + reach) return null;
  const side = (value, low, high) => (Math.abs(value - low) <= reach ? -1 : Math.abs(value - high) <= reach ? 1 : 0);
  return [side(x, left, right), side(y, top, bottom)];
}
