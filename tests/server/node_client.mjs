// node_client.mjs PACKAGES URL KEY MODEL TEXT...: prints what the openai package gives for the texts, as JSON.
import { createRequire } from "node:module";

const [packages, baseURL, apiKey, model, ...input] = process.argv.slice(2);
const { default: OpenAI } = await import(createRequire(packages + "/").resolve("openai"));
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

const vectorsOf = async (options) => (await client.embeddings.create({ model, input, ...options })).data.map((one) => one.embedding);
const failureOf = async (options) => {
  try {
    await client.embeddings.create({ model, input, ...options });
    return null;
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code, param: error.param };
  }
};

const models = [];
for await (const one of client.models.list()) models.push(one.id);
console.log(JSON.stringify({
  standard: await vectorsOf({}), // base64, by its own choice
  float: await vectorsOf({ encoding_format: "float" }),
  models,
  unknownModel: await failureOf({ model: "other" }),
  unknownSize: await failureOf({ dimensions: 3 }),
}));
