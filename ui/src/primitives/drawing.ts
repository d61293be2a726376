/**
 * One drawing a frame. The charts of a page get new data together; drawn together they would hold up
 * a frame for as long as all of them take.
 */
const waiting = new Set<() => void>();
let frame = 0;

/** Draws in one of the next frames, once however often it is asked; the returned function takes it back. */
export function drawSoon(draw: () => void): () => void {
  waiting.add(draw);
  if (frame === 0) frame = requestAnimationFrame(next);
  return () => void waiting.delete(draw);
}

function next(): void {
  frame = 0;
  const [draw] = waiting;
  if (!draw) return;
  waiting.delete(draw);
  if (waiting.size > 0) frame = requestAnimationFrame(next);
  draw();
}
