"""Accounts and their cooldowns. Secrets are encrypted, each bound to its own row and column.

Every function that changes something moves `config_version` in the same transaction, except `touch`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from omni_connector.errors import GatewayError, Kind
from omni_connector.secrets import Vault
from omni_connector.snapshot import Account, Cooldown
from omni_connector.store.settings import bump_config
from omni_connector.store.tables import accounts as t
from omni_connector.store.tables import cooldowns as c
from omni_connector.store.tables import decode, encode, upsert

Json = dict[str, Any]
_COLUMNS = tuple(column.name for column in t.columns)
_SECRET = ("secret", "headers", "proxy_url", "usage_key")
_JSON = frozenset({"models", "discovered", "model_map", "budget", "options", "quota", "balance"})
_TUPLES = ("models", "discovered", "quota")


def aad(account_id: str, column: str) -> str:
    """What an encrypted value of an account is bound to: a blob moved to another row or column does not decrypt."""
    return f"accounts:{account_id}:{column}"


def _values(vault: Vault, account_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name in _SECRET:
            plain = encode(value) if name == "headers" and value else value
            values[name] = vault.encrypt(plain, aad(account_id, name)) if plain else None
        elif name in _JSON:
            values[name] = encode(value)
        else:
            values[name] = value
    return values


def _account(vault: Vault, row: sa.RowMapping) -> Account:
    fields = dict(row)
    for name in _SECRET:
        blob = fields[name]
        fields[name] = "" if blob is None else vault.decrypt(blob, aad(fields["id"], name))
    fields["headers"] = decode(fields["headers"]) if fields["headers"] else {}
    for name in _JSON:
        fields[name] = decode(fields[name])
    for name in _TUPLES:
        fields[name] = tuple(fields[name])
    return Account(**fields)


def list_accounts(conn: sa.Connection, vault: Vault) -> tuple[Account, ...]:
    """Oldest first, without the facts of the provider's row. Raises SecretsError when a secret does not decrypt."""
    return tuple(_account(vault, row) for row in conn.execute(sa.select(t).order_by(t.c.created_at, t.c.id)).mappings())


def get(conn: sa.Connection, vault: Vault, account_id: str) -> Account:
    row = conn.execute(sa.select(t).where(t.c.id == account_id)).mappings().first()
    if row is None:
        raise _missing(account_id)
    return _account(vault, row)


def insert(conn: sa.Connection, vault: Vault, account: Account) -> None:
    """Raises GatewayError(CONFLICT) naming the label when it is taken."""
    _free(conn, account.label, account.id)
    try:
        conn.execute(sa.insert(t), _values(vault, account.id, {name: getattr(account, name) for name in _COLUMNS}))
    except sa.exc.IntegrityError as error:
        raise _taken(account.label) from error
    bump_config(conn)


def insert_all(conn: sa.Connection, vault: Vault, accounts: Sequence[Account]) -> set[str]:
    """Many at once; returns the ids of those that were left out, because their label is taken. Raises GatewayError(CONFLICT) when another
    process took one meanwhile: nothing is stored then."""
    taken = set(conn.execute(sa.select(t.c.label).where(t.c.label.in_([account.label for account in accounts]))).scalars())
    free = [account for account in accounts if account.label not in taken]
    rows = [_values(vault, account.id, {name: getattr(account, name) for name in _COLUMNS}) for account in free]
    if rows:
        try:
            conn.execute(sa.insert(t), rows)
        except sa.exc.IntegrityError as error:
            raise GatewayError(Kind.CONFLICT, "A label was taken by another process meanwhile.", param="label") from error
        bump_config(conn)
    return {account.id for account in accounts if account.label in taken}


def update(conn: sa.Connection, vault: Vault, account_id: str, changes: Mapping[str, Any]) -> Account:
    """Changes the named fields of Account and returns it. Raises GatewayError NOT_FOUND or CONFLICT (label taken);
    KeyError for a field that cannot be changed."""
    wrong = changes.keys() - set(_COLUMNS) | changes.keys() & {"id", "created_at"}
    if wrong:
        raise KeyError(f"cannot change {', '.join(sorted(wrong))} of an account")
    label = changes.get("label")
    if label is not None:
        _free(conn, label, account_id)
    try:
        _apply(conn, account_id, _values(vault, account_id, changes))
    except sa.exc.IntegrityError as error:
        raise _taken(str(label)) from error
    return get(conn, vault, account_id)


def delete(conn: sa.Connection, account_id: str) -> None:
    """Its cooldowns go with it; its requests stay in the books. Raises GatewayError(NOT_FOUND)."""
    if conn.execute(sa.delete(t).where(t.c.id == account_id)).rowcount == 0:
        raise _missing(account_id)
    bump_config(conn)


def set_state(conn: sa.Connection, account_id: str, state: str, reason: str) -> bool:
    """ "ok", "needs_login" or "error", and why; True when that is new."""
    new = sa.or_(t.c.state != state, t.c.state_reason != reason)
    changed = conn.execute(sa.update(t).where(t.c.id == account_id, new).values(state=state, state_reason=reason)).rowcount > 0
    if changed:
        bump_config(conn)
    return changed


def set_discovered(conn: sa.Connection, account_id: str, models: tuple[str, ...]) -> bool:
    """What the provider's model list says now; True when that is new."""
    return _told(conn, account_id, t.c.discovered, list(models))


def set_balance(conn: sa.Connection, account_id: str, balance: Mapping[str, Any]) -> bool:
    """What the provider says is left on the account (`providers.parse_balance`); True when that is new."""
    return _told(conn, account_id, t.c.balance, dict(balance))


def set_left(
    conn: sa.Connection,
    account_id: str,
    *,
    quota: Callable[[Sequence[Json]], Sequence[Json]] | None = None,
    is_news: Callable[[Sequence[Json], Sequence[Json]], bool] = operator.ne,
    plan: str = "",
    balance: Mapping[str, Any] | None = None,
) -> bool:
    """What is left on the account, as far as it is told; True when that is new. `quota`: the windows stored so far → those that hold
    now, written when `is_news(stored, those)`. `plan` stands in the account's identity (options)."""
    row = conn.execute(sa.select(t.c.quota, t.c.options, t.c.balance).where(t.c.id == account_id).with_for_update()).first()
    if row is None:
        return False
    news: dict[str, Any] = {}
    if quota is not None:
        stored = decode(row.quota)
        fresh = list(quota(stored))
        if is_news(stored, fresh):
            news["quota"] = encode(fresh)
    options = decode(row.options)
    identity = options.get("identity") if isinstance(options.get("identity"), dict) else {}
    if plan and identity.get("plan") != plan:
        news["options"] = encode({**options, "identity": {**identity, "plan": plan}})
    if balance is not None and decode(row.balance) != dict(balance):
        news["balance"] = encode(dict(balance))
    if news:
        _apply(conn, account_id, news)
    return bool(news)


def _told(conn: sa.Connection, account_id: str, column: sa.Column[Any], value: Any) -> bool:
    text = encode(value)
    new = sa.and_(t.c.id == account_id, column.is_distinct_from(text))
    changed = conn.execute(sa.update(t).where(new).values({column: text})).rowcount > 0
    if changed:
        bump_config(conn)
    return changed


def touch(conn: sa.Connection, used: Mapping[str, int]) -> None:
    """Notes account id → last use (ms). Never goes back, and is no change of configuration."""
    for account_id, at in used.items():
        newer = sa.or_(t.c.last_used_at.is_(None), t.c.last_used_at < at)
        conn.execute(sa.update(t).where(t.c.id == account_id, newer).values(last_used_at=at))


def rotate_secrets(conn: sa.Connection, vault: Vault) -> int:
    """Encrypts every stored secret again with the current master key; returns how many."""
    count = 0
    for row in conn.execute(sa.select(t.c.id, *(t.c[name] for name in _SECRET))).mappings().all():
        blobs = {name: vault.rotate(row[name], aad(row["id"], name)) for name in _SECRET if row[name] is not None}
        if blobs:
            conn.execute(sa.update(t).where(t.c.id == row["id"]).values(**blobs))
            count += len(blobs)
    return count


def _apply(conn: sa.Connection, account_id: str, values: Mapping[str, Any]) -> None:
    if not values:
        return
    if conn.execute(sa.update(t).where(t.c.id == account_id).values(**values)).rowcount == 0:
        raise _missing(account_id)
    bump_config(conn)


def _free(conn: sa.Connection, label: str, account_id: str) -> None:
    if conn.execute(sa.select(t.c.id).where(t.c.label == label, t.c.id != account_id)).first() is not None:
        raise _taken(label)


def _taken(label: str) -> GatewayError:
    return GatewayError(Kind.CONFLICT, f"There is an account labelled {label!r} already; choose another label.", param="label")


def _missing(account_id: str) -> GatewayError:
    return GatewayError(Kind.NOT_FOUND, f"There is no account {account_id}.", param="id")


# ---------------------------------------------------------------- Cooldowns


def list_cooldowns(conn: sa.Connection) -> tuple[Cooldown, ...]:
    return tuple(Cooldown(**row) for row in conn.execute(sa.select(c).order_by(c.c.account_id, c.c.scope)).mappings())


def extend_cooldown(conn: sa.Connection, cooldown: Cooldown) -> Cooldown | None:
    """Puts an account, or one of its model families, out; returns what holds now (None: the account is gone).

    Extend-only while one holds: of two the later end stays, with its reason; a terminal one gives way to a later terminal one, or to
    `clear_cooldowns`. One that has run out gives way to any.
    """
    if conn.execute(sa.select(t.c.id).where(t.c.id == cooldown.account_id).with_for_update()).first() is None:
        return None
    mine = sa.and_(c.c.account_id == cooldown.account_id, c.c.scope == cooldown.scope)
    row = conn.execute(sa.select(c).where(mine)).mappings().first()
    held = None if row is None else Cooldown(**row)
    if held is not None and not _outlasts(cooldown, held):
        return held
    values = {name: getattr(cooldown, name) for name in (column.name for column in c.columns)}
    change = ["until_at", "source", "reason", "step", "created_at"]
    upsert(conn, c, [values], ["account_id", "scope"], change)
    bump_config(conn)
    return cooldown


def _outlasts(new: Cooldown, held: Cooldown) -> bool:
    if held.until_at <= new.created_at:
        return True
    if "terminal" in (new.source, held.source) and new.source != held.source:
        return held.source != "terminal"
    return new.until_at > held.until_at


def clear_cooldowns(conn: sa.Connection, account_id: str, scope: str | None = None, *, asked_at: int | None = None) -> int:
    """Ends the cooldown of one scope, or all of the account's; returns how many.

    `asked_at`: when the question was sent whose answer shows that the account is back (ms). What failed after it is newer than the
    answer and stays. None: the user says so, whatever there is.
    """
    query = sa.delete(c).where(c.c.account_id == account_id)
    if asked_at is not None:
        query = query.where(c.c.created_at <= asked_at)
    if scope is not None:
        query = query.where(c.c.scope == scope)
    gone = conn.execute(query).rowcount
    if gone:
        bump_config(conn)
    return gone


def expire_cooldowns(conn: sa.Connection, now: int) -> list[Cooldown]:
    """Removes what has run out (never a terminal one) and returns it, so that its recovery can be announced."""
    over = sa.and_(c.c.until_at <= now, c.c.source != "terminal")
    gone = [Cooldown(**row) for row in conn.execute(sa.select(c).where(over)).mappings()]
    if gone:
        conn.execute(sa.delete(c).where(over))
        bump_config(conn)
    return gone
