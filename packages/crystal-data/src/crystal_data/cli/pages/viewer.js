// Draws each crystal on its canvas: atoms as shaded balls, sorted from back to front, in the edges
// of the cell. Dragging turns it.
"use strict";

const crystals = JSON.parse(document.getElementById("crystals").textContent);
const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((i) => [i & 1, (i >> 1) & 1, (i >> 2) & 1]);
const edges = corners.flatMap((p, i) =>
  [1, 2, 4].filter((bit) => !(i & bit)).map((bit) => [i, i | bit]));

function toCartesian(frac, lattice) {
  return [0, 1, 2].map((k) => frac.reduce((sum, x, i) => sum + x * lattice[i][k], 0));
}

function turned(point, [tilt, turn]) {
  const [x, y, z] = point;
  const across = x * Math.cos(turn) + y * Math.sin(turn);
  const away = -x * Math.sin(turn) + y * Math.cos(turn);
  return [across, z * Math.cos(tilt) - away * Math.sin(tilt),
    z * Math.sin(tilt) + away * Math.cos(tilt)];
}

function scene(crystal) {
  const middle = toCartesian([0.5, 0.5, 0.5], crystal.lattice);
  const centred = (frac) => toCartesian(frac, crystal.lattice).map((x, k) => x - middle[k]);
  const atoms = crystal.atoms.map(([element, ...frac]) =>
    ({ ...crystal.elements[element], at: centred(frac) }));
  const cell = corners.map(centred);
  const reach = Math.max(...cell.map((p) => Math.hypot(...p)), 1) + 1;
  return { atoms, cell, reach };
}

function draw(canvas, { atoms, cell, reach }, angles) {
  const context = canvas.getContext("2d");
  const size = canvas.width;
  const scale = size / 2 / reach;
  const place = ([x, y]) => [size / 2 + x * scale, size / 2 - y * scale];
  context.clearRect(0, 0, size, size);
  context.strokeStyle = "#8a94a3";
  context.lineWidth = 2;
  const points = cell.map((p) => place(turned(p, angles)));
  for (const [from, to] of edges) {
    context.beginPath();
    context.moveTo(...points[from]);
    context.lineTo(...points[to]);
    context.stroke();
  }
  const seen = atoms.map((atom) => ({ ...atom, at: turned(atom.at, angles) }));
  seen.sort((a, b) => b.at[2] - a.at[2]);
  for (const atom of seen) {
    const [x, y] = place(atom.at);
    const radius = atom.radius * scale;
    const shade = context.createRadialGradient(
      x - radius / 3, y - radius / 3, radius / 10, x, y, radius);
    shade.addColorStop(0, "#ffffff");
    shade.addColorStop(0.35, atom.color);
    shade.addColorStop(1, atom.edge);
    context.fillStyle = shade;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }
}

document.querySelectorAll("canvas[data-crystal]").forEach((canvas) => {
  const shown = scene(crystals[Number(canvas.dataset.crystal)]);
  const angles = [0.35, 0.45];
  let last = null;
  canvas.addEventListener("pointerdown", (event) => {
    last = [event.clientX, event.clientY];
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!last) return;
    angles[1] += (event.clientX - last[0]) / 100;
    angles[0] += (event.clientY - last[1]) / 100;
    last = [event.clientX, event.clientY];
    draw(canvas, shown, angles);
  });
  canvas.addEventListener("pointerup", () => { last = null; });
  draw(canvas, shown, angles);
});
