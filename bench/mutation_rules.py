"""The rules that the fast lane keeps, each as the small change that switches it off and the tests that must fail then.

`old` stands in its source exactly once (tests/bench/test_mutations.py looks), so a row whose source has moved on is found at once.
"""

from __future__ import annotations

from dataclasses import dataclass

APP, RELAY, PREPARE, PLAN = "app.py", "omni_connector/relay.py", "omni_connector/prepare.py", "omni_connector/routing/plan.py"
PLANNING, POOL, LANES = "omni_connector/planning.py", "omni_connector/routing/pool.py", "omni_connector/lanes.py"
ADMISSION, WAITING, SERVING = "omni_connector/admission.py", "omni_connector/waiting.py", "omni_connector/serving.py"
CONNECTION, DIRECT = "omni_connector/direct/connection.py", "tests/direct/test_connection.py::"
UPSTREAM, PASSING, GIVING_UP = "omni_connector/upstream.py", "omni_connector/wire/passing.py", "omni_connector/giving_up.py"
CALL, AUTH, CANDIDATES = "omni_connector/call.py", "omni_connector/auth.py", "omni_connector/routing/candidates.py"

DOOR, IN_APP, IN_RELAY = "tests/test_app_door.py::", "tests/test_app.py::", "tests/test_relay.py::"
OF_EVERY_ONE, ON_TIME = "tests/test_relay_rules.py::", "tests/test_relay_deadlines.py::"
PLANNED, ADMITTED, RENEWED = "tests/test_planning.py::", "tests/test_admission.py::", "tests/test_relay_renew.py::"
SENT, SERVED, STREAMED = "tests/test_upstream.py::", "tests/test_serving.py::", "tests/test_lanes.py::"
POOLED = "tests/routing/test_pool.py::"
KEYLESS = IN_APP + "test_a_required_key_and_switched_off_auth_hold_on_every_client_route"
PINNED = IN_APP + "test_a_provider_can_be_pinned_by_path_and_by_header"
TORN = IN_RELAY + "test_a_stream_that_breaks_off"
ALONE = PLANNED + "test_a_plan_that_serves_many_requests_is_what_each_would_have_got_by_itself"
SERVED_ONCE = IN_RELAY + "test_one_account_one_answer_one_row"
OTHER_PROVIDER = ADMITTED + "test_an_account_without_limits_lets_go_of_what_the_one_before_held"
SILENT = IN_RELAY + "test_a_stream_that_falls_silent_ends_with_an_error_and_never_cleanly"
LATE_BODY = DOOR + "test_a_body_that_does_not_come_is_not_waited_for"
HEARD = "        answer = lane.whole(body)\n        if lane.error is not None:\n            raise lane.error\n"
GATHERED = "        answer = lane.whole_answer()\n"
COMMITTED = "        self._committed(job, candidate, exchange, began)\n"
SETTLED = '        await self._settle(job, "ok", 200)\n'
WHOLE = "        await job.sink.whole(200, self._headers(job, exchange, whole=True), answer)\n"
TOLD = "        await job.sink.start(200, self._headers(job, exchange))\n        await job.sink.end(answer)\n"
"""Steps of relay.py that the next mutations put in another order."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """`says`: the rule as a sentence for docs/reliability.md. `tests`: node ids; one of them must fail."""

    rule: str
    says: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]


def off(rule: str, says: str, module: str, old: str, new: str, *tests: str) -> Mutation:
    return Mutation(rule, says, module, old, new, tests)


AT_THE_DOOR = (
    off(
        "authentication", "Nothing is served without a key", APP,
        "            key, pinned = await self._admit(scope, headers, route.provider, started_at)\n",
        '            key, pinned = ClientKey("key_none", "", "", "", 0), route.provider\n',
        KEYLESS,
    ),
    off(
        "ended keys", "A revoked or expired key opens nothing", AUTH,
        'if status == "active":', "if status:",
        "tests/test_auth.py::test_a_key_that_ended_is_named_by_its_hint_only",
    ),
    off(
        "keyless from afar", "Without client auth, only this machine is served", APP,
        "and is_loopback(peer_address) and not", "and not", KEYLESS,
    ),
    off(
        "keyless pages", "Without client auth, no foreign page is served", APP,
        "and is_loopback(peer_address) and not from_foreign_page(headers, stored.cors_origins):", "and is_loopback(peer_address):", KEYLESS,
    ),
    off(
        "new keys", "A key that another process has just made opens", APP,
        "if not await self._gateway.catch_up():  #", "if True:  #", DOOR + "test_a_key_that_another_process_has_just_made_opens",
    ),
    off(
        "last use of a key", "The last use of a key is noted", APP,
        "        self._gateway.note_used(key.id, started_at)\n", "", DOOR + "test_the_last_use_of_a_key_is_known",
    ),
    off(
        "draining", "A server that stops refuses what is new", APP,
        "        if self.draining:\n", "        if False:\n", IN_APP + "test_a_server_that_stops_says_so",
    ),
    off(
        "pinned provider", "A pin by path or header is kept", APP,
        "provider=provider_named(pinned),", 'provider="",', PINNED,
    ),
    off(
        "unknown provider", "A pin to nobody is an error", APP,
        "        pinned = provider or headers.get(\"model-provider\", \"\")\n        if pinned and not provider_named(pinned):\n",
        "        pinned = provider or headers.get(\"model-provider\", \"\")\n        if False:\n", PINNED,
    ),
    off(
        "method", "Only a POST is taken", APP,
        'if scope["method"] != "POST":', 'if scope["method"] == "OPTIONS":',
        DOOR + "test_only_a_post_is_taken",
    ),
    off(
        "compressed bodies", "A compressed body is refused", APP,
        "        refuse_compressed(headers)\n        return key, pinned\n", "        return key, pinned\n",
        DOOR + "test_a_compressed_body_is_refused_in_words",
    ),
    off(
        "body limit", "A body has a largest size", APP,
        "body = await read_body(receive, limit << 20, task)", "body = await read_body(receive, 1 << 40, task)",
        DOOR + "test_a_body_is_as_large_as_the_limit_and_no_larger",
    ),
    off(
        "silent bodies", "A body that does not come is not waited for", APP,
        "with Within(BODY_S, task) as deadline:", "with Within(None, task) as deadline:", LATE_BODY,
    ),
    off(
        "dribbled bodies", "A body that dribbles is not waited for", APP,
        "deadline.until(min(deadline.now, began + size / SLOWEST) + BODY_S)", "deadline.until(deadline.now + BODY_S)", LATE_BODY,
    ),
    off(
        "heard out", "Who is refused is heard out, so that he sees it", APP,
        "            await read_body(receive, 0)\n", "            pass\n", DOOR + "test_who_is_refused_is_heard_out_first",
    ),
    off(
        "half a body", "Who leaves within his body is not served", APP,
        "                raise ClientGoneError\n", "                break\n",
        DOOR + "test_who_leaves_before_the_body_is_complete_is_not_served",
    ),
    off(
        "CORS", "Only pages of listed origins read answers", APP,
        "if origin not in self._gateway.settings.cors_origins:", "if not origin:",
        IN_APP + "test_no_other_page_is_let_in_unless_it_is_listed",
    ),
    off(
        "nosniff", "No answer's type is guessed at", APP,
        "cors = [*cors, NO_SNIFFING]", "cors = [*cors]", DOOR + "test_every_answer_names_the_request_and_may_not_be_guessed_at",
    ),
    off(
        "disconnect", "Who hangs up ends his request", APP,
        "            task.cancel(LEFT)\n", "            pass\n", DOOR + "test_who_hangs_up_ends_the_request_wherever_it_is",
    ),
    off(
        "prompt log", "Prompts are logged where the user wants it", APP,
        "await self._gateway.prompts.around(self._gateway.relay.run, call, sink)", "await self._gateway.relay.run(call, sink)",
        "tests/test_app_books.py::test_prompts_are_written_from_the_moment_that_it_is_wanted_and_no_longer",
    ),
    off(
        "one length", "A body has one length", SERVING,
        'if scope["type"] == "http" and _two_lengths(scope["headers"]):', "if False:",
        SERVED + "test_a_body_with_two_lengths_is_refused",
    ),
    off(
        "sides", "A listener shows its side only", SERVING,
        'not in ("both", self._side):', 'not in ("both", "client", "admin"):',
        SERVED + "test_a_listener_changes_its_side_at_the_same_address",
    ),
    off(
        "leaving listeners", "A listener that was given up sends its clients on", SERVING,
        'if self.leaving and message["type"] == "http.response.start":', "if False:",
        SERVED + "test_what_runs_goes_on_where_nobody_is_let_in_any_more",
    ),
    off(
        "trusted proxies", "A client is whom a trusted proxy names", SERVING,
        "        scope = seen_through(scope, self._proxies())\n", "", SERVED + "test_a_trusted_proxy_names_the_client",
    ),
    off(
        "ambiguous heads", "A head that can be read in two ways is refused", "omni_connector/http1.py",
        "status = TOO_LONG if is_long else fault(version, self._target, self._headers)", "status = TOO_LONG if is_long else 0",
        "tests/test_http1.py::test_what_is_looked_at_and_refused_is_no_request",
    ),
)  # fmt: skip

WHOM_TO_ASK = (
    off(
        "limits of a key", "A key's models and providers are all it may use", CANDIDATES,
        "    if key_closes(key, provider):\n", "    if False:\n",
        "tests/routing/test_candidates.py::test_a_key_is_held_to_its_providers_and_models",
    ),
    off(
        "key in the plan", "The plan asks whose request it is", PLAN,
        "key_refuses(key, requested, candidate)", "key_refuses(None, requested, candidate)",
        PLANNED + "test_a_key_reaches_its_models_and_providers_only",
    ),
    off(
        "key in the name", "A name leads nowhere that the key may not go", PLANNING,
        "                call.wire,\n                call.key,\n", "                call.wire,\n                None,\n",
        PLANNED + "test_a_key_reaches_its_models_and_providers_only",
    ),
    off(
        "pin in the plan", "A pinned provider is the only one", PLANNING,
        "                provider=call.provider,\n", "", PLANNED + "test_a_pin_keeps_to_its_provider_whatever_the_name_is",
    ),
    off(
        "needs", "Who cannot see, or use tools, is not asked to", PLAN,
        "if _cannot(candidate, need):", "if False:", PLANNED + "test_who_cannot_do_what_is_asked_for_is_left_out",
    ),
    off(
        "needs of the request", "The plan knows what the request needs", PLANNING,
        "            view.needs,\n", "            {},\n", PLANNED + "test_who_cannot_do_what_is_asked_for_is_left_out",
    ),
    off(
        "wishes", "A client's own wishes are kept", PLANNING,
        "            wishes=wishes,\n", "", PLANNED + "test_a_client_says_who_may_serve",
    ),
    off(
        "budgets in the plan", "Who has no budget left is left out", PLANNING,
        "over = self._over(call, tokens) if self._budgets.watching else None", "over = None",
        "tests/test_budgets.py::test_an_account_that_has_spent_its_budget_gives_way",
    ),
    off(
        "whoever is alone", "Who is the only candidate is looked at as closely as all others", PLANNING,
        "        if only is not None and is_open(only, resolution.requested, view.needs, call.key, self._pool, now, over):\n",
        "        if only is not None:\n", ALONE,
    ),
    off(
        "wishes of whoever is alone", "A client's own wishes are kept where there is one candidate", PLANNING,
        "only = None if detail or wishes is not constraints.NONE else sole(resolution)", "only = None if detail else sole(resolution)",
        ALONE,
    ),
    off(
        "prices before plans", "With budgets nothing is planned before there are prices", RELAY,
        "            await self._doors.may_plan()\n", "", ADMITTED + "test_with_budgets_nobody_is_served_before_there_are_prices",
    ),
    off(
        "limits", "Budgets and limits are asked before anything is sent", RELAY,
        "        cap = await self._admitted(job, candidate)\n", "        cap = None\n",
        ADMITTED + "test_the_limits_of_a_key_are_told_in_full",
    ),
    off(
        "limits in the opening", "Limits are asked in the commit that opens the row", RELAY,
        "job.entering = self._doors.enter_first(job.call, first, job.record.est_input)", "job.entering = None",
        ADMITTED + "test_limits_cost_no_commit_of_their_own",
    ),
    off(
        "cap", "An answer is no longer than the budget pays for", RELAY,
        "        if cap is not None:\n", "        if False:\n", ADMITTED + "test_an_answer_is_shortened_to_what_the_budget_pays_for",
    ),
    off(
        "letting go", "What was held for one account is let go with it", ADMISSION,
        "            self._ledger.ask(replace(before.ask, claims=(), again=True))\n", "            pass\n", OTHER_PROVIDER,
    ),
    off(
        "cooldowns", "An account that cools is not asked", POOL,
        "if holding := [cooldown for cooldown in matching if holds(cooldown, now)]:", "if holding := []:",
        IN_RELAY + "test_the_breakdown_names_everybody",
    ),
    off(
        "state in the plan", "The plan asks how an account is", PLAN,
        "hold: Hold | None = pool.check(candidate.account, candidate.model, now)", "hold: Hold | None = None",
        "tests/routing/test_plan.py::test_every_skipped_candidate_says_why",
    ),
    off(
        "state at the last moment", "An account is looked at again in the moment it is asked", RELAY,
        "if hold is not None and not (panic and hold.guess):", "if False:",
        OF_EVERY_ONE + "test_an_account_that_went_out_since_the_plan_is_not_asked",
    ),
    off(
        "slots", "An account carries no more requests at once than it takes", POOL,
        "if account.max_in_flight is not None and flying >= account.max_in_flight:", "if False:",
        POOLED + "test_in_flight_is_counted_once_in_and_once_out",
    ),
    off(
        "slots of all processes", "All processes together respect what an account takes at once", "omni_connector/store/allowances.py",
        "if claim.max_in_flight is not None and used.flying >= claim.max_in_flight:", "if False:",
        "tests/store/test_allowances.py::test_rates_and_places",
    ),
    off(
        "slot taken", "A request in flight is counted", POOL,
        "        live.in_flight += 1\n", "", POOLED + "test_in_flight_is_counted_once_in_and_once_out",
    ),
    off(
        "slot released", "A request that ended is counted out", RELAY,
        "            self._pool.release(slot)\n", "            pass\n", SERVED_ONCE,
    ),
    off(
        "half open", "After a cooldown one request is the test", POOL,
        "tests = tuple(scope for scope in scopes if self.try_half_open(account.id, scope, now, live.turn))", "tests: tuple[str, ...] = ()",
        POOLED + "test_half_open_lets_exactly_one_through_until_the_outcome_is_known",
    ),
    off(
        "home", "A conversation stays with its account", PLANNING,
        "home=self.homes.home(asked.conversation, now) if asked.conversation else None,", "home=None,",
        PLANNED + "test_the_answer_says_that_its_conversation_stayed",
    ),
    off(
        "new home", "Where a conversation was answered is remembered", RELAY,
        "            self._doors.answered(job.asked, job.record)\n", "            pass\n",
        PLANNED + "test_the_answer_says_that_its_conversation_stayed",
    ),
)  # fmt: skip

ON_THE_WAY = (
    off(
        "own model id", "The provider is asked by its own model's name", PREPARE,
        "        body = passing.request_body(call.wire, body, model=other, ask_usage=hide)\n        keep =",
        "        body = passing.request_body(call.wire, body, model=None, ask_usage=hide)\n        keep =",
        "tests/test_prepare.py::test_the_same_format_passes",
    ),
    off(
        "usage asked for", "Usage is asked for where it is told only then", PREPARE,
        "        body = passing.request_body(call.wire, body, model=other, ask_usage=hide)\n        keep =",
        "        body = passing.request_body(call.wire, body, model=other, ask_usage=False)\n        keep =",
        OF_EVERY_ONE + "test_usage_is_asked_for_and_kept_from_who_did_not",
    ),
    off(
        "client's headers", "A client's key and cookies stay here", "omni_connector/providers/addresses.py",
        "if (name := key.lower()) in PASSED_ON})", "if (name := key.lower())})",
        "tests/test_app_planted.py::test_what_a_client_sends_with_its_request_stays_here",
    ),
    off(
        "redirects", "A credential follows no redirect", UPSTREAM,
        "http2=True, follow_redirects=False", "http2=True, follow_redirects=True", SENT + "test_an_exchange[through a proxy]",
    ),
    off(
        "unasked answers", "What a provider says unasked is nobody's answer", CONNECTION,
        "            self._is_spoiled = True  # another answer, and nobody asked for it\n", "            pass\n",
        DIRECT + "test_what_nobody_asked_for_is_never_an_answer",
    ),
    off(
        "codings of answers", "An answer that can be read in two ways is not read", CONNECTION,
        "        if codings and [", "        if False and [", DIRECT + "test_a_head_that_is_not_plain_http_is_refused",
    ),
    off(
        "heads of answers", "The head of an answer has a largest size", CONNECTION,
        "        elif self._idle_bytes > HEAD_BYTES:\n", "        elif False:\n", DIRECT + "test_a_head_that_is_not_plain_http_is_refused",
    ),
    off(
        "ends of answers", "An answer that ends too early is no answer", CONNECTION,
        "            if self._until_end and exc is None:\n", "            if True:\n",
        DIRECT + "test_an_answer_that_ends_too_early_broke_off",
    ),
    off(
        "one line each", "No header of a request becomes two", "omni_connector/direct/head.py",
        "    if len(head) - len(head.translate(None, CONTROLS)) != 2 * breaks:\n", "    if False:\n",
        "tests/direct/test_head.py::test_a_value_is_one_line",
    ),
    off(
        "sent once", "What spends something is sent once", UPSTREAM,
        "if request.once or time.monotonic()", "if time.monotonic()", SENT + "test_what_spends_something_is_never_sent_twice",
    ),
    off(
        "refusals classified", "An account that fails is left out for a while", RELAY,
        "                self._doors.failed(candidate, error)\n", "                pass\n",
        IN_RELAY + "test_another_account_takes_over_unnoticed",
    ),
    off(
        "success", "An account that works is taken back", RELAY,
        "        self._doors.worked(candidate, int((time.monotonic() - began) * 1000))\n", "",
        IN_RELAY + "test_after_a_guess_ran_out_one_request_decides",
    ),
    off(
        "quota overheard", "What a provider says of its quota is heard", RELAY,
        'self._doors.heard(candidate.account, exchange.headers, candidate.model, b"")\n                    return', "return",
        "tests/test_app_quota.py::test_ordinary_answers_are_overheard",
    ),
    off(
        "caller's mistakes", "A caller's mistake goes back at once", RELAY,
        "                elif not error.info.retry:\n", "                elif False:\n",
        IN_RELAY + "test_a_callers_mistake_returns_at_once_and_cools_nobody",
    ),
    off(
        "commit", "After the first byte nobody else takes over", RELAY,
        "                if job.sink.started:\n                    await self._broke(job, error)\n                elif",
        "                if False:\n                    await self._broke(job, error)\n                elif", SILENT,
    ),
    off(
        "attempts", "Attempts are bounded", RELAY,
        "if job.record.attempts and (reason := self._no_more(job)):", 'if False and (reason := ""):',
        IN_RELAY + "test_accounts_that_were_not_tried_any_more_are_named_too",
    ),
    off(
        "window", "After a while no account gets a successor", GIVING_UP,
        "if job.broken is None and job.attempt_began - job.began > limits.window:", "if False:",
        IN_RELAY + "test_an_attempt_begun_after_the_window_has_no_successor",
    ),
    off(
        "retry budget", "Retries are a share of the traffic", GIVING_UP,
        "if retrying >= max(limits.retry_floor, int(limits.retry_share * active)):", "if False:",
        IN_RELAY + "test_the_retry_budget_keeps_an_outage_from_multiplying",
    ),
    off(
        "content filters", "A refusal for content is final unless the user says otherwise", GIVING_UP,
        "and rest and doors.filters_fall_over():", "and rest:",
        "tests/test_relay_onward.py::test_a_filter_is_passed_only_if_the_user_lets_it",
    ),
    off(
        "token renewed", "A refused token is renewed once", RELAY,
        "if error.kind is Kind.ACCOUNT_REJECTED and self._may_renew(job, candidate):", "if False:",
        RENEWED + "test_a_refused_token_is_renewed_once_and_the_client_does_not_notice",
    ),
    off(
        "token in time", "A token is renewed before it ends", RELAY,
        "if account.access_until is not None and account.access_until - self._doors.now() < SOON_MS:", "if False:",
        RENEWED + "test_a_token_that_ends_now_is_renewed_before_it_is_used",
    ),
    off(
        "hopeless token", "A token known to be refused is not sent", RELAY,
        "if (error := self._doors.hopeless(account)) is not None:", "if (error := None) is not None:",
        RENEWED + "test_a_token_that_is_known_to_be_refused_is_not_sent_again",
    ),
    off(
        "secrets in errors", "No error repeats an account's secret", RELAY,
        "            error.message = secrets.scrub(error.message, candidate.account.access)\n", "",
        OF_EVERY_ONE + "test_a_refusal_that_repeats_the_secret_is_told_without_it",
    ),
    off(
        "trace", "A provider is told the trace where the user wants it", RELAY,
        "self._doors.mark(prepared.request, job.record)", "prepared.request", OF_EVERY_ONE + "test_what_marks_a_request_goes_with_it",
    ),
    off(
        "first byte", "A stream that does not begin is given up", RELAY,
        "wait = min(self.deadlines.first_byte, left(job, self.deadlines)) if prepared.stream else", "wait = 3600.0 if prepared.stream else",
        IN_RELAY + "test_a_stream_that_does_not_begin_is_replaced[False]",
    ),
    off(
        "first words", "A stream that begins without a word is given up", RELAY,
        "until = min(began + self.deadlines.first_byte, job.began + self.deadlines.total)", "until = began + 3600.0",
        IN_RELAY + "test_a_stream_that_does_not_begin_is_replaced[True]",
    ),
    off(
        "silence in a stream", "A stream that falls silent is given up", WAITING,
        "if self._silent >= limits.idle:\n", "if False:\n", SILENT,
    ),
    off(
        "silence in an answer", "A whole answer that falls silent is given up", WAITING,
        "return await read_all(exchange, idle=limits.idle, task=job.task)", "return await read_all(exchange)",
        ON_TIME + "test_a_whole_answer_that_falls_silent_is_not_waited_for_to_the_end",
    ),
    off(
        "whole answers", "A whole answer is waited for so long while others could give it", WAITING,
        "    if not job.others:\n", "    if True:\n", ON_TIME + "test_a_whole_answer_that_does_not_come_is_given_by_another",
    ),
    off(
        "total", "A request has an end", WAITING,
        "return max(LEAST_S, job.began + limits.total - time.monotonic())", "return 3600.0", SILENT,
    ),
    off(
        "slow readers", "A client that does not read has an end as well", RELAY,
        "with Within(left(job, self.deadlines) + 1, job.task):", "async with asyncio.timeout(None):",
        OF_EVERY_ONE + "test_a_client_that_does_not_read_is_not_waited_for",
    ),
    off(
        "largest answer", "An answer has a largest size", UPSTREAM,
        "                if size > limit:\n", "                if False:\n", SENT + "test_an_answer_that_never_ends_is_not_kept",
    ),
)  # fmt: skip

THE_ANSWER = (
    off(
        "row first", "The row is durable before anything is sent", RELAY,
        "        await opened\n", "", IN_RELAY + "test_a_request_that_cannot_be_put_on_record_is_not_carried_out",
    ),
    off(
        "settled first: streams", "A stream ends after its row is settled", RELAY,
        "            await done\n", "            pass\n",
        "tests/test_relay_unrecorded.py::test_a_stream_whose_row_cannot_be_closed_has_no_clean_end",
    ),
    off(
        "settled first: whole", "A whole answer is sent after its row is settled", RELAY,
        HEARD + COMMITTED + SETTLED + WHOLE, HEARD + COMMITTED + WHOLE + SETTLED,
        OF_EVERY_ONE + "test_no_answer_is_whole_before_its_row_is_settled[whole]",
    ),
    off(
        "settled first: gathered", "An answer gathered from a stream is sent after its row is settled", RELAY,
        GATHERED + COMMITTED + SETTLED + WHOLE, GATHERED + COMMITTED + WHOLE + SETTLED,
        OF_EVERY_ONE + "test_no_answer_is_whole_before_its_row_is_settled[gathered]",
    ),
    off(
        "settled first: told", "A whole answer told as a stream is sent after its row is settled", RELAY,
        SETTLED + TOLD, TOLD + SETTLED,
        OF_EVERY_ONE + "test_no_answer_is_whole_before_its_row_is_settled[told]",
    ),
    off(
        "refusals on record", "What is refused is on record too", RELAY,
        "            await self._close_row(job, \"cut\" if job.sink.started else \"failed\", error)\n", "",
        IN_RELAY + "test_what_is_refused_before_it_starts_is_on_record_as_well",
    ),
    off(
        "who leaves is on record", "Who leaves is on record with what he got", RELAY,
        "            self._abandon(job, left=LEFT in cancelled.args)\n", "", IN_RELAY + "test_a_cancelled_request_is_settled_once",
    ),
    off(
        "exchange let go", "A provider's connection is let go", RELAY,
        "            finally:\n                exchange.close()\n                if candidate.account.auth",
        "            finally:\n                if candidate.account.auth", SERVED_ONCE,
    ),
    off(
        "usage measured", "What an answer used is measured", RELAY,
        "            record.used(reading, price.cost, price.source, price.worth)\n", "            pass\n", SERVED_ONCE,
    ),
    off(
        "cost", "An answer waits for its price", RELAY,
        "        await self._doors.prices_loaded()\n        self._measure(job)\n        kept =",
        "        self._measure(job)\n        kept =", OF_EVERY_ONE + "test_an_answer_is_priced_although_prices_come_late",
    ),
    off(
        "plan on record", "The row says why it went where it went", RELAY,
        "            record.plan, record.route = plan, plan.route\n", "",
        IN_RELAY + "test_accounts_that_were_not_tried_any_more_are_named_too",
    ),
    off(
        "live rows", "The dashboard sees a request begin", RELAY,
        "        job.opened = True\n        self._doors.publish(job.record)\n", "        job.opened = True\n",
        OF_EVERY_ONE + "test_a_request_is_seen_when_it_begins_and_when_it_ends",
    ),
    off(
        "live ends", "The dashboard sees a request end", RELAY,
        "            self._doors.publish(job.record)  # whoever hears of it", "            pass  # whoever hears of it",
        OF_EVERY_ONE + "test_a_request_is_seen_when_it_begins_and_when_it_ends",
    ),
    off(
        "kept answers", "An answer that will be asked for again is kept", RELAY,
        'kept = await self._kept(job) if outcome == "ok" else ()', "kept = ()",
        OF_EVERY_ONE + "test_an_answer_is_kept_for_its_own_key_only",
    ),
    off(
        "whose kept answers", "Only its own key goes on from a kept answer", "omni_connector/kept.py",
        "if not chain and rows.is_of_another(conn, rows.RESPONSE, key_id, response_id):", "if False:",
        OF_EVERY_ONE + "test_an_answer_is_kept_for_its_own_key_only",
    ),
    off(
        "request id", "Every answer names its request and route", CALL,
        "    headers = _ours(record)\n    for name, value", "    headers: Headers = []\n    for name, value", SERVED_ONCE,
    ),
    off(
        "request id of errors", "Every error names its request and route", CALL,
        "headers = _ours(record) if record is not None else []", "headers: Headers = []",
        "tests/test_call.py::test_an_error_is_in_the_callers_format_with_what_is_known_of_the_route",
    ),
    off(
        "provider's limits", "A provider's own rate limits are passed on", CALL,
        "        if name.startswith(PASSED_ON):\n", "        if False:\n",
        "tests/test_call.py::test_a_whole_answer_tells_its_route_and_cost",
    ),
    off(
        "retry-after", "A refusal says when to come back", CALL,
        "    if error.retry_after is not None:\n", "    if False:\n", IN_RELAY + "test_the_breakdown_names_everybody",
    ),
    off(
        "asked name", "An answer has the model name that was asked for", PREPARE,
        "name = view.model or candidate.model\n        hide = view.stream and not view.include_usage and \"stream_options\" in account",
        "name = candidate.model\n        hide = view.stream and not view.include_usage and \"stream_options\" in account",
        PLANNED + "test_a_name_nobody_knows_is_served_where_the_user_lets_it",
    ),
    off(
        "asked name in streams", "Every chunk of a stream has the model name that was asked for", PASSING,
        "if self._served is not None and self._served != self._wanted:", "if False:",
        STREAMED + "test_a_stream_is_the_same_however_it_is_cut",
    ),
    off(
        "usage hidden", "Usage that only we asked for stays here", PREPARE,
        "PassThrough(call.wire, model=name, hide_usage=hide, keep=keep,", "PassThrough(call.wire, model=name, hide_usage=False, keep=keep,",
        OF_EVERY_ONE + "test_usage_is_asked_for_and_kept_from_who_did_not",
    ),
    off(
        "errors in streams", "An error inside a stream is noticed", LANES,
        "        error: GatewayError | None = self._ear.error\n        return error\n", "        return None\n",
        STREAMED + "test_an_error_of_the_provider_inside_a_stream_is_noticed_and_not_passed_on",
    ),
    off(
        "early errors", "An error before the first word is mended by another account", RELAY,
        "            held += lane.feed(piece)\n            if lane.error is not None:\n                raise lane.error\n",
        "            held += lane.feed(piece)\n", OF_EVERY_ONE + "test_an_error_instead_of_a_first_word_is_mended_at_once",
    ),
    off(
        "late errors", "An error in the middle of a stream ends it at once", RELAY,
        "                if lane.error is not None:\n                    raise lane.error\n        return out\n", "        return out\n",
        OF_EVERY_ONE + "test_an_error_in_the_middle_of_a_stream_ends_it_at_once",
    ),
    off(
        "torn streams", "A torn stream has no clean end", RELAY,
        "        if not lane.complete:\n            if out and isinstance", "        if False:\n            if out and isinstance", TORN,
    ),
    off(
        "behind the end", "Nothing follows the terminal event", LANES,
        "        if self._told:\n            return b\"\"\n        self._ear.feed(piece)\n", "        self._ear.feed(piece)\n",
        STREAMED + "test_nothing_is_passed_on_behind_the_terminal_event",
    ),
)  # fmt: skip

RULES: tuple[Mutation, ...] = (*AT_THE_DOOR, *WHOM_TO_ASK, *ON_THE_WAY, *THE_ANSWER)
