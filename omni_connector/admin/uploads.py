"""What a request to import brings: a JSON body that says what to do, or the file itself, whole or in a form. (C-90)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from omni_connector.errors import bad_request
from omni_connector.wire import form_data

Json = dict[str, Any]


class ImportAccounts(Struct, forbid_unknown_fields=True, kw_only=True):
    """POST /api/accounts/import. Either `ids` of GET /api/accounts/discover, or `content`: a file, as text or as the JSON it holds.

    `provider`: whose sign-in it is, where the file does not say. `on_conflict`: what is done where there is such an account, or one of
    that label. `acknowledged`: providers whose terms the user has read and accepts. `client_id`, `client_secret`, `client_from_cli`: the
    OAuth client that Google's sign-ins were issued to. `settings`: take over the settings in the file as well. `discover`: ask the
    providers for their models at once, where there are few accounts.
    """

    ids: list[str] = []
    content: Any = None
    provider: str = ""
    passphrase: str = ""
    dry_run: bool = False
    on_conflict: Literal["skip", "rename", "update"] = "skip"
    acknowledged: list[str] = []
    client_id: str = ""
    client_secret: str = ""
    client_from_cli: bool = False
    settings: bool = False
    discover: bool = True


FILES = ("file", "content", "credentials", "upload")
"""Fields of a form under which the file comes."""
SPOKEN = ("provider", "on_conflict", "acknowledged", "dry_run", "client_id", "client_secret", "client_from_cli", "passphrase", "settings")
"""Fields that a form may have beside the file; a query too, but for what is secret."""
SECRET = frozenset({"passphrase", "client_secret"})
LISTS = frozenset({"acknowledged"})
FLAGS = frozenset({"dry_run", "client_from_cli", "settings"})
YES = frozenset({"1", "true", "yes", "on"})


def asked(data: bytes, content_type: str, query: Mapping[str, str]) -> Json:
    """The body of `import_accounts`. Raises BAD_REQUEST."""
    said = _texts({name: query[name] for name in SPOKEN if name in query and name not in SECRET})
    if content_type.partition(";")[0].strip().lower() == "multipart/form-data":
        return {**said, **_form(data, content_type)}
    if not data.strip():
        raise bad_request('Send the file as the body, or {"ids": […]} of what GET /api/accounts/discover found.', "content")
    body = _instructions(data)
    return {**said, "content": data} if body is None else body


def _instructions(data: bytes) -> Json | None:
    """The body when it says what to do; None when it is itself the file."""
    try:
        said = msgspec.json.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError):
        return None  # the reader of files says what is wrong with it
    known = {field.encode_name for field in msgspec.structs.fields(ImportAccounts)}
    return said if isinstance(said, dict) and said.keys() & {"ids", "content"} and said.keys() <= known else None


def _form(data: bytes, content_type: str) -> Json:
    form = form_data.read(data, content_type)
    parts = [part for part in form.parts if part.name in FILES]
    if len(parts) != 1:
        raise bad_request("Send one file, in the form field `file`.", "file")
    fields = {name: value for name in SPOKEN if (value := form.text(data, name)) is not None}
    return {**_texts(fields), "content": data[parts[0].start : parts[0].end]}


def _texts(fields: Mapping[str, str]) -> Json:
    """What came as text, with its types."""
    said: Json = {}
    for name, value in fields.items():
        if name in FLAGS:
            said[name] = value.strip().lower() in YES
        elif name in LISTS:
            said[name] = [word.strip() for word in value.split(",") if word.strip()]
        else:
            said[name] = value.strip()
    return said
