// The page's state, and who asks for what when something changes.


const EXAMPLE = [
  "A red car is parked by the road.",
  "A crimson automobile stands at the kerb.",
  "Bread rises because yeast makes gas in the dough.",
  "How do I bake a loaf at home?",
  "The moon's pull moves the sea up and down.",
  "Why is there high and low tide twice a day?",
  "A safe file format for the weights of a model.",
  "Stretch your legs after a long run.",
];

const EXAMPLE_QUERY = "what makes bread soft";

const TASKS = {
  none: "none, as passages",
  s2p: "s2p, a search query",
  s2s: "s2s, texts that mean alike",
};

const state = { info: null, rows: [], problem: "", sizes: [], prompts: {}, view: "similarity", language: "curl" };
let kept = new Vectors();
let running = new AbortController();
let connecting = new AbortController();
let retryTimer = 0;
let typingTimer = 0;

const sizeIndex = () => Number($("dimension").value);
const size = () => state.sizes[sizeIndex()];
const texts = () => $("texts").value.split(/\r?\n/).map((line) => line.trim()).filter(Boolean).slice(0, MOST_TEXTS);
const sizesFor = (list) => (list.length <= MOST_WITH_ALL_SIZES ? state.sizes : [size()]);

function setState(kind, text) {
  $("state").dataset.state = kind;
  $("state").textContent = text;
}

/** An error in words; one that passes by itself is tried again, with the seconds counted down. */
function showTrouble(error) {
  clearInterval(retryTimer);
  let left = error.wait ?? 0;
  // The countdown is not read out, as it changes every second.
  const draw = () => ($("trouble-wait").textContent = left ? `Trying again in ${count(left, "second")}.` : "");
  $("trouble-text").textContent = error.message;
  $("trouble").classList.toggle("soft", left > 0);
  $("trouble").hidden = false;
  setState(left ? "wait" : "bad", left ? "Waiting" : "Trouble");
  draw();
  if (!left) return;
  retryTimer = setInterval(() => {
    left -= 1;
    if (left > 0) return draw();
    tryAgain();
  }, 1000);
}

function clearTrouble() {
  clearInterval(retryTimer);
  $("trouble").hidden = true;
}

const tryAgain = () => {
  clearInterval(retryTimer);
  return state.info ? refresh() : connect();
};

function onError(error) {
  if (!(error instanceof ServerError)) throw error;
  if (error.status !== 401) return showTrouble(error);
  clearTrouble();
  setState("bad", "No key");
  $("key-button").hidden = false;
  $("key-reason").textContent = apiKey ? error.message : "";
  if (!$("key-dialog").open) $("key-dialog").showModal();
}

function showTiming(timing) {
  if (!timing) return;
  const requests = timing.requests > 1 ? ` in ${timing.requests} requests` : "";
  $("timing").textContent = `${count(timing.texts, "text")} · ${count(timing.tokens, "token")} · ${Math.round(timing.total)} ms${requests}, ${timing.server} ms of it in the server`;
}

/** What is to be said of the texts: a file that could not be taken, texts that are cut, lines that are left out. */
function showNotes() {
  const { rows, problem } = state;
  const cut = rows.filter((row) => row.truncated).length;
  const lines = $("texts").value.split(/\r?\n/).filter((line) => line.trim()).length;
  const notes = problem ? [problem] : [];
  if (cut) notes.push(`${count(cut, "text")} longer than ${state.info.max_input_length.toLocaleString("en")} tokens: the rest of ${cut === 1 ? "it" : "them"} is not read.`);
  if (lines > MOST_TEXTS) notes.push(`Only the first ${MOST_TEXTS.toLocaleString("en")} lines are used.`);
  if (rows.length && rows.length < Math.min(lines, MOST_TEXTS)) notes.push(`This view shows the first ${rows.length}.`);
  $("note").textContent = notes.join(" ");
  $("note").classList.toggle("warn", cut > 0 || problem !== "");
}

function setTexts(text) {
  $("texts").value = text;
  state.problem = "";
  refresh();
}

/** Asks for what the view lacks and draws it; what was under way is given up, here and in the server. */
async function refresh() {
  clearTimeout(typingTimer);
  running.abort();
  running = new AbortController();
  const { signal } = running;
  if (!state.info) return;
  const all = texts();
  const view = views[state.view];
  const list = all.slice(0, view.most);
  $("count").textContent = count(all.length, "text");
  memory.set("texts", $("texts").value.length < 1e6 ? $("texts").value : null);
  const enough = list.length >= view.least;
  $("empty").hidden = enough;
  $("empty").textContent = view.least === 1 ? "Type a text, or drop a file." : `Type at least ${["", "", "two", "three"][view.least]} texts, a line each, or drop a file.`;
  $("panel-" + state.view).hidden = !enough;
  $("request").hidden = !enough;
  if (!enough) return setState("ready", "Ready");
  setState("busy", "Working");
  try {
    const { rows, timing } = await view.show(list, signal);
    if (signal.aborted) return;
    clearTrouble();
    setState("ready", "Ready");
    showTiming(timing);
    state.rows = rows;
    showNotes();
    showSnippet();
  } catch (error) {
    if (!signal.aborted) onError(error);
  }
}

/** Once nothing has been typed for a moment. */
function refreshSoon() {
  clearTimeout(typingTimer);
  if (state.info) setState("busy", "Working");
  typingTimer = setTimeout(refresh, 250);
}

function showSnippet() {
  $("code").textContent = writeSnippet(state.language, views[state.view].request(texts().slice(0, views[state.view].most)));
}

function choosePrompts() {
  // Of names for the same prompt, the one that Stella's documentation uses.
  const known = Object.keys(state.prompts).sort((a, b) => (b in TASKS) - (a in TASKS));
  const names = known.filter((name, i) => state.prompts[name] && known.findIndex((other) => state.prompts[other] === state.prompts[name]) === i);
  const options = () => ["none", ...names].map((name) => element("option", { value: name, text: TASKS[name] ?? name }));
  $("task").replaceChildren(...options());
  $("task").value = names.includes("s2s") ? "s2s" : "none";
  $("query-task").replaceChildren(...options());
  $("query-task").value = names.includes("s2p") ? "s2p" : names.includes("query") ? "query" : "none";
  showPrompt();
}

function showPrompt() {
  const prompt = state.prompts[$("task").value];
  $("task-note").textContent = prompt ? `Put before each text: “${prompt.trim()}”` : "Texts are taken as they are.";
}

function showSize() {
  const text = size().toLocaleString("en");
  $("dimension-value").textContent = text;
  $("dimension").setAttribute("aria-valuetext", `${text} dimensions`);
  [...$("ticks").children].forEach((tick, i) => tick.classList.toggle("on", i === sizeIndex()));
}

function chooseSizes(sizes, usual) {
  state.sizes = sizes;
  $("dimension").max = sizes.length - 1;
  $("dimension").value = Math.max(0, sizes.indexOf(usual));
  $("ticks").replaceChildren(...sizes.map((one, i) => {
    const tick = element("span", { text: one });
    tick.addEventListener("click", () => {
      $("dimension").value = i;
      $("dimension").dispatchEvent(new Event("input"));
    });
    return tick;
  }));
  $("dimension-field").hidden = sizes.length < 2;
  showSize();
}

/** A choice where there is one. A name that is kept from before may no longer be served. */
function showModels(names) {
  if (!names.includes(chosenModel)) chosenModel = null;
  $("model-choice").replaceChildren(...names.map((name) => element("option", { value: name, text: name })));
  $("model-choice").value = chosenModel ?? names[0];
  $("model-field").hidden = names.length < 2;
}

/** Nothing of the model before stays. */
function chooseModel(name, names) {
  chosenModel = name === names[0] ? null : name;
  memory.set("model", chosenModel);
  clearTrouble();
  running.abort();
  kept = new Vectors();
  state.info = null;
  return connect();
}

/** What the server serves; asked for again until the model is there. */
async function connect() {
  connecting.abort();
  connecting = new AbortController();
  const { signal } = connecting;
  setState("wait", "Connecting");
  try {
    const { data: served } = await ask("v1/models", undefined, signal);
    showModels(served.data.map((model) => model.id));
    setState("wait", "Loading");
    const { data: info } = await ask("info", undefined, signal);
    clearTrouble();
    state.info = info;
    state.prompts = info.prompts ?? {};
    limits.batch = info.max_client_batch_size ?? 32;
    $("model").textContent = info.served_model_name ?? info.model_id;
    $("facts").textContent = [info.model_dtype, `stella ${info.version}`].filter(Boolean).join(" · ");
    document.title = `${$("model").textContent} · stella`;
    choosePrompts();
    $("task-field").hidden = state.view === "search";
    chooseSizes(info.dimensions?.length ? [...info.dimensions].sort((a, b) => a - b) : [info.default_dimension], info.default_dimension);
    refresh();
  } catch (error) {
    if (!signal.aborted) onError(error);
  }
}

function showView(view) {
  state.view = view;
  for (const name of Object.keys(views)) $("panel-" + name).hidden = name !== view;
  $("task-field").hidden = !state.info || view === "search";
  history.replaceState(null, "", "#" + view);
  refresh();
}

function startKey() {
  $("key-button").addEventListener("click", () => {
    $("key-reason").textContent = "";
    $("key-dialog").showModal();
  });
  $("key-cancel").addEventListener("click", () => $("key-dialog").close());
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    apiKey = $("key").value.trim() || null;
    memory.set("key", apiKey);
    $("key").value = "";
    $("key-dialog").close();
    tryAgain();
  });
  $("key-button").hidden = !apiKey;
}

function startTheme() {
  const themes = ["auto", "light", "dark"];
  const set = (theme) => {
    document.documentElement.dataset.theme = theme;
    $("theme").textContent = `Theme: ${theme}`;
    memory.set("theme", theme);
  };
  $("theme").addEventListener("click", () => set(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]));
  set(themes.includes(memory.get("theme")) ? memory.get("theme") : "auto");
}

async function copyCode() {
  try {
    await navigator.clipboard.writeText($("code").textContent);
    $("copy").textContent = "Copied";
  } catch {
    // without TLS a browser gives no clipboard: select it, so that the keyboard can copy
    getSelection().selectAllChildren($("code"));
    $("copy").textContent = "Selected";
  }
  setTimeout(() => ($("copy").textContent = "Copy"), 1500);
}

function start() {
  startTheme();
  startKey();
  startFiles();
  startSimilarity();
  startMap();
  $("texts").value = memory.get("texts") ?? EXAMPLE.join("\n");
  $("query").value = memory.get("query") ?? EXAMPLE_QUERY;
  $("texts").addEventListener("input", () => {
    state.problem = "";
    refreshSoon();
  });
  $("query").addEventListener("input", () => {
    memory.set("query", $("query").value);
    refreshSoon();
  });
  $("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    refresh();
  });
  $("query-task").addEventListener("change", refresh);
  $("model-choice").addEventListener("change", () => chooseModel($("model-choice").value, [...$("model-choice").options].map((one) => one.value)));
  $("task").addEventListener("change", () => {
    showPrompt();
    refresh();
  });
  $("dimension").addEventListener("input", () => {
    showSize();
    refresh();
  });
  $("example").addEventListener("click", () => setTexts(EXAMPLE.join("\n")));
  $("clear").addEventListener("click", () => {
    setTexts("");
    $("texts").focus();
  });
  $("again").addEventListener("click", tryAgain);
  $("copy").addEventListener("click", copyCode);
  makeTabs(["curl", "python", "javascript"].map((name) => $("tab-" + name)), (tab) => {
    state.language = tab.id.slice(4);
    $("code").setAttribute("aria-labelledby", tab.id);
    if (state.info) showSnippet();
  })($("tab-curl"));
  const choose = makeTabs(Object.keys(views).map((name) => $("tab-" + name)), (tab) => showView(tab.id.slice(4)));
  const wanted = location.hash.slice(1);
  choose($("tab-" + (wanted in views ? wanted : "similarity")));
  connect();
}

start();
