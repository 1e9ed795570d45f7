// Deepgram's guide in JavaScript with @deepgram/sdk 4 (createClient), against the engine at $ENGINE: prints what it
// understood.
import { createReadStream, readFileSync } from "node:fs";
import { createClient } from "@deepgram/sdk";

const { ENGINE, KEY, RECORDING, RECORDING_URL, TEXT } = process.env;
const at = { global: { fetch: { options: { url: ENGINE } } } };
const deepgram = createClient(KEY, at);
const wrong = createClient("wrong", at);
const features = { topics: true, intents: true, sentiment: true };
const options = {
  model: "nova-3", smart_format: true, summarize: "v2", utterances: true, punctuate: true, diarize: true,
  paragraphs: true, search: "account", tag: ["guide"], custom_intent: ["cancel subscription"],
  custom_intent_mode: "strict", custom_topic: ["billing"], custom_topic_mode: "strict", ...features,
};

function heard({ result, error }) {
  if (error) throw error;
  const { results, metadata } = result;
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

function read({ result, error }) {
  if (error) throw error;
  const { results } = result;
  return {
    summary: results.summary.text.length > 0, sentiment: results.sentiments.average.sentiment,
    topics: results.topics.segments.length, intents: results.intents.segments.length,
  };
}

function refused({ result, error }) {
  if (!error) throw new Error(`not refused: ${JSON.stringify(result)}`);
  return { type: error.constructor.name, status: error.status, body: error.message };
}

const { prerecorded } = deepgram.listen;
const body = readFileSync(RECORDING);
console.log(JSON.stringify({
  file: heard(await prerecorded.transcribeFile(body, options)),
  stream: heard(await prerecorded.transcribeFile(createReadStream(RECORDING), options)),
  url: heard(await prerecorded.transcribeUrl({ url: RECORDING_URL }, options)),
  read: read(await deepgram.read.analyzeText({ text: TEXT }, { language: "en", summarize: true, ...features })),
  read_url: read(await deepgram.read.analyzeUrl({ url: `${RECORDING_URL}.txt` }, { language: "en", summarize: true, ...features })),
  wrong_key: refused(await wrong.listen.prerecorded.transcribeFile(body, {})),
  no_audio: refused(await prerecorded.transcribeFile(Buffer.from("no audio"), {})),
  foreign_url: refused(await prerecorded.transcribeUrl({ url: "http://example.org/a.wav" }, {})),
  no_language: refused(await prerecorded.transcribeFile(body, { language: "xx" })),
  read_nothing: refused(await deepgram.read.analyzeText({ text: TEXT }, { language: "de" })),
}));
