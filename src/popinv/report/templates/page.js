// Draws the charts of this page in the colours that it has, and lets them be chosen by keyboard.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 40rem)");
  // What is left of a sheet of A4 or Letter between its margins, in pixels.
  const SHEET = 680;
  let printing = false;
  const colours = JSON.parse(document.getElementById("colours").textContent);
  const channels = (colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)).join(",");
  const faint = Object.fromEntries(
    Object.entries(colours).map(([light, other]) => [channels(light), channels(other)])
  );

  // Values in the colours of a dark page. Arrays of numbers come encoded and are left alone.
  function darkened(value) {
    if (typeof value === "string") {
      if (value in colours) return colours[value];
      return value.replace(/^rgba\((\d+,\d+,\d+),/, (all, c) => (c in faint ? `rgba(${faint[c]},` : all));
    }
    if (Array.isArray(value)) return value.map(darkened);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, darkened(entry)]));
  }

  const config = {
    responsive: true,
    displaylogo: false,
    displayModeBar: true,
    modeBarButtons: [["zoomIn2d", "zoomOut2d", "resetScale2d", "toImage"]],
  };

  const charts = [...document.querySelectorAll("figure.chart")].map((figure) => ({
    figure,
    plot: figure.querySelector(".plot"),
    control: figure.querySelector(".control input, .control select"),
    output: figure.querySelector("output"),
    choices: JSON.parse(figure.dataset.choices || "[]"),
    drawn: false,
  }));

  const chosen = (chart) => Number(chart.control ? chart.control.value : 0);
  const shown = (chart, traces) =>
    traces.map((trace) => typeof trace.meta !== "number" || trace.meta === chosen(chart));

  function draw(chart) {
    const text = chart.figure.querySelector("script").textContent;
    const parsed = JSON.parse(text);
    const { data, layout: whole } = dark.matches && !printing ? darkened(parsed) : parsed;
    // A grid of panels may have fewer columns on a narrow page.
    const layout = (narrow.matches && !printing && whole.meta?.narrow) || whole;
    chart.plot.style.height = `${layout.height}px`;
    if (chart.control) {
      const visible = shown(chart, data);
      data.forEach((trace, i) => { trace.visible = visible[i]; });
    }
    if (printing) layout.width = SHEET;
    else if (narrow.matches) {
      layout.font.size = 12;
      // A finger that scrolls the page must not zoom the chart.
      layout.dragmode = false;
    }
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: layout.font.color, activecolor: layout.font.color };
    chart.drawn = true;
    return Plotly.react(chart.plot, data, layout, config).then(() => describe(chart));
  }

  // The drawing is one image with a description; the buttons beside it are one stop of the keyboard.
  function describe(chart) {
    chart.plot.querySelectorAll("svg.main-svg").forEach((svg, i) => {
      if (i === 0) {
        svg.setAttribute("role", "img");
        svg.setAttribute("aria-label", chart.plot.dataset.alternative);
      } else {
        svg.setAttribute("aria-hidden", "true");
      }
    });
    const bar = chart.plot.querySelector(".modebar");
    if (!bar) return;
    bar.setAttribute("role", "toolbar");
    bar.setAttribute("aria-label", `View of the chart: ${chart.figure.querySelector("strong").textContent}`);
    const buttons = [...bar.querySelectorAll(".modebar-btn")];
    buttons.forEach((button, i) => { button.tabIndex = i === 0 ? 0 : -1; });
    bar.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const at = buttons.indexOf(document.activeElement);
      if (!step || at < 0) return;
      event.preventDefault();
      const next = buttons[(at + step + buttons.length) % buttons.length];
      buttons.forEach((button) => { button.tabIndex = button === next ? 0 : -1; });
      next.focus();
    };
  }

  function choose(chart) {
    if (chart.output) chart.output.textContent = chart.choices[chosen(chart)];
    if (chart.control.type === "range") {
      chart.control.setAttribute("aria-valuetext", chart.choices[chosen(chart)]);
    }
    if (chart.drawn) Plotly.restyle(chart.plot, { visible: shown(chart, chart.plot.data) });
  }

  document.querySelectorAll("button.save").forEach((button) => {
    button.hidden = false;
    button.addEventListener("click", () => saveNumbers(button));
  });

  // Regions that scroll sideways can be reached by keyboard; others need no stop.
  function reach() {
    document.querySelectorAll(".table, .picture, pre").forEach((region) => {
      if (region.scrollWidth > region.clientWidth + 1) region.tabIndex = 0;
      else region.removeAttribute("tabindex");
    });
  }

  const visible = (chart) => !chart.figure.closest("details:not([open])");
  const pause = () => new Promise((done) => setTimeout(done, 0));

  // One after the other, so that the page can be read and scrolled meanwhile.
  async function drawAll() {
    for (const chart of charts) {
      if (!visible(chart) || chart.drawn) continue;
      await draw(chart);
      await pause();
    }
  }

  charts.filter((chart) => chart.control).forEach((chart) => {
    chart.control.addEventListener("input", () => choose(chart));
    choose(chart);
  });
  document.querySelectorAll("details").forEach((details) =>
    details.addEventListener("toggle", () => { drawAll(); reach(); })
  );
  [dark, narrow].forEach((query) =>
    query.addEventListener("change", () => charts.filter((c) => c.drawn).forEach(draw))
  );
  addEventListener("resize", reach);

  // On paper everything is open, and charts are as wide as the sheet and in the colours of a light page.
  let closed = [];
  addEventListener("beforeprint", () => {
    printing = true;
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((details) => { details.open = true; });
    charts.forEach(draw);
  });
  addEventListener("afterprint", () => {
    printing = false;
    closed.forEach((details) => { details.open = false; });
    charts.forEach(draw);
  });
  if (charts.length && typeof Plotly === "undefined") {
    const [script] = document.querySelectorAll("script[src]");
    charts.forEach((chart) => {
      chart.drawn = true;
      chart.plot.style.height = "auto";
      chart.plot.textContent = `The chart is drawn by the file ${script.getAttribute("src")}, which is not there. `
        + `Keep the folder of the report together. ${chart.plot.dataset.alternative}`;
    });
  }
  reach();
  drawAll().then(() => { document.documentElement.dataset.drawn = "true"; });
})();
