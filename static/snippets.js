// What a user pastes into a terminal, a program or an agent, with the address and the key filled in.
import { t } from "./texts.js";

export function snippets(base, key) {
  const v1 = base + "/v1";
  return [
    ["curl", "curl", `curl ${v1}/chat/completions \\
  -H "Authorization: Bearer ${key}" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "auto", "messages": [{"role": "user", "content": "Say hello in five words."}]}'`],
    ["openai", "OpenAI SDK", `from openai import OpenAI

client = OpenAI(base_url="${v1}", api_key="${key}")
answer = client.chat.completions.create(
    model="auto",
    messages=[{"role": "user", "content": "Say hello in five words."}],
)
print(answer.choices[0].message.content)`],
    ["anthropic", "Anthropic SDK", `from anthropic import Anthropic

client = Anthropic(base_url="${base}", api_key="${key}")
answer = client.messages.create(
    model="auto",
    max_tokens=200,
    messages=[{"role": "user", "content": "Say hello in five words."}],
)
print("".join(part.text for part in answer.content if part.type == "text"))`],
    ["claude-code", "Claude Code", `export ANTHROPIC_BASE_URL="${base}"
export ANTHROPIC_AUTH_TOKEN="${key}"
export ANTHROPIC_MODEL="auto"
export ANTHROPIC_DEFAULT_HAIKU_MODEL="auto"
claude`, t("Works in the terminal you paste it into. Nothing is written to your files.")],
    ["agent", t("Tell your agent"), `Please connect [the tool I use, for example opencode or Cursor] to omni-connector,
the AI gateway that runs on this machine.

- Kind of provider: OpenAI-compatible
- Base URL: ${v1}
- API key: ${key}
- Model: auto

Put these in place of any base URL and key the tool has now and leave its other
settings alone. Then send one short message through it and show me the answer.
If the tool's name is still in brackets above, ask me which one I mean.`, t("Paste it to any coding agent: it sets the tool up for you.")],
  ];
}
