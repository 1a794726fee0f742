// Finds commands by a few letters: every word of the query must be in the text, at best at the start of a word.

const START = 30; // at the start of a word
const INSIDE = 12; // anywhere, in one piece
const SCATTERED = 4; // its letters in order

/** How well a query fits a text; 0 = not at all. An empty query fits everything alike. */
export function fit(query, text) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return 1;
  const scores = words.map((word) => fitWord(word, text.toLowerCase()));
  return scores.some((score) => score === 0) ? 0 : scores.reduce((sum, one) => sum + one, 0) - text.length / 1000;
}

function fitWord(word, text) {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    if (at === 0 || !/[\p{L}\p{N}]/u.test(text[at - 1])) return START + 10 / (1 + at);
  }
  if (text.includes(word)) return INSIDE;
  return word.length > 2 && isScattered(word, text) ? SCATTERED : 0;
}

/** Whether the letters follow each other in the text, the first of them at the start of a word. */
function isScattered(word, text) {
  const starts = [...text.matchAll(/[\p{L}\p{N}]+/gu)].map((found) => found.index).filter((index) => text[index] === word[0]);
  return starts.some((from) => {
    let at = from;
    for (const letter of word) {
      at = text.indexOf(letter, at) + 1;
      if (!at) return false;
    }
    return at - from <= 2 * word.length + 1; // letters that are far apart were not meant
  });
}

/** The rows that fit, the best first; rows that fit alike keep their order. `textOf(row)` is searched. */
export function found(query, rows, textOf) {
  const scored = rows.map((row, order) => ({ row, order, score: fit(query, textOf(row)) })).filter(({ score }) => score > 0);
  return scored.sort((a, b) => b.score - a.score || a.order - b.order).map(({ row }) => row);
}
