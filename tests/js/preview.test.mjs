import assert from "node:assert/strict";
import test from "node:test";
import { Latest } from "../../assets/preview.js";

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function recorder(rest) {
  const seen = { loads: [], done: [], failed: [] };
  const load = (value, signal) =>
    new Promise((resolve, reject) => {
      seen.loads.push({ value, signal, resolve, reject });
    });
  const latest = new Latest({ load, done: (value, result) => seen.done.push([value, result]), failed: (error) => seen.failed.push(error), rest });
  return { seen, latest };
}

test("only the value on which it rests is loaded", async () => {
  const { seen, latest } = recorder(5);
  for (const value of [1, 2, 3]) latest.ask(value);
  await wait(20);
  assert.deepEqual(seen.loads.map((one) => one.value), [3]);
  seen.loads[0].resolve("c");
  await wait(1);
  assert.deepEqual(seen.done, [[3, "c"]]);
});

test("an older answer and its failure are never shown; cancel stops what is under way", async () => {
  const { seen, latest } = recorder(1);
  latest.ask(1);
  await wait(10);
  latest.ask(2);
  await wait(10);
  assert.ok(seen.loads[0].signal.aborted);
  seen.loads[1].resolve("new");
  seen.loads[0].resolve("old");
  await wait(1);
  assert.deepEqual(seen.done, [[2, "new"]]);
  latest.ask(3);
  await wait(10);
  latest.cancel();
  seen.loads[2].reject(new Error("aborted"));
  latest.ask(4);
  latest.cancel();
  await wait(10);
  assert.equal(seen.loads.length, 3);
  assert.deepEqual(seen.failed, []);
});
