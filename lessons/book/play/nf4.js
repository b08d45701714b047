"use strict";

// A row of weights in NF4 and back, as in kernels/reference.py, to the bit.
//
//   const { blocks, weights } = quantizeNF4([0.1, -0.2, ...], 64, levels, thresholds);
//
// Every result is rounded to 32 bits by Math.fround, where the library computes in 32 bits.
// draw_nf4.js shows it.

const LARGEST_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

/**
 * Quantizes weights in blocks, and dequantizes them.
 *
 * levels are the 16 of NF4; thresholds the 15 numbers above which the next level begins.
 *
 * Returns
 *   weights: for each { weight, block, normalised, code, back, error }; error is |back - weight|,
 *   blocks: for each { absmax, meanError }, and
 *   meanError: the mean of all errors.
 */
function quantizeNF4(row, blockSize, levels, thresholds) {
  const weights = [];
  const blocks = [];
  for (let start = 0; start < row.length; start += blockSize) {
    const block = row.slice(start, start + blockSize).map(Math.fround);
    const absmax = largestOf(block.map(Math.abs));
    const done = block.map((weight) => throughNF4(weight, absmax, levels, thresholds));
    weights.push(...done.map((one) => ({ ...one, block: blocks.length })));
    blocks.push({ absmax, meanError: meanErrorOf(done) });
  }
  return { weights, blocks, meanError: meanErrorOf(weights) };
}

/** Returns what becomes of one weight of a block with this absmax. */
function throughNF4(weight, absmax, levels, thresholds) {
  const reciprocal = Math.min(Math.fround(1 / absmax), LARGEST_FLOAT32); // 0 stays 0
  const normalised = Math.fround(weight * reciprocal);
  const code = thresholds.filter((threshold) => normalised > threshold).length;
  const back = Math.fround(levels[code] * absmax);
  return { weight, normalised, code, back, error: Math.abs(back - weight) };
}

function meanErrorOf(weights) {
  return sumOf(weights.map(({ error }) => error)) / weights.length;
}
