"""Commands that are known by name, as data: how each is called, told and read. `commands.Template` says what the fields mean.

Claude Code, Codex and Gemini CLI as they were on 2026-11-21 (2.1.329, 0.169.0, 0.61.0), each driven with these very words; the
others by their manuals. Every field can be replaced in the account (`options.command`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omni_connector.providers.provider import Provider
from omni_connector.values import dataclass

FEATURES = frozenset(
    {"no_tools", "no_vision", "no_documents", "no_audio", "no_json", "no_sampling", "no_penalties", "no_logprobs", "single_choice"}
)
"""What no command can do."""

COMMAND_ROWS: tuple[Provider, ...] = (
    Provider(  # §8
        id="claude-code",
        label="Claude Code (installed here)",
        auth="none",
        base_url="",
        command=True,
        stands_in_for=("anthropic",),
        docs_url="https://code.claude.com/docs/en/headless",
        terms="Your own Claude plan, through your own signed-in Claude Code on this machine: Anthropic's terms for Claude Code apply, and "
        "the plan is for you alone. How its use by other programs is billed is Anthropic's to say and has changed before.",
        features=FEATURES,
        default_models=("opus", "sonnet", "haiku"),
        price_id="subscription",
        notes="Runs `claude -p` for each request: text only, no tools, no settings and no files of this machine. It has no temperature and "
        "no max_tokens. `ANTHROPIC_API_KEY` is never passed on, so nothing is billed to an API account by accident.",
    ),
    Provider(
        id="command",
        label="Local command",
        auth="none",
        base_url="",
        command=True,
        terms="You name the program; the terms of whatever it talks to apply.",
        features=FEATURES,
        notes="`options.command` says what is run, by a preset or by a list of arguments; no shell is involved. Tokens are counted here "
        "where the program reports none. `options.price_id` says what they cost, where that is known.",
    ),
)
COMMAND_ALIASES: Mapping[str, tuple[str, str]] = {
    "claudecode-custom": ("claude-code", ""),
    "claude-cli": ("claude-code", ""),
    "cli": ("command", ""),
}


@dataclass(frozen=True, slots=True)
class Preset:
    """`about`: one line for people. `command`: fields of `commands.Template`. `edit`: the argument that only the user knows."""

    label: str
    about: str
    command: Mapping[str, Any]
    edit: str = ""


_NO_FILES = '{"permissions":{"deny":["Read","Glob","Grep","Edit","Write","NotebookEdit","Bash","WebFetch","WebSearch"]}}'
"""A prompt with "@/some/path" in it makes Claude Code read that file, tools or not. A client must not read this machine's files."""

PRESETS: Mapping[str, Preset] = {
    "claude-code": Preset(
        "Claude Code",
        "The installed and signed-in Claude Code, without its tools, its settings and this machine's files.",
        {
            # No settings of the user: they may point Claude Code at this very gateway, which would then call itself for ever.
            "argv": [
                *("claude", "-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages", "--model", "{model}"),
                ["--effort", "{effort}"],
                ["--system-prompt-file", "{system_file}"],
                *("--tools", "", "--settings", _NO_FILES, "--setting-sources", "project", "--strict-mcp-config"),
                *("--disable-slash-commands", "--no-session-persistence"),
            ],
            "output": {"kind": "claude-code"},
            "check": ["claude", "auth", "status"],
            "login": "claude auth login",
            "models": ["opus", "sonnet", "haiku"],
            "efforts": ["low", "medium", "high", "xhigh", "max"],
            "env": ["CLAUDE_CONFIG_DIR", "CLAUDE_CODE_OAUTH_TOKEN", "HTTPS_PROXY", "NO_PROXY", "NODE_EXTRA_CA_CERTS"],
            "set": {"CLAUDE_CODE_DISABLE_ATTACHMENTS": "1", "DISABLE_AUTOUPDATER": "1"},
            # It remembers every folder that it was started in, so it is always the same one.
            "cwd": "account",
        },
    ),
    "codex-exec": Preset(
        "Codex",
        "The installed and signed-in Codex, without its shell and its settings.",
        {
            "argv": [
                *("codex", "exec", "--json", "--ephemeral", "--ignore-user-config", "--skip-git-repo-check", "--color", "never"),
                *("--sandbox", "read-only", "-c", "features.shell_tool=false", "-c", "features.unified_exec=false"),
                *("-c", "features.code_mode_host=false", "-c", "features.view_image=false", "-c", "features.multi_agent=false"),
                *("-c", "features.goals=false"),
                ["-c", "model_reasoning_effort={effort}"],
                ["--model", "{model}"],
                "-",
            ],
            "output": {
                "kind": "json-lines",
                "when": {"/type": "item.completed", "/item/type": "agent_message"},
                "text": "/item/text",
                "join": "\n\n",
                "usage": {
                    "input": "/usage/input_tokens",
                    "cache_read": "/usage/cached_input_tokens",
                    "output": "/usage/output_tokens",
                    "reasoning": "/usage/reasoning_output_tokens",
                },
                "error": "/error/message",
                "done": {"/type": "turn.completed"},
            },
            "check": ["codex", "login", "status"],
            "login": "codex login",
            "models": ["default"],
            "efforts": ["minimal", "low", "medium", "high", "xhigh"],
            "env": ["CODEX_HOME", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"],
            "cwd": "account",
        },
    ),
    "gemini-cli": Preset(
        "Gemini CLI",
        "The installed and signed-in Gemini CLI, in an empty folder.",
        {
            "argv": ["gemini", "--output-format", "stream-json", "--skip-trust", "--extensions", "none", ["--model", "{model}"]],
            "output": {
                "kind": "json-lines",
                "when": {"/type": "message", "/role": "assistant"},
                "text": "/content",
                "usage": {"input": "/stats/input_tokens", "cache_read": "/stats/cached", "output": "/stats/output_tokens"},
                "error": "/error/message",
                "done": {"/type": "result", "/status": "success"},
            },
            "check": ["gemini", "--version"],
            "models": ["default"],
            "env": ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION", "GOOGLE_GENAI_USE_GCA", "HTTPS_PROXY", "NO_PROXY"],
            # The first keeps its .env from pointing it at this very gateway.
            "set": {"GOOGLE_GEMINI_BASE_URL": "", "GEMINI_CLI_NO_RELAUNCH": "true"},
            "cwd": "account",
        },
    ),
    "ollama-run": Preset(
        "Ollama (ollama run)",
        "A model of the local Ollama. The provider Ollama can do more: tools, pictures, sampling.",
        {
            "argv": ["ollama", "run", "--nowordwrap", "--hidethinking", "{model}"],
            "check": ["ollama", "list"],
            "env": ["OLLAMA_HOST", "OLLAMA_MODELS"],
        },
    ),
    "llm": Preset(
        "llm",
        "The program llm, with the models and keys that it knows.",
        {
            "argv": ["llm", "prompt", "--no-log", ["--model={model}"], ["--system={system}"]],
            "check": ["llm", "models", "default"],
            "models": ["default"],
            "env": ["LLM_USER_PATH"],
        },
    ),
    "gcloud": Preset(
        "gcloud (Vertex AI endpoint)",
        "A model behind a Vertex AI endpoint, with the credentials of gcloud.",
        {
            "argv": ["gcloud", "ai", "endpoints", "predict", "ENDPOINT_ID", "--region=us-central1", "--json-request=-", "--format=json"],
            "input": "json",
            "stdin": {"instances": [{"prompt": "{prompt}"}]},
            "output": {"kind": "json-pointer", "text": "/predictions/0", "error": "/error/message"},
            "check": ["gcloud", "--version"],
            "models": ["default"],
            "env": ["CLOUDSDK_CONFIG", "CLOUDSDK_CORE_PROJECT", "CLOUDSDK_ACTIVE_CONFIG_NAME"],
        },
        edit="ENDPOINT_ID",
    ),
    "generic": Preset(
        "Any command",
        "Reads the conversation from standard input and writes its answer to standard output.",
        {},
    ),
}
