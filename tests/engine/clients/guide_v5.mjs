// Deepgram's guide in JavaScript with @deepgram/sdk 5, against the engine at $ENGINE: prints what it understood.
import { createReadStream, readFileSync } from "node:fs";
import { DeepgramClient, DeepgramError } from "@deepgram/sdk";

const { ENGINE, KEY, RECORDING, RECORDING_URL, TEXT } = process.env;
const environment = { base: ENGINE, production: ENGINE, agent: ENGINE, agentRest: ENGINE };
const client = new DeepgramClient({ apiKey: KEY, environment, timeoutInSeconds: 600 });
const wrong = new DeepgramClient({ apiKey: "wrong", environment });
const features = { topics: true, intents: true, sentiment: true };
const options = {
  model: "nova-3", smart_format: true, summarize: "v2", utterances: true, punctuate: true, diarize: true,
  paragraphs: true, search: "account", tag: ["guide"], custom_intent: ["cancel subscription"],
  custom_intent_mode: "strict", custom_topic: ["billing"], custom_topic_mode: "strict", ...features,
};
const once = { maxRetries: 0 };

function heard({ results, metadata }) {
  const best = results.channels[0].alternatives[0];
  return {
    request_id: metadata.request_id, duration: metadata.duration, models: metadata.models,
    transcript: best.transcript, words: best.words.length, speaker: best.words[0].speaker,
    paragraphs: best.paragraphs.paragraphs.length, utterances: results.utterances.length,
    summary: results.summary.short, sentiment: results.sentiments.average.sentiment,
    score: results.sentiments.average.sentiment_score, passages: results.sentiments.segments.length,
    topics: results.topics.segments.flatMap((each) => each.topics.map((topic) => topic.topic)),
    intents: results.intents.segments.flatMap((each) => each.intents.map((intent) => intent.intent)),
    infos: ["summary", "sentiment", "topics", "intents"].map((name) => metadata[`${name}_info`].model_uuid),
  };
}

function read({ results }) {
  return {
    summary: Boolean(results.summary), sentiment: results.sentiments.average.sentiment,
    topics: results.topics.segments.length, intents: results.intents.segments.length,
  };
}

async function refused(ask) {
  try {
    await ask();
  } catch (error) {
    if (!(error instanceof DeepgramError)) throw error;
    return { type: error.constructor.name, status: error.statusCode, body: error.body };
  }
  throw new Error("not refused");
}

const media = client.listen.v1.media;
const text = client.read.v1.text;
const body = readFileSync(RECORDING);
console.log(JSON.stringify({
  file: heard(await media.transcribeFile(createReadStream(RECORDING), options)),
  buffer: heard(await media.transcribeFile(body, options)),
  url: heard(await media.transcribeUrl({ url: RECORDING_URL, ...options })),
  read: read(await text.analyze({ body: { text: TEXT }, language: "en", summarize: true, ...features })),
  read_url: read(await text.analyze({ body: { url: `${RECORDING_URL}.txt` }, language: "en", summarize: true, ...features })),
  wrong_key: await refused(() => wrong.listen.v1.media.transcribeFile(body, {}, once)),
  no_audio: await refused(() => media.transcribeFile(Buffer.from("no audio"), {}, once)),
  foreign_url: await refused(() => media.transcribeUrl({ url: "http://example.org/a.wav" }, once)),
  no_language: await refused(() => media.transcribeFile(body, { language: "xx" }, once)),
  read_nothing: await refused(() => text.analyze({ body: { text: TEXT }, language: "de" }, once)),
}));
