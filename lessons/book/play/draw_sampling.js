"use strict";

// The figure of lesson 5: a distribution under three sliders, and a continuation drawn from it.
//
// data: { prompt, ids of its tokens, logits [V] of the token after it, tokens [V] as text }.
// The arithmetic is in sampling.js, and the model that continues the prompt in decoder.js. Its
// weights are large, so base_model.js is loaded when a reader asks for a continuation.

const ROWS = 25; // tokens that get a bar of their own
const N_NEW = 40; // tokens of a continuation
const CHOICES_OF_K = [1, 2, 3, 5, 10, 20, 40, 100, 200, 500, 1000, 2000];

function playSampling(area, data) {
  const V = data.logits.length;
  const kChoices = [...CHOICES_OF_K.filter((k) => k < V), V];
  const setting = { temperature: 1, topK: V, topP: 1 };
  let written = []; // [{ id, logits }]: each drawn token, and the scores it was drawn from
  let place = 0; // the bars show what may come after this many drawn tokens
  let latest = 0; // the number of the latest drawing; an older one that still runs gives up
  let model = null;
  let loading = null; // the promise of a model, from the first time it is asked for

  const bars = element("table", { class: "play-bars" });
  const summary = element("p", { class: "play-status", role: "status" });
  const text = element("p", { class: "play-text" });
  const news = element("p", { class: "play-status", role: "status" });
  const seed = element("input", { type: "number", min: 0, max: 2 ** 32 - 1, value: 1 });
  seed.addEventListener("change", () => write());

  function changed(name, value) {
    setting[name] = value;
    showBars();
    if (model) write();
  }
  area.append(
    element(
      "div",
      { class: "play-controls" },
      slider("Temperature", { min: 0, max: 2, step: 0.05, value: 1 },
        (t) => (t === 0 ? "0 (greedy)" : t.toFixed(2)), (t) => changed("temperature", t)).whole,
      slider("Top-k", { min: 0, max: kChoices.length - 1, step: 1, value: kChoices.length - 1 },
        (i) => (kChoices[i] === V ? "off" : String(kChoices[i])),
        (i) => changed("topK", kChoices[i])).whole,
      slider("Top-p", { min: 0.01, max: 1, step: 0.01, value: 1 },
        (p) => (p === 1 ? "off" : p.toFixed(2)), (p) => changed("topP", p)).whole,
    ),
    summary,
    bars,
    element(
      "div",
      { class: "play-controls" },
      element("label", {}, "Seed ", seed),
      button("Draw a continuation", () => write()),
      button("Another seed", () => {
        seed.value = Number(seed.value) + 1;
        write();
      }),
    ),
    text,
    news,
  );
  showBars();
  showText();

  /** Draws the bars of the chosen place. */
  function showBars() {
    const logits = place < written.length ? written[place].logits : data.logits;
    const drawn = place < written.length ? written[place].id : null;
    const { rows, rest, kept, full } = barsOf(logits, setting, ROWS, drawn);
    const before = written.slice(0, place).map(({ id }) => data.tokens[id]);
    const head = `After “${visible([data.prompt, ...before].join("").slice(-24))}”`;
    bars.replaceChildren(
      element("caption", {}, head),
      element("thead", {}, element("tr", {},
        element("th", { scope: "col" }, "Token"),
        element("th", { scope: "col" }, `Probability, 0 to ${100 * full}%`),
        element("th", { scope: "col" }, ""),
      )),
      element("tbody", {}, ...rows.map((row) => rowOf(row, full, drawn)), restOf(rest, full)),
    );
    const best = rows[0];
    summary.textContent =
      `${kept.toLocaleString("en")} of ${V.toLocaleString("en")} tokens can be drawn; ` +
      `the likeliest is “${visible(data.tokens[best.id])}” with ${percent(best.probability)}.`;
  }

  function rowOf({ id, probability, uncut, cutBy }, full, drawn) {
    const name = visible(data.tokens[id]) + (id === drawn ? " ◂ drawn" : "");
    const width = (100 * (cutBy ? uncut : probability)) / full;
    return element(
      "tr",
      { class: cutBy ? "cut" : id === drawn ? "drawn" : "" },
      element("th", { scope: "row" }, name),
      element("td", {}, element("span", { class: "play-bar", style: `width: ${width}%` })),
      element("td", {}, cutBy ? `cut: ${cutBy}` : percent(probability)),
    );
  }

  function restOf({ n, kept, probability }, full) {
    const name = `${n.toLocaleString("en")} others`;
    const width = Math.min(100, (100 * probability) / full);
    const cut = kept < n ? `, ${kept === 0 ? "all" : (n - kept).toLocaleString("en")} cut` : "";
    return element(
      "tr",
      { class: probability > full ? "rest over" : "rest" },
      element("th", { scope: "row" }, name),
      element("td", {}, element("span", { class: "play-bar", style: `width: ${width}%` })),
      element("td", {}, percent(probability) + cut),
    );
  }

  /** Shows the prompt and the tokens drawn so far; a token leads to the bars it was drawn from. */
  function showText() {
    const tokens = written.flatMap(({ id }, i) => {
      const token = data.tokens[id];
      const made = button(token.replaceAll("\n", "↵"), () => {
        place = i;
        showBars();
        mark();
      });
      made.title = "Show the bars that this token was drawn from";
      return [made, ...Array.from(token.matchAll(/\n/g), () => element("br"))];
    });
    text.replaceChildren(element("strong", {}, data.prompt), ...tokens);
    mark();
  }

  function mark() {
    text.querySelectorAll("button").forEach((made, i) => {
      made.setAttribute("aria-pressed", i === place);
    });
  }

  /** Lets the model continue the prompt, a token at a time. */
  async function write() {
    const mine = ++latest;
    if (!model) {
      news.textContent = "Loading the model from this book's folder (14 MB) …";
      try {
        model = await (loading ??= loadModel());
      } catch (error) {
        loading = null;
        news.textContent = error.message;
        return;
      }
    }
    if (mine !== latest) return;
    const used = { ...setting };
    const start = Number(seed.value) >>> 0; // a whole number of 32 bits
    const random = seededRandom(start);
    const cache = emptyCache(model);
    let logits;
    for (const id of data.ids) logits = readToken(model, id, cache);
    written = [];
    place = 0;
    while (written.length < N_NEW) {
      const id = draw(distribution(logits, used).probabilities, random());
      written.push({ id, logits });
      if (written.length % 4 === 0) {
        showText();
        await new Promise((go) => setTimeout(go)); // lets the page draw, and a slider move
        if (mine !== latest) return;
      }
      logits = readToken(model, id, cache);
    }
    showBars();
    const said = [`temperature ${used.temperature.toFixed(2)}`];
    if (used.topK < V) said.push(`top-k ${used.topK}`);
    if (used.topP < 1) said.push(`top-p ${used.topP.toFixed(2)}`);
    news.textContent =
      `${N_NEW} tokens, seed ${start}, ${said.join(", ")}. The same seed and settings give ` +
      "the same text again. Choose a token to see the bars that it was drawn from.";
  }
}

/** Returns the base model, from a script beside this one that is loaded now. */
function loadModel() {
  return new Promise((resolve, reject) => {
    const script = element("script", {
      src: "play/base_model.js",
      onload: () => {
        try {
          const { config, safetensors } = BASE_MODEL;
          resolve({ config, weights: readSafetensors(bytesOf(safetensors)) });
        } catch (error) {
          reject(new Error(
            `play/base_model.js is damaged (${error.message}); delete it and run lesson 5 again`,
          ));
        }
      },
      onerror: () => reject(new Error(
        "play/base_model.js is not in this book's folder; run lesson 5 again to write the book anew",
      )),
    });
    document.head.append(script);
  });
}

begin("sampling", playSampling);
