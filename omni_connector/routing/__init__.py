"""Decisions: which accounts may serve a request, in which order, and who is out until when.

Synchronous, no I/O; the clock (`now`, integer milliseconds UTC) and randomness (`rng`) are arguments, so every decision
can be replayed. Order of use: `resolve.resolve` → `plan.make_plan` → (relay attempts, `pool` counts) → `health.cooldown_for`.
"""
