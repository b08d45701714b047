"use strict";

// The figure of lesson 10: a row of weights in NF4; drag one into an outlier and see what it costs.
//
// data: { weights, levels [16], thresholds [15] }. The arithmetic is in nf4.js.

const TOP = 300; // pixels for the weights; below stand their codes and their errors
const CODES = 20;
const ERRORS = 80;
const HEIGHT = TOP + CODES + ERRORS;
const REACH = 2.5; // how far a weight can be dragged, in multiples of the largest at first
const LARGEST_ERROR = 0.1; // that a bar can show, as a share of that reach

function playNF4(area, { weights, levels, thresholds }) {
  const limit = Math.fround(REACH * largestOf(weights.map(Math.abs)));
  const row = [...weights];
  let blockSize = weights.length;
  let chosen = weights.length >> 2;
  let drag = null; // { y, weight } where a drag began

  const drawing = shape("svg", { height: HEIGHT });
  const handle = element("div", { class: "handle" }); // a finger on it drags, beside it scrolls
  const chart = element("div", {
    class: "play-chart", "aria-hidden": "true",
    onpointerdown: grab, onpointermove: pull, onpointerup: drop, onpointercancel: drop,
  }, drawing, handle);
  const strip = shape("svg", { class: "play-strip", height: 48, "aria-hidden": "true" });
  const summary = element("p", { class: "play-status", role: "status" });
  const one = element("p", { class: "play-one" });
  const numbers = element("table", {});
  const last = weights.length - 1;
  const which = slider("Weight", { min: 0, max: last, step: 1, value: chosen },
    (i) => `number ${i}`, (i) => choose(i));
  const value = slider("Its value", { min: -limit, max: limit, step: "any", value: 0 },
    (weight) => weight.toFixed(4), (weight) => setWeight(weight));
  const sizes = [16, 32, 64].filter((size) => size <= weights.length);
  area.append(
    element(
      "div",
      { class: "play-controls" },
      choices("Block size", "block", sizes.map((size) => [size, String(size)]), blockSize,
        (size) => {
          blockSize = size;
          show();
        }),
      which.whole,
      value.whole,
      button("As in the model", () => {
        row.splice(0, row.length, ...weights);
        choose(chosen);
      }),
    ),
    chart,
    summary,
    one,
    element("p", { class: "play-status" },
      "The 16 levels with their codes, and where this weight divided by its scale falls:"),
    strip,
    element("details", {}, element("summary", {}, "Codes, scales and errors of all weights"),
      element("div", { class: "wide play-numbers", tabindex: 0 }, numbers)),
  );
  new ResizeObserver(() => show()).observe(chart);
  choose(chosen);

  function choose(i) {
    chosen = i;
    which.set(i);
    value.set(row[i]);
    show();
  }

  function setWeight(weight) {
    row[chosen] = Math.fround(Math.max(-limit, Math.min(limit, weight)));
    show();
  }

  function grab(event) {
    const { left, width } = chart.getBoundingClientRect();
    const i = Math.floor(((event.clientX - left) / width) * row.length);
    choose(Math.max(0, Math.min(last, i)));
    drag = { y: event.clientY, weight: row[chosen] };
    chart.setPointerCapture(event.pointerId);
  }

  function pull(event) {
    if (!drag) return;
    setWeight(drag.weight + (drag.y - event.clientY) / pixelsFor(1));
    value.set(row[chosen]);
  }

  function drop() {
    drag = null;
  }

  /** Returns how many pixels of the chart a difference of weights takes. */
  function pixelsFor(difference) {
    return (difference * TOP) / 2 / (1.05 * limit);
  }

  function show() {
    const done = quantizeNF4(row, blockSize, levels, thresholds);
    showChart(done);
    showStrip(done.weights[chosen]);
    showNumbers(done);
    const { block, weight, normalised, code, back, error } = done.weights[chosen];
    const { absmax, meanError } = done.blocks[block];
    one.textContent =
      `Weight ${chosen}: ${weight.toFixed(4)} / ${absmax.toFixed(4)} = ${normalised.toFixed(4)}, ` +
      `code ${code}, level ${levels[code].toFixed(4)}; back ${levels[code].toFixed(4)} × ` +
      `${absmax.toFixed(4)} = ${back.toFixed(4)}, error ${error.toFixed(4)}.`;
    const before = quantizeNF4(weights, blockSize, levels, thresholds).meanError;
    summary.textContent =
      `Mean error of all ${row.length}: ${done.meanError.toFixed(5)}, with the model's own weights ` +
      `${before.toFixed(5)}. Block ${block} (of ${done.blocks.length}, from 0): scale (absmax) ` +
      `${absmax.toFixed(4)}, mean error ${meanError.toFixed(5)}.`;
  }

  /** Draws weights as dots, what comes back as dashes, the levels of each block, and errors. */
  function showChart({ weights: all, blocks }) {
    const width = chart.clientWidth || 600;
    const step = width / all.length;
    const y = (weight) => TOP / 2 - pixelsFor(weight);
    const line = (x1, y1, x2, y2, name) => shape("line", { x1, y1, x2, y2, class: name });
    const drawn = blocks.flatMap(({ absmax }, block) => {
      const [left, right] = [block * blockSize * step, (block + 1) * blockSize * step];
      const lines = levels.map((level) => {
        const at = y(level * absmax);
        return line(left + 1, at, right - 1, at, "level");
      });
      return [...lines, line(right, 0, right, HEIGHT, "border")];
    });
    const { block } = all[chosen];
    all.forEach(({ weight, back, code, error, ...one }, i) => {
      const x = (i + 0.5) * step;
      const name = one.block === block ? "" : "other";
      const bar = ERRORS * Math.min(1, error / (LARGEST_ERROR * limit));
      drawn.push(
        line(x - 0.45 * step, y(back), x + 0.45 * step, y(back), `back ${name}`),
        shape("circle", { cx: x, cy: y(weight), r: Math.min(3, 0.4 * step), class: `dot ${name}` }),
        shape("rect", {
          x: x - 0.3 * step, y: HEIGHT - bar, width: 0.6 * step, height: bar, class: `error ${name}`,
        }),
      );
      if (step >= 9) {
        const middle = { x, y: TOP + CODES - 6, "text-anchor": "middle" };
        drawn.push(shape("text", middle, code.toString(16)));
      }
    });
    drawing.replaceChildren(...drawn);
    handle.style.left = `${(chosen + 0.5) * step}px`;
    handle.style.top = `${y(row[chosen])}px`;
  }

  /** Draws the 16 levels between -1 and 1 with their codes, and where the chosen weight falls. */
  function showStrip({ normalised, code }) {
    const width = strip.clientWidth || 600;
    const x = (level) => 12 + ((level + 1) / 2) * (width - 24);
    const marks = levels.flatMap((level, number) => {
      const name = number === code ? "here" : "";
      return [
        shape("line", { x1: x(level), y1: 6, x2: x(level), y2: 24, class: name }),
        shape("text", { x: x(level), y: 42, "text-anchor": "middle", class: name },
          number.toString(16)),
      ];
    });
    strip.replaceChildren(
      shape("line", { x1: x(-1), y1: 15, x2: x(1), y2: 15 }),
      ...marks,
      shape("circle", { cx: x(normalised), cy: 15, r: 5, class: "dot" }),
    );
  }

  function showNumbers({ weights: all, blocks }) {
    const head = ["Weight", "Value", "Scale", "Value / scale", "Code", "Level", "Back", "Error"];
    const cells = all.map(({ weight, block, normalised, code, back, error }, i) => {
      const { absmax } = blocks[block];
      const level = levels[code].toFixed(4);
      const shown = [weight, absmax, normalised].map((number) => number.toFixed(4));
      return [i, ...shown, code, level, back.toFixed(4), error.toFixed(4)];
    });
    numbers.replaceChildren(
      element("thead", {}, element("tr", {},
        ...head.map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, ...cells.map((row, i) => element(
        "tr", { class: i === chosen ? "asking" : "" },
        ...row.map((text) => element("td", {}, String(text))),
      ))),
    );
  }
}

begin("nf4", playNF4);
