// Draws the lane of the timeline that shows how far frames can be believed. Pure drawing, as lanes.js.
// Worse is higher and warmer: the height alone says it, so no colour has to be told apart; the colours are Okabe and Ito's.

export const CHECK = 20; // CSS px
const MARKS = 8; // of it, for the marks of problems
const SHAPES = { severe: triangle, doubtful: diamond, note: dot };

/** Colour of a level 1–9. */
export const levelColour = (level) => (level >= 7 ? "#d55e00" : level >= 4 ? "#e69f00" : "#56b4e9");

/** `review`: lanes and problems (review.js); `next`: the frame that should become an anchor, or null. */
export function drawConfidence(pen, { review, next }, scale, top, theme) {
  const base = top + CHECK - 1;
  pen.fillStyle = theme.line;
  pen.fillRect(scale.left(0), base, scale.left(scale.frames) - scale.left(0), 1);
  if (review?.lanes) drawLevels(pen, review.lanes.worst, scale, base);
  if (next !== null && next !== undefined) drawNext(pen, scale.centre(next), top, theme);
  for (const problem of [...(review?.problems ?? [])].reverse()) drawProblem(pen, problem, review.current, scale, top, theme);
}

function drawLevels(pen, levels, scale, base) {
  const full = CHECK - MARKS;
  for (let start = 0; start < levels.length; ) {
    let stop = start + 1;
    while (stop < levels.length && levels[stop] === levels[start]) stop += 1;
    const level = Number(levels[start]); // NaN where it was not measured
    if (level >= 1) {
      const height = Math.max(1, Math.round((full * level) / 9));
      pen.fillStyle = levelColour(level);
      pen.fillRect(scale.left(start), base - height, scale.left(stop) - scale.left(start), height);
    }
    start = stop;
  }
}

/** A flag on the frame that should become an anchor. */
function drawNext(pen, x, top, theme) {
  pen.fillStyle = theme.text;
  pen.fillRect(x - 0.75, top, 1.5, CHECK - 1);
  pen.beginPath();
  pen.moveTo(x, top);
  pen.lineTo(x + 8, top + 3);
  pen.lineTo(x, top + 6);
  pen.fill();
}

function drawProblem(pen, problem, current, scale, top, theme) {
  if (problem.kind === "next_anchor" && problem !== current) return; // the flag says it
  const [x, y] = [scale.centre(problem.frame), top + MARKS / 2];
  if (problem === current) {
    pen.fillStyle = theme.accent;
    pen.fillRect(scale.left(problem.start), top + CHECK - 2, Math.max(2, scale.left(problem.stop) - scale.left(problem.start)), 2);
  }
  pen.beginPath();
  SHAPES[problem.level](pen, x, y, problem === current ? 5 : 4);
  pen.fillStyle = problem === current ? theme.accent : theme.text;
  pen.fill();
  pen.lineWidth = 1;
  pen.strokeStyle = theme.ground;
  pen.stroke();
}

function triangle(pen, x, y, r) {
  pen.moveTo(x, y - r);
  pen.lineTo(x + r, y + r - 1);
  pen.lineTo(x - r, y + r - 1);
  pen.closePath();
}

function diamond(pen, x, y, r) {
  pen.moveTo(x, y - r);
  pen.lineTo(x + r, y);
  pen.lineTo(x, y + r);
  pen.lineTo(x - r, y);
  pen.closePath();
}

function dot(pen, x, y, r) {
  pen.arc(x, y, r - 1.5, 0, 2 * Math.PI);
}

/** The problem whose mark is nearest to x in the lane, or undefined. */
export function problemAt(problems, x, scale) {
  const near = (one) => Math.abs(scale.centre(one.frame) - x);
  const [closest] = [...problems].sort((a, b) => near(a) - near(b));
  return closest && near(closest) <= 7 ? closest : undefined;
}
