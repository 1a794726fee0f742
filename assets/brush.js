// The brush: a stroke is a polyline swept by a disc. A pixel belongs to it when its centre lies within `radius` of
// the line (float64, `<= radius²`): no anti-aliasing, so the engine paints the very same mask from the same stroke.

/**
 * Sets `value` in `mask` (Uint8Array, height × width, row by row) along `points` ([[x, y], …], source px,
 * pixel centres at integers). Returns the touched rectangle [x0, y0, x1, y1] (x1, y1 exclusive; may be empty).
 */
export function paintStroke(mask, width, height, points, radius, value) {
  const touched = [width, height, 0, 0];
  const first = points.length === 1 ? 0 : 1;
  for (let k = first; k < points.length; k++) {
    const from = points[Math.max(0, k - 1)];
    const rect = capsuleBounds(from, points[k], radius, width, height);
    paintCapsule(mask, width, from, points[k], radius, value, rect);
    touched[0] = Math.min(touched[0], rect[0]);
    touched[1] = Math.min(touched[1], rect[1]);
    touched[2] = Math.max(touched[2], rect[2]);
    touched[3] = Math.max(touched[3], rect[3]);
  }
  return touched;
}

/**
 * Sets `value` in `mask` where the closed polyline `points` winds round a pixel's centre, however often; on an edge the
 * upper and left pixels belong to it. Returns the touched rectangle. The engine fills the very same pixels.
 */
export function fillArea(mask, width, height, points, value) {
  const ys = points.map((point) => point[1]);
  const xs = points.map((point) => point[0]);
  const top = Math.max(0, Math.ceil(Math.min(...ys)));
  const bottom = Math.min(height, Math.ceil(Math.max(...ys)));
  for (let y = top; y < bottom; y++) {
    const crossings = [];
    for (let k = 0; k < points.length; k++) {
      const [ax, ay] = points[k];
      const [bx, by] = points[(k + 1) % points.length];
      if (Math.min(ay, by) <= y && y < Math.max(ay, by)) crossings.push([ax + ((y - ay) * (bx - ax)) / (by - ay), by > ay ? 1 : -1]);
    }
    crossings.sort((a, b) => a[0] - b[0]);
    let winding = 0;
    for (let k = 0; k + 1 < crossings.length; k++) {
      winding += crossings[k][1];
      if (winding === 0) continue;
      const from = Math.min(width, Math.max(0, Math.ceil(crossings[k][0])));
      const to = Math.min(width, Math.max(0, Math.ceil(crossings[k + 1][0])));
      if (to > from) mask.fill(value, y * width + from, y * width + to);
    }
  }
  const left = Math.max(0, Math.ceil(Math.min(...xs)));
  return [left, top, Math.min(width, Math.ceil(Math.max(...xs))), bottom];
}

function capsuleBounds([ax, ay], [bx, by], radius, width, height) {
  return [
    Math.max(0, Math.floor(Math.min(ax, bx) - radius)),
    Math.max(0, Math.floor(Math.min(ay, by) - radius)),
    Math.min(width, Math.ceil(Math.max(ax, bx) + radius) + 1),
    Math.min(height, Math.ceil(Math.max(ay, by) + radius) + 1),
  ];
}

function paintCapsule(mask, width, [ax, ay], [bx, by], radius, value, [x0, y0, x1, y1]) {
  const dx = bx - ax;
  const dy = by - ay;
  const length = dx * dx + dy * dy;
  const limit = radius * radius;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const px = x - ax;
      const py = y - ay;
      const along = length > 0 ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
      const ex = px - along * dx;
      const ey = py - along * dy;
      if (ex * ex + ey * ey <= limit) mask[y * width + x] = value;
    }
  }
}
