"use strict";

// What the figures that can be played with have in common: making elements, and beginning.
// The scripts of a page are loaded one after the other and share their functions.

/** Lets play(area, data) build a figure of this name, if the page has it, in an empty area. */
function begin(name, play) {
  const figure = document.querySelector(`figure[data-play="${name}"]`);
  if (!figure) return;
  const data = JSON.parse(figure.querySelector("script").textContent);
  const area = element("div");
  figure.append(area);
  play(area, data);
}

/** Makes an HTML element: element("button", { type: "button", onclick: start }, "Start"). */
function element(tag, attributes = {}, ...children) {
  return furnished(document.createElement(tag), attributes, children);
}

/** Makes an element of a drawing: shape("circle", { cx: 3, cy: 4, r: 1 }). */
function shape(tag, attributes = {}, ...children) {
  return furnished(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** Gives an element attributes, listeners ("onclick" and the like) and children. */
function furnished(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/**
 * Makes a labelled slider that shows its value in words.
 *
 * range: { min, max, step, value }; words(number) is how a value reads; changed(number) is called
 * while it moves. Returns { whole, set }: the element, and set(number), which moves it silently.
 */
function slider(label, range, words, changed) {
  const input = element("input", { type: "range", ...range, oninput: () => moved() });
  const shown = element("span", { class: "play-value" });
  function say() {
    shown.textContent = words(Number(input.value));
    input.setAttribute("aria-valuetext", shown.textContent);
  }
  function moved() {
    say();
    changed(Number(input.value));
  }
  function set(number) {
    input.value = number;
    say();
  }
  say();
  return { whole: element("label", { class: "play-slider" }, label, " ", shown, input), set };
}

/** Makes a row of choices of which one holds: choices(legend, name, [[16, "16"]], 16, changed). */
function choices(legend, name, options, chosen, changed) {
  const labels = options.map(([value, label]) => {
    const checked = value === chosen && "";
    const input = element("input", {
      type: "radio", name, value, checked, onchange: () => changed(value),
    });
    return element("label", {}, input, label);
  });
  const title = element("legend", {}, legend);
  return element("fieldset", { class: "play-choices" }, title, ...labels);
}

/** Makes a button. */
function button(label, pressed) {
  return element("button", { type: "button", onclick: pressed }, label);
}

/** Returns a token with signs for what cannot be seen: a dot for a space, an arrow for an end. */
function visible(token) {
  return token.replaceAll(" ", "·").replaceAll("\n", "↵").replaceAll("\t", "⇥");
}

/** Returns a share as a percentage: 0.1234 is 12.3%, and what is less than 0.05% is 0.0%. */
function percent(share) {
  return `${(100 * share).toFixed(1)}%`;
}
