"use strict";

// What to look at first in maps of attention. draw_attention.js shows them.
//
// maps[layer][head][i][j] is the share of its attention that token i gives to token j.

/** Returns { layer, head } of the head whose rows put most on a single token, on average. */
function mostDecided(maps) {
  let best = { layer: 0, head: 0, decided: -1 };
  maps.forEach((heads, layer) => {
    heads.forEach((map, head) => {
      const rows = map.slice(2); // the first two tokens have no choice, or hardly any
      const decided = sumOf(rows.map(largestOf)) / rows.length;
      if (decided > best.decided) best = { layer, head, decided };
    });
  });
  return { layer: best.layer, head: best.head };
}

/** Returns the n tokens that get most of a row, [{ token, share }], the largest share first. */
function strongest(row, n) {
  const found = bestFirst(row).map((token) => ({ token, share: row[token] }));
  return found.slice(0, n);
}
