/**
 * The charts of a page begin and get new data together. As many as are quick are drawn in one frame, because
 * without a graphics processor each frame costs more than its drawings; the rest have the next ones,
 * because together they would hold up the page for as long as all of them take.
 */
const waiting = new Set<() => void>();
let frame = 0;

/** Milliseconds of a frame after which no other drawing begins: half of what a frame has. */
const enough = 8;

/** Draws in one of the next frames, once however often it is asked; the returned function takes it back. */
export function drawSoon(draw: () => void): () => void {
  waiting.add(draw);
  if (frame === 0) frame = requestAnimationFrame(next);
  return () => void waiting.delete(draw);
}

function next(): void {
  frame = 0;
  const end = performance.now() + enough;
  for (const draw of [...waiting]) {
    if (performance.now() >= end) break;
    if (waiting.delete(draw)) draw();
  }
  if (waiting.size > 0 && frame === 0) frame = requestAnimationFrame(next);
}
