// Every command with its keys, once: keys, the help sheet, the palette and all titles come from this table. A row
// without keys is found in the palette and can be given some. keymap.js lays the user's own keys over it.
// A chord is written "Ctrl+Shift+Z" (modifiers in that order: Ctrl, Alt, Shift); Ctrl also means Command on a Mac.

const entry = (group, keys, command, label, argument) => ({ group, keys, command, label, argument });

export const SHORTCUTS = [
  entry("Play", ["Space"], "playPause", "Play or pause"),
  entry("Play", ["Shift+L"], "shuttle", "Play forwards; again: faster (L alone while it plays, or on the timeline)", 1),
  entry("Play", ["J"], "shuttle", "Play backwards; again: faster", -1),
  entry("Play", ["K"], "pause", "Pause"),
  entry("Move", ["ArrowLeft", ","], "step", "One frame back", -1),
  entry("Move", ["ArrowRight", "."], "step", "One frame on", 1),
  entry("Move", ["Shift+ArrowLeft"], "step", "Ten frames back", -10),
  entry("Move", ["Shift+ArrowRight"], "step", "Ten frames on", 10),
  entry("Move", ["Home"], "goFirst", "First frame of the range, then of the clip"),
  entry("Move", ["End"], "goLast", "Last frame of the range, then of the clip"),
  entry("Move", ["PageUp", "ArrowUp"], "goAnchor", "Previous anchor", -1),
  entry("Move", ["PageDown", "ArrowDown"], "goAnchor", "Next anchor", 1),
  entry("Move", ["Q"], "goProblem", "Next problem to check", 1),
  entry("Move", ["Shift+Q"], "goProblem", "Previous problem to check", -1),
  entry("Move", ["N"], "goNext", "The frame that should become an anchor next"),
  entry("Move", [], "goFrame", "Go to a frame by its number"),
  entry("Move", ["Alt+Plus", "Alt+="], "timelineZoom", "Timeline: a shorter part, larger (also Ctrl + wheel)", "in"),
  entry("Move", ["Alt+-"], "timelineZoom", "Timeline: a longer part", "out"),
  entry("Move", ["Alt+0"], "timelineZoom", "Timeline: the whole clip", "all"),
  entry("Range", ["I"], "rangeIn", "Range starts at this frame"),
  entry("Range", ["O"], "rangeOut", "Range ends with this frame"),
  entry("Range", ["Alt+I"], "rangeClear", "Range is the whole clip"),
  entry("Tools", ["V"], "tool", "Select: pick marks, move the box", "select"),
  entry("Tools", ["H"], "tool", "Hand: pan the picture", "hand"),
  entry("Tools", ["P"], "tool", "Point: left click inside, right click outside; hold Shift: see the mask first", "point"),
  entry("Tools", ["U"], "tool", "Box around the subject", "box"),
  entry("Tools", ["B"], "tool", "Brush: add to the mask", "brush"),
  entry("Tools", ["E"], "tool", "Eraser: take away from the mask", "eraser"),
  entry("Tools", ["L"], "lasso", "Lasso: draw around what to add; right button or Alt: what to take away"),
  entry("Tools", ["R"], "tool", "Tracked point: click to add, drag to where it is; right click: it is hidden here", "track"),
  entry("Tools", ["D"], "tool", "Draw: paint a take on this frame", "paint"),
  entry("Tools", ["C"], "hand", "Move the pointer with the keys: arrows, Enter presses, Esc ends"),
  entry("Tools", ["X"], "swap", "Swap adding and taking away (hold Alt: only while held)"),
  entry("Tools", ["["], "brushSize", "Smaller brush", 1 / 1.25),
  entry("Tools", ["]"], "brushSize", "Larger brush", 1.25),
  entry("Tools", ["Enter"], "keepPaint", "Keep what is painted as a take"),
  entry("Subjects", ["1", "2", "3", "4", "5", "6", "7", "8", "9", "0"], "subject", "Pick a subject (0 is the tenth)"),
  entry("Subjects", [], "addSubject", "Add a subject"),
  entry("Subjects", ["F"], "lockKeyframe", "Lock or unlock the marks on this frame"),
  entry("Subjects", ["Ctrl+Delete", "Ctrl+Backspace"], "clearKeyframe", "Clear the marks on this frame, or the place of the selected tracked point"),
  entry("Subjects", ["Shift+Delete", "Shift+Backspace"], "removeSubject", "Remove the subject"),
  entry("Edits", ["Alt+ArrowUp"], "stepEdit", "Work on the edit above (in the list of edits: ↑, with Alt it is moved)", 1),
  entry("Edits", ["Alt+ArrowDown"], "stepEdit", "Work on the edit below", -1),
  entry("Edits", ["Shift+E"], "switchEdit", "Switch the edit on or off"),
  entry("Edits", [], "addEdit", "Add an edit over the present one"),
  entry("Edits", [], "renameEdit", "Rename the edit (in the list of edits: Enter)"),
  entry("Edits", [], "moveEdit", "Move the edit up", 1),
  entry("Edits", [], "moveEdit", "Move the edit down", -1),
  entry("Edits", [], "removeEdit", "Remove the edit (in the list of edits: Delete)"),
  entry("Anchors", ["A"], "addAnchor", "Make this frame an anchor"),
  entry("Anchors", ["Ctrl+ArrowLeft"], "moveAnchor", "Move the anchor of this frame one frame back", -1),
  entry("Anchors", ["Ctrl+ArrowRight"], "moveAnchor", "Move the anchor of this frame one frame on", 1),
  entry("Anchors", ["G"], "sheet", "Contact sheet: all anchors with their takes"),
  entry("Anchors", [], "sheetDo", "Contact sheet: approve the take under the cursor (there: Enter, or its number)", "approve"),
  entry("Anchors", [], "sheetDo", "Contact sheet: lock or unlock the anchor (there: L)", "lock"),
  entry("Anchors", [], "sheetDo", "Contact sheet: make the take again with another seed (there: R)", "again"),
  entry("Anchors", [], "sheetDo", "Contact sheet: the approved take as reference for all anchors (there: U)", "after"),
  entry("Anchors", [], "sheetDo", "Contact sheet: compare two takes (there: C marks, V compares)", "compare"),
  entry("Anchors", ["Delete", "Backspace"], "deleteSelected", "Delete what is selected (anchor, point, tracked point or box)"),
  entry("View", ["F2"], "mode", "Show the source", "source"),
  entry("View", ["F3"], "mode", "Show the edit", "edited"),
  entry("View", ["F4", "W"], "mode", "Wipe between source and edit", "wipe"),
  entry("View", ["Alt+ArrowLeft"], "wipe", "Move the wipe to the left", -0.05),
  entry("View", ["Alt+ArrowRight"], "wipe", "Move the wipe to the right", 0.05),
  entry("View", ["Shift+W"], "mode", "Flicker between source and edit", "flicker"),
  entry("View", ["S"], "holdSource", "See the source as long as the key is held"),
  entry("View", ["Y"], "onion", "Onion skin: the neighbouring anchors, warped to this frame"),
  entry("View", ["M"], "toggleMasks", "Show or hide masks and marks"),
  entry("View", ["Plus", "="], "zoom", "Zoom in (also Ctrl or Alt + wheel)", 1.25),
  entry("View", ["-"], "zoom", "Zoom out", 1 / 1.25),
  entry("View", ["Z"], "zoomFit", "Whole picture (also double click with the hand)"),
  entry("View", ["Ctrl+Shift+ArrowLeft"], "pan", "See what is to the left", "left"),
  entry("View", ["Ctrl+Shift+ArrowRight"], "pan", "See what is to the right", "right"),
  entry("View", ["Ctrl+Shift+ArrowUp"], "pan", "See what is above", "up"),
  entry("View", ["Ctrl+Shift+ArrowDown"], "pan", "See what is below", "down"),
  entry("Work", ["Ctrl+Z"], "undo", "Undo"),
  entry("Work", ["Ctrl+Shift+Z", "Ctrl+Y"], "redo", "Redo"),
  entry("Work", ["Shift+A"], "audition", "Audition: try the methods on the second around this frame"),
  entry("Work", ["T"], "carry", "Carry masks and tracked points through the shot"),
  entry("Work", ["Ctrl+Enter"], "run", "Propagate the edit"),
  entry("Work", ["Shift+X"], "cancelJob", "Cancel the running job"),
  entry("Work", ["Ctrl+K", "Ctrl+Shift+P"], "palette", "Find a command"),
  entry("Work", ["?", "F1"], "help", "Keys: see and change them"),
  entry("Work", [], "tour", "The tour: from the sample to a finished clip"),
  entry("Work", ["Escape"], "escape", "Close, or let go of what is being drawn"),
];

/** The chord of a key event, in the table's spelling. */
export function chordOf(event) {
  const typed = event.getModifierState?.("AltGraph") ?? false; // AltGr types a character, it modifies no command
  const control = (event.ctrlKey || event.metaKey) && !typed;
  const alt = event.altKey && !typed;
  let key = event.key;
  // What Alt or another script makes of a letter key: the Latin letter on it. Other layouts of Latin letters stay as they are.
  const foreign = key.length === 1 && /\p{L}/u.test(key) && !/\p{Script=Latin}/u.test(key);
  if ((alt || foreign) && /^Key[A-Z]$/.test(event.code ?? "")) key = event.code.slice(3);
  if (key === " ") key = "Space";
  if (key === "+") key = "Plus";
  if (/^\p{L}$/u.test(key) && key !== "ß") key = key.toLocaleUpperCase("en");
  const shift = event.shiftKey && (key.length > 1 || /^\p{L}$/u.test(key)) && !["Plus", "Space"].includes(key);
  return [control && "Ctrl", alt && "Alt", shift && "Shift", key].filter(Boolean).join("+");
}

/** Whether a key event on this element may be a shortcut: never where the user types or chooses something else. */
export function takesShortcuts(target, chord, ownRoots) {
  if (target.isContentEditable || target.closest?.("textarea, select, [contenteditable=true]")) return false;
  const own = ownRoots.some((root) => root.contains(target));
  if (target.tagName === "INPUT") return own && ["range", "checkbox"].includes(target.type) && !isValueKey(chord);
  if (target.tagName === "BUTTON" || target.tagName === "A") return (own || !target.closest(KEYS_OF_THEIR_OWN)) && !isPressKey(chord);
  return own || target === target.ownerDocument.body;
}

const KEYS_OF_THEIR_OWN = ["dialog", "list", "listbox", "menu", "option", "radiogroup", "combobox", "slider", "tab", "tree", "grid"]
  .map((role) => `[role="${role}"]`)
  .join(", ");
const isPressKey = (chord) => ["Space", "Enter"].includes(chord);
const isValueKey = (chord) => /Arrow|Home|End|Page|Space/.test(chord);

const NAMES = {
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  PageUp: "PgUp",
  PageDown: "PgDn",
  Plus: "+",
  Escape: "Esc",
};

/** A chord as people read it. */
export function chordText(chord) {
  return chord
    .split(/\+(?=.)/)
    .map((part) => NAMES[part] ?? part)
    .join("+");
}
