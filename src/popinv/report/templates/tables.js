"use strict";
// Saves the numbers of charts and pictures as CSV. A chart holds its numbers as plotly's figure.
const saveNumbers = (() => {
  // Arrays come in base64; single precision has seven digits.
  const TYPES = { f8: Float64Array, f4: Float32Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array,
    u2: Uint16Array, i4: Int32Array, u4: Uint32Array };
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  function decoded(value) {
    if (value?.bdata === undefined) return value ?? undefined;
    let flat = Array.from(new TYPES[value.dtype](bytes(value.bdata).buffer));
    if (value.dtype === "f4") flat = flat.map((v) => Number(v.toPrecision(7)));
    if (!value.shape) return flat;
    const width = Number(value.shape.split(",")[1]);
    return Array.from({ length: flat.length / width }, (_, i) => flat.slice(i * width, (i + 1) * width));
  }

  const plain = (text) => String(text).replace(/<[^>]*>/g, " ").replace(/\s+/g, " ").trim();
  function cell(value) {
    if (value === undefined || value === null || Number.isNaN(value)) return "";
    const text = typeof value === "number" ? String(value) : plain(value);
    return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  // A row for each point: its series, the choice for which it is shown, its place and what else it has.
  function tableOf(figure) {
    const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
    const choices = JSON.parse(figure.dataset.choices || "[]");
    const control = figure.querySelector(".control label")?.textContent;
    // Where axes are of several quantities, each series names its own.
    const named = data.some((trace) => trace.meta !== null && typeof trace.meta === "object");
    const panels = data.some((trace) => trace.meta?.panel);
    const titles = ["x", "y"].map((letter) =>
      (named ? "" : plain(layout[`${letter}axis`]?.title?.text ?? "")) || letter);
    if (titles[0] === titles[1]) titles.forEach((title, i) => { titles[i] = `${title}, ${"xy"[i]}`; });
    const colour = plain(data.find((trace) => trace.z)?.colorbar?.title?.text ?? "") || "z";
    const has = (key) => data.some((trace) => Array.isArray(decoded(trace[key])));
    const more = ["z", "base", "text"].filter(has);
    const errors = ["error_x", "error_y"].filter((key) => data.some((trace) => trace[key]?.array));
    const rows = [[
      "series", ...(panels ? ["panel"] : []), ...(control ? [control] : []),
      ...titles.flatMap((title) => [...(named ? [`quantity ${title}`] : []), title]),
      ...more.map((key) => (key === "z" ? colour : key)), ...errors.flatMap((key) => [`${key} above`, `${key} below`]),
    ]];
    for (const trace of data) {
      const { x, y, z, ...others } = Object.fromEntries(
        ["x", "y", ...more].map((key) => [key, decoded(trace[key])])
      );
      const bars = errors.flatMap((key) => {
        const above = decoded(trace[key]?.array);
        return [above, decoded(trace[key]?.arrayminus) ?? above];
      });
      const add = (i, ...values) => rows.push([
        trace.name ?? figure.querySelector("strong").textContent,
        ...(panels ? [trace.meta?.panel] : []), ...(control ? [choices[trace.meta]] : []),
        ...(named ? [trace.meta?.x, values[0], trace.meta?.y, values[1]] : values.slice(0, 2)),
        ...more.map((key) => (key === "z" ? values[2] : others[key]?.[i])), ...bars.map((bar) => bar?.[i]),
      ]);
      if (z) z.forEach((row, i) => row.forEach((value, j) => add(i, x?.[j], y?.[i], value)));
      else {
        const count = Math.max(x?.length ?? 0, y?.length ?? 0);
        for (let i = 0; i < count; i += 1) if ((x?.[i] ?? y?.[i] ?? null) !== null) add(i, x?.[i], y?.[i]);
      }
    }
    return rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
  }

  const inflated = (text) =>
    new Response(new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"))).text();

  return async (button) => {
    const figure = button.closest("figure.chart");
    const name = figure ? figure.id.replace("chart-", "") : button.dataset.name;
    const text = figure ? tableOf(figure) : await inflated(button.dataset.numbers);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = `${document.querySelector("h1").textContent}-${name}.csv`.replace(/[^\w.-]+/g, "_");
    link.click();
    // The browser reads it after this function.
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  };
})();
