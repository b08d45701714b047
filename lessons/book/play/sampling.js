"use strict";

// From a model's scores to a token, as in minigpt/generation.py.
//
//   const { probabilities } = distribution(logits, { temperature: 0.8, topK: 40, topP: 0.9 });
//   const random = seededRandom(7);
//   const id = draw(probabilities, random());
//
// This file is arithmetic alone, and tests/lessons/book/test_play.py compares it with the library;
// draw_sampling.js shows it. V is the size of the vocabulary, logits are V numbers.

/** Returns e to each logit divided by the sum of all: V probabilities. */
function softmax(logits) {
  const largest = largestOf(logits); // it becomes 0, so that no power is infinite
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const sum = sumOf(powers);
  return powers.map((power) => power / sum);
}

/** Divides logits by a temperature above 0, after the largest has been moved to 0. */
function applyTemperature(logits, temperature) {
  const largest = largestOf(logits);
  return Array.from(logits, (logit) => (logit - largest) / Math.max(temperature, 1e-30));
}

/** Keeps the k largest logits and makes the others -Infinity; of equal ones the first stay. */
function keepTopK(logits, k) {
  return keepOnly(logits, bestFirst(logits).slice(0, k));
}

/**
 * Keeps the nucleus, the fewest tokens whose probabilities reach p, and makes the others -Infinity.
 *
 * A token stays if those before it, best first, sum to less than p, which is above 0.
 */
function keepTopP(logits, p) {
  if (p >= 1) return Array.from(logits); // rounding in the sum must not drop the unlikely tail
  const probabilities = softmax(logits);
  const kept = [];
  let before = 0;
  for (const id of bestFirst(logits)) {
    if (before >= p) break;
    kept.push(id);
    before += probabilities[id];
  }
  return keepOnly(logits, kept);
}

/**
 * Returns what a setting makes of logits: { hot, afterTopK, afterTopP, probabilities }.
 *
 * hot are the logits after temperature, the next two those after top-k and then top-p, in which
 * -Infinity stands for what has been cut off. A temperature of 0 leaves only the largest logit.
 */
function distribution(logits, { temperature, topK, topP }) {
  const hot = temperature === 0 ? keepTopK(logits, 1) : applyTemperature(logits, temperature);
  const afterTopK = keepTopK(hot, topK);
  const afterTopP = keepTopP(afterTopK, topP);
  return { hot, afterTopK, afterTopP, probabilities: softmax(afterTopP) };
}

/**
 * Returns the id on whose stretch u lies, above 0 and at most 1.
 *
 * The probabilities are laid end to end on a line: it is the first i with p_1 + ... + p_i >= u.
 */
function draw(probabilities, u) {
  const length = sumOf(probabilities); // 1 but for rounding
  let end = 0;
  return probabilities.findIndex((probability) => (end += probability) >= u * length);
}

/** Returns a function that gives random numbers above 0 and at most 1, the same for a seed. */
function seededRandom(seed) {
  let state = seed >>> 0; // 32 bits, which Tommy Ettinger's mulberry32 steps on and scrambles
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return 1 - ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Returns what the bars show: { rows, rest, kept, full }.
 *
 * rows: of the n likeliest tokens, and of `drawn` if it is another one: { id, probability, uncut
 *   (its probability before anything was cut off), cutBy ("" if it can be drawn) }.
 * rest: { n, kept, probability } of all others together.
 * kept: how many tokens can be drawn at all. full: the probability that fills the width.
 */
function barsOf(logits, setting, n, drawn) {
  const { hot, afterTopK, afterTopP, probabilities } = distribution(logits, setting);
  const uncut = softmax(hot);
  const cutBy = (id) => {
    if (hot[id] === -Infinity) return "greedy";
    if (afterTopK[id] === -Infinity) return "top-k";
    return afterTopP[id] === -Infinity ? "top-p" : "";
  };
  const order = bestFirst(logits);
  const shown = order.slice(0, n);
  if (drawn !== null && !shown.includes(drawn)) shown.push(drawn);
  const others = order.slice(n).filter((id) => id !== drawn);
  const can = (id) => cutBy(id) === "";
  const rows = shown.map((id) => (
    { id, probability: probabilities[id], uncut: uncut[id], cutBy: cutBy(id) }
  ));
  const rest = {
    n: others.length,
    kept: others.filter(can).length,
    probability: sumOf([0, ...others.map((id) => probabilities[id])]),
  };
  const largest = largestOf([...probabilities, ...uncut]);
  const full = [0.05, 0.1, 0.2, 0.5, 1].find((limit) => limit >= largest) ?? 1;
  return { rows, rest, kept: order.filter(can).length, full };
}

/** Returns the ids of logits, best first; of equal ones the lower id comes first. */
function bestFirst(logits) {
  const ids = Array.from(logits, (_, id) => id);
  return ids.sort((a, b) => logits[b] - logits[a] || a - b);
}

/** Returns logits with -Infinity for all ids but those given. */
function keepOnly(logits, ids) {
  const kept = new Array(logits.length).fill(-Infinity);
  for (const id of ids) kept[id] = logits[id];
  return kept;
}

function largestOf(numbers) {
  return numbers.reduce((a, b) => Math.max(a, b));
}

function sumOf(numbers) {
  return numbers.reduce((a, b) => a + b, 0);
}
