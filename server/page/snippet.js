// The request of a view as code.

const MOST_IN_SNIPPET = 20;

const inShell = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** JSON as Python writes it. */
function inPython(value, indent = "") {
  const more = indent + "    ";
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return value.every((one) => typeof one === "number") ? JSON.stringify(value).replaceAll(",", ", ") : `[\n${value.map((one) => more + inPython(one, more)).join(",\n")},\n${indent}]`;
  if (typeof value === "object") return `{\n${Object.entries(value).map(([name, one]) => `${more}"${name}": ${inPython(one, more)}`).join(",\n")},\n${indent}}`;
  return JSON.stringify(value);  // Python reads JSON's strings and numbers
}

const prettyJson = (value) => JSON.stringify(value, null, 2).replace(/\[\s+([\d,\s]+)\]/g, (_, numbers) => `[${numbers.split(/\s*,\s*/).join(", ").trim()}]`);

const writers = {
  curl(url, body, withKey, model) {
    const key = withKey ? ' \\\n  -H "Authorization: Bearer $STELLA_API_KEY"' : "";
    const named = model ? ` \\\n  -H ${inShell("x-model: " + model)}` : "";
    return `curl ${inShell(url)}${key}${named} \\\n  -H 'Content-Type: application/json' \\\n  -d ${inShell(prettyJson(body))}\n`;
  },
  python(url, body, withKey, model) {
    const fields = [withKey && '"Authorization": "Bearer " + os.environ["STELLA_API_KEY"]', model && `"x-model": ${JSON.stringify(model)}`].filter(Boolean);
    const headers = fields.length ? `\n    headers={${fields.join(", ")}},` : "";
    return `${withKey ? "import os\n\n" : ""}import requests\n\nresponse = requests.post(\n    ${JSON.stringify(url)},${headers}\n    json=${inPython(body, "    ")},\n)\nresponse.raise_for_status()\nprint(response.json())\n`;
  },
  javascript(url, body, withKey, model) {
    const key = withKey ? "\n    Authorization: `Bearer ${process.env.STELLA_API_KEY}`," : "";
    const named = model ? `\n    "x-model": ${JSON.stringify(model)},` : "";
    const json = prettyJson(body).replaceAll("\n", "\n  ");
    return `const response = await fetch(${JSON.stringify(url)}, {\n  method: "POST",\n  headers: {${key}${named}\n    "Content-Type": "application/json",\n  },\n  body: JSON.stringify(${json}),\n});\nif (!response.ok) throw new Error(await response.text());\nconsole.log(await response.json());\n`;
  },
};

/** `request`: { path, body }. */
function writeSnippet(language, { path, body }) {
  const url = new URL(path, document.baseURI).href;
  const cut = body.inputs.length > MOST_IN_SNIPPET;
  const shown = cut ? { ...body, inputs: body.inputs.slice(0, MOST_IN_SNIPPET) } : body;
  const code = writers[language](url, shown, Boolean(apiKey), chosenModel && inHeader(chosenModel));
  const mark = language === "javascript" ? "//" : "#";
  return cut ? `${mark} the first ${MOST_IN_SNIPPET} of ${count(body.inputs.length, "text")}\n${code}` : code;
}
