// Texts from a file that was opened or dropped.

const MOST_FILE_BYTES = 20e6;

/** The texts of a file: its lines; of JSON Lines the strings, or the field `text`. */
function linesOf(name, content) {
  const lines = content.replace(/^\uFEFF/, "").split(/\r?\n/).filter((line) => line.trim());
  if (!/\.(jsonl|ndjson)$/i.test(name)) return lines;
  return lines.map((line) => {
    const value = JSON.parse(line);
    const text = typeof value === "string" ? value : value?.text;
    if (typeof text !== "string") throw new SyntaxError();
    return text.replace(/\s+/g, " ");
  });
}

async function takeFile(file) {
  const say = (text) => {
    state.problem = text;
    showNotes();
  };
  if (file.size > MOST_FILE_BYTES) return say(`${file.name} is larger than ${MOST_FILE_BYTES / 1e6} MB; take a part of it.`);
  const content = await file.text();
  if (content.includes("\0") || content.includes("\uFFFD")) return say(`${file.name} is not text in UTF-8.`);
  try {
    setTexts(linesOf(file.name, content).slice(0, MOST_TEXTS + 1).join("\n"));
  } catch {
    return say(`${file.name} has a line that is neither a JSON string nor an object with a “text”.`);
  }
}

function startFiles() {
  const field = $("texts");
  $("open").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => {
    if ($("file").files[0]) takeFile($("file").files[0]);
    $("file").value = "";
  });
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    field.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? field.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    field.classList.remove("over");
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault();
    takeFile(event.dataTransfer.files[0]);
  });
}
