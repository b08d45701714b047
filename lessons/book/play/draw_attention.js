"use strict";

// The figure of lesson 2: what each token of a sentence reads, in every head of every layer.
//
// data: { tokens [T] as text, maps [layer][head][T][T] }. Rows ask, columns answer.

function playAttention(area, { tokens, maps }) {
  const { layer, head } = mostDecided(maps);
  let map = maps[layer][head];
  let asking = tokens.length - 1;
  let title = "";

  const heads = element("fieldset", { class: "play-heads" }, element("legend", {}, "Head"));
  maps.forEach((layers, l) => {
    const name = element("span", {}, `Layer ${l}`);
    const row = layers.map((small, h) => headChoice(small, l, h, l === layer && h === head));
    heads.append(element("div", {}, name, ...row));
  });
  const sentence = element("div", { class: "play-tokens", role: "group" });
  sentence.setAttribute("aria-label", "The sentence: choose the token that asks");
  const buttons = tokens.map((token, i) => {
    const ask = () => show(i);
    const share = element("small");
    const made = element(
      "button", { type: "button", onclick: ask, onfocus: ask, onpointerenter: ask }, token, share,
    );
    return { made, share };
  });
  sentence.append(...buttons.map(({ made }) => made));
  const reads = element("p", { class: "play-status", role: "status" });
  const table = element("table", { class: "play-map" });
  area.append(
    element("div", { class: "play-split" }, heads, element("div", {}, sentence, reads)),
    element("div", { class: "wide", tabindex: 0 }, table),
  );
  choose(layer, head);

  function headChoice(small, l, h, checked) {
    const input = element("input", {
      type: "radio", name: "head", checked: checked && "", onchange: () => choose(l, h),
    });
    input.setAttribute("aria-label", `Layer ${l}, head ${h}`);
    return element("label", { title: `Layer ${l}, head ${h}` }, input, miniature(small));
  }

  /** Shows another head. */
  function choose(l, h) {
    map = maps[l][h];
    title = `Layer ${l}, head ${h}`;
    const columns = tokens.map((token) => (
      element("th", { scope: "col" }, element("span", {}, token))
    ));
    const rows = map.map((row, i) => element(
      "tr",
      { onpointerenter: () => show(i), onclick: () => show(i) },
      element("th", { scope: "row" }, tokens[i]),
      ...row.map((share, j) => cell(share, j > i)),
    ));
    table.replaceChildren(
      element("caption", {}, `${title}: shares of attention in %; rows ask, columns answer`),
      element("thead", {}, element("tr", {}, element("td"), ...columns)),
      element("tbody", {}, ...rows),
    );
    show(asking);
  }

  function cell(share, hidden) {
    if (hidden) return element("td", { class: "hidden" });
    return element("td", { style: lit(share) }, (100 * share).toFixed(0));
  }

  /** Lights what token i reads. */
  function show(i) {
    asking = i;
    buttons.forEach(({ made, share }, j) => {
      made.setAttribute("aria-pressed", i === j);
      made.className = j > i ? "hidden" : "";
      made.setAttribute("style", j > i ? "" : lit(map[i][j]));
      share.textContent = j > i ? "hidden" : percent(map[i][j]);
    });
    table.querySelectorAll("tbody tr").forEach((row, j) => {
      row.className = i === j ? "asking" : "";
    });
    const most = strongest(map[i].slice(0, i + 1), 3);
    const list = most.map(({ token, share }) => `“${tokens[token]}” ${percent(share)}`);
    reads.textContent = `${title}: “${tokens[i]}” reads ${list.join(", ")}.`;
  }

  function lit(share) {
    return `--share: ${(45 * strengthOf(share)).toFixed(1)}%`; // text on the colour stays readable
  }
}

/** Returns how strongly a share is coloured, from 0 to 1; small ones a little more than evenly. */
function strengthOf(share) {
  return share ** 0.7;
}

/** Draws a map small, a square for each share that can be seen. */
function miniature(map) {
  const squares = map.flatMap((row, i) => row.map((share, j) => (
    share < 0.02 ? [] : shape("rect", {
      x: j, y: i, width: 1, height: 1, "fill-opacity": strengthOf(share).toFixed(2),
    })
  )).flat());
  const size = map.length;
  return shape(
    "svg", { viewBox: `0 0 ${size} ${size}`, "aria-hidden": "true" }, ...squares,
  );
}

begin("attention", playAttention);
