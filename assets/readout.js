// Numbers as people read them.

/** Timecode HH:MM:SS:FF of a frame at `rate` [num, den], counted in whole frames (non-drop). */
export function timecode(frame, [num, den]) {
  const base = Math.max(1, Math.round(num / den));
  const seconds = Math.floor(frame / base);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60, frame % base];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

/** Seconds with milliseconds: "12.345 s". */
export const secondsText = (seconds) => `${seconds.toFixed(3)} s`;

/** A rough span: "8 s", "3 min", "1.5 h". */
export function spanText(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

const KINDS = { prepare: "Preparing", carry: "Carrying masks", propagate: "Propagating", take: "Making takes", export: "Exporting", zip: "Zipping" };

/** One line about a job: "Rendering · 12/60 · 8 s left", "Exporting · queued". */
export function jobText(job) {
  const count = job.total ? `${job.done}/${job.total}` : "";
  const left = job.state === "running" && job.eta !== null && job.eta !== undefined ? `${spanText(job.eta)} left` : "";
  const what = job.state === "running" ? [job.phase || KINDS[job.kind] || job.kind] : [KINDS[job.kind] ?? job.kind, job.state];
  return [...what, count, left].filter(Boolean).join(" · ");
}
