// Measures seeking inside the editor's page: `window.bench`. Times are milliseconds of performance.now().
//
// Which frame is shown is read from the barcode in the pixels of the view's canvas, see tests/media_fixtures.py.

(() => {
  const editor = () => window.anchorline;
  const picture = () => editor().stage.picture;
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

  /** The frame number in a row of pixels through the middle of the barcode. */
  function decode(pixels, cell) {
    let number = 0;
    for (let bit = 0; bit < 16; bit++) {
      const at = Math.floor((bit + 1.5) * cell) * 4;
      if (pixels[at + 1] > 127) number |= 1 << bit;
    }
    return number;
  }

  function barcode(cell) {
    const pen = picture().getContext("2d");
    return decode(pen.getImageData(0, Math.floor(cell * 1.5), cell * 18, 1).data, cell);
  }

  /** Seeks to each frame, `pause` ms apart. Rows: what was held before, ms until drawn, ms until its pixels were read. */
  async function seeks(frames, cell, pause) {
    const rows = [];
    for (const frame of frames) {
      const { source } = editor();
      const row = { frame, packed: source.isPacked(frame), held: source.inMemory(frame), decoded: source.bitmaps.has(frame) };
      const start = performance.now();
      await editor().seek(frame);
      row.drawn = performance.now() - start;
      row.code = barcode(cell);
      row.read = performance.now() - start;
      row.said = Number(editor().root.dataset.frame);
      rows.push(row);
      await sleep(pause);
    }
    return rows;
  }

  /** The least that showing a frame can cost: decode the same JPEG, draw it on a canvas. Milliseconds each. */
  async function bare(frames, pause) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [picture().width, picture().height];
    const pen = canvas.getContext("2d", { alpha: false });
    const times = [];
    for (const frame of frames) {
      const bytes = await editor().source.bytes(frame);
      const start = performance.now();
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
      pen.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      times.push(performance.now() - start);
      bitmap.close();
      await sleep(pause);
    }
    return times;
  }

  /** Frames of the clip that are (not) in the page's memory, or (not) in the pack. */
  function frames(kind) {
    const { source, view } = editor();
    const tests = {
      held: (frame) => source.inMemory(frame),
      cold: (frame) => source.isPacked(frame) && !source.inMemory(frame),
      unpacked: (frame) => !source.isPacked(frame),
    };
    return [...Array(view.clip.frames).keys()].filter(tests[kind]);
  }

  /**
   * Drags along `xs` (screen px) on the timeline, whose canvas has been pressed: one event every `every` ms.
   * Which frames the events asked for and when, which were drawn and when, and what their barcodes say.
   */
  async function drag(xs, y, every, cell) {
    const { seeker, stats } = editor();
    const lanes = window.anchorlineTimeline.canvas;
    const asked = [];
    const shown = [];
    // A row of pixels of each picture is put aside at once and read at the end: reading stops the browser.
    const kept = new OffscreenCanvas(cell * 18, xs.length * 2);
    const pen = kept.getContext("2d");
    const drawn = () => {
      if (shown.length >= kept.height) return;
      pen.drawImage(picture(), 0, Math.floor(cell * 1.5), cell * 18, 1, 0, shown.length, cell * 18, 1);
      shown.push([performance.now(), editor().frame]);
    };
    stats.drawn.length = 0;
    editor().addEventListener("frame", drawn);
    const start = performance.now();
    for (const [at, x] of xs.entries()) {
      await sleep(Math.max(0, start + at * every - performance.now()));
      const now = performance.now();
      const place = { clientX: x, clientY: y, pointerId: 1, pointerType: "mouse", isPrimary: true, buttons: 1 };
      lanes.dispatchEvent(new PointerEvent("pointermove", { ...place, bubbles: true, cancelable: true }));
      asked.push([now, editor().want]);
    }
    await seeker.idle();
    editor().removeEventListener("frame", drawn);
    const codes = shown.map((_, row) => decode(pen.getImageData(0, row, cell * 18, 1).data, cell));
    return { asked, shown, codes, drawn: [...stats.drawn] };
  }

  window.bench = { barcode, seeks, bare, frames, drag };
})();
